//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
)

const (
	methodName    = "reboot"
	methodAsks    = "$iothub/methods/POST/"
	methodAnswers = "$iothub/methods/res/200/?$rid="
	bareEcho      = "bare.echo"
	callTimeout   = 20 * time.Second
)

func methodRow(callers int) string { return fmt.Sprintf("method %d callers", callers) }

func methodCallers(quick bool) []int {
	if quick {
		return []int{1, 64}
	}
	return []int{1, 16, 64}
}

// startBareNATS runs a NATS server for requests between two clients.
func (b *bench) startBareNATS(ctx context.Context) (*server, error) {
	s, err := b.startNATS(ctx, nameBareNATS, "tls") // its MQTT listener is not used
	if err == nil {
		s.secure = s.plain
	}
	return s, err
}

// methodRound calls a device by way of the gateway, and a NATS client by way of
// a bare server. Callers and the called are in the generator.
func (b *bench) methodRound(ctx context.Context, servers []*server) error {
	if !b.wants(sectionMethod) {
		return nil
	}
	for _, callers := range methodCallers(b.quick) {
		for _, s := range servers {
			if s.name != nameHubgate && s.name != nameBareNATS || !b.wantsRow(methodRow(callers)) {
				continue
			}
			if err := b.measureCalls(ctx, callers, s); err != nil {
				return fmt.Errorf("%s, %s: %w", methodRow(callers), s.name, err)
			}
			b.progress(methodRow(callers), s.name)
		}
	}
	return nil
}

// calling is one load of requests over NATS.
type calling struct {
	conn    *nats.Conn
	subject string
	body    []byte
	callers int

	from, until time.Time // the measured time
}

func (b *bench) measureCalls(ctx context.Context, callers int, s *server) error {
	conn, err := s.nats.connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	c := calling{conn: conn, subject: bareEcho, body: methodBody(len(b.payload)), callers: callers}
	if s.name == nameBareNATS {
		stop, err := echoRequests(s)
		if err != nil {
			return err
		}
		defer stop()
	} else {
		// the device answers at once, with the body that it was sent
		d, err := dialResponder(s.plain, s.who(0).clean, methodAsks+"#", appendMethodAnswer)
		if err != nil {
			return err
		}
		defer d.close()
		c.subject = subject.Names{}.Method(hub.Identity{Device: deviceName(0)}, methodName)
	}
	s.proc.settle()
	defer b.profile(methodRow(callers), s)()
	out, err := c.run(ctx, b.warm, b.measure, func() usage { return usageOf(s.proc.pid(), b.core) })
	if err != nil {
		return err
	}
	b.book.recordTalk(methodRow(callers), s.name, out)
	p := percentiles(out.Latency, 0.50, 0.99)
	b.book.add(methodRow(callers), s.name, metricTrip50, float64(p[0].Nanoseconds())/1e3)
	b.book.add(methodRow(callers), s.name, metricTrip99, float64(p[1].Nanoseconds())/1e3)
	return s.proc.fault()
}

// methodBody is JSON of about size bytes.
func methodBody(size int) []byte {
	return fmt.Appendf(nil, "%q", bytes.Repeat([]byte("x"), max(size-2, 1)))
}

// run has the callers call one after another until the time is over.
func (c calling) run(ctx context.Context, warm, measure time.Duration, probe func() usage) (outcome, error) {
	c.from = time.Now().Add(warm)
	c.until = c.from.Add(measure)
	trips := make([][]time.Duration, c.callers)
	sent, errs := make([]uint64, c.callers), make([]error, c.callers)
	var wg sync.WaitGroup
	for i := range c.callers {
		wg.Go(func() { trips[i], sent[i], errs[i] = c.caller(ctx) })
	}
	<-time.After(time.Until(c.from))
	begin, before := time.Now(), probe()
	<-time.After(time.Until(c.until))
	out := outcome{Elapsed: time.Since(begin), Used: probe().since(before)}
	wg.Wait()
	for i := range c.callers {
		out.Latency = append(out.Latency, trips[i]...)
		out.Sent += sent[i]
	}
	out.Acked, out.Counted = out.Sent, uint64(len(out.Latency))
	return out, errors.Join(errs...)
}

// caller returns how long the calls took that ended within the measured time.
func (c calling) caller(ctx context.Context) (trips []time.Duration, sent uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Until(c.until)+callTimeout)
	defer cancel()
	for {
		start := time.Now()
		if start.After(c.until) {
			return trips, sent, nil
		}
		m, err := c.conn.RequestWithContext(ctx, c.subject, c.body)
		if err != nil {
			return trips, sent, fmt.Errorf("call: %w", err)
		}
		if !bytes.Equal(m.Data, c.body) {
			return trips, sent, fmt.Errorf("a call was answered with %v %.100q", m.Header, m.Data)
		}
		sent++
		if end := time.Now(); !end.Before(c.from) && end.Before(c.until) {
			trips = append(trips, end.Sub(start))
		}
	}
}

// echoRequests answers requests with their own body, on a connection of its own.
func echoRequests(s *server) (stop func(), err error) {
	conn, err := s.nats.connect()
	if err != nil {
		return nil, err
	}
	_, err = conn.Subscribe(bareEcho, func(m *nats.Msg) { _ = m.Respond(m.Data) })
	if err == nil {
		err = conn.Flush()
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("answer requests: %w", err)
	}
	return conn.Close, nil
}

// appendMethodAnswer appends the answer to a method that came with QoS 1 or 0,
// with its PUBACK; nothing for any other packet.
func appendMethodAnswer(b, packet []byte) []byte {
	topic, rest, err := splitPublish(packet)
	_, rid, ok := bytes.Cut(topic, []byte("/?$rid="))
	if err != nil || packet[0]&0xF0 != typePublishQ0 || !ok {
		return b
	}
	if packet[0]&^flagDup == typePublishQ1 {
		b = append(b, typePuback, 2, rest[0], rest[1])
		rest = rest[2:]
	}
	to := methodAnswers + string(rid)
	b = appendHeader(b, typePublishQ0, 2+len(to)+len(rest))
	return append(appendString(b, to), rest...)
}

func methodGoals() []goal {
	var list []goal
	trip := func(callers int, target, metric string) figure { return figure{methodRow(callers), target, metric} }
	for i, callers := range []int{1, 16} {
		suffix := string(rune('a' + i))
		list = append(list,
			goal{
				id: "R1" + suffix, what: fmt.Sprintf("method p50, %d callers / bare NATS", callers), atMost: true, must: 2.2, aim: 1.7,
				over: trip(callers, nameHubgate, metricTrip50), under: trip(callers, nameBareNATS, metricTrip50),
			},
			goal{
				id: "R1" + suffix, what: fmt.Sprintf("method p99, %d callers / bare NATS", callers), atMost: true,
				over: trip(callers, nameHubgate, metricTrip99), under: trip(callers, nameBareNATS, metricTrip99),
			})
	}
	return append(list, goal{
		id: "R2", what: "methods/s, 64 callers / bare NATS", must: 0.3, aim: 0.5,
		over: trip(64, nameHubgate, metricOps), under: trip(64, nameBareNATS, metricOps),
	})
}
