package backend

import (
	"context"
	"time"

	"github.com/rs/zerolog"
)

// link is one connection to NATS with its reply inbox. It does not reconnect:
// a message that is published during a reconnection could overtake those that
// the old connection lost. There are two kinds: [wireLink] for a server in this
// process, [natsLink] for any other.
type link interface {
	// send publishes what is in p, in its order, unless there was a setback since
	// it was taken. What can't be published at all is in p.refused afterwards. A
	// connection that can't be written to is lost.
	send(p *parcel)
	// sole reports whether nobody but the engine writes into the stream: then most
	// messages need not ask for an acknowledgement; see sparse.go.
	sole() bool
	// lost is closed when the connection is.
	lost() <-chan struct{}
	// cause is why it was lost; nil: it was closed. It is known when lost is closed.
	cause() error
	// close ends the connection, and lost is closed soon.
	close()
}

// replyBase is the base of the numbers in reply subjects.
const replyBase = 36

// linker makes a connection whose replies go to a function, which is called by one
// goroutine at a time.
type linker func(replies func(*mail)) (link, error)

// linkLoop replaces a lost connection until ctx ends.
func (e *Engine) linkLoop(ctx context.Context, l link) {
	for {
		select {
		case <-ctx.Done():
			l.close()
			e.down()
			return
		case <-l.lost():
		}
		e.down()
		l.close() // its last replies come before those of the next one
		e.log.Warn().AnErr("cause", l.cause()).Int("in_flight", e.InFlight()).Msg("connection to NATS for storing messages is lost")
		var ok bool
		if l, ok = reconnect(ctx, e.log, func() (link, error) { return e.connect(e.receive) }); !ok {
			return
		}
		e.reconnects.Add(1)
		e.log.Info().Int("in_flight", e.InFlight()).Msg("connected to NATS again; storing what was not acknowledged")
		e.up(l)
	}
}

// reconnect tries until it succeeds; ok is false when ctx ended first.
func reconnect[T any](ctx context.Context, log zerolog.Logger, connect func() (T, error)) (connected T, ok bool) {
	for n := 1; wait(ctx, backoff(n)); n++ {
		got, err := connect()
		if err == nil {
			return got, true
		}
		log.Debug().Err(err).Int("attempt", n).Msg("NATS is not back yet")
	}
	return connected, false
}

// wait reports whether d went by before ctx ended.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// up begins to use a connection.
func (e *Engine) up(l link) {
	e.mu.Lock()
	e.link, e.sparse = l, l.sole()
	e.probe()
	e.mu.Unlock()
	e.kick()
}

// down forgets the connection. What is in flight stays in the window.
func (e *Engine) down() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.link = nil
	e.state = down
	e.epoch.Add(1)
}

// probe begins again with the oldest message. e.mu is held.
func (e *Engine) probe() {
	e.state = probing
	e.base = landmark{}
	e.win.next = e.win.head
	e.beyond = false
	e.answered = e.now()
}

// stall stops publishing until a while has gone by. e.mu is held.
func (e *Engine) stall(why string) {
	if e.state != flowing && e.state != probing {
		return
	}
	e.attempts++
	pause := min(e.timing.stalled<<min(e.attempts-1, 6), 2*time.Second)
	e.state = stalled
	e.retryAt = e.now() + int64(pause)
	e.epoch.Add(1)
	if e.attempts == 1 {
		e.log.Warn().Str("why", why).Int("in_flight", e.win.used()).Msg("JetStream does not store; messages wait")
	}
}

// alive notes an answer of the stream to message seq, which came now and ends a
// probe. e.mu is held.
func (e *Engine) alive(seq uint64, now int64) {
	e.answered = now
	if e.state != probing || seq >= e.win.next { // an answer from before the setback
		return
	}
	e.state = flowing
	if e.attempts > 0 {
		e.log.Info().Int("in_flight", e.win.used()).Msg("JetStream stores again")
	}
	e.attempts = 0
	e.kick()
}

// solely makes links to streams into which nobody but the engine writes, in a server
// of this process: nobody else has the right to.
func solely(connect linker) linker {
	return func(replies func(*mail)) (link, error) {
		l, err := connect(replies)
		if w, ok := l.(*wireLink); ok {
			w.alone = true
		}
		return l, err
	}
}
