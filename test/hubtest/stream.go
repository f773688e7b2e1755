package hubtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Key is the subject suffix, and the presence key, of "dev" or "dev/mod".
func Key(id string) string {
	device, module, isModule := strings.Cut(id, "/")
	if !isModule {
		return token(device)
	}
	return token(device) + "." + token(module)
}

// token writes an id as one subject token. It is written a second time here,
// from docs/nats.md, so that the tests hold the product to its contract.
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

// Messages reads the telemetry of one identity from the stream's beginning
// until it has n messages and the stream holds no more.
func (g *Gateway) Messages(t *testing.T, id string, n int) []jetstream.Msg {
	t.Helper()
	return g.Consume(t, "HUB_TELEMETRY", "hub.telemetry."+Key(id), func(got []jetstream.Msg) bool {
		return len(got) >= n
	})
}

// Consume reads one subject of a stream from its beginning until enough is
// true and nothing is pending.
func (g *Gateway) Consume(t *testing.T, stream, subj string, enough func([]jetstream.Msg) bool) []jetstream.Msg {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	it := g.iterate(ctx, t, stream, subj)
	defer it.Stop()
	var got []jetstream.Msg
	for pending := uint64(1); pending > 0 || !enough(got); {
		msg, err := it.Next(jetstream.NextContext(ctx))
		if err != nil {
			t.Fatalf("read %s of %s after %d messages: %v", subj, stream, len(got), err)
		}
		meta, err := msg.Metadata()
		if err != nil {
			t.Fatal(err)
		}
		got, pending = append(got, msg), meta.NumPending
	}
	return got
}

// Each calls visit for every message that the stream holds now under subj, in
// the order of the stream.
func (g *Gateway) Each(t *testing.T, stream, subj string, visit func(jetstream.Msg)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*Patience)
	defer cancel()
	s, err := g.JS.Stream(ctx, stream)
	if err != nil {
		t.Fatalf("open %s: %v", stream, err)
	}
	last, err := s.GetLastMsgForSubject(ctx, subj)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return
	}
	if err != nil {
		t.Fatalf("look for the last message of %s: %v", subj, err)
	}
	it := g.iterate(ctx, t, stream, subj)
	defer it.Stop()
	for at, n := uint64(0), 0; at < last.Sequence; n++ {
		msg, err := it.Next(jetstream.NextContext(ctx))
		if err != nil {
			t.Fatalf("read %s of %s after %d messages: %v", subj, stream, n, err)
		}
		meta, err := msg.Metadata()
		if err != nil {
			t.Fatal(err)
		}
		at = meta.Sequence.Stream
		visit(msg)
	}
}

func (g *Gateway) iterate(ctx context.Context, t *testing.T, stream, subj string) jetstream.MessagesContext {
	t.Helper()
	cons, err := g.JS.OrderedConsumer(ctx, stream, jetstream.OrderedConsumerConfig{FilterSubjects: []string{subj}})
	if err != nil {
		t.Fatalf("consume %s: %v", stream, err)
	}
	it, err := cons.Messages()
	if err != nil {
		t.Fatalf("consume %s: %v", stream, err)
	}
	return it
}

// Event is a connection event.
type Event struct {
	Type string    `json:"-"` // IoT Hub's opType, such as deviceDisconnected
	Time time.Time `json:"-"` // by the clock of the gateway

	SequenceNumber string  `json:"sequenceNumber"`
	Node           string  `json:"node"`
	Connection     string  `json:"connection"`
	Remote         string  `json:"remote"`
	ClientAgent    string  `json:"clientAgent"`
	Reason         string  `json:"reason"`
	Code           int     `json:"errorCode"`
	Duration       float64 `json:"durationSeconds"`
}

// Connected reports whether e is the beginning of a connection.
func (e Event) Connected() bool { return strings.HasSuffix(e.Type, "Connected") }

// ParseEvent reads an event of HUB_EVENTS.
func ParseEvent(m jetstream.Msg) (Event, error) {
	e := Event{Type: m.Headers().Get("opType")}
	if err := json.Unmarshal(m.Data(), &e); err != nil {
		return e, fmt.Errorf("read event %q: %w", m.Data(), err)
	}
	var err error
	if e.Time, err = time.Parse(time.RFC3339, m.Headers().Get("operationTimestamp")); err != nil {
		return e, fmt.Errorf("read the time of event %q: %w", m.Data(), err)
	}
	return e, nil
}

// AwaitEvents waits until the connection events of an identity, from the
// first, satisfy enough, and returns them all.
func (g *Gateway) AwaitEvents(t *testing.T, id, what string, enough func([]Event) bool) []Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	it := g.iterate(ctx, t, "HUB_EVENTS", "hub.events.connection."+Key(id))
	defer it.Stop()
	var events []Event
	for !enough(events) {
		msg, err := it.Next(jetstream.NextContext(ctx))
		if err != nil {
			t.Fatalf("wait for %s: %v; events so far: %v", what, err, events)
		}
		e, err := ParseEvent(msg)
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	return events
}

// Session is a value of hub_presence, as far as tests read it.
type Session struct {
	Subscriptions []struct {
		Filter string `json:"filter"`
		QoS    int    `json:"qos"`
	} `json:"subscriptions"`
	Connected     bool      `json:"connected"`
	Node          string    `json:"node"`
	Connection    string    `json:"connection"`
	Remote        string    `json:"remote"`
	ConnectedTime time.Time `json:"connectedTime"`
	Reason        string    `json:"reason"`
	Code          int       `json:"errorCode"`
	RepairedBy    string    `json:"repairedBy"`
}

// Has reports whether every filter is subscribed.
func (s Session) Has(filters ...string) bool {
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

// AwaitSession waits until the session of an identity matches.
func (g *Gateway) AwaitSession(t *testing.T, id, what string, match func(Session) bool) Session {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	kv, err := g.JS.KeyValue(ctx, "hub_presence")
	if err != nil {
		t.Fatalf("open hub_presence: %v", err)
	}
	watcher, err := kv.Watch(ctx, Key(id))
	if err != nil {
		t.Fatalf("watch hub_presence: %v", err)
	}
	defer func() { _ = watcher.Stop() }()
	last := "none"
	for {
		select {
		case entry := <-watcher.Updates():
			if entry == nil || entry.Operation() != jetstream.KeyValuePut {
				continue // of the beginning, or of an identity that was deleted
			}
			last = string(entry.Value())
			var s Session
			if err := json.Unmarshal(entry.Value(), &s); err != nil {
				t.Fatalf("read presence %q: %v", last, err)
			}
			if match(s) {
				return s
			}
		case <-ctx.Done():
			t.Fatalf("presence of %s: no %s within %v; last value: %s", id, what, Patience, fmt.Sprintf("%.400s", last))
		}
	}
}
