package backend

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/hub"
)

const helloInfo = `{"headers":true,"max_payload":1000,"nonce":"n"}`

// puppet is a server that says what a test wants.
type puppet struct {
	tb   testing.TB
	conn net.Conn
	in   *bufio.Reader
	near net.Conn
}

func (p *puppet) InProcessConn() (net.Conn, error) { return p.near, nil }

func newPuppet(tb testing.TB) *puppet {
	tb.Helper()
	near, far := net.Pipe()
	tb.Cleanup(func() { _, _ = near.Close(), far.Close() })
	_ = far.SetDeadline(time.Now().Add(testTimeout))
	return &puppet{tb: tb, conn: far, in: bufio.NewReaderSize(far, 1<<20), near: near}
}

func (p *puppet) options() *nats.Options {
	return &nats.Options{InProcessServer: p, Name: "n", InboxPrefix: "_INBOX_x", Timeout: testTimeout, PingInterval: time.Hour, MaxPingsOut: 2}
}

func (p *puppet) say(text string) {
	p.tb.Helper()
	if _, err := io.WriteString(p.conn, text); err != nil {
		p.tb.Errorf("say %.20q: %v", text, err)
	}
}

// hears fails unless this comes next.
func (p *puppet) hears(want string) {
	p.tb.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(p.in, got); err != nil || string(got) != want {
		p.tb.Errorf("the server has heard %q, error %v, want %q", got[:n], err, want)
	}
}

// line reads a line.
func (p *puppet) line() string {
	p.tb.Helper()
	s, err := p.in.ReadString('\n')
	if err != nil {
		p.tb.Errorf("read a line: %v", err)
	}
	return strings.TrimSuffix(s, "\r\n")
}

// welcome lets a client in.
func (p *puppet) welcome() {
	p.tb.Helper()
	p.say("INFO " + helloInfo + "\r\n")
	if s := p.line(); !strings.HasPrefix(s, "CONNECT {") {
		p.tb.Errorf("the server has heard %q, want CONNECT", s)
	}
	p.hears(wirePing)
	p.say(wirePong)
	if s := p.line(); !strings.HasPrefix(s, "SUB _INBOX_x.") || !strings.HasSuffix(s, ".* 1") {
		p.tb.Errorf("the server has heard %q, want SUB", s)
	}
}

// wired connects to a puppet.
func wired(tb testing.TB, o *nats.Options, welcome func(), replies func(*mail)) *wireLink {
	tb.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		welcome()
	}()
	l, err := linkByWire(o, replies)
	if err != nil {
		tb.Fatal(err)
	}
	<-done
	tb.Cleanup(l.close)
	wire, ok := l.(*wireLink)
	if !ok {
		tb.Fatalf("the link is a %T", l)
	}
	return wire
}

func nothing(m *mail) { m.responses = m.responses[:0] }

// endOf waits for the end of a link and returns why.
func endOf(tb testing.TB, l link) error {
	tb.Helper()
	select {
	case <-l.lost():
		return l.cause()
	case <-time.After(testTimeout):
		tb.Fatal("the link is not lost")
		return nil
	}
}

// parcelOf is slots with these bodies, in a parcel that is not stale.
func parcelOf(bodies ...string) *parcel {
	p := &parcel{now: new(atomic.Uint64)}
	for i, body := range bodies {
		s := &slot{seq: uint64(i) + 1, asks: true}
		s.fill([]byte("hub.a"), []byte(body))
		p.slots = append(p.slots, s)
	}
	return p
}

// TestWireIntroduction: the server sees who it is, as nats.go says it.
func TestWireIntroduction(t *testing.T) {
	t.Parallel()
	p := newPuppet(t)
	o := p.options()
	o.UserJWT = func() (string, error) { return "jwt", nil }
	o.SignatureCB = func(nonce []byte) ([]byte, error) { return append([]byte("signed "), nonce...), nil }
	wired(t, o, func() {
		p.say("INFO " + helloInfo + "\r\n")
		want := fmt.Sprintf(`CONNECT {"verbose":false,"pedantic":false,"jwt":"jwt","sig":"c2lnbmVkIG4","name":"n","lang":"go","version":%q,"protocol":1,"echo":true,"headers":true,"no_responders":true}`, nats.Version)
		if got := p.line(); got != want {
			t.Errorf("introduction %s, want %s", got, want)
		}
		p.hears(wirePing)
		p.say(wirePong)
		p.line()
	}, nothing)
}

// TestWireIsNotLetIn: what the server says against it is the error.
func TestWireIsNotLetIn(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		script func(*puppet)
		want   error
	}{
		"authorization": {func(p *puppet) {
			p.say("INFO " + helloInfo + "\r\n")
			p.line()
			p.say("-ERR 'Authorization Violation'\r\n")
			_ = p.conn.Close()
		}, nats.ErrAuthorization},
		"expired": {func(p *puppet) {
			p.say("INFO " + helloInfo + "\r\n")
			p.line()
			p.say("-ERR 'User Authentication Expired'\r\n")
		}, nats.ErrAuthExpired},
		"at once":    {func(p *puppet) { p.say("-ERR 'Authorization Violation'\r\n") }, nats.ErrAuthorization},
		"closed":     {func(p *puppet) { _ = p.conn.Close() }, io.EOF},
		"no info":    {func(p *puppet) { p.say("PING\r\n") }, errWire},
		"bad info":   {func(p *puppet) { p.say("INFO {\r\n") }, errWire},
		"no headers": {func(p *puppet) { p.say("INFO {}\r\n") }, nats.ErrHeadersNotSupported},
		"no client":  {func(p *puppet) { p.say("HTTP/1.1 400 Bad Request\r\n") }, errWire},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPuppet(t)
			go tt.script(p)
			if l, err := linkByWire(p.options(), nothing); !errors.Is(err, tt.want) || l != nil {
				t.Errorf("linkByWire = %v, %v, want %v", l, err, tt.want)
			}
		})
	}
}

// A server that does not say anything is given up.
func TestWireWaitsForTheServerNoLongerThanItMay(t *testing.T) {
	t.Parallel()
	p := newPuppet(t)
	o := p.options()
	o.Timeout = 50 * time.Millisecond
	if _, err := linkByWire(o, nothing); err == nil {
		t.Error("it is let in by nobody")
	}
}

func TestWireEndsOnce(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		text string
		want error
	}{
		"garbage":          {"MSG\r\n", errWire},
		"bad info":         {"INFO x\r\n", errWire},
		"stale":            {"-ERR 'Stale Connection'\r\n", nats.ErrStaleConnection},
		"after good ones":  {"PONG\r\n+OK\r\nMSG other 1 2\r\nok\r\nMSG x 2 0\r\n\r\nnonsense\r\n", errWire},
		"line without end": {strings.Repeat("x", wireBuffer), errWireLine},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPuppet(t)
			l := wired(t, p.options(), p.welcome, nothing)
			_, _ = io.WriteString(p.conn, tt.text)
			if err := endOf(t, l); !errors.Is(err, tt.want) {
				t.Errorf("it has ended with %v, want %v", err, tt.want)
			}
			l.send(parcelOf("too late"))
			l.close()
			if err := l.cause(); !errors.Is(err, tt.want) {
				t.Errorf("the cause is %v after close, want %v", err, tt.want)
			}
		})
	}
}

// TestWireRightThatIsRefused: it is told where nats.go tells it, and the link lives.
func TestWireRightThatIsRefused(t *testing.T) {
	t.Parallel()
	p := newPuppet(t)
	o := p.options()
	told := &faults{log: zerolog.Nop()}
	o.AsyncErrorCB = told.handle
	l := wired(t, o, p.welcome, nothing)
	p.say("-ERR 'Permissions Violation for Publish to \"hub.a\"'\r\nPING\r\n")
	p.hears(wirePong)
	if s := told.take(); !hasAll(s, "permissions violation", `Permissions Violation for Publish to "hub.a"`) {
		t.Errorf("the refusal that was told is %q", s)
	}
	l.send(parcelOf()) // nothing is written
	select {
	case <-l.lost():
		t.Errorf("the link is lost: %v", l.cause())
	default:
	}
}

// TestWireServerThatDoesNotAnswer is given up after two PINGs, whether it reads or
// not.
func TestWireServerThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	for name, reads := range map[string]bool{"reads": true, "is stuck": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPuppet(t)
			o := p.options()
			o.PingInterval = 100 * time.Millisecond
			l := wired(t, o, p.welcome, nothing)
			if reads {
				p.hears(wirePing)
				p.say(wirePong)
				p.hears(wirePing + wirePing)
			} else {
				l.send(parcelOf("it blocks until the link is lost"))
			}
			if err := endOf(t, l); !errors.Is(err, nats.ErrStaleConnection) {
				t.Errorf("it has ended with %v", err)
			}
		})
	}
}

// TestWireReadsWhileItWrites: a server that wants to be read before it reads more
// does not lock it up.
func TestWireReadsWhileItWrites(t *testing.T) {
	t.Parallel()
	p := newPuppet(t)
	var got []uint64
	done := make(chan struct{})
	const replies = 5000
	l := wired(t, p.options(), p.welcome, func(m *mail) {
		for _, r := range m.responses {
			got = append(got, r.seq)
		}
		m.responses = m.responses[:0]
		if len(got) == replies {
			close(done)
		}
	})
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		l.send(parcelOf("body"))
	}()
	var text strings.Builder
	for i := range replies {
		text.WriteString("PING\r\n") // each asks for a write
		data := `{"stream":"S","seq":1}`
		fmt.Fprintf(&text, "MSG %s1-%s 1 %d\r\n%s\r\n", l.inbox, strconv.FormatUint(uint64(i), 36), len(data), data)
	}
	p.say(text.String()) // nobody reads at this end
	<-done
	for i, seq := range got {
		if seq != uint64(i) {
			t.Fatalf("reply %d is to %d", i, seq)
		}
	}
	for published, ponged := false, false; !published || !ponged; {
		switch s := p.line(); {
		case strings.HasPrefix(s, "PUB hub.a ") && !published:
			p.hears("body\r\n")
			published = true
		case s == "PONG": // a second one, if pings came while the first was written
			ponged = true
		default:
			t.Fatalf("the server has heard %q", s)
		}
	}
	<-sent
}

// TestWireReplies: what came to the inbox, and nothing else.
func TestWireReplies(t *testing.T) {
	t.Parallel()
	p := newPuppet(t)
	came := make(chan string, 10)
	l := wired(t, p.options(), p.welcome, func(m *mail) {
		for _, r := range m.responses {
			came <- fmt.Sprintf("%d %s %v %v", r.seq, r.ack.stream, r.nobody, r.err)
		}
		m.responses = m.responses[:0]
	})
	for _, s := range []struct{ subject, text string }{
		{"other.1", "MSG %s 1 22\r\n{\"stream\":\"S\",\"seq\":1}\r\n"},
		{l.inbox + "1-1", "MSG %s 2 22\r\n{\"stream\":\"S\",\"seq\":1}\r\n"},
		{l.inbox + "-", "MSG %s 1 22\r\n{\"stream\":\"S\",\"seq\":1}\r\n"},
		{l.inbox + "1", "MSG %s 1 22\r\n{\"stream\":\"S\",\"seq\":1}\r\n"},
		{l.inbox + "0-1", "MSG %s 1 22\r\n{\"stream\":\"S\",\"seq\":1}\r\n"},
		{l.inbox + "1-1", "MSG %s 1 9\r\nnot of it\r\n"},
		{l.inbox + "1-2", "MSG %s 1 0\r\n\r\n"},
		{l.inbox + "1-3", "HMSG %s 1 16 18\r\nNATS/1.0 503\r\n\r\nab\r\n"},
		{l.inbox + "1-zz", "MSG %s 1 22\r\n{\"stream\":\"S\",\"seq\":1}\r\n"},
		{l.inbox + "1-4", "HMSG %s 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n"},
		{l.inbox + "1-5", "MSG %s 1 29\r\n{\"error\":{\"description\":\"x\"}}\r\n"},
	} {
		p.say(fmt.Sprintf(s.text, s.subject))
	}
	for _, want := range []string{"1295 S false <nil>", "4  true <nil>"} {
		if got := <-came; got != want {
			t.Errorf("reply %q, want %q", got, want)
		}
	}
	if got := <-came; !strings.HasPrefix(got, "5  false nats: API error") {
		t.Errorf("reply %q, want an error", got)
	}
}

// TestWireTooLarge: the limit is the server's, and one message does not stop others.
func TestWireTooLarge(t *testing.T) {
	t.Parallel()
	p := newPuppet(t)
	l := wired(t, p.options(), p.welcome, nothing)
	large := strings.Repeat("x", 1000)
	sent := make(chan *parcel)
	send := func(q *parcel) {
		l.send(q)
		sent <- q
	}
	go send(parcelOf("a", large+"x", large))
	p.hears("PUB hub.a " + l.inbox + "1-1 1\r\na\r\nPUB hub.a " + l.inbox + "1-3 1000\r\n" + large + "\r\n")
	q := <-sent
	if len(q.refused) != 1 || q.refused[0].seq != 2 || hub.CodeOf(q.refused[0].err) != hub.MessageTooLarge || !errors.Is(q.refused[0].err, nats.ErrMaxPayload) {
		t.Errorf("refused %v, want the second as too large", q.refused)
	}
	p.say("INFO {\"headers\":true,\"max_payload\":10}\r\nPING\r\n")
	p.hears(wirePong)
	l.send(parcelOf("01234567890"))
	stale := parcelOf("stale")
	stale.now.Add(1)
	l.send(stale)
	go send(parcelOf("0123456789"))
	p.hears("PUB hub.a " + l.inbox + "1-1 10\r\n0123456789\r\n")
	<-sent
}

// TestWireWrongCredentials: a real server says so, and the operator is told.
func TestWireWrongCredentials(t *testing.T) {
	t.Parallel()
	s, other := serve(t, "", 0), serve(t, "", 0)
	cfg, opts := byWire.to(s, Config{})
	cfg.CredsFile = other.GatewayCreds()
	d := &dialer{cfg: cfg, extra: opts, faults: &faults{log: cfg.Log}}
	_, err := d.linker("test")(nothing)
	if !errors.Is(err, nats.ErrAuthorization) || !hasAll(err.Error(), "refuses the credentials in "+cfg.CredsFile) {
		t.Errorf("error %v", err)
	}
	cfg.CredsFile = t.TempDir() + "/none"
	d = &dialer{cfg: cfg, extra: opts, faults: &faults{log: cfg.Log}}
	if _, err := d.linker("test")(nothing); err == nil || !hasAll(err.Error(), "read the credentials for NATS") {
		t.Errorf("error %v", err)
	}
}
