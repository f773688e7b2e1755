package backend

import (
	"context"

	"github.com/hubgate/hubgate/hub"
)

// An acknowledgement costs JetStream nearly as much as a message does to store. So
// on a link whose stream nobody else writes into, most publications ask for none,
// and the next one that does answers for them: between two acknowledged messages
// the stream's sequence has grown by as many as were published if, and only if, it
// has stored all of them. Whatever else the numbers say is a setback, after which
// everything is published again, and each message asks for itself from then on.
//
// Who does write into the stream besides the engine does so in [Engine.alone].

const (
	// sparseGroup is of how many publications one asks. The others wait for the
	// last of their group, which the stream stores within 100 µs.
	sparseGroup = 16
	// sparseHeaders is how long headers may be of a message that does not ask. What
	// is near JetStream's limit of 64 KiB has an answer of its own, and so has the
	// message before it: a refusal is then one message's and nobody else's.
	sparseHeaders = 16 << 10
)

// landmark is a message that is known to be in the stream.
type landmark struct {
	ordinal  uint64 // of its publication; see slot
	sequence uint64 // in the stream; 0: there is none
}

// plan gives the publications of a parcel their ordinals, and decides which of them
// ask. The last one does. e.mu is held.
func (e *Engine) plan(slots []*slot) {
	sparse := e.sparse && e.state == flowing && e.base.sequence > 0 && e.singles == 0
	for i, s := range slots {
		e.ordinal++
		s.ordinal = e.ordinal
		s.asks = !sparse || i == len(slots)-1 || (i+1)%sparseGroup == 0 || s.isHeavy() || slots[i+1].isHeavy()
	}
}

func (s *slot) isHeavy() bool { return len(s.headers.Wire()) > sparseHeaders }

// vouch takes the acknowledgement of s, and accepts what was published between the
// last landmark and s, if the stream has stored all of it. e.mu is held.
func (e *Engine) vouch(s *slot, sequence uint64, m *mail, now int64) {
	was := e.base
	e.base = landmark{}
	if s.ordinal > e.foreign {
		e.base = landmark{s.ordinal, sequence}
	}
	if was.sequence == 0 || sequence-was.sequence != s.ordinal-was.ordinal {
		if e.unasked(s.seq) {
			e.sparse = false
			e.stall("its numbers do not tell whether it has stored what was sent")
		}
		return
	}
	for seq := e.win.head; seq < s.seq; seq++ {
		if before := e.win.at(seq); before != nil && before.ordinal > was.ordinal {
			e.accept(before, sequence-(s.ordinal-before.ordinal), m, now)
		}
	}
}

// unasked reports whether a message below seq was published without asking and is
// not acknowledged yet. e.mu is held.
func (e *Engine) unasked(seq uint64) bool {
	for n := e.win.head; n < min(seq, e.win.next); n++ {
		if s := e.win.at(n); s != nil && !s.asks {
			return true
		}
	}
	return false
}

// skip notes that JetStream has refused s: its sequence stays where it is. e.mu is
// held.
func (e *Engine) skip(s *slot) {
	if e.base.ordinal == s.ordinal-1 {
		e.base.ordinal = s.ordinal
		return
	}
	e.base = landmark{}
	if e.unasked(s.seq) {
		e.stall("it has refused a message, and does not tell whether it has stored those before")
	}
}

// alone calls f, which writes into the stream besides the engine, at a time when no
// message waits for the acknowledgement of another one. It fails when that does not
// come before ctx ends.
func (e *Engine) alone(ctx context.Context, f func() error) error {
	if err := e.clear(ctx); err != nil {
		return err
	}
	err := f()
	e.written(err)
	return err
}

// written says that somebody besides the engine has written into the stream, or has
// failed to: what was published until now is no landmark. Whose write may still come,
// because nobody has answered it, ends the sparing.
func (e *Engine) written(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.singles--
	e.base, e.foreign = landmark{}, e.ordinal
	if err != nil && apiCode(err) == 0 {
		e.sparse = false
	}
}

// clear counts one more who writes into the stream besides the engine, and waits until
// no message waits for the acknowledgement of another one. When it fails, there is
// none.
func (e *Engine) clear(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.singles++
	for e.unasked(e.win.next) {
		if ctx.Err() != nil {
			e.singles--
			return hub.Errorf(hub.ServiceUnavailable, "the stream %s does not acknowledge what is on its way: %w", e.stream, ctx.Err())
		}
		e.quiet.Wait()
	}
	return nil
}

// calm has those go on who wait in alone. e.mu is held.
func (e *Engine) calm() {
	if e.singles > 0 {
		e.quiet.Broadcast()
	}
}
