package faults

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/test/hubtest"
)

// publisher is a device that numbers its messages, keeps a window of them in
// flight, and after a lost connection sends again what was not acknowledged,
// as MQTT has it. Its fields are for its own goroutine, and for everybody once
// run has returned.
type publisher struct {
	*device
	window int
	warm   func()       // called when a connection has been used for a while; may be nil
	done   atomic.Int64 // acknowledgements so far, for everybody

	next     int   // number of the next new message
	flying   []int // sent and not acknowledged, oldest first
	slowest  time.Duration
	sessions int
	ends     []error // how each connection ended; nil by DISCONNECT
}

// warmAfter is how many acknowledgements make a connection warm.
const warmAfter = 10

// errOrder is an acknowledgement out of order, which MQTT forbids
// [MQTT3-4.6.0-2].
var errOrder = errors.New("PUBACK out of order")

// run connects, publishes and connects again until ctx ends, then waits for
// the last acknowledgements. again waits until another try makes sense, and
// says whether to try.
func (p *publisher) run(ctx context.Context, again func(*publisher) bool) {
	for {
		err := p.session(ctx)
		p.ends = append(p.ends, err)
		if err == nil || errors.Is(err, errOrder) || !again(p) {
			return
		}
	}
}

// session is one connection, from CONNECT to its end. It returns nil when ctx
// has ended and everything is acknowledged.
func (p *publisher) session(ctx context.Context) error {
	c, _, err := p.connect()
	if err != nil {
		return err
	}
	defer c.close()
	p.sessions++
	if err := p.resend(c); err != nil {
		return err
	}
	for acked := 0; ; {
		if ctx.Err() == nil {
			if err := p.fill(c); err != nil {
				return errors.Join(err, p.drain(c))
			}
		}
		if len(p.flying) == 0 {
			return c.send(&mqtt.Disconnect{})
		}
		begin := time.Now()
		if err := p.receive(c); err != nil {
			return err
		}
		p.slowest = max(p.slowest, time.Since(begin))
		if acked++; acked == warmAfter && p.warm != nil {
			p.warm()
		}
	}
}

// drain takes what was acknowledged before the gateway closed the connection.
func (p *publisher) drain(c *client) error {
	for {
		if err := p.receive(c); err != nil {
			return err
		}
	}
}

func (p *publisher) resend(c *client) error {
	var out []byte
	for _, n := range p.flying {
		out = p.append(out, n, true)
	}
	return c.write(out)
}

// fill sends new messages until the window is full.
func (p *publisher) fill(c *client) error {
	var out []byte
	for len(p.flying) < p.window {
		out = p.append(out, p.next, false)
		p.flying = append(p.flying, p.next)
		p.next++
	}
	if len(out) == 0 {
		return nil
	}
	return c.write(out)
}

func (p *publisher) append(b []byte, n int, dup bool) []byte {
	m := mqtt.Publish{Dup: dup, QoS: 1, ID: packetID(n), Topic: []byte(p.eventsTopic("")), Payload: []byte(strconv.Itoa(n))}
	b, err := m.Append(b, mqtt.V311)
	if err != nil {
		panic(err) // cannot happen: nothing in it varies but numbers
	}
	return b
}

func packetID(n int) uint16 { return uint16(n%65535 + 1) }

// receive takes one PUBACK.
func (p *publisher) receive(c *client) error {
	packet, err := c.receive()
	if err != nil {
		return err
	}
	ack, ok := packet.(*mqtt.Puback)
	if !ok {
		return fmt.Errorf("the gateway sent %s, want PUBACK", packet.Type())
	}
	if len(p.flying) == 0 || ack.ID != packetID(p.flying[0]) {
		return fmt.Errorf("%w: got %d with %v in flight", errOrder, ack.ID, p.flying)
	}
	p.flying = p.flying[1:]
	p.done.Add(1)
	return nil
}

// acked is the number of messages that are acknowledged: those with smaller
// numbers than the oldest one in flight.
func (p *publisher) acked() int { return p.next - len(p.flying) }

// crowd is many publishers.
type crowd struct {
	all  []*publisher
	stop context.CancelFunc
	wg   sync.WaitGroup
}

// begin starts the publishers; each asks again of its own.
func begin(t *testing.T, all []*publisher, again func(*publisher) bool) *crowd {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	c := &crowd{all: all, stop: cancel}
	for _, p := range all {
		c.wg.Go(func() { p.run(ctx, again) })
	}
	return c
}

// finish has the publishers wait for their last acknowledgements and end.
func (c *crowd) finish() {
	c.stop()
	c.wg.Wait()
}

// never does not connect again: for a device that must not notice anything.
func never(*publisher) bool { return false }

// bystander publishes all the time one message after the other. finish fails t
// unless it was never disturbed.
type bystander struct {
	g *hubtest.Gateway
	p *publisher
	c *crowd
}

func newBystander(t *testing.T, g *hubtest.Gateway, d *device) *bystander {
	t.Helper()
	warm := make(chan struct{})
	p := &publisher{device: d, window: 1, warm: sync.OnceFunc(func() { close(warm) })}
	b := &bystander{g: g, p: p, c: begin(t, []*publisher{p}, never)}
	await(t, "a bystander to publish", warm)
	return b
}

func (b *bystander) finish(t *testing.T) {
	t.Helper()
	b.c.finish()
	if b.p.ends[0] != nil {
		t.Errorf("an innocent device was disconnected: %v", b.p.ends[0])
	}
	t.Logf("the innocent device published %d messages, the slowest took %v", b.p.acked(), b.p.slowest)
	audit(t, b.g, b.p)
}

// await waits for done to be closed or to send.
func await(t *testing.T, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("waited %v for %s", patience, what)
	}
}

// tally is what the stream has of the messages of some publishers.
type tally struct {
	acked, stored, duplicates, late, missing int
}

func (s tally) String() string {
	return fmt.Sprintf("%d messages acknowledged, %d stored: %d duplicates, %d not acknowledged; %d acknowledged and missing",
		s.acked, s.stored, s.duplicates, s.late, s.missing)
}

// audit checks that everything acknowledged is in the stream, and that the
// first appearances of each device's messages are in the order sent.
func audit(t *testing.T, g *hubtest.Gateway, all ...*publisher) tally {
	t.Helper()
	sum, faults := count(t, g, all...)
	for _, f := range faults {
		t.Error(f)
	}
	return sum
}

// count is audit for who expects faults.
func count(t *testing.T, g *hubtest.Gateway, all ...*publisher) (sum tally, faults []string) {
	t.Helper()
	books := map[string]*book{}
	for _, p := range all {
		books["hub.telemetry."+hubtest.Key(p.id.String())] = &book{next: p.next, count: make([]int, p.next)}
	}
	filter := "hub.telemetry.>"
	if len(all) == 1 {
		filter = "hub.telemetry." + hubtest.Key(all[0].id.String())
	}
	g.Each(t, "HUB_TELEMETRY", filter, func(m jetstream.Msg) {
		if b := books[m.Subject()]; b != nil {
			sum.stored++
			b.enter(string(m.Data()))
		}
	})
	for _, p := range all {
		b := books["hub.telemetry."+hubtest.Key(p.id.String())]
		sum.acked += p.acked()
		if i := slices.Index(b.count[:p.acked()], 0); i >= 0 {
			faults = append(faults, fmt.Sprintf("%s: message %d of %d was acknowledged and is not in the stream; it is the first", p.id, i, p.acked()))
		}
		for n, count := range b.count {
			sum.duplicates += max(count-1, 0)
			switch acked := n < p.acked(); {
			case acked && count == 0:
				sum.missing++
			case !acked && count > 0:
				sum.late++
			}
		}
		if len(b.wrong) > 0 {
			faults = append(faults, fmt.Sprintf("%s: %d faults in the stream, the first: %s", p.id, len(b.wrong), strings.Join(b.wrong[:min(3, len(b.wrong))], "; ")))
		}
	}
	return sum, faults
}

// book is what the stream has of one device.
type book struct {
	next  int   // what the device would have sent next
	count []int // of each message
	last  int   // the last first appearance, plus 1
	wrong []string
}

func (b *book) enter(body string) {
	n, err := strconv.Atoi(body)
	if err != nil || n < 0 || n >= b.next {
		b.wrong = append(b.wrong, fmt.Sprintf("a message that nobody sent: %.40q", body))
		return
	}
	if b.count[n]++; b.count[n] > 1 {
		return
	}
	if n < b.last {
		b.wrong = append(b.wrong, fmt.Sprintf("message %d first appears behind %d", n, b.last-1))
		return
	}
	b.last = n + 1
}
