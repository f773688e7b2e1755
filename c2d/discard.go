package c2d

import (
	"context"
	"time"
)

// Discard has the messages that were stored until then rejected, as IoT Hub
// does when a device connects without a subscription: they are older than the
// one that may come. It is called before [Mailbox.Start].
func (m *Mailbox) Discard(until time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.discard = until
	m.kick()
}

// unwanted is until when messages are not wanted; zero: all are.
func (m *Mailbox) unwanted() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.discard
}

// discardNext rejects the next message, or notes that all are wanted from here.
func (m *Mailbox) discardNext(ctx context.Context, until time.Time) error {
	message, err := m.queues.Store.Next(ctx, m.owner.Device, m.reader)
	if err != nil {
		return err
	}
	if message.Sequence == 0 || message.Enqueued.After(until) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.discard = time.Time{}
		return nil
	}
	if err := m.takeOver(ctx); err != nil {
		return err
	}
	message.Deliveries = m.state.Failures[message.Sequence]
	o := outcome{message: message, status: Rejected, reason: "The device connected without a subscription to its messages"}
	if !m.queues.now().Before(m.queues.Limits.Deadline(&message)) {
		o.expire()
	}
	if err := m.settle(ctx, o); err != nil {
		return err
	}
	m.reader = message.Sequence
	return nil
}

// takeOver makes this connection the one that settles the device's messages,
// once.
func (m *Mailbox) takeOver(ctx context.Context) (err error) {
	if m.taken {
		return nil
	}
	m.state, err = m.queues.take(ctx, m.owner.Device, m.owner.Epoch)
	m.taken = err == nil
	return err
}
