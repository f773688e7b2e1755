package backend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/hubgate/hubgate/backend/embedded"
	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/c2d"
	"github.com/hubgate/hubgate/identity"
)

// rawWire is a NATS connection on which a test writes bytes of its own, as any
// program with credentials may.
type rawWire struct {
	t    *testing.T
	nc   *nats.Conn
	conn net.Conn
}

func (w *rawWire) Dial(network, address string) (net.Conn, error) {
	var err error
	w.conn, err = (&net.Dialer{}).DialContext(w.t.Context(), network, address)
	return w.conn, err
}

func openRawWire(t *testing.T, s *embedded.Server) *rawWire {
	t.Helper()
	w := &rawWire{t: t}
	var err error
	w.nc, err = nats.Connect(s.URL(), nats.UserCredentials(s.HubCreds()), nats.SetCustomDialer(w), nats.NoReconnect())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.nc.Close)
	return w
}

// publish sends a message with these headers, byte for byte, and returns its
// number.
func (w *rawWire) publish(to, headers, body string) uint64 {
	w.t.Helper()
	inbox := w.nc.NewInbox()
	sub, err := w.nc.SubscribeSync(inbox)
	if err == nil {
		err = w.nc.Flush()
	}
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := fmt.Fprintf(w.conn, "HPUB %s %s %d %d\r\n%s%s\r\n", to, inbox, len(headers), len(headers)+len(body), headers, body); err != nil {
		w.t.Fatal(err)
	}
	m, err := sub.NextMsgWithContext(testContext(w.t))
	if err != nil {
		w.t.Fatal(err)
	}
	var ack struct {
		Sequence uint64 `json:"seq"`
	}
	if err := json.Unmarshal(m.Data, &ack); err != nil || ack.Sequence == 0 {
		w.t.Fatalf("the message is refused: %s", m.Data)
	}
	return ack.Sequence
}

// hostileHub has the devices dev-1 and dev-2.
func hostileHub(t *testing.T) (*Backbone, *rawWire) {
	t.Helper()
	s := serve(t, "", 0)
	b := open(t, s, Config{})
	registry := &identity.Registry{Store: b.Devices()}
	for n := range 2 {
		if _, err := registry.Create(testContext(t), identity.Record{ID: device(n + 1)}); err != nil {
			t.Fatal(err)
		}
	}
	return b, openRawWire(t, s)
}

// reader is a device that acknowledges whatever it gets.
type reader struct {
	mu  sync.Mutex
	box *c2d.Mailbox
	got []string
}

func (r *reader) bodies() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string{}, r.got...)
}

func connectReader(t *testing.T, b *Backbone, device string) *reader {
	t.Helper()
	r := &reader{}
	r.box = b.C2D().Open(c2d.Owner{Device: device, Generation: "g", Epoch: 1}, func(d c2d.Delivery) (uint16, error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.got = append(r.got, string(d.Payload))
		return 0, nil
	})
	r.box.Start()
	t.Cleanup(r.box.Close)
	return r
}

// A publisher writes headers that the server writes too, or that end the
// headers before their end. It reaches neither the messages of other devices,
// nor can it hide those behind its own.
func TestC2DForgedHeaders(t *testing.T) {
	t.Parallel()
	forged := func(sequence uint64) string {
		return fmt.Sprintf("Nats-Stream: HUB_C2D\r\nNats-Subject: hub.c2d.dev-2\r\nNats-Sequence: %d\r\nNats-Time-Stamp: 2020-01-01T00:00:00Z\r\n", sequence)
	}
	for name, headers := range map[string]func(victim uint64) string{
		"names of the server": func(n uint64) string { return "NATS/1.0\r\n" + forged(n) + "\r\n" },
		"an early end":        func(n uint64) string { return "NATS/1.0\r\n" + forged(n) + "\r\nA: b\r\n\r\n" },
		"a status":            func(uint64) string { return "NATS/1.0 404 Message Not Found\r\n\r\n" },
		"a status header":     func(uint64) string { return "NATS/1.0\r\nStatus: 404\r\nDescription: none\r\n\r\n" },
		"another status":      func(uint64) string { return "NATS/1.0 503\r\n\r\n" },
		"no colon":            func(uint64) string { return "NATS/1.0\r\nnonsense\r\n\r\n" },
		"no version":          func(uint64) string { return "HTTP/1.1\r\nA: b\r\n\r\n" },
		"an empty name":       func(uint64) string { return "NATS/1.0\r\n: b\r\n\r\n" },
		"spaces":              func(uint64) string { return "NATS/1.0\r\nA:    b   \r\n\r\n" },
		"bytes":               func(uint64) string { return "NATS/1.0\r\n\xff\x00: \xfe\x01\r\n\r\n" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, w := hostileHub(t)
			victim := publish(t, b, "dev-2", "for the other device")
			w.publish("hub.c2d.dev-1", headers(victim), "")
			publish(t, b, "dev-1", "behind")
			keeper := &c2dKeeper{backbone: b, store: b.C2D().Store.(*C2DStore), queues: b.C2D()}
			if err := keeper.sweep(testContext(t), time.Now()); err != nil {
				t.Errorf("the sweep: %v", err)
			}
			r := connectReader(t, b, "dev-1")
			until(t, "the message behind", func() bool { got := r.bodies(); return len(got) > 0 && got[len(got)-1] == "behind" })
			until(t, "an empty queue", func() bool {
				m, err := b.C2D().Store.Next(testContext(t), "dev-1", 0)
				return err == nil && m.Sequence == 0
			})
			if got := r.bodies(); len(got) > 2 || len(got) == 2 && got[0] != "" {
				t.Errorf("the device got %q", got)
			}
			m, err := b.C2D().Store.Next(testContext(t), "dev-2", 0)
			if err != nil || m.Sequence != victim || string(m.Body) != "for the other device" {
				t.Errorf("the other device's queue begins with %d %q, %v", m.Sequence, m.Body, err)
			}
		})
	}
}

// What can't become a dead letter as it is becomes one with less.
func TestC2DHugeMessages(t *testing.T) {
	t.Parallel()
	b, w := hostileHub(t)
	const limit = 64000 // JetStream takes 64 KiB of headers
	for name, headers := range map[string]string{
		"an id":            "message-id: " + strings.Repeat("i", limit) + "\r\niothub-ack: full\r\n",
		"an id of escapes": "message-id: " + strings.Repeat("%", limit) + "\r\niothub-ack: full\r\n",
		"a property":       "iothub-app-p: " + strings.Repeat("\x01", limit) + "\r\n",
		"a name":           "iothub-app-" + strings.Repeat("!", limit) + ": v\r\n",
		"foreign headers":  "other: " + strings.Repeat("x", limit) + "\r\n",
	} {
		w.publish("hub.c2d.dev-1", "NATS/1.0\r\n"+headers+"\r\n", name)
	}
	publish(t, b, "dev-1", "behind")
	r := connectReader(t, b, "dev-1")
	until(t, "the message behind", func() bool { got := r.bodies(); return len(got) > 0 && got[len(got)-1] == "behind" })
	until(t, "four dead letters", func() bool { return len(outcomesOf(t, b, b.names.DeadLetterStream())) == 4 })
	for _, m := range outcomesOf(t, b, b.names.DeadLetterStream()) {
		if m.Header.Get(subject.DeadLetterStatus) != "Rejected" || m.Header.Get(subject.DeadLetterTruncated) == "" {
			t.Errorf("the dead letter of %q has status %q and lacks %q bytes", m.Data, m.Header.Get(subject.DeadLetterStatus), m.Header.Get(subject.DeadLetterTruncated))
		}
	}
	if n := len(outcomesOf(t, b, b.names.FeedbackStream())); n != 2 {
		t.Errorf("%d feedbacks, want 2", n)
	}
}

// A subject that is no id, however long, neither breaks the connection of the
// gateway nor stays for ever.
func TestC2DForeignSubjects(t *testing.T) {
	t.Parallel()
	b, w := hostileHub(t)
	disconnected := b.nc.StatusChanged(nats.DISCONNECTED, nats.RECONNECTING, nats.CLOSED)
	tokens := []string{
		strings.Repeat("=", 2000), strings.Repeat("x", 3000), "a=b", "=64ev-1", "dev%2D1", "d\u00e9v", "\x01\xff", "purge", "=2A", "=3E",
	}
	for _, token := range tokens {
		w.publish("hub.c2d."+token, "NATS/1.0\r\niothub-ack: full\r\nmessage-id: m\r\n\r\n", "x")
	}
	keeper := &c2dKeeper{backbone: b, store: b.C2D().Store.(*C2DStore), queues: b.C2D()}
	if err := keeper.sweep(testContext(t), time.Now()); err != nil {
		t.Errorf("the sweep: %v", err)
	}
	until(t, "no messages left", func() bool {
		s, err := b.js.Stream(testContext(t), b.names.C2DStream())
		return err == nil && s.CachedInfo().State.Msgs == 0
	})
	if n := len(outcomesOf(t, b, b.names.DeadLetterStream())); n != len(tokens) {
		t.Errorf("%d dead letters, want %d", n, len(tokens))
	}
	select {
	case status := <-disconnected:
		t.Errorf("the connection of the gateway was lost: %v", status)
	default:
	}
	if _, err := b.js.Publish(testContext(t), "hub.c2d.dev-1.extra", nil); err == nil {
		t.Error("a subject with one token more is a queue")
	}
}

// fullGrave can't take the messages of one device.
type fullGrave struct {
	c2d.Outcomes
	device string
	tries  int
}

func (s *fullGrave) Bury(ctx context.Context, d c2d.DeadLetter) error {
	if d.Message.Device == s.device {
		s.tries++
		return errors.New("no room for it")
	}
	return s.Outcomes.Bury(ctx, d)
}

// A message that can't be settled does not keep the sweep from the others; a
// store that takes nothing ends it.
func TestC2DSweepGoesOn(t *testing.T) {
	t.Parallel()
	b, _ := hostileHub(t)
	past := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	bad := publish(t, b, "dev-1", "bad", "absolute-expiry-time", past)
	publish(t, b, "dev-2", "good", "absolute-expiry-time", past)
	out := &fullGrave{Outcomes: b.C2D().Outcomes, device: "dev-1"}
	queues := &c2d.Queues{Store: b.C2D().Store, Outcomes: out, Devices: b.devices}
	w := &c2dKeeper{backbone: b, store: b.C2D().Store.(*C2DStore), queues: queues}
	if _, err := w.pass(testContext(t), time.Now(), time.Now().Add(testTimeout)); err == nil || !hasAll(err.Error(), "no room for it", fmt.Sprint(bad)) {
		t.Errorf("pass = %v", err)
	}
	if n := len(outcomesOf(t, b, b.names.DeadLetterStream())); n != 1 {
		t.Errorf("%d dead letters, want the good one", n)
	}
	for range 2 * maxFailed {
		publish(t, b, "dev-1", "bad", "absolute-expiry-time", past)
	}
	out.tries = 0
	if _, err := w.pass(testContext(t), time.Now(), time.Now().Add(testTimeout)); err == nil || out.tries != maxFailed || w.seen.at == 0 {
		t.Errorf("pass = %v after %d tries, stopped at %d", err, out.tries, w.seen.at)
	}
}
