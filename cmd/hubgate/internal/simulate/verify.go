package simulate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/telemetry"
)

const (
	requestTime = 10 * time.Second
	// silence is how long a stream may give nothing before its end is reached.
	silence = 20 * time.Second
	// examples is how many lost messages are named.
	examples = 5
)

// Proof is a comparison of what was acknowledged with what the streams have.
type Proof struct {
	Acked      int64 `json:"acked"`
	Stored     int64 `json:"stored"`     // different messages of the run in the streams
	Lost       int64 `json:"lost"`       // acknowledged, and not in the streams
	Duplicates int64 `json:"duplicates"` // stored once more: sent again after a lost connection
	// Examples name some of the messages that were lost.
	Examples []string `json:"examples,omitempty"`
}

// Witness reads the streams of a hub.
type Witness struct {
	js      jetstream.JetStream
	subject string
	before  map[string]uint64 // last sequence of each stream before the run
}

// NewWitness remembers where the streams of telemetry end before a run; subject
// matches all telemetry.
func NewWitness(ctx context.Context, js jetstream.JetStream, subject string) (*Witness, error) {
	w := &Witness{js: js, subject: subject, before: map[string]uint64{}}
	states, err := w.states(ctx)
	if err != nil {
		return nil, err
	}
	for name, s := range states {
		w.before[name] = s.LastSeq
	}
	return w, nil
}

// states are those of the streams that have telemetry, however many shards
// there are.
func (w *Witness) states(ctx context.Context) (map[string]jetstream.StreamState, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	states := map[string]jetstream.StreamState{}
	names := w.js.StreamNames(ctx, jetstream.WithStreamListSubject(w.subject))
	for name := range names.Name() {
		s, err := w.js.Stream(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("read stream %s: %w", name, err)
		}
		states[name] = s.CachedInfo().State
	}
	if err := names.Err(); err != nil && !errors.Is(err, jetstream.ErrEndOfData) {
		return nil, fmt.Errorf("find the streams of telemetry: %w", err)
	}
	if len(states) == 0 {
		return nil, fmt.Errorf("no stream has the subject %s", w.subject)
	}
	return states, nil
}

// Verify reads what the streams have of the run, and compares. It fails when
// that can't be done, for which [Fleet.Report] has the reason then.
func (f *Fleet) Verify(ctx context.Context, w *Witness) error {
	err := f.read(ctx, w)
	if err != nil {
		f.unproved = err.Error()
		return err
	}
	p := Proof{Acked: f.stats.acked.Load()}
	for _, d := range f.devices {
		p.Stored += int64(d.book.stored.count(d.book.next))
		p.Duplicates += int64(d.book.twice)
		for _, n := range d.book.lost() {
			p.Lost++
			if len(p.Examples) < examples {
				p.Examples = append(p.Examples, fmt.Sprintf("%s message %d, message-id %s", d.id, n, f.messageID(d.index, n)))
			}
		}
	}
	f.proof = &p
	return nil
}

// Unproved notes why nothing is to be verified.
func (f *Fleet) Unproved(reason string) { f.unproved = reason }

func (f *Fleet) read(ctx context.Context, w *Witness) error {
	states, err := w.states(ctx)
	if err != nil {
		return err
	}
	for name := range w.before {
		if _, ok := states[name]; !ok {
			return fmt.Errorf("the stream %s is gone", name)
		}
	}
	for name, state := range states {
		from := w.before[name] + 1
		if state.LastSeq < from {
			continue
		}
		if state.FirstSeq > from {
			return fmt.Errorf("the stream %s has dropped messages of this run already, by its limits or by a purge: run for a shorter time, or let it keep more", name)
		}
		if err := f.readStream(ctx, w, name, from, state.LastSeq); err != nil {
			return err
		}
	}
	return nil
}

// readStream reads the headers of a stream's messages.
func (f *Fleet) readStream(ctx context.Context, w *Witness, name string, from, to uint64) error {
	c, err := w.js.OrderedConsumer(ctx, name, jetstream.OrderedConsumerConfig{
		HeadersOnly: true, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from,
	})
	if err != nil {
		return fmt.Errorf("read stream %s: %w", name, err)
	}
	messages, err := c.Messages(jetstream.PullMaxMessages(1000))
	if err != nil {
		return fmt.Errorf("read stream %s: %w", name, err)
	}
	defer messages.Stop()
	for last := uint64(0); last < to; {
		m, err := messages.Next(jetstream.NextMaxWait(silence))
		if err = errors.Join(err, ctx.Err()); err != nil {
			return fmt.Errorf("read stream %s up to message %d, of which %d is the last that came: %w", name, to, last, err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return fmt.Errorf("read stream %s: %w", name, err)
		}
		last = meta.Sequence.Stream
		f.seen(m.Headers()[telemetry.MessageID.Header()])
		if meta.NumPending == 0 {
			return nil
		}
	}
	return nil
}

func (f *Fleet) seen(ids []string) {
	if len(ids) == 0 {
		return
	}
	if i, n, ok := f.parseID(ids[0]); ok {
		f.devices[i].book.store(n)
	}
}
