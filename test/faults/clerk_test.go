//go:build linux

package faults

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	backendclient "github.com/hubgate/hubgate/backend/client"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/sas"
	"github.com/hubgate/hubgate/test/hubtest"
)

// clerk is a back-end app that makes devices by NATS, which never come, sends each
// a message by HTTP, empties every third queue, deletes every third device, and
// notes what was answered.
type clerk struct {
	web   *http.Client
	base  string
	token string
	next  int

	// What was done, by device; false: it was begun, and nobody has answered.
	made, mailed, emptied, deleted map[string]bool
	faults                         []string
}

func newClerk(t *testing.T, g *hubtest.Gateway) *clerk {
	t.Helper()
	owner, err := sas.ParseConnectionString(g.Ready.ServiceConnectionString)
	if err != nil {
		t.Fatal(err)
	}
	c := &clerk{
		web:   &http.Client{Timeout: patience, Transport: &http.Transport{TLSClientConfig: trusting(t, g)}},
		base:  "https://" + address(g, httpsPort),
		token: sas.Sign(owner.HostName, key(t, owner.SharedAccessKey), time.Now().Add(time.Hour), owner.SharedAccessKeyName),
		made:  map[string]bool{}, mailed: map[string]bool{}, emptied: map[string]bool{}, deleted: map[string]bool{},
	}
	t.Cleanup(c.web.CloseIdleConnections)
	return c
}

// run works until ctx ends. What fails is not repeated: it may be done or not.
func (c *clerk) run(ctx context.Context, l *lives) {
	for ctx.Err() == nil {
		now := l.next()
		if now == nil {
			return
		}
		if err := c.one(now); err != nil {
			rest(ctx) // the power has failed
		}
	}
}

func (c *clerk) one(now *life) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	n, id := c.next, fmt.Sprintf("clerk-%04d", c.next)
	c.next++
	b, err := backendclient.New(now.nc, backendclient.Options{})
	if err != nil {
		return err
	}
	r, err := b.Registry().Create(ctx, identity.Record{ID: hub.Identity{Device: id}})
	if err != nil {
		return err
	}
	c.made[id] = true
	if err := c.mail(ctx, id); err != nil {
		return err
	}
	c.mailed[id] = true
	switch n % 3 {
	case 0:
		c.emptied[id] = false
		answer, err := now.request("hub.c2d.purge."+hubtest.Key(id), nil, "")
		if err != nil {
			return err
		}
		if !strings.Contains(string(answer.Data), `"totalMessagesPurged":1`) {
			c.faults = append(c.faults, fmt.Sprintf("emptying the queue of %s: %s", id, answer.Data))
		}
		c.emptied[id] = true
	case 1:
		c.deleted[id] = false
		if err := b.Registry().Delete(ctx, r.ID, r.ETag); err != nil {
			return err
		}
		c.deleted[id] = true
	}
	return nil
}

// mail sends a message whose body is the device's id.
func (c *clerk) mail(ctx context.Context, id string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+"/devices/"+id+"/messages/deviceBound?api-version=2021-04-12", strings.NewReader(id))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", c.token)
	answer, err := c.web.Do(r)
	if err != nil {
		return err
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusNoContent {
		return errors.New(answer.Status)
	}
	return nil
}

// check looks for what was answered.
func (c *clerk) check(t *testing.T, g *hubtest.Gateway) {
	t.Helper()
	kv, err := g.JS.KeyValue(t.Context(), "hub_devices")
	if err != nil {
		t.Fatal(err)
	}
	queued := readQueues(t, g)
	for id := range c.made {
		deleted, doomed := c.deleted[id]
		emptied, drained := c.emptied[id]
		switch _, err := kv.Get(t.Context(), hubtest.Key(id)); {
		case err != nil && !errors.Is(err, jetstream.ErrKeyNotFound):
			t.Fatal(err)
		case err != nil && !doomed:
			c.faults = append(c.faults, id+" was made and is not there")
		case err == nil && deleted:
			c.faults = append(c.faults, id+" was deleted and is there")
		}
		if c.mailed[id] && !doomed && !drained && !queued[id] {
			c.faults = append(c.faults, "the message to "+id+" was accepted and is not in its queue")
		}
		if emptied && queued[id] {
			c.faults = append(c.faults, "the queue of "+id+" was emptied and is full")
		}
	}
	t.Logf("%d devices made, %d messages sent, %d queues emptied, %d devices deleted", len(c.made), len(c.mailed), len(c.emptied), len(c.deleted))
	if len(c.made) == 0 || len(c.mailed) == 0 || len(c.emptied) == 0 || len(c.deleted) == 0 {
		t.Error("the clerk has not done its work")
	}
	report(t, "the clerk", c.faults)
}

// subscriber is a device with a session that outlives its connection.
type subscriber struct {
	*device
	told bool // SUBACK has come
}

func newSubscribers(t *testing.T, g *hubtest.Gateway, n int) (all []*subscriber) {
	t.Helper()
	for i := range n {
		all = append(all, &subscriber{device: newDevice(t, g, fmt.Sprintf("subscriber-%02d", i)).with(persistent)})
	}
	return all
}

// subscribe subscribes once.
func (s *subscriber) subscribe() {
	c, _, err := s.connect()
	if err != nil {
		return
	}
	defer c.close()
	codes, err := c.subscribe("$iothub/methods/POST/#")
	s.told = err == nil && string(codes) == "\x01"
}

// check connects again, and finds the session.
func (s *subscriber) check(t *testing.T, g *hubtest.Gateway) {
	t.Helper()
	if !s.told {
		return
	}
	c, present, err := s.connect()
	if err != nil || !present {
		t.Errorf("%s has subscribed, and when it comes again: session present %v, %v", s.id, present, err)
		return
	}
	defer c.close()
	g.AwaitSession(t, s.id.String(), "its subscription", func(v hubtest.Session) bool { return v.Connected && v.Has("$iothub/methods/POST/#") })
}
