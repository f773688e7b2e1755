package backend

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/backend/direct"
)

// askerFunc is an asker.
type askerFunc func(ctx context.Context, r direct.Request) (direct.Reply, error)

func (f askerFunc) Ask(ctx context.Context, r direct.Request) (direct.Reply, error) { return f(ctx, r) }

var errByConn = errors.New("asked by the connection")

// deskAt opens a desk at a puppet. A second wire is one to the puppet that next gives.
func deskAt(t *testing.T, p *puppet, next func() *puppet) *desk {
	t.Helper()
	let := func(p *puppet, to wireReceiver) (*wire, error) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			p.welcome()
		}()
		in := newWireReader(wireBuffer)
		in.grows = true
		w, err := openWire(p.options(), in, to)
		<-done
		return w, err
	}
	var opened atomic.Int32
	d, err := openDesk(func(to wireReceiver) (*wire, error) {
		if opened.Add(1) == 1 {
			return let(p, to)
		}
		return let(next(), to)
	}, askerFunc(func(context.Context, direct.Request) (direct.Reply, error) { return direct.Reply{}, errByConn }), zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.close)
	return d
}

// heard is a request as the puppet has heard it: its first line and what follows.
type heard struct{ to, line, rest string }

func (p *puppet) request() heard {
	p.tb.Helper()
	line := p.line()
	words := strings.Fields(line)
	if len(words) < 4 {
		p.tb.Errorf("the server has heard %q, want a request", line)
		return heard{}
	}
	n, err := strconv.Atoi(words[len(words)-1])
	if err != nil {
		p.tb.Errorf("the server has heard %q, want a request", line)
	}
	body := make([]byte, n+2)
	for i := range body {
		body[i], _ = p.in.ReadByte()
	}
	return heard{words[2], strings.Replace(line, words[2], "INBOX", 1), string(bytes.TrimSuffix(body, []byte("\r\n")))}
}

func (p *puppet) answer(to, headers, data string) {
	p.tb.Helper()
	if headers == "" {
		p.say(fmt.Sprintf("MSG %s 1 %d\r\n%s\r\n", to, len(data), data))
		return
	}
	p.say(fmt.Sprintf("HMSG %s 1 %d %d\r\n%s%s\r\n", to, len(headers), len(headers)+len(data), headers, data))
}

// outcome is what a request has led to.
type outcome struct {
	reply direct.Reply
	err   error
}

func (d *desk) later(ctx context.Context, ask direct.Request) chan outcome {
	c := make(chan outcome, 1)
	go func() {
		r, err := d.Ask(ctx, ask)
		c <- outcome{r, err}
	}()
	return c
}

func TestDeskAsks(t *testing.T) {
	t.Parallel()
	p := newPuppet(t)
	d := deskAt(t, p, nil)
	large := strings.Repeat("x", 3*wireBuffer)
	for name, tt := range map[string]struct {
		ask           direct.Request
		line, rest    string
		headers, data string
		want          direct.Reply
		err           error
	}{
		"plain":        {direct.Request{Subject: "a.b", Data: []byte("hi")}, "PUB a.b INBOX 2", "hi", "", "ho", direct.Reply{Data: []byte("ho")}, nil},
		"empty":        {direct.Request{Subject: "a"}, "PUB a INBOX 0", "", "", "", direct.Reply{Data: []byte{}}, nil},
		"headers":      {direct.Request{Subject: "a", Headers: []direct.Header{{Name: "A(", Value: " 1 "}, {Name: "A(", Value: "2\r\nB: 3"}}}, "HPUB a INBOX 32 32", "NATS/1.0\r\nA(: 1\r\nA(: 2  B: 3\r\n\r\n", "NATS/1.0 404 No\r\nC: d\r\n\r\n", "x", direct.Reply{Header: direct.Headers{{Name: "C", Value: "d"}, {Name: "Description", Value: "No"}, {Name: "Status", Value: "404"}}, Data: []byte("x"), HeaderBytes: 25}, nil},
		"no responder": {direct.Request{Subject: "a"}, "PUB a INBOX 0", "", "NATS/1.0 503\r\n\r\n", "", direct.Reply{}, nats.ErrNoResponders},
		"bad headers":  {direct.Request{Subject: "a"}, "PUB a INBOX 0", "", "nonsense\r\n\r\n", "x", direct.Reply{Data: []byte("x"), HeaderBytes: 12}, nil},
		"large":        {direct.Request{Subject: "a"}, "PUB a INBOX 0", "", "", large, direct.Reply{Data: []byte(large)}, nil},
	} {
		got := d.later(t.Context(), tt.ask)
		q := p.request()
		if q.line != tt.line || q.rest != tt.rest {
			t.Errorf("%s: the server has heard %q, %q, want %q, %q", name, q.line, q.rest, tt.line, tt.rest)
		}
		p.answer(q.to, tt.headers, tt.data)
		o := <-got
		slices.SortFunc(o.reply.Header, func(a, b direct.Header) int { return cmp.Compare(a.Name, b.Name) })
		if fmt.Sprint(o.reply) != fmt.Sprint(tt.want) || !errors.Is(o.err, tt.err) {
			t.Errorf("%s: answered %.200v, %v, want %.200v, %v", name, o.reply, o.err, tt.want, tt.err)
		}
	}
}

// What can't be asked is refused at once, and nothing is written.
func TestDeskRefuses(t *testing.T) {
	t.Parallel()
	p := newPuppet(t)
	d := deskAt(t, p, nil)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for name, tt := range map[string]struct {
		ctx  context.Context //nolint:containedctx // of the case
		ask  direct.Request
		want error
	}{
		"subject":           {t.Context(), direct.Request{Subject: "a\r\nPUB b 0"}, nats.ErrBadSubject},
		"header":            {t.Context(), direct.Request{Subject: "a", Headers: []direct.Header{{Name: "A:", Value: "b"}}}, nats.ErrBadHeaderMsg},
		"no subject":        {t.Context(), direct.Request{}, nats.ErrBadSubject},
		"size":              {t.Context(), direct.Request{Subject: "a", Data: make([]byte, 1001)}, nats.ErrMaxPayload},
		"size with headers": {t.Context(), direct.Request{Subject: "a", Data: make([]byte, 990), Headers: []direct.Header{{Name: "A", Value: "b"}}}, nats.ErrMaxPayload},
		"over":              {over, direct.Request{Subject: "a"}, context.Canceled},
	} {
		if _, err := d.Ask(tt.ctx, tt.ask); !errors.Is(err, tt.want) {
			t.Errorf("%s: error %v, want %v", name, err, tt.want)
		}
	}
	go p.say("PING\r\n")
	p.hears(wirePong)
}

// An answer that comes when nobody waits any more is nobody else's.
func TestDeskAnswerThatComesTooLate(t *testing.T) {
	t.Parallel()
	p := newPuppet(t)
	d := deskAt(t, p, nil)
	ctx, cancel := context.WithCancel(t.Context())
	first := d.later(ctx, direct.Request{Subject: "a"})
	late := p.request()
	cancel()
	if o := <-first; !errors.Is(o.err, context.Canceled) {
		t.Errorf("given up with %v", o.err)
	}
	second := d.later(t.Context(), direct.Request{Subject: "b"})
	q := p.request()
	p.answer(late.to, "", "late")
	p.answer(q.to+"x", "", "to nobody")
	p.answer(strings.TrimRight(q.to, "0123456789abcdefghijklmnopqrstuvwxyz")+"!", "", "to nobody")
	p.answer(q.to, "", "good")
	p.answer(q.to, "", "again")
	if o := <-second; string(o.reply.Data) != "good" {
		t.Errorf("answered %q, %v", o.reply.Data, o.err)
	}
}

// Answers go where others have gone, but never where one may still come.
func TestDeskUsesAnInboxAgain(t *testing.T) {
	t.Parallel()
	p := newPuppet(t)
	d := deskAt(t, p, nil)
	ask := func(ctx context.Context) (to string, answer chan outcome) {
		answer = d.later(ctx, direct.Request{Subject: "a"})
		return p.request().to, answer
	}
	canceled, cancel := context.WithCancel(t.Context())
	first, answer := ask(canceled)
	cancel()
	<-answer
	second, answer := ask(t.Context())
	for d.expire(); len(answer) == 0; d.expire() {
		runtime.Gosched()
	}
	third, answer := ask(t.Context())
	p.answer(third, "", "")
	<-answer
	if fourth, _ := ask(t.Context()); second == first || third == first || third == second || fourth != third {
		t.Errorf("answers go to %s when nobody waits, %s when the time is over, %s, and %s", first, second, third, fourth)
	}
}

// Who waits for too long gives up, and nobody who has just asked.
func TestDeskIsPatient(t *testing.T) {
	t.Parallel()
	p := newPuppet(t)
	d := deskAt(t, p, nil)
	first := d.later(t.Context(), direct.Request{Subject: "a"})
	p.request()
	const half = direct.Patience / deskTick / 2 // the desk's own clock goes on meanwhile
	for range half {
		d.expire()
	}
	second := d.later(t.Context(), direct.Request{Subject: "b"})
	q := p.request()
	select {
	case o := <-first:
		t.Errorf("given up too early: %v", o.err)
	default:
	}
	for range half + 1 {
		d.expire()
	}
	if o := <-first; !errors.Is(o.err, context.DeadlineExceeded) {
		t.Errorf("given up with %v", o.err)
	}
	p.answer(q.to, "", "good")
	if o := <-second; string(o.reply.Data) != "good" {
		t.Errorf("answered %q, %v", o.reply.Data, o.err)
	}
}

// TestDeskLosesItsWire: who waits is told so, then the connection asks, then
// another wire.
func TestDeskLosesItsWire(t *testing.T) {
	t.Parallel()
	p, wanted, given := newPuppet(t), make(chan struct{}), make(chan *puppet)
	d := deskAt(t, p, func() *puppet {
		close(wanted)
		return <-given
	})
	defer d.close() // before the second server ends
	waits := d.later(t.Context(), direct.Request{Subject: "a"})
	p.request()
	_ = p.conn.Close()
	if o := <-waits; !errors.Is(o.err, errCut) {
		t.Errorf("the request has ended with %v", o.err)
	}
	<-wanted
	if _, err := d.Ask(t.Context(), direct.Request{Subject: "b"}); !errors.Is(err, errByConn) {
		t.Errorf("without a wire: %v", err)
	}
	again := newPuppet(t)
	given <- again
	for inUse := false; !inUse; runtime.Gosched() {
		d.mu.Lock()
		inUse = d.wire != nil
		d.mu.Unlock()
	}
	got := d.later(t.Context(), direct.Request{Subject: "c"})
	again.answer(again.request().to, "", "here")
	if o := <-got; o.err != nil || string(o.reply.Data) != "here" {
		t.Errorf("by the second wire: %q, %v", o.reply.Data, o.err)
	}
}

// A desk that closes keeps nobody waiting, also not who is writing to a server that
// does not read.
func TestDeskCloses(t *testing.T) {
	t.Parallel()
	p := newPuppet(t)
	d := deskAt(t, p, nil)
	answered := d.later(t.Context(), direct.Request{Subject: "a"})
	p.request()
	stuck := d.later(t.Context(), direct.Request{Subject: "b"})
	behind := d.later(t.Context(), direct.Request{Subject: "c"})
	for waiting := 0; waiting < 3; runtime.Gosched() {
		d.mu.Lock()
		waiting = len(d.asked)
		d.mu.Unlock()
	}
	d.close()
	for _, c := range []chan outcome{answered, stuck, behind} {
		if o := <-c; !errors.Is(o.err, errCut) {
			t.Errorf("ended with %v", o.err)
		}
	}
	if _, err := d.Ask(t.Context(), direct.Request{Subject: "d"}); !errors.Is(err, errByConn) {
		t.Errorf("after the end: %v", err)
	}
}

// TestDeskServesMany asks a real server from many goroutines, some of which give up.
func TestDeskServesMany(t *testing.T) {
	t.Parallel()
	cfg, opts := byWire.to(serve(t, "", 0), Config{})
	cfg.CredsFile = strings.Replace(cfg.CredsFile, "gateway", "hub", 1) // it may publish anything
	b, err := Connect(testContext(t), cfg, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shut(b) })
	if b.desk == nil {
		t.Fatal("a server in this process has no desk")
	}
	sub, err := b.nc.Subscribe("desk.echo", func(m *nats.Msg) { _ = m.Respond(m.Data) })
	if err == nil {
		err = b.nc.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	var wg sync.WaitGroup
	for w := range 50 {
		wg.Go(func() {
			for i := range 200 {
				ctx, cancel := context.WithCancel(t.Context())
				want := fmt.Sprintf("%d %d %s", w, i, strings.Repeat("x", i%20/19*w*2000))
				if i%10 == 9 {
					go cancel()
				}
				r, err := b.desk.Ask(ctx, direct.Request{Subject: "desk.echo", Data: []byte(want)})
				if string(r.Data) != want && (i%10 != 9 || !errors.Is(err, context.Canceled)) {
					t.Errorf("answered %.20q, %v, want %.20q", r.Data, err, want)
				}
				cancel()
			}
		})
	}
	wg.Wait()
}
