package backend

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/meter"
	"github.com/hubgate/hubgate/span"
	"github.com/hubgate/hubgate/telemetry"
)

// Engine stores messages in JetStream: published at once, acknowledged later,
// many of them in flight. It is a [telemetry.Sink] and safe for concurrent use.
//
// It promises that a message reported as stored is in the stream, and on disk if
// the configuration has a Sync, that what
// one caller stores is in the stream in the order of its calls, duplicates
// aside, and that each call of Store is answered exactly once. After any
// setback (connection lost, no answer, no leader) it publishes everything that
// is not acknowledged again, oldest first, and before anything new: first one
// message alone, and the rest when that one has been acknowledged, so that a
// stream that comes back in the middle does not see later messages first.
//
// Where nobody else writes into the stream, one acknowledgement answers for several
// messages, and only if the stream's sequence says that it has all of them; see
// sparse.go.
//
// The order rests on one thing: a stream that turns one message down also
// turns down those that are on their way behind it. An outage that begins and
// ends within one round trip can break that; a later message is then in the
// stream before the earlier one, and again after it.
type Engine struct {
	names  subject.Names
	stream string // that has to acknowledge every message
	shard  int    // of telemetry that the stream is
	log    zerolog.Logger
	timing timing
	tracer span.Tracer // nil: nothing is traced
	began  time.Time

	connect linker

	mu       sync.Mutex
	win      window
	state    flow
	link     link          // nil while there is no connection
	attempts int           // setbacks since the last answer
	retryAt  int64         // when a stalled engine tries again
	answered int64         // when the last answer came
	beyond   bool          // a message behind the head was acknowledged before it
	closed   bool          // Store takes no more
	over     bool          // what still comes is refused
	drained  chan struct{} // closed when closed and nothing is in flight

	// epoch changes with every setback. A publication that was decided on
	// before must not be made after it.
	epoch   atomic.Uint64
	pumping chan struct{} // has room for one

	commits   *commits // nil: an acknowledgement of JetStream is enough
	held      held
	releasing chan struct{} // has room for one

	// Of a link that asks for few acknowledgements; see sparse.go.
	sparse  bool
	ordinal uint64 // of the last publication
	base    landmark
	foreign uint64    // the last ordinal that may be before what others have written
	singles int       // calls of alone
	quiet   sync.Cond // something was acknowledged while there are such calls

	refusal   error // why JetStream would not store the last message; nil: it has
	refusedAt int64

	stored, retried, failed, reconnects atomic.Uint64
	took                                meter.Histogram // from Store to the acknowledgement

	tickets sync.Pool

	stop context.CancelFunc
	wg   sync.WaitGroup
}

var _ telemetry.Sink = (*Engine)(nil)

// flow is what may be published now.
type flow uint8

const (
	down    flow = iota // nothing: no connection
	stalled             // nothing until retryAt
	probing             // the oldest message, alone
	flowing             // everything
)

// timing is how long things may take.
type timing struct {
	store   time.Duration // from Store to the acknowledgement
	ack     time.Duration // from a publication to a sign of life
	tick    time.Duration // between two looks at the clock
	stalled time.Duration // before the first retry
}

func timingFor(store time.Duration) timing {
	return timing{
		store:   store,
		ack:     min(5*time.Second, store/3),
		tick:    min(100*time.Millisecond, store/10),
		stalled: 50 * time.Millisecond,
	}
}

// newEngine connects and starts the goroutines of an engine for one stream. Its
// answers wait for c, which may be nil.
func newEngine(cfg Config, stream string, c *commits, connect linker) (*Engine, error) {
	ctx, stop := context.WithCancel(context.Background())
	e := &Engine{
		names:   cfg.names(),
		stream:  stream,
		log:     cfg.Log.With().Str("stream", stream).Logger(),
		timing:  timingFor(cfg.StoreTimeout),
		tracer:  cfg.Tracer,
		began:   time.Now(),
		connect: connect,
		win:     newWindow(cfg.MaxInFlight, cfg.MaxInFlightBytes),
		drained: make(chan struct{}),
		pumping: make(chan struct{}, 1),
		commits: c, releasing: make(chan struct{}, 1),
		stop: stop,
	}
	e.quiet.L = &e.mu
	l, err := e.connect(e.receive)
	if err != nil {
		stop()
		return nil, err
	}
	e.up(l)
	e.wg.Go(func() { e.linkLoop(ctx, l) })
	e.wg.Go(func() { e.pumpLoop(ctx) })
	e.wg.Go(func() { e.clockLoop(ctx) })
	if c != nil {
		c.join(e)
		e.wg.Go(func() { e.releaseLoop(ctx) })
	}
	return e, nil
}

// Stored is how many messages were reported as stored.
func (e *Engine) Stored() uint64 { return e.stored.Load() }

// Retried is how many publications were repetitions.
func (e *Engine) Retried() uint64 { return e.retried.Load() }

// Failed is how many messages were reported as not stored.
func (e *Engine) Failed() uint64 { return e.failed.Load() }

// InFlight is how many messages wait for their acknowledgement.
func (e *Engine) InFlight() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.win.used() + e.win.held
}

// room is how many messages may be stored now without waiting, if they are small.
func (e *Engine) room() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.win.max - e.win.used() - e.win.held
}

// Flowing reports whether messages are being stored: it is false while NATS is
// away or the stream does not answer. After an outage in which all that waited
// was given up, only the next message can tell: then it is true.
func (e *Engine) Flowing() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.state == flowing || e.state == probing && (e.attempts == 0 || e.win.used() == 0)
}

// Close takes no more messages, waits until those in flight are answered or
// ctx ends, and reports the rest as not stored. Store may be called during and
// after it.
func (e *Engine) Close(ctx context.Context) {
	e.mu.Lock()
	if !e.closed {
		e.closed = true
		e.win.turnAway()
		e.checkDrained()
	}
	e.mu.Unlock()
	select {
	case <-e.drained:
	case <-ctx.Done():
	}
	e.stop()
	e.wg.Wait()
	e.failAll()
}

// checkDrained tells Close when there is nothing left to wait for. e.mu is held.
func (e *Engine) checkDrained() {
	if !e.closed || e.win.used()+e.win.held > 0 {
		return
	}
	select {
	case <-e.drained:
	default:
		close(e.drained)
	}
}

// now is nanoseconds on a clock that only goes forward; never 0.
func (e *Engine) now() int64 { return int64(time.Since(e.began)) + 1 }
