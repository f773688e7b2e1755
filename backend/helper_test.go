package backend

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/backend/embedded"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/telemetry"
)

const testTimeout = 60 * time.Second

func testContext(tb testing.TB) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	tb.Cleanup(cancel)
	return ctx
}

// serve starts a server, in dir and on port when they are given.
func serve(tb testing.TB, dir string, port int) *embedded.Server {
	tb.Helper()
	if dir == "" {
		dir = tb.TempDir()
	}
	s, err := embedded.Start(testContext(tb), embedded.Config{DataDir: dir, Port: port, Log: zerolog.Nop()})
	if err != nil {
		tb.Fatalf("start NATS: %v", err)
	}
	running.Store(s.Port(), s)
	tb.Cleanup(func() { halt(tb, s) })
	return s
}

// running is the servers by their ports: the last that was started on each.
var running sync.Map

// dock is the way into the server of a port that goes without it. Servers there
// may be replaced.
type dock int

func (d dock) InProcessConn() (net.Conn, error) {
	v, _ := running.Load(int(d))
	s, ok := v.(*embedded.Server)
	if !ok {
		return nil, errors.New("there is no server")
	}
	var o nats.Options
	if err := s.InProcess()(&o); err != nil {
		return nil, err
	}
	return o.InProcessServer.InProcessConn()
}

// way is how engines reach their server.
type way int

const (
	byNATS way = iota // nats.go, over TCP
	byWire            // the protocol, in process
)

// byEach runs a test of engines over each kind of link.
func byEach(t *testing.T, test func(*testing.T, way)) {
	t.Helper()
	t.Parallel()
	t.Run("nats.go", func(t *testing.T) { test(t, byNATS) })
	t.Run("wire", func(t *testing.T) { test(t, byWire) })
}

// to says how a server is reached.
func (w way) to(s *embedded.Server, cfg Config) (Config, []nats.Option) {
	cfg.URL, cfg.CredsFile = s.URL(), s.HubCreds()
	if w == byNATS {
		return cfg, nil
	}
	cfg.CredsFile = s.GatewayCreds()
	return cfg, []nats.Option{nats.InProcessServer(dock(s.Port()))}
}

func halt(tb testing.TB, s *embedded.Server) {
	tb.Helper()
	if err := s.Shutdown(); err != nil {
		tb.Errorf("stop NATS: %v", err)
	}
}

// open connects by TCP, so that the server can be replaced by another one on
// the same port.
func open(tb testing.TB, s *embedded.Server, cfg Config) *Backbone {
	tb.Helper()
	return byNATS.open(tb, s, cfg)
}

func (w way) open(tb testing.TB, s *embedded.Server, cfg Config) *Backbone {
	tb.Helper()
	cfg, opts := w.to(s, cfg)
	b, err := Connect(testContext(tb), cfg, opts...)
	if err != nil {
		tb.Fatalf("Connect: %v", err)
	}
	tb.Cleanup(func() { shut(b) })
	return b
}

func shut(b *Backbone) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	b.Close(ctx)
}

// ledger is the receipts of many messages.
type ledger struct {
	tb    testing.TB
	mu    sync.Mutex
	got   map[uint64]error
	again int // answers to messages that had one already
	more  chan struct{}
}

func newLedger(tb testing.TB) *ledger {
	return &ledger{tb: tb, got: map[uint64]error{}, more: make(chan struct{}, 1)}
}

func (l *ledger) Stored(tag uint64, err error) {
	l.mu.Lock()
	if _, twice := l.got[tag]; twice {
		l.again++
	}
	l.got[tag] = err
	l.mu.Unlock()
	select {
	case l.more <- struct{}{}:
	default:
	}
}

// wait returns when n messages have been answered.
func (l *ledger) wait(n int) {
	l.tb.Helper()
	limit := time.After(testTimeout)
	for l.len() < n {
		select {
		case <-l.more:
		case <-limit:
			l.tb.Fatalf("%d of %d messages were answered", l.len(), n)
		}
	}
}

func (l *ledger) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.got)
}

// check asserts that nothing was answered twice, and returns the tags of what
// was stored and how often each code was given.
func (l *ledger) check() (stored map[uint64]bool, codes map[hub.Code]int) {
	l.tb.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.again > 0 {
		l.tb.Errorf("%d messages were answered more than once", l.again)
	}
	stored, codes = map[uint64]bool{}, map[hub.Code]int{}
	for tag, err := range l.got {
		codes[hub.CodeOf(err)]++
		if err == nil {
			stored[tag] = true
		}
	}
	return stored, codes
}

func device(n int) hub.Identity { return hub.Identity{Device: "dev-" + strconv.Itoa(n)} }

// tagOf makes a number that is unique and increases with i for each device.
func tagOf(dev, i int) uint64 { return uint64(dev)<<32 | uint64(i) }

func message(id hub.Identity, tag uint64) *telemetry.Message {
	m := &telemetry.Message{
		From: id, Body: strconv.AppendUint(nil, tag, 10), Source: telemetry.SourceTelemetry,
		AuthMethod: telemetry.AuthMethodDevice, Generation: "637612875240648717", Enqueued: time.UnixMilli(1700000000000),
	}
	m.System[telemetry.ContentType] = []byte("application/json")
	m.AddProperty("n", strconv.FormatUint(tag, 10))
	return m
}

// offer stores count messages from each device, all devices at once.
func offer(e telemetry.Sink, l telemetry.Receipt, devices, count int) {
	var wg sync.WaitGroup
	for d := range devices {
		wg.Go(func() {
			for i := range count {
				e.Store(message(device(d), tagOf(d, i)), l, tagOf(d, i))
			}
		})
	}
	wg.Wait()
}

// contents reads a whole stream, as the tags in the bodies by device.
func contents(tb testing.TB, js jetstream.JetStream, stream string) map[string][]uint64 {
	tb.Helper()
	ctx := testContext(tb)
	s, err := js.Stream(ctx, stream)
	if err != nil {
		tb.Fatalf("look up stream: %v", err)
	}
	left := s.CachedInfo().State.Msgs
	all := map[string][]uint64{}
	if left == 0 {
		return all
	}
	c, err := s.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
	if err != nil {
		tb.Fatalf("make consumer: %v", err)
	}
	it, err := c.Messages()
	if err != nil {
		tb.Fatalf("consume: %v", err)
	}
	defer it.Stop()
	for ; left > 0; left-- {
		m, err := it.Next(jetstream.NextContext(ctx))
		if err != nil {
			tb.Fatalf("next message: %v", err)
		}
		tag, err := strconv.ParseUint(string(m.Data()), 10, 64)
		if err != nil {
			tb.Fatalf("body %q is not a tag", m.Data())
		}
		all[m.Subject()] = append(all[m.Subject()], tag)
	}
	return all
}

// inOrder asserts that the messages of each device came in order when later
// copies are left out, and returns the tags and the number of copies.
func inOrder(tb testing.TB, all map[string][]uint64) (seen map[uint64]bool, copies int) {
	tb.Helper()
	seen = map[uint64]bool{}
	for subject, tags := range all {
		last := uint64(0)
		for i, tag := range tags {
			if seen[tag] {
				copies++
				continue
			}
			if i > 0 && tag < last {
				tb.Errorf("%s: %d came after %d", subject, tag&0xffffffff, last&0xffffffff)
			}
			seen[tag], last = true, tag
		}
	}
	return seen, copies
}

// holds asserts that everything stored is in the stream.
func holds(tb testing.TB, seen, stored map[uint64]bool) {
	tb.Helper()
	missing := 0
	for tag := range stored {
		if !seen[tag] {
			missing++
		}
	}
	if missing > 0 {
		tb.Errorf("%d of %d acknowledged messages are not in the stream", missing, len(stored))
	}
}

const (
	lostAck  = "lost"
	afterOne = "after one"
)

// fake is a stream that does what a test wants.
type fake struct {
	tb      testing.TB
	nc      *nats.Conn
	mu      sync.Mutex
	sub     *nats.Subscription
	took    []uint64 // tags in the order in which they were accepted
	arrived []uint64 // all that came
	seq     int
	// answer is asked for each message with its tag and how often that came
	// before; it returns the body of the answer, "" for none, "ok" for an
	// acknowledgement, lostAck for one that nobody gets, afterOne if somebody else has
	// stored a message before.
	answer func(tag uint64, before int) string
	silent int // how many came without a reply subject
}

func newFake(tb testing.TB, s *embedded.Server) *fake {
	tb.Helper()
	nc, err := nats.Connect(s.URL(), nats.UserCredentials(s.HubCreds()))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(nc.Close)
	f := &fake{tb: tb, nc: nc}
	f.open()
	return f
}

func (f *fake) open() {
	f.tb.Helper()
	sub, err := f.nc.Subscribe("hub.telemetry.>", f.handle)
	if err != nil {
		f.tb.Fatal(err)
	}
	f.sub = sub
	if err := f.nc.Flush(); err != nil {
		f.tb.Fatal(err)
	}
}

// answerBy says how messages are answered from now on.
func (f *fake) answerBy(answer func(tag uint64, before int) string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = answer
}

// shut makes publishers see "no responders".
func (f *fake) shut() {
	f.tb.Helper()
	if err := f.sub.Unsubscribe(); err != nil {
		f.tb.Fatal(err)
	}
	if err := f.nc.Flush(); err != nil {
		f.tb.Fatal(err)
	}
}

func (f *fake) handle(m *nats.Msg) {
	tag, err := strconv.ParseUint(string(m.Data), 10, 64)
	if err != nil {
		f.tb.Errorf("body %q is not a tag", m.Data)
		return
	}
	f.mu.Lock()
	before := 0
	for _, t := range f.arrived {
		if t == tag {
			before++
		}
	}
	f.arrived = append(f.arrived, tag)
	reply := "ok"
	if f.answer != nil {
		reply = f.answer(tag, before)
	}
	if m.Reply == "" {
		f.silent++
	}
	if reply == afterOne {
		f.seq++
		reply = "ok"
	}
	if reply == "ok" || reply == lostAck {
		f.seq++
		f.took = append(f.took, tag)
	}
	switch reply {
	case lostAck:
		reply = ""
	case "ok":
		reply = fmt.Sprintf(`{"stream":"HUB_TELEMETRY","seq":%d}`, f.seq)
	}
	f.mu.Unlock()
	if reply != "" && m.Reply != "" {
		_ = m.Respond([]byte(reply))
	}
}

func (f *fake) accepted() []uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]uint64(nil), f.took...)
}

// engine makes an engine without a Backbone.
func (w way) engine(tb testing.TB, s *embedded.Server, cfg Config) *Engine {
	tb.Helper()
	return w.engineWith(tb, s, cfg, nil)
}

// engineWith is engine for answers that wait for c.
func (w way) engineWith(tb testing.TB, s *embedded.Server, cfg Config, c *commits) *Engine {
	tb.Helper()
	cfg, err := cfg.validate()
	if err != nil {
		tb.Fatal(err)
	}
	cfg, opts := w.to(s, cfg)
	d := &dialer{cfg: cfg, extra: opts, faults: &faults{log: cfg.Log}}
	e, err := newEngine(cfg, cfg.names().TelemetryStream(), c, solely(d.linker("test")))
	if err != nil {
		tb.Fatalf("newEngine: %v", err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		e.Close(ctx)
	})
	return e
}

// until waits for a condition that has no event of its own.
func until(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(testTimeout)
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			tb.Fatalf("gave up waiting: %s", what)
		}
	}
}

func hasAll(s string, words ...string) bool {
	for _, w := range words {
		if !strings.Contains(s, w) {
			return false
		}
	}
	return true
}
