package gateway

import (
	"context"
	"errors"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/session"
)

// conn is one client's connection, from CONNACK on.
type conn struct {
	// Set by accept, then read only.
	srv     *Server
	src     source
	peer    origin
	handler Handler
	version mqtt.Version
	silence time.Duration // how long a client may send nothing, with some slack
	expires time.Time     // zero: never
	stale   time.Time     // zero: never, or it was told; owned by the reader
	started time.Time

	watch watch // whether there is a reader
	halt  halt  // whether it has to wait

	// Owned by the reader, who is one goroutine at a time.
	session   session.Session // ID and Epoch never change; Subscriptions do so under mu
	readArmed time.Time       // under mu too
	inbox     *inbox          // what has come and is unfinished; nil: nothing
	unhandled bool            // nobody has looked at it, or at the rest of it
	came      uint32          // when what is being handled was read; see Server.ticks
	handled   uint32          // packets since it waited for the peer, or for others

	// Owned by whoever flushes.
	writeArmed time.Time

	mu      sync.Mutex
	changed sync.Cond // of pending, out, writing, lost, halt, cause or gone
	pending ring
	sent    unacked
	out     []byte // packets to be written; nil when there are none
	writing bool   // a goroutine is flushing
	torn    bool   // a write has failed: the stream may end within a TLS record
	lost    bool   // a message could not be stored: none after it is acknowledged
	greeted bool   // CONNACK is written; before, the deadline of accept holds
	gone    bool   // it has given up its identity
	cause   error  // why the connection ends; the first one wins

	rare atomic.Pointer[rare]
}

// origin is what stays of a Peer as long as its connection lives.
type origin struct{ Remote, Transport string }

// stop ends the connection because of cause. The first cause wins; later
// calls do nothing. Any goroutine may call it; it does not block.
func (c *conn) stop(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause != nil {
		return
	}
	c.cause = cause
	c.changed.Broadcast()
	c.resumeHalted()
	if c.greeted { // else greet does it: a client without CONNACK learns nothing
		c.interrupt()
	}
}

// longPast is the deadline of a connection that has ended, in seconds of Unix time.
const longPast = 1

// interrupt wakes the reader up, which closes. A server that shuts down still
// acknowledges what it has received, so the writer goes on. c.mu is held.
func (c *conn) interrupt() {
	defer c.notice()
	past := time.Unix(longPast, 0)
	switch {
	case !same(c.cause, errShutdown):
		_ = c.src.SetDeadline(past)
	case c.src.socket() != nil:
		_ = c.src.SetReadDeadline(past)
	default: // a WebSocket whose reader is late is closed for the writer too
		c.srv.workers.start(func() {
			c.settle()
			_ = c.src.SetReadDeadline(past)
		})
	}
}

// armRead moves the deadline of the client's next packet on, unless the connection is
// ending. It is called at least once a keep-alive, which is soon enough to tell of a
// token that nobody renews.
func (c *conn) armRead(now time.Time) {
	if !c.stale.IsZero() && now.After(c.stale) {
		c.stale = time.Time{}
		c.srv.stale(c)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause != nil {
		return
	}
	c.readArmed = now
	w := &c.watch
	switch {
	case !w.on():
		_ = c.src.SetReadDeadline(c.deadline())
	case w.late.Swap(false): // else the alarm finds out by itself
		w.alarm.Reset(time.Until(c.deadline()))
	}
}

// deadline is until when something must come; c.mu is held.
func (c *conn) deadline() time.Time {
	d := c.readArmed.Add(c.silence)
	if !c.expires.IsZero() && d.After(c.expires) {
		return c.expires
	}
	return d
}

// armWrite moves the write deadline on, unless the connection is ending.
func (c *conn) armWrite(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause == nil || same(c.cause, errShutdown) {
		c.writeArmed = now
		_ = c.src.SetWriteDeadline(now.Add(c.srv.Limits.WriteTimeout))
	}
}

// ended returns the cause of the end, nil while the connection lives.
func (c *conn) ended() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cause
}

// serve runs a connection that is not watched, until it ends: it is its reader. What
// is done at the end would have grown its stack.
func (c *conn) serve() {
	cause := c.read()
	for errors.Is(cause, errHalted) {
		c.sitOut()
		cause = c.read()
	}
	c.stop(cause) // the reader's reason, unless there was an earlier one
	c.srv.workers.start(c.finish)
}

// finish is the end of the connection. What the reader owned is its own.
func (c *conn) finish() {
	defer c.srv.live.done()
	defer c.srv.Limiter.leave()
	defer c.srv.counts.left(c)
	c.settle()
	if same(c.ended(), errDisconnected) {
		c.depart() // first: the client may come again as soon as it knows of the end
		c.hangUp()
		return
	}
	c.hangUp()
	c.depart()
}

// hangUp ends what the connection is to its client and to this node.
func (c *conn) hangUp() {
	c.close()
	c.unwatch()
	c.srv.live.drop(c)
}

// depart gives back what the connection has.
func (c *conn) depart() {
	c.releaseMemory()
	c.leaveTraces()
	if out, ok := c.handler.(Outbound); ok {
		out.Detached()
	}
	c.leave()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone = true
	c.changed.Broadcast()
}

// seeOff waits, after DISCONNECT, until the identity is given up: who claimed it before
// would take over from a client that has said good-bye, and have its will sent.
func (c *conn) seeOff(ctx context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !same(c.cause, errDisconnected) || c.gone {
		return
	}
	defer context.AfterFunc(ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.changed.Broadcast()
	})()
	for !c.gone && ctx.Err() == nil {
		c.changed.Wait()
	}
}

// read is readLoop for a connection whose panic is its own end only.
func (c *conn) read() (cause error) {
	defer func() {
		if r := recover(); r != nil {
			c.srv.Log.Error().Str("device_id", c.session.ID.Device).Str("module_id", c.session.ID.Module).
				Interface("panic", r).Bytes("stack", debug.Stack()).Msg("a fault of the gateway ended a connection")
			cause = hub.Errorf(hub.ServerError, "a fault of the gateway; its log has the details")
		}
	}()
	return c.readLoop()
}

// close closes the stream, without a farewell when the peer does not read, and
// when a write was cut off: what follows a record that is missing is no TLS,
// and the peer would take it for an attack.
func (c *conn) close() {
	c.mu.Lock()
	silent := c.writing || c.torn
	c.mu.Unlock()
	if silent {
		_ = c.src.abort()
		return
	}
	_ = c.src.Close()
}

// settle waits, when the server shuts down, until what was received is stored
// and acknowledged. Any other end is immediate: the client sends again what
// was not acknowledged.
func (c *conn) settle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !same(c.cause, errShutdown) {
		return
	}
	expired := false
	timer := time.AfterFunc(c.srv.Limits.WriteTimeout, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		expired = true
		c.changed.Broadcast()
	})
	defer timer.Stop()
	for !expired && (c.pending.len() > 0 && !c.lost || c.writing) {
		c.changed.Wait()
	}
}

// leave tells the rest of the world that the connection has ended, and why.
func (c *conn) leave() {
	cause := c.ended()
	now := time.Now()
	c.release(now, cause)
	c.srv.ended(c, cause, now)
}

// release gives up the ownership of the identity, which tells the end, and reports
// whether it has. Otherwise somebody else does: a newer owner, who has fenced this
// one, or the store, when it can.
func (c *conn) release(now time.Time, cause error) bool {
	s := &c.session
	s.DisconnectedTime, s.Reason, s.Code = now, sentence(cause), codeOf(cause)
	err := c.srv.Sessions.Release(context.Background(), s)
	if err != nil && hub.CodeOf(err) != hub.ConnectionReplaced {
		c.srv.Log.Warn().Err(err).Str("device_id", s.ID.Device).Str("module_id", s.ID.Module).
			Msg("the end of a connection could not be stored; the device looks connected until it can")
	}
	return err == nil
}
