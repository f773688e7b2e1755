package iothub

import (
	"bufio"
	"context"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/c2d"
	"github.com/hubgate/hubgate/gateway"
	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/methods"
	"github.com/hubgate/hubgate/sas"
	"github.com/hubgate/hubgate/session"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// noSessions is a session.Store that remembers nothing, and tells the ends of
// connections.
type noSessions chan session.Session

func (noSessions) Claim(_ context.Context, next session.Session) (session.Session, bool, error) {
	next.Epoch = 1
	return next, false, nil
}

func (noSessions) Save(context.Context, *session.Session) error { return nil }

func (n noSessions) Release(_ context.Context, s *session.Session) error {
	n <- *s
	return nil
}

func (noSessions) Get(context.Context, hub.Identity) (session.Session, error) {
	return session.Session{}, nil
}

func (noSessions) Watch(context.Context, func(session.Claim)) error { return nil }

func (noSessions) Connection(session.Event) {}

// device is dev1 at a server, with little room for what it does not read.
type device struct {
	t    *testing.T
	nc   net.Conn
	r    *bufio.Reader
	dec  mqtt.Decoder
	ends noSessions
}

// online serves f, and connects dev1 to it by its own key.
func online(t *testing.T, f *Face, devices fleet) (*gateway.Server, *device) {
	t.Helper()
	return onlineBy(t, f, sas.Sign(sas.Resource(host, hub.Identity{Device: "dev1"}), devices.key(t, "dev1", 0), time.Now().Add(time.Hour), ""))
}

// onlineBy serves f, and connects dev1 to it by a token.
func onlineBy(t *testing.T, f *Face, token string) (*gateway.Server, *device) {
	t.Helper()
	d := &device{t: t, ends: make(noSessions, 1), dec: mqtt.Decoder{Version: mqtt.V311, From: mqtt.FromServer}}
	s := &gateway.Server{Face: f, Sessions: d.ends, Events: d.ends, Log: zerolog.Nop()}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.ServePlain(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		<-served
	})
	if d.nc, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.nc.Close() })
	_ = d.nc.(*net.TCPConn).SetReadBuffer(16 << 10)
	_ = d.nc.SetDeadline(time.Now().Add(patience))
	d.r = bufio.NewReader(d.nc)
	d.write(connectOf("dev1", host+"/dev1/?api-version=2021-04-12", token))
	if k, ok := d.read().(*mqtt.Connack); !ok || k.Code != 0 {
		t.Fatalf("dev1 is not let in: %+v", k)
	}
	return s, d
}

func (d *device) write(p mqtt.Packet) {
	d.t.Helper()
	b, err := p.Append(nil, mqtt.V311)
	if err != nil {
		d.t.Fatal(err)
	}
	if _, err := d.nc.Write(b); err != nil {
		d.t.Fatal(err)
	}
}

func (d *device) read() mqtt.Packet {
	d.t.Helper()
	p, err := d.next()
	if err != nil {
		d.t.Fatal(err)
	}
	return p
}

func (d *device) next() (mqtt.Packet, error) {
	for n := 2; ; n++ {
		b, err := d.r.Peek(n)
		if err != nil {
			return nil, err
		}
		size, err := d.dec.Frame(b)
		if err != nil {
			return nil, err
		}
		if size == 0 {
			continue
		}
		packet := make([]byte, size)
		if _, err := io.ReadFull(d.r, packet); err != nil {
			return nil, err
		}
		return d.dec.Decode(packet)
	}
}

// answer reads calls and answers them until the connection ends.
func (d *device) answer() {
	for {
		p, err := d.next()
		if err != nil {
			return
		}
		if call, ok := p.(*mqtt.Publish); ok {
			_, rid, _ := strings.Cut(string(call.Topic), "$rid=")
			b, _ := (&mqtt.Publish{Topic: []byte(prefixMethodAnswer + "200/?$rid=" + rid)}).Append(nil, mqtt.V311)
			_, _ = d.nc.Write(b)
		}
	}
}

func (d *device) subscribe(filter string, qos byte) {
	d.t.Helper()
	d.write(&mqtt.Subscribe{ID: 1, Filters: []mqtt.Filter{{Topic: []byte(filter), QoS: qos}}})
	if s, ok := d.read().(*mqtt.Suback); !ok || s.Codes[0] != qos {
		d.t.Fatalf("%s is not granted", filter)
	}
}

// TestBurstOfCalls: more large calls at once than a device can have read are refused, and
// do not end its connection, with which all the others would be lost.
func TestBurstOfCalls(t *testing.T) {
	f, devices, _ := newFace()
	s, d := online(t, f, devices)
	d.subscribe(prefixMethods+"#", 0)
	const calls = 40
	payload := []byte(strings.Repeat("7", 128<<10))
	results := make(chan error, calls)
	for range calls {
		go func() {
			_, err := f.Invoke(t.Context(), s, methods.Call{ID: hub.Identity{Device: "dev1"}, Method: "m", Payload: payload})
			results <- err
		}()
	}
	first := <-results // the device has read nothing
	if hub.CodeOf(first) != hub.TooManyCalls {
		t.Fatalf("one too many: %v", first)
	}
	go d.answer()
	answered := 0
	for range calls - 1 {
		switch err := <-results; {
		case err == nil:
			answered++
		case hub.CodeOf(err) != hub.TooManyCalls:
			t.Fatalf("one too many: %v", err)
		}
	}
	if answered < 4 {
		t.Errorf("%d calls were answered", answered)
	}
}

// fullQueue is a queue of many large messages. retried is closed when one is asked for
// again: it was not taken.
type fullQueue struct {
	mu      sync.Mutex
	left    []uint64
	asked   uint64
	retried chan struct{}
}

func (q *fullQueue) Next(_ context.Context, device string, after uint64) (c2d.Message, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.IndexFunc(q.left, func(n uint64) bool { return n > after })
	if i < 0 {
		return c2d.Message{}, nil
	}
	n := q.left[i]
	if n == q.asked && q.retried != nil {
		close(q.retried)
		q.retried = nil
	}
	q.asked = n
	return c2d.Message{Device: device, Body: make([]byte, 60<<10), Sequence: n, Enqueued: time.Now()}, nil
}

func (q *fullQueue) Holds(_ context.Context, n uint64) (bool, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Contains(q.left, n), nil
}

func (q *fullQueue) Remove(_ context.Context, n uint64) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.left = slices.DeleteFunc(q.left, func(m uint64) bool { return m == n })
	return nil
}

func (*fullQueue) Load(context.Context, string) (c2d.State, error) { return c2d.State{}, nil }

func (*fullQueue) Save(context.Context, string, c2d.State) error { return nil }

// TestFullQueueWithQoS0: a message that is complete as soon as it is sent waits in the
// queue as long as much waits for the device.
func TestFullQueueWithQoS0(t *testing.T) {
	f, devices, _ := newFace()
	retried := make(chan struct{})
	q := &fullQueue{retried: retried}
	const waiting = 400 // more than two sockets hold
	for n := range uint64(waiting) {
		q.left = append(q.left, n+1)
	}
	f.C2D = &c2d.Queues{Store: q}
	_, d := online(t, f, devices)
	d.subscribe("devices/dev1/messages/devicebound/#", 0)
	select {
	case <-retried:
	case e := <-d.ends:
		t.Fatalf("the connection ended by %d %q", e.Code, e.Reason)
	case <-time.After(patience):
		t.Fatal("all was taken")
	}
	for n := range waiting {
		if p, ok := d.read().(*mqtt.Publish); !ok || len(p.Payload) != 60<<10 {
			t.Fatalf("message %d: %+v", n, p)
		}
	}
}
