package gateway

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/session"
	"github.com/hubgate/hubgate/span"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// fakeFace admits every client under its client id, or refuses it.
type fakeFace struct {
	known   map[string]hub.Identity // whom a refusal is about, by client id
	refuse  func(clientID string) error
	expires time.Time
	stale   time.Time
	handler *fakeHandler
}

func (f *fakeFace) Profile() Profile {
	return Profile{Versions: []mqtt.Version{mqtt.V311}, Lenient: true}
}

func (f *fakeFace) Admit(_ context.Context, c *mqtt.Connect, _ Peer) (Admission, error) {
	if f.refuse != nil {
		if err := f.refuse(string(c.ClientID)); err != nil {
			return Admission{ID: f.known[string(c.ClientID)]}, err
		}
	}
	id, err := hub.ParseIdentity(string(c.ClientID))
	a := Admission{ID: id, Generation: "g1", Expires: f.expires, Stale: f.stale, Handler: f.handler}
	if c.Will != nil {
		a.Will = &session.Will{Body: bytes.Clone(c.Will.Payload)}
	}
	return a, err
}

// fakeHandler keeps what it is told. Publishes are stored at once, unless hold
// is set: then they wait in held.
type fakeHandler struct {
	mu   sync.Mutex
	hold bool
	held []receipt
	came chan string // payloads, in order

	trace func(payload string) span.Span // nil: nothing is traced
}

type receipt struct {
	done Receipt
	tag  uint64
}

func newFakeHandler() *fakeHandler { return &fakeHandler{came: make(chan string, 1000)} }

func (h *fakeHandler) Publish(p *mqtt.Publish, done Receipt, tag uint64) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if string(p.Payload) == "panic" {
		panic("as the test asks")
	}
	if h.trace != nil {
		done.(Traceable).Trace(tag, h.trace(string(p.Payload)))
	}
	if h.hold {
		h.held = append(h.held, receipt{done, tag})
	} else {
		go done.Stored(tag, nil)
	}
	h.came <- string(p.Payload)
	return nil
}

func (h *fakeHandler) Grant(filter string, qos byte) (byte, error) {
	if filter == "forbidden/#" {
		return 0, hub.Errorf(hub.ArgumentInvalid, "no such filter")
	}
	return min(qos, 1), nil
}

// fakeSessions is a session.Store in a map, for tests of connections; the
// real one is tested beside NATS.
type fakeSessions struct {
	mu       sync.Mutex
	sessions map[hub.Identity]session.Session
	revision uint64
	fail     error
	claimed  func(session.Session) // is told of a claim before who claims
	events   fakeEvents            // nil: ends are told to nobody
	wills    map[string]string     // armed ones, by name
	sent     []string              // those that were owed
}

// settle sends what v owes. s.mu is held.
func (s *fakeSessions) settle(v *session.Session) {
	for _, will := range v.Owed {
		s.sent = append(s.sent, s.wills[will])
	}
	v.Owed = nil
}

func (s *fakeSessions) Claim(_ context.Context, next session.Session) (session.Session, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return session.Session{}, false, s.fail
	}
	next, present := session.Resume(s.sessions[next.ID], next)
	s.revision++
	next.Epoch, next.Revision = s.revision, s.revision
	if next.Will != nil {
		if s.wills == nil {
			s.wills = map[string]string{}
		}
		next.WillID = next.Connection
		s.wills[next.WillID], next.Will = string(next.Will.Body), nil
	}
	s.settle(&next)
	if next.Displaced != "" && len(next.Ends) > 0 {
		s.tell(next.Ends[len(next.Ends)-1].Ended(next.ID))
	}
	next.Ends = nil
	s.put(next)
	if s.claimed != nil {
		s.claimed(next)
	}
	return next, present, nil
}

func (s *fakeSessions) tell(e session.Event) {
	if s.events != nil {
		s.events.Connection(e)
	}
}

func (s *fakeSessions) put(v session.Session) {
	if s.sessions == nil {
		s.sessions = make(map[hub.Identity]session.Session)
	}
	v.Subscriptions = append([]session.Subscription(nil), v.Subscriptions...)
	s.sessions[v.ID] = v
}

func (s *fakeSessions) Save(_ context.Context, v *session.Session) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	return s.write(v)
}

func (s *fakeSessions) write(v *session.Session) error {
	if s.sessions[v.ID].Revision != v.Revision {
		return hub.Errorf(hub.ConnectionReplaced, "fenced")
	}
	s.revision++
	v.Revision = s.revision
	s.put(*v)
	return nil
}

// Release does not fail: a store goes on trying.
func (s *fakeSessions) Release(_ context.Context, v *session.Session) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	ended := *v
	ended.End()
	if err := s.write(&ended); err != nil {
		return err
	}
	s.settle(&ended)
	if !v.Untold {
		s.tell(v.Ended())
	}
	*v = ended
	return nil
}

func (s *fakeSessions) Get(_ context.Context, id hub.Identity) (session.Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions[id], nil
}

func (s *fakeSessions) Watch(ctx context.Context, _ func(session.Claim)) error {
	<-ctx.Done()
	return nil
}

// fakeEvents hands out events.
type fakeEvents chan session.Event

func (e fakeEvents) Connection(v session.Event) { e <- v }

// world is a server with everything around it fake.
type world struct {
	*Server
	addr     string
	face     *fakeFace
	handler  *fakeHandler
	sessions *fakeSessions
	events   fakeEvents
	log      *syncBuffer
}

// newWorld starts a server on a plain loopback listener; configure may change
// it before.
func newWorld(t *testing.T, configure func(*world)) *world {
	t.Helper()
	h := newFakeHandler()
	events := make(fakeEvents, 1000)
	w := &world{
		face: &fakeFace{handler: h}, handler: h, sessions: &fakeSessions{events: events},
		events: events, log: new(syncBuffer),
	}
	w.Server = &Server{
		Face: w.face, Sessions: w.sessions, Events: w.events, Node: "n1",
		Log: zerolog.New(w.log).Level(zerolog.DebugLevel),
	}
	if configure != nil {
		configure(w)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.addr = ln.Addr().String()
	served := make(chan error, 1)
	go func() { served <- w.ServePlain(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := w.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		// A test that is over at once shuts down before the server serves.
		if err := <-served; err != nil && !errors.Is(err, net.ErrClosed) {
			t.Errorf("serve: %v", err)
		}
	})
	return w
}

// event waits for the next connection event.
func (w *world) event(t *testing.T) session.Event {
	t.Helper()
	select {
	case e := <-w.events:
		return e
	case <-time.After(patience):
		t.Fatal("no event came")
		return session.Event{}
	}
}

// syncBuffer is a log that a test may read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// client is the other end of a connection.
type client struct {
	t   *testing.T
	nc  net.Conn
	r   *bufio.Reader
	dec mqtt.Decoder
}

func dial(t *testing.T, addr string) *client {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return newClient(t, nc)
}

func newClient(t *testing.T, nc net.Conn) *client {
	t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(patience))
	return &client{t: t, nc: nc, r: bufio.NewReader(nc), dec: mqtt.Decoder{Version: mqtt.V311, From: mqtt.FromServer}}
}

// hold has the handler keep the messages that come, or answer at once.
func (w *world) hold(on bool) {
	w.handler.mu.Lock()
	defer w.handler.mu.Unlock()
	w.handler.hold = on
}

// held is how many messages the handler keeps.
func (w *world) held() int {
	w.handler.mu.Lock()
	defer w.handler.mu.Unlock()
	return len(w.handler.held)
}

// release answers for the first n of them.
func (w *world) release(n int) {
	w.handler.mu.Lock()
	held := w.handler.held[:n]
	w.handler.held = w.handler.held[n:]
	w.handler.mu.Unlock()
	for _, r := range held {
		r.done.Stored(r.tag, nil)
	}
}

// connect dials and joins.
func (w *world) connect(t *testing.T, id string) *client {
	t.Helper()
	return dial(t, w.addr).join(id, 60)
}

// join sends CONNECT with clean session 0, and expects to be let in.
func (c *client) join(id string, keepAlive uint16) *client {
	c.t.Helper()
	c.write(&mqtt.Connect{ClientID: []byte(id), KeepAlive: keepAlive})
	if k := c.connack(); k.Code != 0 {
		c.t.Fatalf("CONNACK %d, want 0", k.Code)
	}
	return c
}

func (c *client) write(packets ...mqtt.Packet) {
	c.t.Helper()
	var b []byte
	for _, p := range packets {
		var err error
		if b, err = p.Append(b, mqtt.V311); err != nil {
			c.t.Fatalf("encode %s: %v", p.Type(), err)
		}
	}
	c.raw(b)
}

func (c *client) raw(b []byte) {
	c.t.Helper()
	if _, err := c.nc.Write(b); err != nil {
		c.t.Fatalf("write: %v", err)
	}
}

// read returns the next packet; it is valid until the next read.
func (c *client) read() (mqtt.Packet, error) {
	for n := 2; ; n++ {
		b, err := c.r.Peek(n)
		if err != nil {
			return nil, err
		}
		size, err := c.dec.Frame(b)
		if err != nil {
			return nil, err
		}
		if size == 0 {
			continue
		}
		packet := make([]byte, size)
		if _, err := io.ReadFull(c.r, packet); err != nil {
			return nil, err
		}
		return c.dec.Decode(packet)
	}
}

func next[T mqtt.Packet](c *client) T {
	c.t.Helper()
	p, err := c.read()
	if err != nil {
		c.t.Fatalf("read: %v", err)
	}
	got, ok := p.(T)
	if !ok {
		c.t.Fatalf("got %s, want %T", p.Type(), got)
	}
	return got
}

func (c *client) connack() *mqtt.Connack {
	c.t.Helper()
	return next[*mqtt.Connack](c)
}

// closed expects that the server closes the connection without a word.
func (c *client) closed() {
	c.t.Helper()
	p, err := c.read()
	if err == nil {
		c.t.Fatalf("got %s, want the connection closed", p.Type())
	}
	if errors.Is(err, context.DeadlineExceeded) {
		c.t.Fatalf("the connection is still open: %v", err)
	}
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		c.t.Fatalf("the connection is still open: %v", err)
	}
}

func (c *client) publish(id uint16, payload string) {
	c.t.Helper()
	p := &mqtt.Publish{Topic: []byte("t"), Payload: []byte(payload)}
	if id != 0 {
		p.QoS, p.ID = 1, id
	}
	c.write(p)
}
