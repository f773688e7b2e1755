package c2d

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// Queues delivers messages and settles them. Set the fields before use; they
// must not change afterwards. It is safe for concurrent use.
type Queues struct {
	Store    Store
	Bulk     Bulk // of Store; nil: messages are read and removed one by one
	Outcomes Outcomes
	Devices  Devices
	Claims   Claims
	Limits   Limits
	Now      func() time.Time // nil: time.Now
	// Dropped hears of messages that were not delivered and never will be; nil:
	// nobody does. It does not block.
	Dropped func(d DeadLetter)
	// Settled hears of messages that have left their queue, and how; nil: nobody
	// does. It does not block.
	Settled func(m Message, how Status)
	// Trouble hears of failures that are tried again; nil: nobody does.
	Trouble func(device string, err error)

	working sync.WaitGroup // mailboxes at work

	mu   sync.Mutex
	open map[string]*Mailbox // those that were started, by device
}

func (q *Queues) now() time.Time {
	if q.Now != nil {
		return q.Now()
	}
	return time.Now()
}

func (q *Queues) trouble(device string, err error) {
	if q.Trouble != nil {
		q.Trouble(device, err)
	}
}

// Wake wakes the mailbox of a device, if there is one here; see
// [Mailbox.Wake].
func (q *Queues) Wake(device string, sequence uint64) {
	q.mu.Lock()
	m := q.open[device]
	q.mu.Unlock()
	if m != nil {
		m.Wake(sequence)
	}
}

// WakeAll wakes all mailboxes: announcements may have been lost.
func (q *Queues) WakeAll() {
	q.mu.Lock()
	all := slices.Collect(maps.Values(q.open))
	q.mu.Unlock()
	for _, m := range all {
		m.Wake(0)
	}
}

// enter makes m the mailbox of its device, unless a newer connection has one.
func (q *Queues) enter(m *Mailbox) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.open == nil {
		q.open = map[string]*Mailbox{}
	}
	if there := q.open[m.owner.Device]; there == nil || there.owner.Epoch <= m.owner.Epoch {
		q.open[m.owner.Device] = m
	}
}

func (q *Queues) leave(m *Mailbox) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.open[m.owner.Device] == m {
		delete(q.open, m.owner.Device)
	}
}

// Wait returns when the mailboxes that were closed have stored what they know,
// or when ctx ends.
func (q *Queues) Wait(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		q.working.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// Inspect settles a message that can't be delivered: one that breaks the rules,
// whose device does not exist, or that has expired. It reports whether it was
// such a message. Deliveries that are under way get the time of a lock to end
// before their message expires.
func (q *Queues) Inspect(ctx context.Context, m Message) (settled bool, err error) {
	o := outcome{message: m}
	isID := hub.ValidID(m.Device) // what is not may be of any length
	if isID {
		o.generation, err = q.Devices.Generation(ctx, hub.Identity{Device: m.Device})
	}
	due, invalid := q.due(&m)
	switch {
	case errors.Is(err, &hub.Error{Code: hub.DeviceNotFound}):
		o.refuse(err)
	case err != nil:
		return false, err
	case invalid != nil:
		o.refuse(invalid)
	case q.now().Before(due):
		return false, nil
	default:
		o.expire()
	}
	if isID { // it may have been delivered in vain
		s, err := q.Store.Load(ctx, m.Device)
		if err != nil {
			return false, err
		}
		o.message.Deliveries = s.Failures[m.Sequence]
	}
	return true, q.settle(ctx, o)
}

// Due returns from when on Inspect settles a message whose device exists: the zero
// time if it does at once.
func (q *Queues) Due(m *Message) time.Time {
	due, _ := q.due(m)
	return due
}

// due is Due, and what breaks the rules.
func (q *Queues) due(m *Message) (time.Time, error) {
	if err := q.Limits.Validate(m, m.Enqueued); err != nil {
		return time.Time{}, err
	}
	return q.Limits.Deadline(m).Add(q.Limits.lock() + 5*time.Second), nil
}

// Purge removes the messages of a device and returns how many there were.
func (q *Queues) Purge(ctx context.Context, device string) (int, error) {
	generation, err := q.Devices.Generation(ctx, hub.Identity{Device: device})
	if err != nil {
		return 0, err
	}
	var after uint64
	for count := 0; ; count++ {
		m, err := q.Store.Next(ctx, device, after)
		if err != nil || m.Sequence == 0 {
			return count, err
		}
		o := outcome{message: m, generation: generation, status: Purged, reason: "The queue was purged"}
		if err := q.settle(ctx, o); err != nil {
			return count, err
		}
		after = m.Sequence
	}
}

// outcome is what is to become of a message.
type outcome struct {
	message    Message
	status     Status
	reason     string
	generation string
	epoch      uint64 // of the connection that says so; 0: none does
}

// disputable reports whether only one may say what becomes of the message. Of
// others nobody wants feedback, and their success is what the device has said;
// but who was replaced must bury nothing that another connection delivers.
func (o *outcome) disputable() bool {
	return o.message.Ack.word() != string(AckNone) || o.epoch > 0 && o.status.dead()
}

func (o *outcome) refuse(err error) {
	o.status, o.reason = Rejected, err.Error()
	if e, ok := errors.AsType[*hub.Error](err); ok {
		o.reason = e.Message
	}
}

func (o *outcome) expire() { o.status, o.reason = Expired, "Message expired" }

// settle ends a message; see the package's comment for the order. It fails with
// ConnectionReplaced when a newer connection delivers the messages now.
func (q *Queues) settle(ctx context.Context, o outcome) error {
	return q.settleAll(ctx, []outcome{o}, time.Time{})
}

// settleAll is settle for messages of one device, in order, of which all are
// disputable or none is. For aloneSince see [Removal].
func (q *Queues) settleAll(ctx context.Context, all []outcome, aloneSince time.Time) (err error) {
	if all[0].disputable() {
		all, err = q.decide(ctx, all)
	} else if m := &all[0].message; m.Deliveries > 0 {
		err = q.forget(ctx, m)
	}
	if err != nil {
		return err
	}
	for i := range all {
		if err := q.tell(ctx, all[i]); err != nil {
			return errors.Join(err, q.remove(ctx, all[:i], time.Time{}))
		}
	}
	return q.remove(ctx, all, aloneSince)
}

// tell gives the sender the feedback that he has asked for, and keeps a message that
// the device will not get.
func (q *Queues) tell(ctx context.Context, o outcome) error {
	m := &o.message
	if m.Ack.Wants(o.status) {
		err := q.Outcomes.Report(ctx, Feedback{
			OriginalMessageID: clipID(m.MessageID), Description: o.reason, Status: o.status, Device: m.Device,
			Generation: o.generation, Time: q.now(), Sequence: m.Sequence,
		})
		if err != nil {
			return err
		}
	}
	if o.status.dead() {
		d := DeadLetter{Message: *m, Status: o.status, Description: o.reason, Time: q.now()}
		if err := q.Outcomes.Bury(ctx, d); err != nil {
			return err
		}
		if q.Dropped != nil {
			q.Dropped(d)
		}
	}
	return nil
}

// remove takes messages that are settled out of their queue.
func (q *Queues) remove(ctx context.Context, settled []outcome, aloneSince time.Time) error {
	if q.Bulk == nil || len(settled) == 1 {
		for i := range settled {
			if err := q.Store.Remove(ctx, settled[i].message.Sequence); err != nil {
				return err
			}
			q.tellSettled(settled[i : i+1])
		}
		return nil
	}
	if len(settled) == 0 {
		return nil
	}
	r := Removal{Device: settled[0].message.Device, AloneSince: aloneSince}
	for i := range settled {
		r.Sequences = append(r.Sequences, settled[i].message.Sequence)
	}
	err := q.Bulk.RemoveAll(ctx, r)
	if err == nil {
		q.tellSettled(settled)
	}
	return err
}

func (q *Queues) tellSettled(settled []outcome) {
	if q.Settled == nil {
		return
	}
	for i := range settled {
		q.Settled(settled[i].message, settled[i].status)
	}
}

// waiting reads the first messages of a device behind after.
func (q *Queues) waiting(ctx context.Context, device string, after uint64, room Room) (first []Message, more bool, err error) {
	if q.Bulk != nil {
		return q.Bulk.Waiting(ctx, device, after, room)
	}
	m, err := q.Store.Next(ctx, device, after)
	if err != nil || m.Sequence == 0 {
		return nil, false, err
	}
	return []Message{m}, true, nil
}

// clipID shortens an id that no valid message has.
func clipID(id string) string {
	if len(id) <= maxID {
		return id
	}
	return strings.ToValidUTF8(id[:maxID], "")
}

// decide writes outcomes into the device's state, or takes those that are there. It
// returns those of messages that are there still: one that somebody else has
// settled to the end is nobody's business any more.
func (q *Queues) decide(ctx context.Context, all []outcome) (present []outcome, err error) {
	device := all[0].message.Device
	err = q.change(ctx, device, func(s *State) (changed bool, err error) {
		present = nil
		for _, o := range all {
			n := o.message.Sequence
			held, err := q.Store.Holds(ctx, n)
			if err != nil {
				return false, err
			}
			if !held {
				continue
			}
			if decided, ok := s.Settled[n]; !ok {
				if o.epoch > 0 && s.Epoch > o.epoch {
					return false, replaced(device)
				}
				s.Settled, changed = remember(s.Settled, n, o.status), true
				delete(s.Failures, n)
			} else if o.status != decided {
				o.status, o.reason = decided, string(decided)
			}
			present = append(present, o)
		}
		if changed && len(s.Settled) > tidyFrom {
			err = q.tidy(ctx, device, s)
		}
		return changed, err
	})
	return present, err
}

// tidy forgets what is known of messages before the first one that is there.
func (q *Queues) tidy(ctx context.Context, device string, s *State) error {
	first, err := q.Store.Next(ctx, device, 0)
	if err != nil {
		return err
	}
	maps.DeleteFunc(s.Settled, func(n uint64, _ Status) bool { return n < first.Sequence })
	maps.DeleteFunc(s.Failures, func(n uint64, _ int) bool { return n < first.Sequence })
	return nil
}

// forget drops the failures of a message: they would be in the way of those of
// messages that are still there.
func (q *Queues) forget(ctx context.Context, m *Message) error {
	return q.change(ctx, m.Device, func(s *State) (bool, error) {
		_, there := s.Failures[m.Sequence]
		delete(s.Failures, m.Sequence)
		return there, nil
	})
}

// take makes the connection with this epoch the one that settles messages, and
// returns the state.
func (q *Queues) take(ctx context.Context, device string, epoch uint64) (taken State, err error) {
	err = q.change(ctx, device, func(s *State) (bool, error) {
		if s.Epoch > epoch {
			claimed, err := q.Claims.Claimed(ctx, s.Epoch)
			if err == nil && claimed {
				err = replaced(device)
			}
			if err != nil {
				return false, err
			}
		}
		isNew := s.Epoch != epoch
		s.Epoch = epoch
		taken = *s
		return isNew, nil
	})
	return taken, err
}

// count notes deliveries in vain. Whoever knows of them may say so: it takes no
// ownership.
func (q *Queues) count(ctx context.Context, device string, sequences []uint64) (counted State, err error) {
	err = q.change(ctx, device, func(s *State) (bool, error) {
		for _, n := range sequences {
			s.Failures = remember(s.Failures, n, s.Failures[n]+1)
		}
		counted = *s
		return true, nil
	})
	return counted, err
}

// change applies f to the state by compare-and-set, again while others are
// faster. f reports whether there is something to write.
func (q *Queues) change(ctx context.Context, device string, f func(*State) (bool, error)) error {
	const attempts = 20
	for try := 1; ; try++ {
		s, err := q.Store.Load(ctx, device)
		if err != nil {
			return err
		}
		changed, err := f(&s)
		if err != nil || !changed {
			return err
		}
		err = q.Store.Save(ctx, device, s)
		if !errors.Is(err, &hub.Error{Code: hub.PreconditionFailed}) || try == attempts {
			return err
		}
	}
}

func replaced(device string) error {
	return hub.Errorf(hub.ConnectionReplaced, "a newer connection of %s delivers its messages", device)
}
