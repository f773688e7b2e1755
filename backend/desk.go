package backend

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/backend/direct"
)

// desk sends requests to a server in this process, by a [wire] of its own: for half
// of what nats.go's cost, which pass from one goroutine to the next twice on either
// way. What many ask at once is written at once. While the wire is lost, nats.go
// asks. It is safe for concurrent use.
type desk struct {
	byConn  direct.Asker
	connect func(wireReceiver) (*wire, error)
	log     zerolog.Logger

	mu      sync.Mutex
	wire    *wire // nil: it is lost
	last    uint64
	free    []uint64 // numbers up to last that may be used again; see number
	ticks   int      // see expire
	asked   map[uint64]*question
	out     []byte // is to be written
	kept    []byte // its room after that
	writing bool   // writeLoop does, or is told to

	due  chan struct{} // has room for one: there is something to write
	stop context.CancelFunc
	wg   sync.WaitGroup
}

var (
	_ direct.Asker = (*desk)(nil)
	_ wireReceiver = (*desk)(nil)
)

// question is one request that waits for its answer. Whoever takes it out of the desk's
// map answers it.
type question struct {
	number  uint64
	asked   int           // ticks of the desk when it was
	headers []byte        // of the request, lines
	done    chan struct{} // has room for one

	answer []byte // headers, then data; the asker's
	split  int    // where the data begins
	err    error
}

//nolint:gochecknoglobals // a pool
var questions = sync.Pool{New: func() any { return &question{done: make(chan struct{}, 1)} }}

// errCut is why a request has no answer. What it was for may have been done.
var errCut = errors.New("the connection to NATS was lost before the answer came")

// openDesk connects.
func openDesk(connect func(wireReceiver) (*wire, error), byConn direct.Asker, log zerolog.Logger) (*desk, error) {
	d := &desk{byConn: byConn, connect: connect, log: log, asked: map[uint64]*question{}, due: make(chan struct{}, 1)}
	w, err := connect(d)
	if err != nil {
		return nil, err
	}
	d.wire = w
	ctx, stop := context.WithCancel(context.Background())
	d.stop = stop
	d.wg.Go(func() { d.tend(ctx, w) })
	d.wg.Go(func() { d.writeLoop(ctx) })
	return d, nil
}

// close ends the wire. Who waits for an answer gets none.
func (d *desk) close() {
	d.stop()
	d.wg.Wait()
}

// Ask implements [direct.Asker].
func (d *desk) Ask(ctx context.Context, r direct.Request) (direct.Reply, error) {
	if err := ctx.Err(); err != nil {
		return direct.Reply{}, err
	}
	q, _ := questions.Get().(*question)
	defer questions.Put(q)
	asked, err := d.send(q, &r)
	if err != nil {
		return direct.Reply{}, err
	}
	if !asked {
		return d.byConn.Ask(ctx, r)
	}
	select {
	case <-q.done:
	case <-ctx.Done():
		if d.giveUp(q) {
			return direct.Reply{}, ctx.Err()
		}
		<-q.done // it is just being answered
	}
	return q.reply()
}

// send sends a request, unless there is no wire.
func (d *desk) send(q *question, r *direct.Request) (bool, error) {
	if !isSubject(r.Subject) {
		return false, nats.ErrBadSubject
	}
	var ok bool
	if q.headers, ok = appendHeaders(q.headers[:0], r.Headers); !ok {
		return false, nats.ErrBadHeaderMsg
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.wire == nil {
		return false, nil
	}
	if int64(headerBlock(q.headers)+len(r.Data)) > d.wire.maxPayload.Load() {
		return false, nats.ErrMaxPayload
	}
	q.number, q.asked = d.number(), d.ticks
	d.asked[q.number] = q
	d.out = q.append(d.out, d.wire.inbox, r)
	if !d.writing {
		d.writing = true
		d.due <- struct{}{}
	}
	return true, nil
}

// number is one by which nothing can come but the answer to the next request: it is
// new, or its answer has come, and a server that is in no cluster answers once. The
// server remembers who hears a subject, so it finds the asker faster when there are
// few. d.mu is held.
func (d *desk) number() uint64 {
	if n := len(d.free); n > 0 {
		number := d.free[n-1]
		d.free = d.free[:n-1]
		return number
	}
	d.last++
	return d.last
}

// append appends the request, with the number by which its answer is known.
func (q *question) append(dst []byte, inbox string, r *direct.Request) []byte {
	dst = append(append(appendOp(dst, q.headers), r.Subject...), wireSeparator)
	dst = append(strconv.AppendUint(append(dst, inbox...), q.number, replyBase), wireSeparator)
	return appendContent(dst, q.headers, r.Data)
}

// write writes what there is. d.mu is held, but not meanwhile.
func (d *desk) write() {
	w, b := d.wire, d.out
	d.out, d.kept = d.kept[:0], nil
	d.mu.Unlock()
	if err := w.write(b); err != nil {
		w.end(err)
	}
	d.mu.Lock()
	if cap(b) <= keepOut {
		d.kept = b
	}
}

// writeLoop writes what is asked. Before it begins it lets those run who have more
// to ask, so that one write takes it all.
func (d *desk) writeLoop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.due:
			runtime.Gosched()
		}
		d.mu.Lock()
		for len(d.out) > 0 {
			d.write()
		}
		d.writing = false
		d.mu.Unlock()
	}
}

// answered takes the request whose answer has come out of those that wait; nil:
// nobody waits for it any more.
func (d *desk) answered(number uint64) *question {
	d.mu.Lock()
	defer d.mu.Unlock()
	q := d.asked[number]
	if q != nil {
		delete(d.asked, number)
		d.free = append(d.free, number)
	}
	return q
}

// giveUp takes a request out of those that wait, and reports false when it has been
// answered. Its answer may still come.
func (d *desk) giveUp(q *question) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.asked[q.number] != q {
		return false
	}
	delete(d.asked, q.number)
	return true
}

// take implements [wireReceiver].
func (d *desk) take(token []byte, f frame) {
	number, err := strconv.ParseUint(view(token), replyBase, 64)
	if err != nil {
		return
	}
	q := d.answered(number)
	if q == nil {
		return // it came too late
	}
	q.answer = append(append(make([]byte, 0, len(f.headers)+len(f.data)), f.headers...), f.data...)
	q.split = len(f.headers)
	q.done <- struct{}{}
}

// read implements [wireReceiver].
func (*desk) read() {}

// reply reads the answer, and forgets it.
func (q *question) reply() (direct.Reply, error) {
	answer, err := q.answer, q.err
	q.answer, q.err = nil, nil
	if err != nil {
		return direct.Reply{}, err
	}
	r := direct.Reply{Data: answer[q.split:], HeaderBytes: q.split}
	if q.split > 0 {
		r.Header = direct.ReadHeaders(view(answer[:q.split])) // nobody writes into it any more
	}
	if len(r.Data) == 0 && r.Header.Get("Status") == "503" {
		return direct.Reply{}, nats.ErrNoResponders
	}
	return r, nil
}

// deskTick is how often a desk looks for requests that have waited too long.
const deskTick = direct.Patience / 10

// expire fails requests that have waited for [direct.Patience].
func (d *desk) expire() {
	d.mu.Lock()
	d.ticks++
	var late []*question
	for number, q := range d.asked {
		if time.Duration(d.ticks-q.asked)*deskTick > direct.Patience {
			delete(d.asked, number)
			late = append(late, q)
		}
	}
	d.mu.Unlock()
	fail(late, context.DeadlineExceeded)
}

// tend replaces the wire when it is lost.
func (d *desk) tend(ctx context.Context, w *wire) {
	tick := time.NewTicker(deskTick)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			d.expire()
			continue
		case <-ctx.Done():
		case <-w.gone:
		}
		d.use(nil)
		w.close()
		if ctx.Err() != nil {
			return
		}
		d.log.Warn().AnErr("cause", w.err).Msg("connection to NATS for requests is lost")
		var ok bool
		if w, ok = reconnect(ctx, d.log, func() (*wire, error) { return d.connect(d) }); !ok {
			return
		}
		d.use(w)
	}
}

// use has requests go by w from now on. Those that the one before has not answered
// fail.
func (d *desk) use(w *wire) {
	d.mu.Lock()
	cut := slices.Collect(maps.Values(d.asked))
	clear(d.asked)
	d.wire, d.out = w, d.out[:0]
	d.last, d.free = 0, d.free[:0] // of another inbox
	d.mu.Unlock()
	fail(cut, errCut)
}

// fail answers requests that have been taken out of the desk's map.
func fail(all []*question, err error) {
	for _, q := range all {
		q.err = err
		q.done <- struct{}{}
	}
}

// asking is JetStream of which the requests that this package makes itself go by a
// desk.
type asking struct {
	jetstream.JetStream
	desk *desk
}

// Asker implements what [direct.AskerOf] asks for.
func (a asking) Asker() direct.Asker { return a.desk }

// openDesk has the requests for js go by a wire, if its server is in this process.
func (b *Backbone) openDesk(d *dialer) error {
	o, err := d.parsed("requests")
	if err != nil || o.InProcessServer == nil {
		return err
	}
	connect := func(to wireReceiver) (*wire, error) {
		in := newWireReader(wireBuffer)
		in.grows = true // a message that is read may have any size
		w, err := openWire(o, in, to)
		if err != nil {
			return nil, d.explain(err)
		}
		return w, nil
	}
	if b.desk, err = openDesk(connect, direct.ByConn(b.nc), b.cfg.Log); err != nil {
		return fmt.Errorf("open a connection for requests: %w", err)
	}
	b.js = asking{b.js, b.desk}
	return nil
}
