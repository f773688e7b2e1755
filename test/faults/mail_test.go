package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/test/hubtest"
)

// taker is a device that takes cloud-to-device messages, whose bodies are their
// ids, and acknowledges them a few at a time; one that grumbles leaves instead.
type taker struct {
	*device
	grumbles bool
	warm     func()
	done     atomic.Int64 // acknowledgements so far, for everybody

	mu       sync.Mutex
	got      map[string]int  // deliveries, by message
	acked    map[string]bool // PUBACK was sent
	faults   []string
	sessions int
	ends     []error
}

func newTaker(t *testing.T, g *hubtest.Gateway, id string) *taker {
	t.Helper()
	return &taker{device: newDevice(t, g, id), got: map[string]int{}, acked: map[string]bool{}}
}

// newTakers makes devices that take their messages.
func newTakers(t *testing.T, g *hubtest.Gateway, n int) (all []*taker, w *warmth) {
	t.Helper()
	w = newWarmth(n)
	for i := range n {
		d := newTaker(t, g, fmt.Sprintf("taker-%02d", i))
		d.warm = w.note
		all = append(all, d)
	}
	return all, w
}

// run takes messages until ctx ends. settled is what was settled before the
// gateway's present life.
func (d *taker) run(ctx context.Context, l *lives, settled *atomic.Pointer[map[string]bool]) {
	for ctx.Err() == nil && l.next() != nil {
		err := d.session(ctx, *settled.Load())
		d.ends = append(d.ends, err)
	}
}

func (d *taker) session(ctx context.Context, settled map[string]bool) error {
	c, err := d.join("devices/" + d.id.Device + "/messages/devicebound/#")
	if err != nil {
		return err
	}
	defer c.close()
	defer context.AfterFunc(ctx, c.close)()
	d.sessions++
	var held []uint16
	for n := 1; ; n++ {
		m, err := c.hear()
		if err != nil {
			return err
		}
		id := string(m.Payload)
		d.take(id, settled[id])
		if d.grumbles {
			return nil
		}
		held = append(held, m.ID)
		if len(c.in) > 0 && len(held) < 8 { // more have come
			continue
		}
		if err := d.acknowledge(c, held); err != nil {
			return err
		}
		held = held[:0]
		if n >= warmAfter && d.warm != nil {
			d.warm()
			n = -1 << 30 // once for each connection
		}
	}
}

func (d *taker) take(id string, settled bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.got[id]++
	if settled {
		d.faults = append(d.faults, fmt.Sprintf("%s was delivered after it was settled, and before the gateway was killed", id))
	}
}

func (d *taker) acknowledge(c *client, ids []uint16) error {
	for _, id := range ids {
		if err := c.send(&mqtt.Puback{ID: id}); err != nil {
			return err
		}
		d.done.Add(1)
	}
	return nil
}

// sender is a back-end app that sends messages to one device after another, and
// writes down what JetStream has acknowledged.
type sender struct {
	name     string
	to       []string // devices
	next     int
	accepted map[string]uint64 // sequences, by message
	full     int
	faults   []string
}

func newSenders(n int, to []*taker) (all []*sender) {
	var ids []string
	for _, d := range to {
		ids = append(ids, d.id.Device)
	}
	for i := range n {
		all = append(all, &sender{name: "s" + strconv.Itoa(i), to: ids, accepted: map[string]uint64{}})
	}
	return all
}

// run sends until ctx ends.
func (s *sender) run(ctx context.Context, l *lives) {
	for ctx.Err() == nil {
		now := l.next()
		if now == nil {
			return
		}
		if !s.send(now.js, nil) { // the queue is full, or the gateway has ended
			rest(ctx)
		}
	}
}

// send sends one message that wants all feedback.
func (s *sender) send(js jetstream.JetStream, header nats.Header) bool {
	id := s.name + "-" + strconv.Itoa(s.next)
	m := &nats.Msg{Subject: "hub.c2d." + hubtest.Key(s.to[s.next%len(s.to)]), Header: nats.Header{"message-id": {id}, "iothub-ack": {"full"}}, Data: []byte(id)}
	maps.Copy(m.Header, header)
	s.next++
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ack, err := js.PublishMsg(ctx, m)
	if err == nil {
		s.accepted[id] = ack.Sequence
		return true
	}
	if apiErr := (*jetstream.APIError)(nil); errors.As(err, &apiErr) {
		s.full++
		if !strings.Contains(apiErr.Description, "maximum messages per subject") {
			s.faults = append(s.faults, fmt.Sprintf("%s was refused: %v", id, err))
		}
	}
	return false
}

// ledger is the feedback that is stored: how often each outcome of a message.
type ledger map[string]map[string]int

func readFeedback(t *testing.T, g *hubtest.Gateway) ledger {
	t.Helper()
	all := ledger{}
	g.Each(t, "HUB_FEEDBACK", "hub.feedback.>", func(m jetstream.Msg) {
		var f struct{ OriginalMessageID, StatusCode, DeviceID, DeviceGenerationID string }
		if err := json.Unmarshal(m.Data(), &f); err != nil || f.DeviceGenerationID == "" {
			t.Errorf("the feedback %s: %v", m.Data(), err)
			return
		}
		if all[f.OriginalMessageID] == nil {
			all[f.OriginalMessageID] = map[string]int{}
		}
		all[f.OriginalMessageID][f.StatusCode]++
	})
	return all
}

// settled is the messages of which it is known that they were delivered.
func (l ledger) settled() *map[string]bool {
	all := map[string]bool{}
	for id, outcomes := range l {
		if outcomes["Success"] > 0 {
			all[id] = true
		}
	}
	return &all
}

// awaitOutcomes waits until every message that was accepted has feedback, and
// checks that each has one outcome, which is as wanted.
func awaitOutcomes(t *testing.T, g *hubtest.Gateway, senders []*sender, want string) {
	t.Helper()
	var feedback ledger
	var missing []string
	eventually(func() bool {
		feedback, missing = readFeedback(t, g), nil
		for _, s := range senders {
			for id := range s.accepted {
				if len(feedback[id]) == 0 {
					missing = append(missing, id)
				}
			}
		}
		return len(missing) == 0
	})
	queued := readQueues(t, g)
	for _, id := range missing[:min(len(missing), 10)] {
		t.Errorf("%s was sent and has no outcome; it is in the queue: %v (one of %d)", id, queued[id], len(missing))
	}
	accepted, twice := 0, 0
	for _, s := range senders {
		report(t, s.name, s.faults)
		for id := range s.accepted {
			accepted++
			outcomes := slices.Collect(maps.Keys(feedback[id]))
			if len(outcomes) > 0 && (len(outcomes) > 1 || outcomes[0] != want) {
				t.Errorf("%s has the outcomes %v, want %s", id, outcomes, want)
			}
			if feedback[id][want] > 1 {
				twice++
			}
			if queued[id] && len(outcomes) > 0 && !eventuallyGone(t, g, s.accepted[id]) {
				t.Errorf("%s is %v and still in the queue", id, outcomes)
			}
		}
	}
	t.Logf("%d messages accepted, all of them %s; %d have the same feedback more than once", accepted, want, twice)
}

// readQueues returns the messages that are in any queue. They are read one by
// one: messages leave meanwhile.
func readQueues(t *testing.T, g *hubtest.Gateway) map[string]bool {
	t.Helper()
	s, err := g.JS.Stream(t.Context(), "HUB_C2D")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]bool{}
	for next := uint64(1); ; {
		m, err := s.GetMsg(t.Context(), next, jetstream.WithGetMsgSubject("hub.c2d.>"))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all[string(m.Data)], next = true, m.Sequence+1
	}
}

// eventuallyGone waits until a message has left its queue: that comes right
// after its feedback.
func eventuallyGone(t *testing.T, g *hubtest.Gateway, sequence uint64) bool {
	t.Helper()
	s, err := g.JS.Stream(t.Context(), "HUB_C2D")
	if err != nil {
		t.Fatal(err)
	}
	return eventually(func() bool {
		_, err := s.GetMsg(t.Context(), sequence)
		return errors.Is(err, jetstream.ErrMsgNotFound)
	})
}

// checkTaken checks that what was accepted was delivered.
func checkTaken(t *testing.T, takers []*taker, senders []*sender) {
	t.Helper()
	got, duplicates := map[string]int{}, 0
	for _, d := range takers {
		report(t, d.id.String(), d.faults)
		for id, n := range d.got {
			got[id] += n
			duplicates += n - 1
		}
	}
	full := 0
	for _, s := range senders {
		full += s.full
		for id := range s.accepted {
			if got[id] == 0 {
				t.Errorf("%s was accepted and never delivered", id)
			}
		}
	}
	t.Logf("%d messages delivered, %d more than once; %d refused because the queue was full", len(got), duplicates, full)
}

// deadLetters are the messages that were not delivered, with their status.
func deadLetters(t *testing.T, g *hubtest.Gateway) map[string]string {
	t.Helper()
	dead := map[string]string{}
	g.Each(t, "HUB_DEADLETTERS", "hub.deadletter.>", func(m jetstream.Msg) {
		dead[m.Headers().Get("message-id")] = m.Headers().Get("Hub-Dead-Letter-Status")
	})
	return dead
}

// TestKilledAmidCloudToDevice kills the gateway amid devices that take messages
// and back ends that send them: nothing accepted is lost, each message has one
// outcome, and none is delivered after its feedback was stored.
func TestKilledAmidCloudToDevice(t *testing.T) {
	g := start(t, hubtest.Options{})
	takers, warm := newTakers(t, g, 20)
	senders := newSenders(4, takers)
	grumbler, away := newTaker(t, g, "grumbler"), newTaker(t, g, "away")
	grumbler.grumbles = true
	toGrumbler := &sender{name: "vain", to: []string{"grumbler"}, accepted: map[string]uint64{}}
	toAway := &sender{name: "late", to: []string{"away"}, accepted: map[string]uint64{}}
	soon := nats.Header{"absolute-expiry-time": {time.Now().Add(2 * time.Second).UTC().Format(time.RFC3339)}}
	for range 20 {
		toGrumbler.send(g.JS, nil)
		toAway.send(g.JS, soon)
	}
	var settled atomic.Pointer[map[string]bool]
	settled.Store(&map[string]bool{})
	l, work, devices := newLives(g), newStaff(t), newStaff(t)
	for _, s := range senders {
		work.do(func(ctx context.Context) { s.run(ctx, l) })
	}
	for _, d := range append(slices.Clone(takers), grumbler) {
		devices.do(func(ctx context.Context) { d.run(ctx, l, &settled) })
	}
	const kills = 10
	for range kills {
		warm.await(t, "every device to take messages")
		<-time.After(rand.N(150 * time.Millisecond)) // anywhere in the work of the gateway
		l.kill(t, func() { settled.Store(readFeedback(t, g).settled()) })
	}
	warm.await(t, "every device to take messages after the last kill")
	work.finish()
	devices.do(func(ctx context.Context) { away.run(ctx, l, &settled) })
	awaitOutcomes(t, g, senders, "Success")
	awaitOutcomes(t, g, []*sender{toGrumbler}, "DeliveryCountExceeded")
	awaitOutcomes(t, g, []*sender{toAway}, "Expired")
	devices.finish()
	checkTaken(t, takers, senders)
	if len(away.got) > 0 {
		t.Errorf("messages were delivered after they had expired: %v", away.got)
	}
	dead := deadLetters(t, g)
	for id := range toGrumbler.accepted {
		// It may have left before it has read all that was sent to it.
		if n := grumbler.got[id]; dead[id] != "DeliveryCountExceeded" || n > 10+kills {
			t.Errorf("%s was delivered in vain %d times, and is a dead letter of status %q; want 10 times at most, and once more for each kill", id, n, dead[id])
		}
	}
	for id := range toAway.accepted {
		if dead[id] != "Expired" {
			t.Errorf("%s is a dead letter of status %q, want Expired", id, dead[id])
		}
	}
}
