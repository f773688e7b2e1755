package c2d

import (
	"context"
	"slices"
	"time"
)

// firstAcked returns the first messages that the device has acknowledged and that
// are settled in the same way, in the order of the queue.
func (m *Mailbox) firstAcked() []Message {
	m.mu.Lock()
	defer m.mu.Unlock()
	count := 0
	for ; count < len(m.acked); count++ {
		first, next := &m.flights[m.acked[0]].message, &m.flights[m.acked[count]].message
		if count > 0 && (next.ending() != first.ending() || next.ending() == alone) {
			break
		}
	}
	numbers := slices.Clone(m.acked[:count])
	slices.Sort(numbers)
	done := make([]Message, 0, count)
	for _, n := range numbers {
		done = append(done, m.flights[n].message)
	}
	return done
}

// isAcked reports whether a message that was sent is complete.
func (m *Mailbox) isAcked(n uint64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.flights[n]
	return f != nil && f.acked
}

// complete settles messages that the device has acknowledged, the first ones.
func (m *Mailbox) complete(ctx context.Context, done []Message) error {
	all := make([]outcome, len(done))
	for i, message := range done {
		all[i] = outcome{message: message, status: Success, reason: "Success", epoch: m.owner.Epoch, generation: m.owner.Generation}
	}
	if err := m.queues.settleAll(ctx, all, m.aloneSince(done)); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.acked = m.acked[len(done):]
	for _, message := range done {
		delete(m.flights, message.Sequence)
	}
	return nil
}

// aloneSince is since when the device has no other message up to the last of
// these; zero: it may have. Everything up to the reader is under way or gone, since
// the first look.
func (m *Mailbox) aloneSince(done []Message) time.Time {
	last, before := done[len(done)-1].Sequence, 0
	m.mu.Lock()
	defer m.mu.Unlock()
	for n := range m.flights {
		if n <= last {
			before++
		}
	}
	if m.unsure || last > m.reader || before != len(done) {
		return time.Time{}
	}
	return m.began
}
