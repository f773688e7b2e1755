package simulate

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
)

// connackWait is how long the SDKs wait for CONNACK.
const connackWait = time.Minute

// device is one device of a fleet.
type device struct {
	fleet *Fleet
	index int // in the fleet
	id    string
	key   []byte
	shape *shape
	timer *time.Timer // does what is due
	tries int         // connections that were begun

	mu      sync.Mutex // for what is below
	rand    *rand.Rand
	link    *live // nil: no connection
	coming  bool  // it tries, and has not failed yet
	begun   bool  // has subscribed once
	lost    time.Time
	agenda  agenda
	book    ledger
	pending []sent // not acknowledged, in the order sent
	lastID  uint16
	asked   request
}

// live is a link in use.
type live struct {
	*link

	over    bool          // we have ended it, and it is no error
	cause   error         // why we have ended it, if it is one
	gone    chan struct{} // closed when either is set
	wrote   time.Time
	pinged  time.Time // zero: no PINGREQ waits for its answer
	lull    time.Duration
	lullEnd time.Time
}

// run connects again and again until ctx ends.
func (d *device) run(ctx context.Context) {
	failures := 0
	for ctx.Err() == nil {
		o, err := d.open(ctx)
		if err == nil {
			failures = 0
			d.use(ctx, o)
			continue
		}
		if ctx.Err() != nil {
			return
		}
		d.fleet.stats.fault(d.id, err)
		d.mu.Lock()
		d.coming = false
		d.mu.Unlock()
		failures++
		if !wait(ctx, d.pauseBefore(failures+1, err)) {
			return
		}
	}
}

// pauseBefore is how long to wait before a try, after err. Node's and Python's
// devices stop at CONNACK 5, and whoever runs them starts them again.
func (d *device) pauseBefore(try int, err error) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	refused, _ := errors.AsType[refusal](err)
	return d.shape.pause(try, refused.code, d.rand)
}

// wait reports whether ctx has not ended meanwhile.
func wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// opened is a connection with its CONNACK.
type opened struct {
	link    *link
	present bool // the hub has a session of the device
}

// open connects up to CONNACK. That is done by a goroutine of its own, for the
// handshake makes its stack large.
func (d *device) open(ctx context.Context) (o opened, err error) {
	done := make(chan struct{})
	d.tries++
	d.fleet.stats.opening.Add(1)
	go func() {
		defer close(done)
		o, err = d.establish(ctx)
	}()
	<-done
	d.fleet.stats.opening.Add(-1)
	return o, err
}

func (d *device) establish(ctx context.Context) (opened, error) {
	begin := time.Now()
	c, err := d.fleet.target.dial(ctx, d.index, d.tries)
	if err != nil {
		return opened{}, err
	}
	defer context.AfterFunc(ctx, c.wire.cut)()
	l := newLink(c)
	ack, err := d.greet(l)
	if err != nil {
		c.wire.cut()
		return opened{}, &stepError{greeting, err}
	}
	d.fleet.stats.handshake.add(time.Since(begin))
	return opened{l, ack.SessionPresent}, nil
}

// greet sends CONNECT and waits for CONNACK.
func (d *device) greet(l *link) (*mqtt.Connack, error) {
	host := d.fleet.target.Host
	token := d.shape.token(host, hub.Identity{Device: d.id}, d.key, time.Now().Add(d.fleet.cfg.TTL))
	hello := mqtt.Connect{
		Version: mqtt.V311, KeepAlive: uint16(d.shape.keepAlive / time.Second), HasUsername: true, HasPassword: true,
		ClientID: []byte(d.id), Username: []byte(d.shape.userName(host, d.id)), Password: []byte(token),
	}
	if err := l.send(&hello); err != nil {
		return nil, err
	}
	_ = l.conn.SetReadDeadline(time.Now().Add(connackWait))
	p, err := l.receive()
	if err != nil {
		return nil, err
	}
	_ = l.conn.SetReadDeadline(time.Time{})
	ack, ok := p.(*mqtt.Connack)
	if !ok {
		return nil, strayPacket
	}
	if ack.Code != mqtt.ConnackAccepted {
		return nil, refusal{ack.Code}
	}
	return ack, nil
}

// use works with a connection until it ends.
func (d *device) use(ctx context.Context, o opened) {
	u, err := d.begin(ctx, o)
	for err == nil {
		var p mqtt.Packet
		if p, err = u.receive(); err != nil {
			break
		}
		if err = d.take(u, p); err == nil {
			d.rest(ctx, u)
		}
	}
	d.end(u, err)
}

// rest does not read for a while, if the profile has said so.
func (d *device) rest(ctx context.Context, u *live) {
	d.mu.Lock()
	lull := u.lull
	u.lull = 0
	d.mu.Unlock()
	if lull <= 0 {
		return
	}
	over := time.NewTimer(lull)
	defer over.Stop()
	select {
	case <-ctx.Done():
	case <-u.gone:
	case <-over.C:
	}
}

// begin takes a connection over: subscriptions, what was not acknowledged, and
// what is due from now on.
func (d *device) begin(ctx context.Context, o opened) (*live, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s, now := &d.fleet.stats, time.Now()
	u := &live{link: o.link, gone: make(chan struct{}), wrote: now}
	d.link, d.coming = u, false
	s.connected.Add(1)
	s.connects.Add(1)
	if ctx.Err() != nil { // nobody looks for connections any more
		d.leave()
		return u, ctx.Err()
	}
	if !d.lost.IsZero() {
		s.comeback.add(now.Sub(d.lost))
	}
	filters := d.shape.first
	if d.begun {
		filters = d.shape.again
	}
	if d.begun && !o.present {
		s.fault(d.id, lostSession)
		filters = d.shape.first
	}
	d.begun = true
	b := d.appendSubscribes(nil, filters)
	b = d.appendAgain(b, now)
	d.asked = request{}
	b = d.appendRead(b, now)
	d.plan(now)
	return u, u.write(b)
}

// end is the end of a connection, by err or by ourselves.
func (d *device) end(u *live, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := &d.fleet.stats
	d.timer.Stop()
	d.link, d.coming, d.lost = nil, true, time.Now()
	s.connected.Add(-1)
	_ = u.conn.Close()
	if u.over {
		return
	}
	s.losses.Add(1)
	if u.cause != nil {
		err = u.cause
	}
	s.fault(d.id, &stepError{talking, err})
}

// finish notes that we end the connection, because of err or because we want to.
// It is called once. The device's mu is held.
func (u *live) finish(err error) {
	u.over, u.cause = err == nil, err
	close(u.gone)
}

// ours reports whether we have ended the connection. The device's mu is held.
func (u *live) ours() bool { return u.over || u.cause != nil }

// leave says DISCONNECT and ends the connection, if there is one. d.mu is held.
func (d *device) leave() {
	u := d.link
	if u == nil || u.ours() {
		return
	}
	u.finish(nil)
	_ = u.send(&mqtt.Disconnect{})
	_ = u.wire.SetReadDeadline(time.Unix(1, 0)) // whoever reads closes
}

// cut ends the connection as a network does, if there is one. d.mu is held.
func (d *device) cut() {
	u := d.link
	if u == nil || u.ours() {
		return
	}
	u.finish(nil)
	u.wire.cut()
}

// fail ends a connection because of err. d.mu is held.
func (d *device) fail(u *live, err error) {
	if u.ours() {
		return
	}
	u.finish(err)
	u.wire.cut()
}
