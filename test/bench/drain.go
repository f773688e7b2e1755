//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/backend/subject"
)

const (
	// drainWindow is how many messages may be on their way to the consumer: as many as
	// backend/client asks for, which the others get too. With less, it is what is
	// measured, and not the server.
	drainWindow = 16384
	drainFilter = "devices/#"
	keptUp      = 0.9 // of what was acknowledged: a consumer below it has fallen behind
)

// drainedCell is a closed loop of which one consumer takes everything.
func drainedCell() cell {
	return cell{row: throughputRow("drain", 100, 16), conns: 100, window: 16, drained: true}
}

// drainedName is what a target is called that has a consumer; empty: it has no
// part in the row. nats-server's with a subscriber that is away would do the work
// twice.
func drainedName(target string) string {
	switch target {
	case nameHubgate:
		return nameHubgate
	case nameMosq:
		return nameMosqSub
	case nameNoSub:
		return nameNATSSub
	}
	return ""
}

// drained is s as the row names it.
func (s *server) drained() *server {
	t := *s
	t.name = drainedName(s.name)
	return &t
}

// measureDrained is measureCell beside a consumer in the generator's process, and
// so on its core.
func (b *bench) measureDrained(c cell, s *server, probe func() usage) error {
	defer besideEngine()()
	d, err := openDrain(s)
	if err != nil {
		return fmt.Errorf("open a consumer: %w", err)
	}
	out, err := b.underLoad(c, s, d.marking(probe))
	if err == nil {
		b.book.recordDrain(c.row, s.name, out, d.marks[len(d.marks)-1]-d.marks[0])
		err = d.fault()
	}
	return errors.Join(err, d.close())
}

// besideEngine lets other goroutines run while the engine waits for its sockets.
// It does so in a system call that the runtime does not know to be a wait: on the
// one core to which the bench is pinned, they would run when the runtime notices,
// every 10 ms. Two threads are the kernel's to schedule.
func besideEngine() (restore func()) {
	before := runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(max(before, 2))
	return func() { runtime.GOMAXPROCS(before) }
}

// drain is the one consumer of everything.
type drain struct {
	taken atomic.Uint64
	marks []uint64 // of taken, when the measured time began and when it ended

	fault func() error // why it has ended, nil while it works
	close func() error
}

// openDrain begins with what is sent from now on.
func openDrain(s *server) (*drain, error) {
	d := &drain{}
	if s.name == nameHubgate {
		return d, d.consume(s)
	}
	return d, d.subscribe(s)
}

// marking is probe which notes how much was taken by then.
func (d *drain) marking(probe func() usage) func() usage {
	return func() usage {
		d.marks = append(d.marks, d.taken.Load())
		return probe()
	}
}

// consume takes from the gateway's stream by an ordered consumer, as backend/client
// does for who needs none that remembers: it acknowledges nothing, because the
// client knows how far it has come, and asks again for what did not.
func (d *drain) consume(s *server) error {
	conn, err := s.nats.connect()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), counterTimeout)
	defer cancel()
	js, err := jetstream.New(conn)
	var consumer jetstream.Consumer
	stream := subject.Names{}.TelemetryStream()
	if err == nil {
		consumer, err = js.OrderedConsumer(ctx, stream, jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverNewPolicy})
	}
	var running jetstream.ConsumeContext
	if err == nil {
		running, err = consumer.Consume(func(jetstream.Msg) { d.taken.Add(1) }, jetstream.PullMaxMessages(drainWindow))
	}
	if err != nil {
		conn.Close()
		return fmt.Errorf("consume %s: %w", stream, err)
	}
	d.fault = func() error {
		if conn.IsClosed() {
			return fmt.Errorf("the consumer's connection ended: %w", conn.LastError())
		}
		return nil
	}
	d.close = func() error {
		defer conn.Close()
		running.Stop()
		ctx, cancel := context.WithTimeout(context.Background(), counterTimeout)
		defer cancel()
		return js.DeleteConsumer(ctx, stream, consumer.CachedInfo().Name) // no later cell is to pay for it
	}
	return nil
}

// subscribe takes from a broker by an MQTT subscription with QoS 1.
func (d *drain) subscribe(s *server) error {
	who := connect{ClientID: "drain", Clean: true, KeepAlive: 300}.append(nil)
	r, err := dialResponder(s.plain, who, drainFilter, d.acknowledge)
	if err != nil {
		return err
	}
	d.fault = r.fault
	d.close = func() error {
		r.close()
		return nil
	}
	return nil
}

// acknowledge counts a delivery and appends its PUBACK.
func (d *drain) acknowledge(b, packet []byte) []byte {
	_, rest, err := splitPublish(packet)
	if packet[0] != typePublishQ1 || err != nil || len(rest) < 2 {
		return b
	}
	d.taken.Add(1)
	return append(b, typePuback, 2, rest[0], rest[1])
}

// recordDrain keeps what the consumer got within the measured time: where it falls
// behind, that is what counts.
func (k *book) recordDrain(row, target string, out outcome, taken uint64) {
	k.add(row, target, metricTaken, float64(taken)/out.Elapsed.Seconds())
	if taken == 0 {
		k.fault("%s, %s: nothing was delivered", row, target)
		return
	}
	k.add(row, target, metricTakeCPU, float64(out.Used.server.Nanoseconds())/1e3/float64(taken))
	if float64(taken) < keptUp*float64(out.Counted) {
		k.noteToo(row, target, "consumer fell behind")
	}
}
