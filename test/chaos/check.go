//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/test/hubtest"
)

// sums is what the end of a run has found, for the table.
type sums struct {
	lost, twice, early map[string]int
}

// check compares what was acknowledged to anybody with what the streams and
// buckets hold.
func (r *run) check(ctx context.Context) error {
	r.logf("reading what is stored")
	r.sums = sums{map[string]int{}, map[string]int{}, map[string]int{}}
	return errors.Join(
		r.checkTelemetry(ctx), r.checkTwins(ctx), r.checkRegistry(ctx), r.checkCalls(ctx), r.checkMail(ctx), r.checkEvents(ctx), r.checkReplicas(ctx),
	)
}

func (r *run) lost(kind, format string, args ...any) {
	r.sums.lost[kind]++
	r.verdict.broken("lost", format, args...)
}

// each calls visit for all messages that a stream holds now under subj.
func (r *run) each(ctx context.Context, stream, subj string, visit func(jetstream.Msg, *jetstream.MsgMetadata) error) error {
	ctx, cancel := context.WithTimeout(ctx, 4*patience)
	defer cancel()
	s, err := r.backend.js.Stream(ctx, stream)
	if err != nil {
		return fmt.Errorf("open %s: %w", stream, err)
	}
	last, err := s.GetLastMsgForSubject(ctx, subj)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for the last message of %s: %w", stream, err)
	}
	consumer, err := s.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{FilterSubjects: []string{subj}})
	if err != nil {
		return fmt.Errorf("read %s: %w", stream, err)
	}
	it, err := consumer.Messages()
	if err != nil {
		return fmt.Errorf("read %s: %w", stream, err)
	}
	defer it.Stop()
	for at := uint64(0); at < last.Sequence; {
		m, err := it.Next(jetstream.NextContext(ctx))
		if err != nil {
			return fmt.Errorf("read %s behind %d: %w", stream, at, err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return err
		}
		at = meta.Sequence.Stream
		if err := visit(m, meta); err != nil {
			return err
		}
	}
	return nil
}

// book is what the stream has of one device.
type book struct {
	count       []int
	first, last []int // where each message came, by the order in the stream, from 1 on
	at          int
	greatest    int // that has come, plus 1
	early       int // first appearances before that of an earlier message
}

func newBook(messages int) *book {
	return &book{count: make([]int, messages), first: make([]int, messages), last: make([]int, messages)}
}

func (b *book) enter(n int) {
	b.at++
	b.count[n]++
	b.last[n] = b.at
	if b.count[n] > 1 {
		return
	}
	b.first[n] = b.at
	if n < b.greatest {
		b.early++
	}
	b.greatest = max(b.greatest, n+1)
}

// misplaced are the messages that nowhere come behind the one before them.
func (b *book) misplaced() (all []int) {
	for n := 1; n < len(b.count); n++ {
		if b.count[n] > 0 && b.count[n-1] > 0 && b.last[n] < b.first[n-1] {
			all = append(all, n)
		}
	}
	return all
}

// checkTelemetry finds every acknowledged message in the stream, in the order
// in which its device has sent them as far as that is promised.
func (r *run) checkTelemetry(ctx context.Context) error {
	books := map[string]*book{}
	for _, d := range r.devices {
		books["hub.telemetry."+hubtest.Key(d.id)] = newBook(d.next)
	}
	err := r.each(ctx, "HUB_TELEMETRY", "hub.telemetry.>", func(m jetstream.Msg, _ *jetstream.MsgMetadata) error {
		n, err := strconv.Atoi(string(m.Data()))
		b := books[m.Subject()]
		if err != nil || b == nil || n < 0 || n >= len(b.count) {
			r.verdict.broken("telemetry", "%s holds %.40q, which nobody has sent", m.Subject(), m.Data())
			return nil
		}
		b.enter(n)
		return nil
	})
	if err != nil {
		return err
	}
	for _, d := range r.devices {
		r.compareTelemetry(d, books["hub.telemetry."+hubtest.Key(d.id)])
	}
	return nil
}

func (r *run) compareTelemetry(d *device, b *book) {
	acked := d.ackedCount()
	for n, count := range b.count {
		if n < acked && count == 0 {
			r.lost(opTelemetry, "message %d of %s, of %d acknowledged", n, d.id, acked)
		}
		r.sums.twice[opTelemetry] += max(count-1, 0)
	}
	for _, n := range b.misplaced() {
		if d.alone[n] { // else the two may have met a change of leaders
			r.verdict.broken("order of telemetry", "%s: message %d is not behind the one before it, whose PUBACK it had waited for", d.id, n)
		}
	}
	r.sums.early[opTelemetry] += b.early
}

// checkTwins holds the twins against every 204 and every answer to a back end.
func (r *run) checkTwins(ctx context.Context) error {
	twins := map[string]json.RawMessage{}
	err := r.eachKey(ctx, "hub_twins", func(key string, value []byte) error {
		twins[key] = value
		return nil
	})
	if err != nil {
		return err
	}
	for _, d := range r.devices {
		var twin struct {
			Properties struct{ Desired, Reported json.RawMessage }
		}
		if err := json.Unmarshal(twins[hubtest.Key(d.id)], &twin); err != nil {
			r.lost(opReported, "the twin of %s is %.100q: %v", d.id, twins[hubtest.Key(d.id)], err)
			continue
		}
		before := r.verdict.of("204 rolled back")
		d.mu.Lock()
		d.compareReported(parseSection(twin.Properties.Reported), "the bucket holds")
		d.mu.Unlock()
		r.sums.lost[opReported] += r.verdict.of("204 rolled back") - before
		s := parseSection(twin.Properties.Desired)
		if n := int(s.number("d")); n < r.backend.desired[d.id] || n > r.backend.numbers[d.id] || s.number("$version") < r.backend.versions[d.id] {
			r.lost(opDesired, "%s has the desired value %d in version %d, and %d in %d was acknowledged",
				d.id, n, s.number("$version"), r.backend.desired[d.id], r.backend.versions[d.id])
		}
	}
	return nil
}

func (r *run) checkRegistry(ctx context.Context) error {
	there := map[string]bool{}
	err := r.eachKey(ctx, "hub_devices", func(key string, _ []byte) error {
		there[key] = true
		return nil
	})
	for id := range r.backend.created {
		if err == nil && !there[hubtest.Key(id)] {
			r.lost(opRegistry, "device %s", id)
		}
	}
	return err
}

// checkCalls finds the end of every command that was accepted, and that nothing
// was called twice.
func (r *run) checkCalls(ctx context.Context) error {
	called := r.called()
	outcomes := map[string]map[string]int{}
	err := r.each(ctx, "HUB_EVENTS", "hub.events.command.>", func(m jetstream.Msg, _ *jetstream.MsgMetadata) error {
		id := m.Headers().Get("Hub-Command-Id")
		if outcomes[id] == nil {
			outcomes[id] = map[string]int{}
		}
		outcomes[id][m.Headers().Get("Hub-Command-Outcome")]++
		return nil
	})
	if err != nil {
		return err
	}
	r.fates = map[string]int{}
	for id, body := range r.backend.commands {
		all := slices.Sorted(maps.Keys(outcomes[id]))
		switch {
		case len(all) == 0:
			r.lost(opCommand, "command %s (%s) has no outcome; its device was called %d times", id, body, called[body])
		case len(all) > 1:
			r.verdict.broken("outcomes", "command %s has the outcomes %v", id, all)
		case all[0] == "answered" && called[body] != 1, all[0] == "expired" && called[body] > 0:
			r.verdict.broken("outcomes", "command %s is %s, and its device was called %d times", id, all[0], called[body])
		default:
			r.fates[all[0]]++
			r.sums.twice[opCommand] += outcomes[id][all[0]] - 1
		}
	}
	return nil
}

// called counts the calls that devices have got, by body.
func (r *run) called() map[string]int {
	called := map[string]int{}
	for _, d := range r.devices {
		for body, n := range d.called {
			called[body] += n
			if n > 1 {
				r.verdict.broken("called twice", "%s was called %d times for %s", d.id, n, body)
			}
		}
	}
	for body, c := range r.backend.calls {
		if c.answered && called[body] != 1 {
			r.verdict.broken("answers", "the method %s was answered, and %s was called %d times", body, c.device, called[body])
		}
	}
	return called
}

// fate is what the hub says of a message.
type fate struct {
	outcomes map[string]int
	first    time.Time
}

// checkMail finds the end of every message that was accepted: delivered and
// acknowledged, or a dead letter.
func (r *run) checkMail(ctx context.Context) error {
	fates := map[string]fate{}
	err := r.each(ctx, "HUB_FEEDBACK", "hub.feedback.>", func(m jetstream.Msg, meta *jetstream.MsgMetadata) error {
		var f struct{ OriginalMessageID, StatusCode string }
		if err := json.Unmarshal(m.Data(), &f); err != nil {
			return fmt.Errorf("read feedback %.200q: %w", m.Data(), err)
		}
		known := fates[f.OriginalMessageID]
		if known.outcomes == nil {
			known = fate{map[string]int{}, meta.Timestamp}
		}
		known.outcomes[f.StatusCode]++
		fates[f.OriginalMessageID] = known
		return nil
	})
	if err != nil {
		return err
	}
	dead := map[string]bool{}
	err = r.each(ctx, "HUB_DEADLETTERS", "hub.deadletter.>", func(m jetstream.Msg, _ *jetstream.MsgMetadata) error {
		dead[string(m.Data())] = true
		return nil
	})
	if err != nil {
		return err
	}
	waiting := map[string]bool{}
	err = r.each(ctx, "HUB_C2D", "hub.c2d.>", func(m jetstream.Msg, _ *jetstream.MsgMetadata) error {
		waiting[string(m.Data())] = true
		return nil
	})
	if err != nil {
		return err
	}
	r.compareMail(fates, dead, waiting)
	return nil
}

func (r *run) compareMail(fates map[string]fate, dead, waiting map[string]bool) {
	got := r.delivered(fates)
	for id, device := range r.backend.mail {
		outcomes := slices.Sorted(maps.Keys(fates[id].outcomes))
		switch {
		case len(outcomes) > 1:
			r.verdict.broken("outcomes", "message %s has the outcomes %v", id, outcomes)
		case len(outcomes) == 0 && !waiting[id] && !dead[id]:
			r.lost(opMail, "message %s to %s has no outcome, and its device has got it %d times", id, device, got[id])
		case len(outcomes) == 1 && outcomes[0] == "Success" && got[id] == 0:
			r.lost(opMail, "message %s to %s is told to be delivered, and has not come", id, device)
		}
	}
}

// delivered counts the deliveries of messages. None may begin on a connection
// that is younger than the message's feedback.
func (r *run) delivered(fates map[string]fate) map[string]int {
	got := map[string]int{}
	// The times of feedback are those of NATS servers.
	timed := !slices.ContainsFunc(r.injected, func(i injection) bool { return i.kind == clockOfNATS })
	for _, d := range r.devices {
		for id, n := range d.got {
			got[id] += n
			r.sums.twice[opMail] += n - 1
		}
		for _, t := range d.taken {
			if f := fates[t.id]; timed && f.outcomes != nil && f.first.Before(t.opened) {
				r.verdict.broken("delivered after its end", "%s got %s on a connection of %v; its feedback is of %v",
					d.id, t.id, t.opened.Format("15:04:05.000"), f.first.Local().Format("15:04:05.000"))
			}
		}
	}
	return got
}

// checkEvents finds the end of every connection whose begin was told, also of
// those whose node was killed.
func (r *run) checkEvents(ctx context.Context) error {
	var open map[string]string
	var err error
	done := until(ctx, func() bool {
		open = map[string]string{}
		ended := map[string]bool{}
		err = r.each(ctx, "HUB_EVENTS", "hub.events.connection.>", func(m jetstream.Msg, _ *jetstream.MsgMetadata) error {
			e, err := hubtest.ParseEvent(m)
			switch {
			case err != nil:
				return err
			case !e.Connected():
				ended[e.Connection] = true
			default:
				open[e.Connection] = m.Headers().Get("deviceId")
			}
			return nil
		})
		for connection := range ended {
			delete(open, connection)
		}
		return err != nil || len(open) == 0
	})
	if !done {
		for connection, device := range open {
			r.verdict.broken("events", "the connection %s of %s has begun, and nothing tells of its end", connection, device)
		}
	}
	return err
}

// checkReplicas waits until every stream has all its replicas, none of them behind.
func (r *run) checkReplicas(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		behind, err := r.behind(ctx)
		if err != nil || len(behind) == 0 {
			return err
		}
		select {
		case <-time.After(time.Second): // background work writes now and then
		case <-ctx.Done():
			for _, what := range behind {
				r.verdict.broken("replicas", "%s", what)
			}
			return nil
		}
	}
}

// behind lists the streams that lack a replica, and replicas that lack a message.
func (r *run) behind(ctx context.Context) (all []string, err error) {
	list := r.backend.js.ListStreams(ctx)
	for info := range list.Info() {
		if info.Config.Replicas != size || info.Cluster == nil || info.Cluster.Leader == "" {
			all = append(all, fmt.Sprintf("%s has %d replicas, and the cluster %+v", info.Config.Name, info.Config.Replicas, info.Cluster))
			continue
		}
		for _, p := range info.Cluster.Replicas {
			if p.Offline || !p.Current {
				all = append(all, fmt.Sprintf("%s: the copy on %s is %+v", info.Config.Name, p.Name, *p))
			}
		}
	}
	return all, list.Err()
}
