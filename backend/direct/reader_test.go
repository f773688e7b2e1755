package direct_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/backend/direct"
	"github.com/hubgate/hubgate/backend/embedded"
)

// wire is a connection to NATS on which a test writes bytes of its own.
type wire struct {
	ctx  context.Context //nolint:containedctx // of the test
	conn net.Conn
}

// Dial implements [nats.CustomDialer].
func (w *wire) Dial(network, address string) (net.Conn, error) {
	var err error
	w.conn, err = (&net.Dialer{}).DialContext(w.ctx, network, address)
	return w.conn, err
}

// stream runs a server with the stream S of the subjects s.*.
func stream(t *testing.T, isDirect bool) (context.Context, jetstream.JetStream, *wire) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	s, err := embedded.Start(ctx, embedded.Config{DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Shutdown() })
	w := &wire{ctx: ctx}
	nc, err := nats.Connect(s.URL(), nats.UserCredentials(s.HubCreds()), nats.SetCustomDialer(w))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err == nil {
		_, err = js.CreateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s.*"}, AllowDirect: isDirect})
	}
	if err != nil {
		t.Fatal(err)
	}
	return ctx, js, w
}

// put stores a message with these headers, byte for byte.
func put(t *testing.T, js jetstream.JetStream, w *wire, to, headers, body string) {
	t.Helper()
	sub, err := js.Conn().SubscribeSync(js.Conn().NewInbox())
	if err == nil {
		err = js.Conn().Flush()
	}
	if err == nil {
		_, err = fmt.Fprintf(w.conn, "HPUB %s %s %d %d\r\n%s%s\r\n", to, sub.Subject, len(headers), len(headers)+len(body), headers, body)
	}
	if err == nil {
		_, err = sub.NextMsgWithContext(w.ctx)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestReader(t *testing.T) {
	t.Parallel()
	for _, isDirect := range []bool{true, false} {
		ctx, js, _ := stream(t, isDirect)
		r := direct.New(js, "S")
		if m, err := r.Next(ctx, 0, "s.*"); !errors.Is(err, jetstream.ErrMsgNotFound) {
			t.Errorf("Next of nothing = %+v, %v", m, err)
		}
		msg := nats.NewMsg("s.a")
		msg.Data = []byte("one")
		msg.Header.Set("k", "v")
		if _, err := js.PublishMsg(ctx, msg); err != nil {
			t.Fatal(err)
		}
		if _, err := js.Publish(ctx, "s.b", nil); err != nil {
			t.Fatal(err)
		}
		m, err := r.Next(ctx, 0, "s.*")
		if err != nil || m.Sequence != 1 || m.Subject != "s.a" || string(m.Data) != "one" || m.Header.Get("k") != "v" || m.Damaged || time.Since(m.Time) > time.Hour {
			t.Errorf("Next = %+v, %v", m, err)
		}
		m, err = r.Next(ctx, 1, "s.b")
		if err != nil || m.Sequence != 2 || m.Subject != "s.b" || len(m.Data) != 0 {
			t.Errorf("Next = %+v, %v", m, err)
		}
		if m, err = r.Get(ctx, 2); err != nil || m.Sequence != 2 {
			t.Errorf("Get = %+v, %v", m, err)
		}
		if _, err = r.Get(ctx, 3); !errors.Is(err, jetstream.ErrMsgNotFound) {
			t.Errorf("Get of nothing = %v", err)
		}
		if _, err := r.Next(ctx, 1, "s.c"); !errors.Is(err, jetstream.ErrMsgNotFound) {
			t.Errorf("Next of another subject = %v", err)
		}
		if _, err := direct.New(js, "NONE").Next(ctx, 1, ">"); err == nil || errors.Is(err, jetstream.ErrMsgNotFound) {
			t.Errorf("Next of no stream = %v", err)
		}
	}
}

// published is what somebody has published: headers, byte for byte, and whether
// they end before their end.
type published struct {
	headers string
	damaged bool
}

// hostile are headers that look like those of the server, or hide them.
func hostile() map[string]published {
	const forged = "Nats-Stream: S\r\nNats-Subject: s.other\r\nNats-Sequence: 99\r\nNats-Time-Stamp: 2001-01-01T00:00:00Z\r\n"
	all := map[string]published{
		"names of the server":  {"NATS/1.0\r\n" + forged + "\r\n", false},
		"in lower case":        {"NATS/1.0\r\n" + strings.ToLower(forged) + "\r\n", false},
		"an early end":         {"NATS/1.0\r\n" + forged + "\r\nA: b\r\n\r\n", true},
		"an early end of none": {"NATS/1.0\r\n\r\nA: b\r\n\r\n", true},
		"not found":            {"NATS/1.0 404 Message Not Found\r\n\r\n", false},
		"not found, forged":    {"NATS/1.0 404 Message Not Found\r\n" + forged + "\r\n", false},
		"not found by headers": {"NATS/1.0\r\nStatus: 404\r\nDescription: x\r\n\r\n", false},
		"an error":             {"NATS/1.0 503\r\n\r\n", false},
		"no colon":             {"NATS/1.0\r\nnonsense\r\n\r\n", true},
		"another protocol":     {"HTTP/1.1\r\nA: b\r\n\r\n", true},
		"white space":          {"NATS/1.0\r\nA:   b   \r\n\r\n", false},
		"no space":             {"NATS/1.0\r\nA:b\r\n\r\n", false},
		"a folded line":        {"NATS/1.0\r\nA: b\r\n c\r\n\r\n", false},
		"many lines":           {"NATS/1.0\r\n" + strings.Repeat("A: b\r\n", 100) + "\r\n", false},
		"an end of a batch":    {"NATS/1.0 204 EOB\r\nNats-Num-Pending: 0\r\nNats-Last-Sequence: 0\r\n\r\n", false},
		"an early one":         {"NATS/1.0 204 EOB\r\nNats-Num-Pending: 0\r\nNats-Last-Sequence: 0\r\n\r\nA: b\r\n\r\n", true},
		"of another batch":     {"NATS/1.0\r\nNats-Num-Pending: 0\r\nNats-Last-Sequence: 7\r\n\r\n", false},
	}
	// Lines without space and carriage return are shorter than they look: they make
	// room for what the server adds behind an early end.
	for n := range 120 {
		all[fmt.Sprintf("%d short lines", n)] = published{"NATS/1.0\r\n" + forged + strings.Repeat("A:b\n", n) + "\r\nA: b\r\n\r\n", true}
	}
	return all
}

// Whatever a publisher writes into the headers, the subject, the number and the
// time are the server's.
func TestReaderBelievesTheServer(t *testing.T) {
	t.Parallel()
	ctx, js, w := stream(t, true)
	r := direct.New(js, "S")
	next := uint64(1)
	for name, tt := range hostile() {
		for _, body := range []string{"", "body"} {
			put(t, js, w, "s.a", tt.headers, body)
			m, err := r.Next(ctx, next, "s.a")
			if err != nil || m.Sequence != next || m.Subject != "s.a" || string(m.Data) != body || time.Since(m.Time) > time.Hour {
				t.Errorf("%s: Next = %d on %s of %v, %q, %v", name, m.Sequence, m.Subject, m.Time, m.Data, err)
			}
			if name != "a folded line" && m.Damaged != tt.damaged {
				t.Errorf("%s: damaged is %t", name, m.Damaged)
			}
			next++
		}
	}
}

// What a stream republishes has the server's headers behind the publisher's.
func TestRepublished(t *testing.T) {
	t.Parallel()
	h := nats.Header{"Nats-Sequence": {"1", "7"}, "Nats-Msg-Size": {"0", "90"}}
	if n, size := direct.Sequence(h), direct.Size(h); n != 7 || size != 90 {
		t.Errorf("got number %d and size %d", n, size)
	}
	if n, size := direct.Sequence(nil), direct.Size(nats.Header{"Nats-Msg-Size": {"x"}}); n != 0 || size != 0 {
		t.Errorf("got number %d and size %d of nothing", n, size)
	}
}
