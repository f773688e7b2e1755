//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	hubclient "github.com/hubgate/hubgate/backend/client"
	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/c2d"
	"github.com/hubgate/hubgate/hub"
)

const (
	mailConns    = 200
	queueDepth   = c2d.MaxDepth
	fillInFlight = 4096
	fillTime     = 10 * time.Minute
	emptyPoll    = 5 * time.Millisecond
	idleLife     = 40 * time.Hour // of a message in an idle queue
	mailLife     = time.Hour
)

// Rows of cloud-to-device messages.
const (
	rowMail     = "C2D"
	rowMailIdle = "C2D beside idle queues"
)

// idleName is the id of the device of an idle queue.
func idleName(i int) string { return fmt.Sprintf("idle-%07d", i) }

// mailRound measures deliveries from queues that are full, alone and beside
// idle queues, which have a gateway of their own: they stay in its stream.
func (b *bench) mailRound(ctx context.Context, round int) error {
	if !b.wants(sectionC2D) {
		return nil
	}
	devices := mailConns
	if b.quick {
		devices /= 2
	}
	bare := bareRun{Kind: bareQueue, Devices: devices, Depth: queueDepth, Value: len(b.payload)}
	steps := []func() error{
		func() error { return b.measureMail(ctx, mailCell(rowMail, devices), b.gatewayOf()) },
		func() error { return b.measureBare(ctx, rowMail, nameBareGet, bare) },
	}
	if !b.quick {
		crowded := bare
		crowded.Idle = b.queues
		steps = append(steps,
			func() error { return b.crowdedMail(ctx, mailCell(rowMailIdle, devices)) },
			func() error { return b.measureBare(ctx, rowMailIdle, nameBareGet, crowded) })
	}
	for i := range steps {
		if err := errors.Join(steps[(i+round)%len(steps)](), ctx.Err()); err != nil {
			return err
		}
	}
	return nil
}

func mailCell(row string, devices int) cell { return cell{row: row, conns: devices, clean: true} }

// crowdedMail measures on a gateway whose stream has idle queues. It is started
// for the cell: the minute after its start has no sweep of the queues in it.
func (b *bench) crowdedMail(ctx context.Context, c cell) error {
	if !b.wantsRow(c.row) || !b.wantsTarget(nameHubgate) {
		return nil
	}
	st := starter{nameHubgate, b.gateway(gatewayRun{dir: "hubgate-c2d", devices: mailConns})}
	for first := true; ; first = false {
		s, err := b.up(ctx, st)
		if err != nil {
			return err
		}
		filled, err := b.fillIdle(ctx, s)
		if err == nil && filled && first {
			s.close()
			continue
		}
		if err == nil {
			err = b.measureMail(ctx, c, s)
		}
		s.close()
		return err
	}
}

// fillIdle makes the devices of the idle queues and a message for each, unless
// an earlier round has.
func (b *bench) fillIdle(ctx context.Context, s *server) (filled bool, err error) {
	post, err := openPost(ctx, s)
	if err != nil {
		return false, err
	}
	defer post.conn.Close()
	if n, err := post.waiting(ctx); err != nil || n >= uint64(b.queues) {
		return false, err
	}
	records, err := recordsLike(ctx, s, deviceName(0))
	if err != nil {
		return false, err
	}
	keys := "$KV." + post.names.DeviceBucket() + "."
	for i := range b.queues {
		id := hub.Identity{Device: idleName(i)}
		if err := post.put(ctx, nats.Msg{Subject: keys + subject.Key(id), Data: records(id.Device)}); err != nil {
			return false, err
		}
	}
	if err := post.wait(ctx); err != nil {
		return false, err
	}
	for i := range b.queues {
		if err := post.send(ctx, idleName(i), b.payload, idleLife); err != nil {
			return false, err
		}
	}
	if err := post.wait(ctx); err != nil {
		return false, err
	}
	s.proc.settle()
	return true, nil
}

// recordsLike returns a maker of stored identities that have all but their name
// from one that there is. A hundred thousand of them by the registry's service
// would take longer than the bench.
func recordsLike(ctx context.Context, s *server, name string) (func(string) []byte, error) {
	c, err := hubclient.Connect(hubclient.Options{URL: s.nats.url, CredsFile: s.nats.creds})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	record, err := c.Registry().Get(ctx, hub.Identity{Device: name})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	text, err := json.Marshal(record)
	if err != nil {
		return nil, fmt.Errorf("write a record: %w", err)
	}
	return func(device string) []byte { return bytes.ReplaceAll(text, []byte(name), []byte(device)) }, nil
}

// post is a back end that sends cloud-to-device messages.
type post struct {
	*filler
	conn   *nats.Conn
	names  subject.Names
	stream jetstream.Stream
}

func openPost(ctx context.Context, s *server) (*post, error) {
	conn, err := s.nats.connect()
	if err != nil {
		return nil, err
	}
	p := &post{conn: conn}
	js, err := jetstream.New(conn, jetstream.WithPublishAsyncMaxPending(fillInFlight))
	if err == nil {
		p.stream, err = js.Stream(ctx, p.names.C2DStream())
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("open the queues: %w", err)
	}
	p.filler = newFiller(js)
	return p, nil
}

// send puts a message into a queue as backend/client does.
func (p *post) send(ctx context.Context, device string, body []byte, life time.Duration) error {
	m := c2d.Message{Device: device, MessageID: device, Expires: time.Now().Add(life), Body: body}
	return p.put(ctx, nats.Msg{Subject: p.names.C2D(device), Header: m.Headers(), Data: body},
		jetstream.WithMsgTTL((life + 24*time.Hour).Truncate(time.Second)))
}

// waiting is how many messages are in all queues.
func (p *post) waiting(ctx context.Context) (uint64, error) {
	info, err := p.stream.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the queues: %w", err)
	}
	return info.State.Msgs, nil
}

// measureMail fills the queues of connected devices, has them subscribe, and
// waits until the queues are empty.
func (b *bench) measureMail(ctx context.Context, c cell, s *server) error {
	if s == nil || !b.wantsRow(c.row) {
		return nil
	}
	clients, err := dialAll(s, c)
	defer closeAll(clients)
	if err != nil {
		return fmt.Errorf("connect %d clients: %w", c.conns, err)
	}
	p, err := openPost(ctx, s)
	if err != nil {
		return err
	}
	defer p.conn.Close()
	idle, err := p.waiting(ctx)
	if err != nil {
		return err
	}
	if err := p.fillQueues(ctx, c.conns, b.payload); err != nil {
		return err
	}
	s.proc.settle()
	defer b.profile(c.row, s)()
	e, err := newEngine(clients, load{probe: func() usage { return usageOf(s.proc.pid(), b.core) }})
	if err != nil {
		return err
	}
	defer e.close()
	err = e.collect(uint64(c.conns*queueDepth), func() (bool, error) {
		n, err := p.waiting(ctx)
		return n <= idle, err
	})
	if err != nil {
		return err
	}
	b.book.recordTalk(c.row, s.name, e.out)
	b.progress(c.row, s.name)
	return s.proc.fault()
}

// fillQueues fills the queue of each device. A body begins with its number.
func (p *post) fillQueues(ctx context.Context, devices int, payload []byte) error {
	for n := range queueDepth {
		body := append(bytes.Repeat([]byte("0"), numberSize), payload...)
		putNumber(body, uint64(n))
		for i := range devices {
			if err := p.send(ctx, deviceName(i), body, mailLife); err != nil {
				return err
			}
		}
	}
	return p.wait(ctx)
}

// collect subscribes all clients to their messages, acknowledges what comes,
// and returns when so many have come and, as emptied says, none is left.
func (e *engine) collect(expected uint64, emptied func() (bool, error)) error {
	before := e.load.probe()
	e.start = time.Now()
	e.out.Sent = expected
	for i, c := range e.clients {
		e.transmit(c, appendSubscribe(nil, 1, "devices/"+deviceName(i)+"/messages/devicebound/#"))
	}
	deadline := e.start.Add(drainTime)
	for e.out.Acked < expected && e.now.Before(deadline) {
		e.turn(idleWait)
	}
	for empty := false; !empty && time.Now().Before(deadline); {
		var err error
		if empty, err = emptied(); err != nil {
			return err
		}
		if !empty {
			e.turn(int(emptyPoll / time.Millisecond))
		}
	}
	e.out.Elapsed, e.out.Counted = time.Since(e.start), e.out.Acked
	e.out.Used = e.load.probe().since(before)
	return nil
}

// filler publishes to a stream, some at a time, and hears of each whether it
// was stored.
type filler struct {
	js      jetstream.JetStream
	futures []jetstream.PubAckFuture
}

func newFiller(js jetstream.JetStream) *filler { return &filler{js: js} }

func (f *filler) put(ctx context.Context, m nats.Msg, opts ...jetstream.PublishOpt) error {
	if len(f.futures) >= fillInFlight/2 {
		if err := f.wait(ctx); err != nil {
			return err
		}
	}
	future, err := f.js.PublishMsgAsync(&m, opts...)
	if err != nil {
		return fmt.Errorf("publish to %s: %w", m.Subject, err)
	}
	f.futures = append(f.futures, future)
	return nil
}

// wait returns when everything is stored.
func (f *filler) wait(ctx context.Context) error {
	for _, future := range f.futures {
		select {
		case <-future.Ok():
		case err := <-future.Err():
			return fmt.Errorf("publish to %s: %w", future.Msg().Subject, err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	f.futures = f.futures[:0]
	return nil
}

func mailGoals() []goal {
	ops := func(row, target string) figure { return figure{row, target, metricOps} }
	return []goal{
		{id: "Q1", what: "C2D / bare get and delete", over: ops(rowMail, nameHubgate), under: ops(rowMail, nameBareGet)},
		{id: "Q2", what: "C2D beside idle queues / bare get and delete", over: ops(rowMailIdle, nameHubgate), under: ops(rowMailIdle, nameBareGet)},
		{id: "Q3", what: "C2D beside idle queues / without", over: ops(rowMailIdle, nameHubgate), under: ops(rowMail, nameHubgate)},
	}
}
