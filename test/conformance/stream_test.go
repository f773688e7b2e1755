package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// token writes a device or module id as one subject token, as docs/nats.md has it.
func token(id string) string {
	var b strings.Builder
	for _, c := range []byte(id) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "=%02X", c)
		}
	}
	return b.String()
}

// subjectOf is the subject suffix, and the presence key, of "dev" or "dev/mod".
func subjectOf(id string) string {
	device, module, isModule := strings.Cut(id, "/")
	if !isModule {
		return token(device)
	}
	return token(device) + "." + token(module)
}

// messages reads the telemetry of one identity from the stream's beginning until
// it has n messages and the stream holds no more.
func (g *gateway) messages(id string, n int) []jetstream.Msg {
	g.t.Helper()
	return g.consume("HUB_TELEMETRY", "hub.telemetry."+subjectOf(id), func(got []jetstream.Msg) bool {
		return len(got) >= n
	})
}

// consume reads one subject of a stream from its beginning until enough is true
// and nothing is pending.
func (g *gateway) consume(stream, subject string, enough func([]jetstream.Msg) bool) []jetstream.Msg {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cons, err := g.js.OrderedConsumer(ctx, stream, jetstream.OrderedConsumerConfig{FilterSubjects: []string{subject}})
	if err != nil {
		g.t.Fatalf("consume %s: %v", stream, err)
	}
	it, err := cons.Messages()
	if err != nil {
		g.t.Fatalf("consume %s: %v", stream, err)
	}
	defer it.Stop()
	var got []jetstream.Msg
	for pending := uint64(1); pending > 0 || !enough(got); {
		msg, err := it.Next(jetstream.NextContext(ctx))
		if err != nil {
			g.t.Fatalf("read %s of %s after %d messages: %v", subject, stream, len(got), err)
		}
		meta, err := msg.Metadata()
		if err != nil {
			g.t.Fatal(err)
		}
		got, pending = append(got, msg), meta.NumPending
	}
	return got
}

// event is a connection event, as far as these tests read it.
type event struct {
	Type   string          `json:"-"` // the header opType
	Reason string          `json:"reason"`
	Code   json.RawMessage `json:"errorCode"`
}

// String is for messages.
func (e event) String() string {
	return fmt.Sprintf("%s %s %s", e.Type, e.Code, e.Reason)
}

// awaitEvents waits until the connection events of an identity satisfy enough, and
// returns them all.
func (g *gateway) awaitEvents(id, what string, enough func([]event) bool) []event {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cons, err := g.js.OrderedConsumer(ctx, "HUB_EVENTS", jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{"hub.events.connection." + subjectOf(id)},
	})
	if err != nil {
		g.t.Fatalf("consume HUB_EVENTS: %v", err)
	}
	it, err := cons.Messages()
	if err != nil {
		g.t.Fatalf("consume HUB_EVENTS: %v", err)
	}
	defer it.Stop()
	var events []event
	for !enough(events) {
		msg, err := it.Next(jetstream.NextContext(ctx))
		if err != nil {
			g.t.Fatalf("wait for %s: %v; events so far: %v", what, err, events)
		}
		e := event{Type: msg.Headers().Get("opType")}
		if err := json.Unmarshal(msg.Data(), &e); err != nil {
			g.t.Fatalf("read event %q: %v", msg.Data(), err)
		}
		events = append(events, e)
	}
	return events
}

// presence waits until the session of an identity satisfies match.
func (g *gateway) presence(id, what string, match func(session) bool) session {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	kv, err := g.js.KeyValue(ctx, "hub_presence")
	if err != nil {
		g.t.Fatalf("open hub_presence: %v", err)
	}
	watcher, err := kv.Watch(ctx, subjectOf(id))
	if err != nil {
		g.t.Fatalf("watch hub_presence: %v", err)
	}
	defer func() { _ = watcher.Stop() }()
	var last string
	for {
		select {
		case entry := <-watcher.Updates():
			if entry == nil {
				continue
			}
			last = string(entry.Value())
			var s session
			if err := json.Unmarshal(entry.Value(), &s); err != nil {
				g.t.Fatalf("read presence %q: %v", last, err)
			}
			if match(s) {
				return s
			}
		case <-ctx.Done():
			g.t.Fatalf("presence of %s: no %s within %v; last value: %s", id, what, patience, last)
		}
	}
}

// session is a value of hub_presence, as far as these tests read it.
type session struct {
	Subscriptions []struct {
		Filter string `json:"filter"`
		QoS    int    `json:"qos"`
	} `json:"subscriptions"`
	Connected     bool      `json:"connected"`
	Connection    string    `json:"connection"`
	ConnectedTime time.Time `json:"connectedTime"`
}

// has reports whether every filter is subscribed.
func (s session) has(filters ...string) bool {
	held := map[string]bool{}
	for _, sub := range s.Subscriptions {
		held[sub.Filter] = true
	}
	for _, filter := range filters {
		if !held[filter] {
			return false
		}
	}
	return true
}
