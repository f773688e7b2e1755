package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/test/hubtest"
)

// callee is a device that answers direct methods with what they are called
// with, comes and goes, and sometimes leaves instead of answering.
type callee struct {
	*device
	warm func()

	mu       sync.Mutex
	called   map[string]int // by payload
	answered map[string]int // before the answer is sent
	sessions int
	ends     []error
}

func newCallees(t *testing.T, g *hubtest.Gateway, n int) (all []*callee, w *warmth) {
	t.Helper()
	w = newWarmth(n)
	for i := range n {
		all = append(all, &callee{
			device: newDevice(t, g, fmt.Sprintf("callee-%02d", i)), warm: w.note,
			called: map[string]int{}, answered: map[string]int{},
		})
	}
	return all, w
}

// leaveAt has a device leave in the middle of a call.
const leaveAt = `,"leave":true}`

// run takes calls until ctx ends.
func (d *callee) run(ctx context.Context, l *lives) {
	for ctx.Err() == nil && l.next() != nil {
		d.ends = append(d.ends, d.session(ctx))
		select {
		case <-ctx.Done():
		case <-time.After(rand.N(50 * time.Millisecond)):
		}
	}
}

// session takes a number of calls, and leaves.
func (d *callee) session(ctx context.Context) error {
	c, err := d.join(methodCalls)
	if err != nil {
		return err
	}
	defer c.close()
	defer context.AfterFunc(ctx, c.close)()
	d.sessions++
	for n := 1; n <= 4*warmAfter; n++ {
		m, err := c.hear()
		if err != nil {
			return err
		}
		topic, body := string(m.Topic), string(m.Payload)
		d.count(d.called, body)
		if err := c.puback(m); err != nil {
			return err
		}
		if strings.HasSuffix(body, leaveAt) {
			return nil
		}
		<-time.After(rand.N(10 * time.Millisecond)) // that a kill finds it in mid-call
		d.count(d.answered, body)
		if err := c.answer(topic, body); err != nil {
			return err
		}
		if d.warm != nil {
			d.warm()
		}
	}
	return c.send(&mqtt.Disconnect{})
}

// answer answers a call with status 200.
func (c *client) answer(topic, body string) error {
	_, rid, _ := strings.Cut(topic, "/?$rid=")
	return c.say("$iothub/methods/res/200/?$rid="+rid, body)
}

// answerAll answers calls until the connection ends.
func (c *client) answerAll() error {
	for {
		m, err := c.hear()
		if err != nil {
			return err
		}
		if err := c.answer(string(m.Topic), string(m.Payload)); err != nil {
			return err
		}
		if err := c.puback(m); err != nil {
			return err
		}
	}
}

func (d *callee) count(m map[string]int, body string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	m[body]++
}

// order is a command that a back-end app has ordered.
type order struct {
	device string
	body   string
}

// orderer is a back-end app that orders commands of one device after another,
// and writes down those that were accepted.
type orderer struct {
	name     string
	to       []string
	wait     string // Hub-Wait
	next     int
	accepted map[string]order // by Hub-Command-Id
	refused  map[string]int   // by code
	faults   []string
}

func newOrderers(n int, to []*callee) (all []*orderer) {
	var ids []string
	for _, d := range to {
		ids = append(ids, d.id.Device)
	}
	for i := range n {
		all = append(all, newOrderer("o"+strconv.Itoa(i), "1h", ids...))
	}
	return all
}

func newOrderer(name, wait string, to ...string) *orderer {
	return &orderer{name: name, to: to, wait: wait, accepted: map[string]order{}, refused: map[string]int{}}
}

// run orders until ctx ends.
func (o *orderer) run(ctx context.Context, l *lives) {
	for ctx.Err() == nil {
		now := l.next()
		if now == nil {
			return
		}
		if !o.order(now) { // too many wait already, or the gateway has ended
			rest(ctx)
		}
	}
}

// order orders one command; every fifth device leaves amid it.
func (o *orderer) order(now *life) bool {
	one := order{device: o.to[o.next%len(o.to)], body: fmt.Sprintf(`{"order":"%s-%d"}`, o.name, o.next)}
	if o.next%5 == 4 {
		one.body = strings.TrimSuffix(one.body, "}") + leaveAt
	}
	o.next++
	header := nats.Header{"Hub-Wait": {o.wait}, "Hub-Response-Timeout": {"5s"}}
	answer, err := now.request("hub.method."+hubtest.Key(one.device)+".work", header, one.body)
	if err != nil {
		return false
	}
	if code, text := serviceError(answer); code != "" {
		o.refused[code]++
		if len(text) < 10 {
			o.faults = append(o.faults, fmt.Sprintf("the error %s has the sentence %q", code, text))
		}
		return false
	}
	id := answer.Header.Get("Hub-Command-Id")
	if _, known := o.accepted[id]; known || id == "" || answer.Header.Get("Hub-Status") != "202" {
		o.faults = append(o.faults, fmt.Sprintf("the receipt of %s is %v", one.body, answer.Header))
	}
	o.accepted[id] = one
	return true
}

// fate is what the stream of events has of a command.
type fate struct {
	outcomes map[string]int
	bodies   map[string]bool
}

func readFates(t *testing.T, g *hubtest.Gateway) map[string]fate {
	t.Helper()
	all := map[string]fate{}
	g.Each(t, "HUB_EVENTS", "hub.events.command.>", func(m jetstream.Msg) {
		id := m.Headers().Get("Hub-Command-Id")
		if _, known := all[id]; !known {
			all[id] = fate{map[string]int{}, map[string]bool{}}
		}
		all[id].outcomes[m.Headers().Get("Hub-Command-Outcome")]++
		all[id].bodies[string(m.Data())] = true
	})
	return all
}

// checkCommands waits until every accepted command has ended, and checks that
// each has one outcome, which is true.
func checkCommands(t *testing.T, g *hubtest.Gateway, callees []*callee, orderers []*orderer) map[string]int {
	t.Helper()
	var fates map[string]fate
	var forgotten []string
	eventually(func() bool {
		fates, forgotten = readFates(t, g), nil
		for _, o := range orderers {
			for id := range o.accepted {
				if len(fates[id].outcomes) == 0 {
					forgotten = append(forgotten, id)
				}
			}
		}
		return len(forgotten) == 0
	})
	for _, id := range forgotten[:min(len(forgotten), 10)] {
		t.Errorf("the command %s was accepted and has no outcome (one of %d)", id, len(forgotten))
	}
	called, answered := map[string]int{}, map[string]int{}
	for _, d := range callees {
		d.mu.Lock()
		maps.Copy(called, d.called)
		maps.Copy(answered, d.answered)
		d.mu.Unlock()
	}
	for body, n := range called {
		if n > 1 {
			t.Errorf("a device was called %d times for %s", n, body)
		}
	}
	sum, refused := map[string]int{}, map[string]int{}
	for _, o := range orderers {
		report(t, o.name, o.faults)
		for code, n := range o.refused {
			refused[code] += n
		}
		for id, one := range o.accepted {
			if outcomes := slices.Sorted(maps.Keys(fates[id].outcomes)); len(outcomes) > 1 {
				t.Errorf("the command %s has the outcomes %v", id, outcomes)
			} else if len(outcomes) == 1 {
				sum[outcomes[0]]++
				checkFate(t, one, fates[id], called[one.body], answered[one.body])
			}
		}
	}
	t.Logf("%d calls; accepted commands ended as %v; refused: %v", len(called), sum, refused)
	return sum
}

// checkFate checks that what the stream says of a command is what the device
// knows of it.
func checkFate(t *testing.T, one order, f fate, called, answered int) {
	t.Helper()
	switch {
	case f.outcomes["answered"] > 0 && (answered == 0 || len(f.bodies) != 1 || !f.bodies[one.body]):
		t.Errorf("%s was answered by %v, and its device has answered it %d times", one.body, f.bodies, answered)
	case f.outcomes["expired"] > 0 && called > 0:
		t.Errorf("%s has expired, and its device was called", one.body)
	case f.outcomes["cancelled"] > 0:
		t.Errorf("%s was cancelled, and nobody has asked for it", one.body)
	}
}

// checkNoCommands checks that nothing is left of commands that have ended.
func checkNoCommands(t *testing.T, g *hubtest.Gateway) {
	t.Helper()
	l := &life{nc: g.NATS, js: g.JS}
	var left string
	ok := eventually(func() bool {
		var page struct{ Items []json.RawMessage }
		answer, err := l.request("hub.command.list", nil, "")
		if err != nil || json.Unmarshal(answer.Data, &page) != nil {
			t.Fatalf("hub.command.list: %v", err)
		}
		kv, err := l.js.KeyValue(t.Context(), "hub_commands")
		if err != nil {
			t.Fatal(err)
		}
		keys, err := kv.ListKeys(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for key := range keys.Keys() {
			all = append(all, key)
		}
		left = fmt.Sprintf("%d in hub.command.list, %d keys in hub_commands: %.300s", len(page.Items), len(all), strings.Join(all, " "))
		return len(page.Items)+len(all) == 0
	})
	if !ok {
		t.Errorf("commands are left: %s", left)
	}
}

// TestKilledAmidCommands kills the gateway between a command's acceptance, its
// device's arrival, the call and the answer: a device is never called twice
// for one command, and every command that was accepted ends, in one way.
func TestKilledAmidCommands(t *testing.T) {
	g := start(t, hubtest.Options{})
	callees, warm := newCallees(t, g, 10)
	orderers := newOrderers(4, callees)
	newDevice(t, g, "never")
	hopeless := newOrderer("hopeless", "2s", "never")
	l, work, devices := newLives(g), newStaff(t), newStaff(t)
	for range 20 {
		hopeless.order(l.now.Load())
	}
	for _, o := range orderers {
		work.do(func(ctx context.Context) { o.run(ctx, l) })
	}
	for _, d := range callees {
		devices.do(func(ctx context.Context) { d.run(ctx, l) })
	}
	const kills = 8
	for range kills {
		warm.await(t, "every device to be called")
		<-time.After(rand.N(150 * time.Millisecond)) // anywhere in the work of the gateway
		l.kill(t, nil)
	}
	warm.await(t, "every device to be called after the last kill")
	work.finish()
	sum := checkCommands(t, g, callees, append(orderers, hopeless))
	devices.finish()
	checkNoCommands(t, g)
	if sum["expired"] != len(hopeless.accepted) {
		t.Errorf("%d commands have expired, want the %d of a device that never came", sum["expired"], len(hopeless.accepted))
	}
	for _, outcome := range []string{"answered", "failed", "unknown"} {
		if sum[outcome] == 0 {
			t.Errorf("no command ended as %s: nothing was tried of it", outcome)
		}
	}
}
