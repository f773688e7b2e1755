package backend

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/telemetry"
)

// sparsely stores 8 times 150 messages by wire with a fake stream, and returns what
// it has accepted, what the engine said of it, and how many came without asking.
func sparsely(t *testing.T, cfg Config, answer func(tag uint64, before int) string) (*Engine, map[uint64]bool, map[uint64]bool, int) {
	t.Helper()
	s := serve(t, "", 0)
	f := newFake(t, s)
	f.answerBy(answer)
	e := byWire.engine(t, s, cfg)
	l := newLedger(t)
	const devices, count = 8, 150
	offer(e, l, devices, count)
	l.wait(devices * count)
	stored, _ := l.check()
	took := map[uint64]bool{}
	for _, tag := range f.accepted() {
		took[tag] = true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return e, took, stored, f.silent
}

// TestSparse: most messages do not ask, and all are answered.
func TestSparse(t *testing.T) {
	t.Parallel()
	e, took, stored, silent := sparsely(t, Config{}, func(uint64, int) string { return "ok" })
	if len(took) != 1200 || len(stored) != 1200 || e.Retried() > 0 {
		t.Errorf("%d are in the stream, %d acknowledged, %d repeated", len(took), len(stored), e.Retried())
	}
	if silent < 100 {
		t.Errorf("%d of 1200 have not asked", silent)
	}
}

// TestSparseNeverLies: whatever the stream drops, refuses or does not answer, what
// is reported as stored is in it.
func TestSparseNeverLies(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			dice := rand.New(rand.NewPCG(seed, 1))
			_, took, stored, silent := sparsely(t, Config{StoreTimeout: 3 * time.Second}, func(_ uint64, before int) string {
				switch n := dice.IntN(1000); {
				case before > 1, n > 12:
					return "ok"
				case n < 6:
					return "" // dropped
				case n < 8:
					return lostAck
				case n < 10:
					return full
				default:
					return tooMany
				}
			})
			holds(t, took, stored)
			if len(stored) < 600 || silent == 0 {
				t.Errorf("%d were stored, %d have not asked", len(stored), silent)
			}
		})
	}
}

// TestSparseWithOthers: when somebody else writes into the stream, each message asks
// for itself, and nothing is lost.
func TestSparseWithOthers(t *testing.T) {
	t.Parallel()
	came := 0
	e, took, stored, silent := sparsely(t, Config{}, func(uint64, int) string {
		if came++; came > 300 && came%7 == 0 {
			return afterOne
		}
		return "ok"
	})
	if len(took) != 1200 || len(stored) != 1200 {
		t.Errorf("%d are in the stream, %d acknowledged", len(took), len(stored))
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.sparse || silent == 0 || e.Retried() >= 2*sparseGroup*parcelSlots {
		t.Errorf("sparse %t, %d have not asked, %d repeated", e.sparse, silent, e.Retried())
	}
}

// TestAlone: who writes besides the engine waits until no message depends on another
// one's answer, and meanwhile each asks.
func TestAlone(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	f := newFake(t, s)
	e := byWire.engine(t, s, Config{})
	l := newLedger(t)
	offer(e, l, 1, 1)
	l.wait(1)
	f.answerBy(func(uint64, int) string { return "" })
	offer(e, l, 4, 10)
	until(t, "some wait for others", func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.unasked(e.win.next)
	})
	ctx, cancel := context.WithTimeout(testContext(t), 150*time.Millisecond)
	defer cancel()
	if err := e.alone(ctx, func() error { return errors.New("called") }); err == nil || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want that the time is over", err)
	}
	f.answerBy(nil)
	err := e.alone(testContext(t), func() error {
		f.mu.Lock()
		before := f.silent
		f.mu.Unlock()
		offer(e, l, 1, 100)
		l.wait(130)
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.silent != before {
			return fmt.Errorf("%d have not asked", f.silent-before)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.singles != 0 {
		t.Errorf("%d are still alone", e.singles)
	}
}

// TestAloneAtTheEnd: an engine that closes keeps nobody waiting.
func TestAloneAtTheEnd(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	f := newFake(t, s)
	e := byWire.engine(t, s, Config{})
	l := newLedger(t)
	offer(e, l, 1, 1)
	l.wait(1)
	f.answerBy(func(uint64, int) string { return "" })
	offer(e, l, 4, 20)
	until(t, "some wait for others", func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.unasked(e.win.next)
	})
	done := make(chan error)
	go func() { done <- e.alone(context.Background(), func() error { return nil }) }()
	until(t, "it waits", func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.singles == 1
	})
	over, cancel := context.WithCancel(context.Background())
	cancel()
	e.Close(over)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestAloneIsNoLandmark: what others have written counts for nothing that is published
// later, and publications ask as seldom as before.
func TestAloneIsNoLandmark(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	f := newFake(t, s)
	e := byWire.engine(t, s, Config{})
	l := newLedger(t)
	write := func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.seq++
		return nil
	}
	offer(e, l, 1, 1)
	l.wait(1)
	if err := e.alone(testContext(t), write); err != nil {
		t.Fatal(err)
	}
	e.Store(message(device(99), 1<<40), l, 1<<40) // a landmark
	l.wait(2)
	offer(e, l, 8, 150)
	l.wait(1201)
	f.mu.Lock()
	silent := f.silent
	f.mu.Unlock()
	if e.Retried() > 0 || silent == 0 {
		t.Errorf("%d are repeated, %d have not asked", e.Retried(), silent)
	}
}

// TestAloneWithoutAnAnswer: a write that nobody has answered may come at any time, so
// that every message asks.
func TestAloneWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	for err, sparse := range map[error]bool{nil: true, jetstream.ErrNoStreamResponse: false, &jetstream.APIError{ErrorCode: jetstream.JSErrCodeStreamWrongLastSequence}: true} {
		e := &Engine{sparse: true}
		e.quiet.L = &e.mu
		if got := e.alone(testContext(t), func() error { return err }); !errors.Is(got, err) {
			t.Errorf("error %v, want %v", got, err)
		}
		if e.sparse != sparse || e.singles != 0 {
			t.Errorf("after %v: sparse %t, %d alone", err, e.sparse, e.singles)
		}
	}
}

// TestAloneThenRefused: what others have written must not stand for a message that the
// stream refuses.
func TestAloneThenRefused(t *testing.T) {
	t.Parallel()
	b, ctx := byWire.open(t, serve(t, "", 0), Config{}), testContext(t)
	s, err := b.js.Stream(ctx, b.names.TelemetryStream())
	if err != nil {
		t.Fatal(err)
	}
	cfg := s.CachedInfo().Config
	cfg.MaxMsgSize = 3000
	if _, err := b.js.UpdateStream(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	l, large := newLedger(t), newLedger(t)
	b.telemetry.Store(message(device(9), 1), l, 1)
	l.wait(1)
	err = b.telemetry.alone(ctx, func() error {
		_, err := b.js.Publish(ctx, b.names.Telemetry(device(8)), []byte("will"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint64(40) {
		if i == 5 {
			b.telemetry.Store(&telemetry.Message{From: device(7), Body: make([]byte, 4000)}, large, 1)
			continue
		}
		b.telemetry.Store(message(device(6), i), l, 1000+i)
	}
	large.wait(1)
	l.wait(39)
	if stored, _ := large.check(); len(stored) > 0 {
		t.Error("a message is acknowledged that the stream has refused")
	}
}

// model is an engine without goroutines, with a stream that works as slowly as the
// dice will have it: what is on its way there and back outlives setbacks.
type model struct {
	t      *testing.T
	dice   *rand.Rand
	e      *Engine
	p      parcel
	sent   []publication // on their way to the stream
	back   []response    // on their way to the engine
	length uint64        // of the stream
	took   map[uint64]bool
	got    map[uint64]error
	beside bool // somebody else may write into the stream

	asked, all int // publications
}

type publication struct {
	to
	asks bool
	tag  uint64
}

// Stored is the receipt of all messages.
func (m *model) Stored(tag uint64, err error) {
	if _, twice := m.got[tag]; twice {
		m.t.Fatalf("message %d is answered twice", tag)
	}
	m.got[tag] = err
	if err == nil && !m.took[tag] {
		m.t.Fatalf("message %d is acknowledged and not in the stream", tag)
	}
}

func newModel(t *testing.T, seed uint64) *model {
	e := &Engine{win: newWindow(1000, 1<<30), stream: telemetryStream, sparse: true, pumping: make(chan struct{}, 1), timing: timingFor(time.Minute), began: time.Now()}
	e.quiet.L = &e.mu
	e.probe()
	return &model{t: t, dice: rand.New(rand.NewPCG(seed, 2)), e: e, p: parcel{now: &e.epoch}, took: map[uint64]bool{}, got: map[uint64]error{}}
}

// offer gives the engine messages.
func (m *model) offer(n int) {
	n = min(n, m.e.room()) // the next one would wait
	for range n {
		s := m.e.reserve(1)
		if s == nil {
			m.t.Fatal("no place")
		}
		tag := m.e.win.tail
		if m.dice.IntN(20) == 0 {
			s.headers.Add("large", string(make([]byte, sparseHeaders)))
		}
		s.done, s.tag = m, tag
		s.fill([]byte("x"), nil)
		m.e.submit(s)
	}
}

// publish sends one parcel.
func (m *model) publish() {
	if !m.e.pull(&m.p) {
		return
	}
	for _, s := range m.p.slots {
		m.sent = append(m.sent, publication{to{s.seq, m.p.epoch + 1}, s.asks, s.tag})
		if m.all++; s.asks {
			m.asked++
		}
	}
	m.e.release(m.p.slots)
}

// work has the stream take publications, each as the dice say.
func (m *model) work(n int, trouble int) {
	n = min(n, len(m.sent))
	for _, p := range m.sent[:n] {
		r := response{to: p.to}
		lost := !p.asks
		switch d := m.dice.IntN(100); {
		case d >= trouble || d > 4:
			m.length++
			m.took[p.tag] = true
			r.ack = ack{[]byte(telemetryStream), fmt.Append(nil, m.length)}
		case d == 0:
			m.length++
			m.took[p.tag] = true
			lost = true
		case d == 1:
			r.err = &jetstream.APIError{ErrorCode: 10077}
		case d == 2:
			r.err = &jetstream.APIError{ErrorCode: errTooManyRequests}
		case d == 3:
			r.nobody = true
		default:
			lost = true
		}
		if !lost {
			m.back = append(m.back, r)
		}
	}
	m.sent = m.sent[n:]
}

// deliver gives the engine replies.
func (m *model) deliver(n int) {
	n = min(n, len(m.back))
	box := &mail{responses: append([]response(nil), m.back[:n]...)}
	m.back = m.back[n:]
	m.e.receive(box)
}

// alone has somebody else begin to write into the stream, or end it, when he may.
func (m *model) alone() {
	m.e.mu.Lock()
	may := !m.e.unasked(m.e.win.next)
	m.e.mu.Unlock()
	switch {
	case m.beside:
		m.length++
		m.e.written(nil)
		m.beside = false
	case may:
		m.beside = m.e.clear(m.t.Context()) == nil
	}
}

// begin has a stalled engine try again.
func (m *model) begin() {
	m.e.mu.Lock()
	defer m.e.mu.Unlock()
	if m.e.state == stalled {
		m.e.probe()
	}
}

// interrupt is a setback from outside: an acknowledgement that takes too long.
func (m *model) interrupt() {
	m.e.mu.Lock()
	defer m.e.mu.Unlock()
	m.e.stall("it takes too long")
}

// TestSparseModel: whatever is late, dropped, refused or repeated, what is
// acknowledged is in the stream, and in the end everything is answered.
func TestSparseModel(t *testing.T) {
	t.Parallel()
	asked, all := 0, 0 // where there is no trouble
	for seed := range uint64(400) {
		m := newModel(t, seed)
		trouble := []int{0, 5, 20, 40}[seed%4]
		for range 150 {
			switch m.dice.IntN(13) {
			case 0, 1:
				m.offer(m.dice.IntN(40))
			case 2, 3, 4:
				m.publish()
			case 5, 6:
				m.work(m.dice.IntN(60), trouble)
			case 7, 8:
				m.deliver(m.dice.IntN(20))
			case 9, 10:
				m.begin()
			case 11:
				if seed%8 >= 4 {
					m.alone()
				}
			default:
				if m.dice.IntN(8) == 0 {
					m.interrupt()
				}
			}
		}
		m.settle()
		if trouble == 0 && seed%8 < 4 {
			asked, all = asked+m.asked, all+m.all
		}
	}
	if asked*2 > all {
		t.Errorf("%d of %d publications ask", asked, all)
	}
}

// settle lets everything come to its end.
func (m *model) settle() {
	for tries := 0; len(m.got) < int(m.e.win.tail-1); tries++ {
		if tries > 1000 {
			m.t.Fatalf("%d of %d are answered", len(m.got), m.e.win.tail-1)
		}
		m.publish()
		m.work(1000, 0)
		m.deliver(1000)
		if len(m.sent)+len(m.back) == 0 && m.e.win.next > m.e.win.head {
			m.interrupt()
		}
		m.begin()
	}
}
