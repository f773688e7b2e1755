package c2d

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/hubgate/hubgate/hub"
)

const (
	stepTimeout = 10 * time.Second
	firstPause  = 50 * time.Millisecond
	lastPause   = 30 * time.Second
	behindPause = 2 * time.Second // at most, before a replica is asked again
	// blockedPause is how long to wait when the connection takes no more.
	blockedPause = time.Second
	// finalTries is how often a mailbox that is closed tries to store what it
	// knows. After that, messages come again and deliveries are not counted.
	finalTries = 3
)

// errBehind means that a message that was announced can't be read yet: a
// replica of the store is behind.
var errBehind = errors.New("the message is not there yet")

// run works until there is nothing to do.
func (m *Mailbox) run() {
	for {
		ctx, cancel := context.WithTimeout(context.Background(), stepTimeout)
		more, err := m.step(ctx)
		cancel()
		if err == nil && more {
			m.goesOn()
			continue
		}
		if m.rest(err) {
			return
		}
	}
}

// goesOn notes that the store works.
func (m *Mailbox) goesOn() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tries, m.again = 0, false
}

// rest decides whether the goroutine ends, and what wakes the mailbox then.
func (m *Mailbox) rest(err error) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil {
		m.tries = 0
		if m.again {
			m.again = false
			return false
		}
	} else {
		m.tries++
	}
	m.running, m.again = false, false
	switch {
	case errors.Is(err, &hub.Error{Code: hub.ConnectionReplaced}), m.closed && (err == nil || m.tries >= finalTries):
		m.end()
	case err != nil:
		m.fail(err)
	case m.blocked:
		m.arm(blockedPause)
	default:
		m.armLock()
	}
	return true
}

// fail puts the work off. m.mu is held.
func (m *Mailbox) fail(err error) {
	longest := lastPause
	if errors.Is(err, errBehind) {
		longest = behindPause
	} else if m.tries == 1 { // the rest of a row says the same
		m.queues.trouble(m.owner.Device, err)
	}
	m.arm(min(firstPause<<min(m.tries-1, 10), longest))
}

// armLock sets the timer for the oldest delivery. m.mu is held.
func (m *Mailbox) armLock() {
	var first time.Time
	for _, f := range m.flights {
		if !f.acked && (first.IsZero() || f.sent.Before(first)) {
			first = f.sent
		}
	}
	if !first.IsZero() && m.started {
		m.arm(first.Add(m.queues.Limits.lock()).Sub(m.queues.now()))
	}
}

func (m *Mailbox) arm(d time.Duration) {
	if m.timer == nil {
		m.timer = time.AfterFunc(d, m.alarm)
		return
	}
	m.timer.Reset(d)
}

func (m *Mailbox) alarm() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.blocked = false
	m.kick()
}

// step does one piece of work and reports whether there may be more.
func (m *Mailbox) step(ctx context.Context) (more bool, err error) {
	if done := m.firstAcked(); len(done) > 0 {
		return true, m.complete(ctx, done)
	}
	if m.isClosed() {
		return false, m.abandon(ctx)
	}
	if late := m.late(); len(late) > 0 {
		return true, m.retry(ctx, late)
	}
	if until := m.unwanted(); !until.IsZero() {
		return true, m.discardNext(ctx, until)
	}
	return m.next(ctx)
}

func (m *Mailbox) isClosed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.closed
}

// windowBytes is how many bytes of deliveries may be unacknowledged before the
// next one waits. A connection ends when 1 MiB waits for a slow client, and then
// all of them would have been in vain.
const windowBytes = 512 << 10

// room is for how much the connection has room.
func (m *Mailbox) room() Room {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.started || m.blocked || m.closed {
		return Room{}
	}
	r := Room{m.queues.Limits.window() - len(m.flights), windowBytes}
	for _, f := range m.flights {
		r.Bytes -= f.size
	}
	return r
}

// isFull reports whether nothing can be sent.
func (r Room) isFull() bool { return r.Messages <= 0 || r.Bytes <= 0 }

func (m *Mailbox) settle(ctx context.Context, o outcome) error {
	o.epoch, o.generation = m.owner.Epoch, m.owner.Generation
	return m.queues.settle(ctx, o)
}

// late returns the deliveries whose lock has passed, in order.
func (m *Mailbox) late() []uint64 {
	limit := m.queues.now().Add(-m.queues.Limits.lock())
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.started || m.blocked {
		return nil // nothing can be made again
	}
	var late []uint64
	for n, f := range m.flights {
		if !f.acked && !f.sent.After(limit) {
			late = append(late, n)
		}
	}
	slices.Sort(late)
	return late
}

// abandon counts the deliveries that were cut off.
func (m *Mailbox) abandon(ctx context.Context) error {
	m.mu.Lock()
	var lost []uint64
	for n, f := range m.flights {
		if !f.acked && !f.failed {
			lost = append(lost, n)
		}
	}
	m.mu.Unlock()
	if len(lost) == 0 {
		return nil
	}
	if _, err := m.queues.count(ctx, m.owner.Device, lost); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n := range lost {
		if f := m.flights[n]; f != nil && !f.acked {
			delete(m.flights, n) // counted once
		}
	}
	return nil
}

// retry counts deliveries as failed and makes them again.
func (m *Mailbox) retry(ctx context.Context, late []uint64) error {
	if err := m.fails(ctx, late); err != nil {
		return err
	}
	for _, n := range late {
		message, err := m.queues.Store.Next(ctx, m.owner.Device, n-1)
		if err != nil {
			return err
		}
		if message.Sequence != n { // purged
			m.land(n)
			continue
		}
		if m.isAcked(n) { // meanwhile
			continue
		}
		if err := m.deliver(ctx, message); err != nil {
			return err
		}
	}
	return nil
}

// fails counts deliveries as failed, each once.
func (m *Mailbox) fails(ctx context.Context, late []uint64) error {
	m.mu.Lock()
	late = slices.DeleteFunc(slices.Clone(late), func(n uint64) bool { return m.flights[n].failed })
	m.mu.Unlock()
	if len(late) == 0 {
		return nil
	}
	s, err := m.queues.count(ctx, m.owner.Device, late)
	if err != nil {
		return err
	}
	m.state.Failures = s.Failures
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n := range late {
		m.flights[n].failed, m.flights[n].message.Deliveries = true, s.Failures[n]
	}
	return nil
}

// next delivers what is next in the queue, and reports whether there may be more.
// It does not look when nobody has told of a message since there was none.
func (m *Mailbox) next(ctx context.Context) (more bool, err error) {
	room, reasons := m.room(), m.reasonsToLook()
	if room.isFull() || reasons == m.looked {
		return false, nil
	}
	if m.began.IsZero() {
		m.began = m.queues.now()
	}
	first, more, err := m.read(ctx, room)
	if err != nil {
		return false, err
	}
	if all, err := m.deliverAll(ctx, first); err != nil || !all {
		return false, err
	}
	if more {
		return true, nil
	}
	m.doubts = 0 // what comes now is new
	if len(first) > 0 && m.announced() > m.reader {
		return true, nil // it came after the look
	}
	if err := m.behind(ctx); err != nil {
		return false, err
	}
	m.looked = reasons
	return false, nil
}

// deliverAll delivers messages until the connection takes no more, and reports
// whether it has taken all.
func (m *Mailbox) deliverAll(ctx context.Context, first []Message) (all bool, err error) {
	if len(first) == 0 {
		return true, nil
	}
	if err := m.takeOver(ctx); err != nil {
		return false, err
	}
	for _, message := range first {
		if m.room().isFull() {
			return false, nil
		}
		if err := m.deliver(ctx, message); err != nil || m.reader < message.Sequence {
			return false, err
		}
		if !m.isAcked(message.Sequence) {
			continue
		}
		if err := m.complete(ctx, m.firstAcked()); err != nil { // with QoS 0, before the next one is sent
			return false, err
		}
	}
	return true, nil
}

// lookBytes is how many bytes of messages one look brings, and the rest of the last
// one: when many devices come at once, each with a full queue, what the store
// answers must not be too much for the connection to it.
const lookBytes = 64 << 10

// read reads what is next. When nothing is under way, everything up to the reader
// is settled, and the queue is read from its begin, several messages at once: from
// elsewhere a store has to count what is left out.
func (m *Mailbox) read(ctx context.Context, room Room) (first []Message, more bool, err error) {
	after := m.reader
	room.Bytes = min(room.Bytes, lookBytes)
	if room.Messages == m.queues.Limits.window() {
		after = 0
	} else {
		room.Messages = 1
	}
	first, more, err = m.queues.waiting(ctx, m.owner.Device, after, room)
	if len(first) == 0 || first[0].Sequence > m.reader {
		return first, more, err
	}
	m.unsure = true // something was passed over, or is still there that should be gone
	return m.queues.waiting(ctx, m.owner.Device, m.reader, room)
}

func (m *Mailbox) reasonsToLook() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.reasons
}

// announced is the highest number that was announced.
func (m *Mailbox) announced() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.hint
}

// behindTries is how often a message that was announced is looked for, before
// the store is asked whether it is there still.
const behindTries = 4

// behind fails when a message was announced that can't be read yet.
func (m *Mailbox) behind(ctx context.Context) error {
	m.mu.Lock()
	hint, tries := m.hint, m.tries
	m.mu.Unlock()
	switch {
	case hint <= m.reader:
		return nil
	case tries < behindTries:
		return errBehind
	}
	held, err := m.queues.Store.Holds(ctx, hint)
	switch {
	case err != nil:
		return err
	case held:
		return errBehind
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.hint == hint { // somebody has settled it
		m.hint = 0
	}
	return nil
}

// deliver sends a message, or settles it when it is not to be sent.
func (m *Mailbox) deliver(ctx context.Context, message Message) error {
	n := message.Sequence
	message.Deliveries = m.state.Failures[n]
	o := outcome{message: message}
	if done, ok := m.state.Settled[n]; ok { // a crash came between
		o.status, o.reason = done, string(done)
	} else if err := m.queues.Limits.Validate(&message, message.Enqueued); err != nil {
		o.refuse(err)
	} else if !m.queues.now().Before(m.queues.Limits.Deadline(&message)) {
		o.expire()
	} else if message.Deliveries >= m.queues.Limits.deliveries() {
		o.status, o.reason = DeliveryCountExceeded, "Maximum delivery count exceeded"
	}
	if o.status == "" {
		if m.launch(message) && n > m.reader {
			m.reader, m.doubts = n, max(m.doubts-1, 0)
		}
		return nil
	}
	if err := m.settle(ctx, o); err != nil {
		return err
	}
	m.reader = max(m.reader, n)
	m.land(n)
	return nil
}

// launch hands a message to the connection and reports whether it took it. The
// lock is held: the acknowledgement must not be faster.
func (m *Mailbox) launch(message Message) bool {
	d := Delivery{Topic: message.Topic(), Payload: message.Body}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed || m.blocked { // what comes behind one that was not taken waits too
		return false
	}
	before, again := m.flights[message.Sequence]
	if again && before.acked { // while it was read again
		return true
	}
	d.Redelivered = again || m.owner.Resumed && (message.Deliveries > 0 || m.doubts > 0)
	d.PacketID = m.packetID(message.Sequence)
	id, err := m.send(d)
	if err != nil {
		m.blocked = true
		if errors.Is(err, ErrNotSubscribed) {
			m.started, m.blocked = false, false
		}
		return false
	}
	message.Body = nil
	if m.flights == nil {
		m.flights, m.packets = map[uint64]*flight{}, map[uint16]uint64{}
	}
	m.flights[message.Sequence] = &flight{message: message, sent: m.queues.now(), again: again, acked: id == 0}
	if id == 0 {
		m.acked = append(m.acked, message.Sequence)
	} else {
		m.packets[id] = message.Sequence
	}
	m.flights[message.Sequence].size = len(d.Topic) + len(d.Payload)
	return true
}

// packetID is the packet identifier of a message. It follows from the message's
// number, so that every later connection, on any node and after any crash, sends
// the message under the same one [MQTT3-4.4.0-1], and a PUBACK that a client
// sends after it has come back completes no other message. It is 0 when another
// message has the identifier on this connection. m.mu is held.
func (m *Mailbox) packetID(n uint64) uint16 {
	const first = 1 << 15
	id := first | uint16(n%first) //nolint:gosec // less than first
	if other, used := m.packets[id]; used && other != n {
		return 0
	}
	return id
}

// land forgets a delivery, acknowledged or not.
func (m *Mailbox) land(n uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.flights, n)
	m.acked = slices.DeleteFunc(m.acked, func(acked uint64) bool { return acked == n })
}
