package backend

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/c2d"
	"github.com/hubgate/hubgate/identity"
)

// feedbackOf reads all feedback by the ids of the messages.
func feedbackOf(t *testing.T, b *Backbone) map[string][]c2d.Status {
	t.Helper()
	all := map[string][]c2d.Status{}
	for _, m := range outcomesOf(t, b, b.names.FeedbackStream()) {
		var f c2d.Feedback
		if err := json.Unmarshal(m.Data, &f); err != nil {
			t.Fatal(err)
		}
		all[f.OriginalMessageID] = append(all[f.OriginalMessageID], f.Status)
	}
	return all
}

// consumer is a device that acknowledges by PUBACK, from a goroutine of its own.
type consumer struct {
	box  *c2d.Mailbox
	acks chan uint16
	mu   sync.Mutex
	got  map[string]int
	last uint16
}

func consume(t *testing.T, b *Backbone, o c2d.Owner) *consumer {
	t.Helper()
	c := &consumer{acks: make(chan uint16, 1<<10), got: map[string]int{}}
	c.box = b.C2D().Open(o, func(d c2d.Delivery) (uint16, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.last++
		c.got[string(d.Payload)]++
		c.acks <- c.last
		return c.last, nil
	})
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	go func() {
		for {
			select {
			case id := <-c.acks:
				c.box.Acked(id)
			case <-ctx.Done():
				return
			}
		}
	}()
	c.box.Start()
	return c
}

// Deliveries, sweeps and purges of two nodes at the same time: each message that
// wants feedback has one outcome, and the queue is empty in the end.
func TestC2DOneOutcome(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	a, b := open(t, s, Config{}), open(t, s, Config{})
	r, err := (&identity.Registry{Store: a.Devices()}).Create(testContext(t), identity.Record{ID: device(1)})
	if err != nil {
		t.Fatal(err)
	}
	const count = 40
	past := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	for i := range count {
		headers := []string{"iothub-ack", "full", "message-id", fmt.Sprint(i)}
		if i%5 == 4 {
			headers = append(headers, "absolute-expiry-time", past)
		}
		publish(t, a, "dev-1", fmt.Sprint(i), headers...)
	}
	var wg sync.WaitGroup
	first := consume(t, a, c2d.Owner{Device: "dev-1", Generation: r.GenerationID, Epoch: 1})
	second := consume(t, b, c2d.Owner{Device: "dev-1", Generation: r.GenerationID, Epoch: 2})
	for _, node := range []*Backbone{a, b} {
		w := &c2dKeeper{backbone: node, store: node.C2D().Store.(*C2DStore), queues: node.C2D()}
		wg.Go(func() {
			if _, err := w.pass(testContext(t), time.Now(), time.Now().Add(testTimeout)); err != nil {
				t.Errorf("sweep: %v", err)
			}
		})
		wg.Go(func() {
			if _, err := node.C2D().Purge(testContext(t), "dev-1"); err != nil {
				t.Errorf("purge: %v", err)
			}
		})
	}
	wg.Wait()
	until(t, "an empty queue", func() bool {
		m, err := a.C2D().Store.Next(testContext(t), "dev-1", 0)
		return err == nil && m.Sequence == 0
	})
	first.box.Close()
	second.box.Close()
	a.C2D().Wait(testContext(t))
	b.C2D().Wait(testContext(t))
	all := feedbackOf(t, a)
	if len(all) != count {
		t.Errorf("feedback on %d messages, want %d", len(all), count)
	}
	dead := map[string]bool{}
	for _, m := range outcomesOf(t, a, a.names.DeadLetterStream()) {
		if id := m.Header.Get("message-id"); dead[id] {
			t.Errorf("message %s is a dead letter twice", id)
		} else {
			dead[id] = true
		}
	}
	for id, statuses := range all {
		if len(statuses) != 1 || (statuses[0] == c2d.Expired) != dead[id] {
			t.Errorf("message %s has the outcomes %v; a dead letter: %t", id, statuses, dead[id])
		}
	}
}

// A device that is deleted takes its messages along: who has its name next gets
// none of them, and nobody hears of them.
func TestC2DOfADeletedDevice(t *testing.T) {
	t.Parallel()
	b, r := withDevice(t)
	registry, ctx := &identity.Registry{Store: b.Devices()}, testContext(t)
	publish(t, b, "dev-1", "old", "iothub-ack", "full", "message-id", "old")
	if err := registry.Delete(ctx, r.ID, "*"); err != nil {
		t.Fatal(err)
	}
	next, err := registry.Create(ctx, identity.Record{ID: r.ID})
	if err != nil || next.GenerationID == r.GenerationID {
		t.Fatalf("created %+v, %v", next, err)
	}
	publish(t, b, "dev-1", "new", "iothub-ack", "full", "message-id", "new")
	c := consume(t, b, c2d.Owner{Device: "dev-1", Generation: next.GenerationID, Epoch: 9})
	until(t, "feedback on the new message", func() bool { return len(feedbackOf(t, b)["new"]) == 1 })
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.got["old"] != 0 || c.got["new"] != 1 || len(feedbackOf(t, b)) != 1 {
		t.Errorf("the device got %v; feedback %v", c.got, feedbackOf(t, b))
	}
	for _, m := range outcomesOf(t, b, b.names.FeedbackStream()) {
		if !hasAll(string(m.Data), next.GenerationID) {
			t.Errorf("feedback %s, want the generation %s", m.Data, next.GenerationID)
		}
	}
}

// Somebody removes the stream, and numbers begin anew: what is known of the old
// messages is not taken for the new ones.
func TestC2DOfANewStream(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	b := open(t, s, Config{})
	r, err := (&identity.Registry{Store: b.Devices()}).Create(testContext(t), identity.Record{ID: device(1)})
	if err != nil {
		t.Fatal(err)
	}
	for epoch, id := range []string{"old", "new"} {
		if n := publish(t, b, "dev-1", id, "iothub-ack", "full", "message-id", id); n != 1 {
			t.Fatalf("the message has the number %d", n)
		}
		c := consume(t, b, c2d.Owner{Device: "dev-1", Generation: r.GenerationID, Epoch: uint64(epoch + 1)})
		until(t, "feedback on the message", func() bool { return slices.Equal(feedbackOf(t, b)[id], []c2d.Status{c2d.Success}) })
		c.mu.Lock()
		if c.got[id] != 1 {
			t.Errorf("the device got %v of the %s stream", c.got, id)
		}
		c.mu.Unlock()
		c.box.Close()
		if err := b.js.DeleteStream(testContext(t), b.names.C2DStream()); err != nil {
			t.Fatal(err)
		}
		shut(b)
		b = open(t, s, Config{})
	}
}

// The NATS server removes a message with a Nats-TTL of its own: it is gone, and
// what comes behind it is delivered.
func TestC2DMessageWithTTL(t *testing.T) {
	t.Parallel()
	b, r := withDevice(t)
	publish(t, b, "dev-1", "short", "Nats-TTL", "1s", "iothub-ack", "full", "message-id", "short")
	until(t, "the message to go", func() bool {
		m, err := b.C2D().Store.Next(testContext(t), "dev-1", 0)
		return err == nil && m.Sequence == 0
	})
	publish(t, b, "dev-1", "long", "iothub-ack", "full", "message-id", "long")
	c := consume(t, b, c2d.Owner{Device: "dev-1", Generation: r.GenerationID, Epoch: 1})
	until(t, "feedback on the other message", func() bool { return slices.Equal(feedbackOf(t, b)["long"], []c2d.Status{c2d.Success}) })
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.got) != 1 || len(feedbackOf(t, b)) != 1 {
		t.Errorf("the device got %v; feedback %v", c.got, feedbackOf(t, b))
	}
}

// Where NATS takes small messages only, a message becomes a dead letter without
// its headers rather than not at all.
func TestC2DDeadLetterWithoutRoom(t *testing.T) {
	t.Parallel()
	b, _ := withDevice(t)
	store := *b.C2D().Store.(*C2DStore)
	store.limit = 10 << 10
	m := c2d.Message{Device: "dev-1", Sequence: 1, Body: make([]byte, 5000), Properties: map[string]string{"p": string(make([]byte, 3000))}}
	if err := store.Bury(testContext(t), c2d.DeadLetter{Message: m, Status: c2d.Rejected, Description: string(make([]byte, 5000))}); err != nil {
		t.Fatal(err)
	}
	dead := outcomesOf(t, b, b.names.DeadLetterStream())
	if len(dead) != 1 || dead[0].Header.Get("iothub-app-p") != "" || dead[0].Header.Get(subject.DeadLetterTruncated) == "" || len(dead[0].Data) > 2048 {
		t.Errorf("dead letters %v", dead)
	}
}

// hook is a log that does something when it hears of it.
type hook struct {
	text string
	do   atomic.Pointer[func()]
}

func (h *hook) Write(line []byte) (int, error) {
	if do := h.do.Load(); do != nil && strings.Contains(string(line), h.text) {
		(*do)()
	}
	return len(line), nil
}

// A device is made again, and sent a message, before the one that was deleted is
// cleared away: the message is the new one's.
func TestC2DDeviceMadeAgain(t *testing.T) {
	t.Parallel()
	h := &hook{text: "the session of a deleted identity is left behind"}
	b := open(t, serve(t, "", 0), Config{Log: zerolog.New(h)})
	registry := &identity.Registry{Store: b.Devices()}
	if _, err := registry.Create(testContext(t), identity.Record{ID: device(1)}); err != nil {
		t.Fatal(err)
	}
	publish(t, b, "dev-1", "to the old one")
	if err := b.js.DeleteStream(testContext(t), "KV_"+b.names.PresenceBucket()); err != nil { // so that h hears of it
		t.Fatal(err)
	}
	var sent uint64
	again := func() {
		if _, err := registry.Create(testContext(t), identity.Record{ID: device(1)}); err != nil {
			t.Error(err)
		}
		sent = publish(t, b, "dev-1", "to the new one")
	}
	h.do.Store(&again)
	if err := registry.Delete(testContext(t), device(1), "*"); err != nil {
		t.Fatal(err)
	}
	m, err := b.C2D().Store.Next(testContext(t), "dev-1", 0)
	if err != nil || m.Sequence != sent || sent == 0 {
		t.Errorf("the queue has message %d, %v, want %d", m.Sequence, err, sent)
	}
}
