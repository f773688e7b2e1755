package c2d

import (
	"errors"
	"sync"
	"time"
)

// Owner is a connection of a device.
type Owner struct {
	Device     string
	Generation string // of the device's identity, for feedback
	Epoch      uint64 // of the connection's claim of the session
	// Resumed says that the MQTT session is that of an earlier connection, and Cut
	// that nobody may know what that one has sent.
	Resumed, Cut bool
}

// Delivery is a message on its way to the device.
type Delivery struct {
	Topic       string
	Payload     []byte
	Redelivered bool // it was or may have been sent before, in the same session
	// PacketID is the packet identifier that the message always has, not below
	// 1<<15; 0: any below, because another message has that now.
	PacketID uint16
}

// Mailbox delivers the messages of one device to one connection, in the order
// of the queue. It costs no goroutine while there is nothing to do. Its methods
// may be called from any goroutine and do not wait.
type Mailbox struct {
	queues *Queues
	owner  Owner
	send   func(Delivery) (packetID uint16, err error)

	mu      sync.Mutex
	started bool // there is a subscription
	closed  bool
	ended   bool // closed, and everything is stored; or replaced
	running bool // a goroutine is at work
	again   bool // it has to look once more
	blocked bool // the connection takes no more until it acknowledges
	flights map[uint64]*flight
	packets map[uint16]uint64 // sequences by packet identifier
	acked   []uint64          // sequences to be settled
	hint    uint64            // sequence that was announced
	reasons int               // to look into the queue, so far
	tries   int               // failures in a row
	timer   *time.Timer
	delay   *time.Timer
	discard time.Time // messages that were stored until then are rejected

	// Of the goroutine at work.
	taken  bool
	state  State
	reader uint64    // everything up to here was read
	doubts int       // how many of the next messages an earlier connection may have sent
	began  time.Time // when it has looked first
	unsure bool      // there was a message that should be gone
	looked int       // how many reasons there were when the queue had nothing more
}

// flight is a message that was sent and waits for its acknowledgement. It has
// no body: who needs it reads it again.
type flight struct {
	message Message
	sent    time.Time
	again   bool // sent more than once by this connection
	acked   bool
	failed  bool // its lock has passed, which is counted
	size    int  // bytes on the wire
}

// ErrNotSubscribed is what the send of a [Mailbox] returns when the device has
// no subscription: the mailbox waits for [Mailbox.Start] then.
var ErrNotSubscribed = errors.New("the device has no subscription")

// Open returns the mailbox of a connection. send queues a QoS 1 delivery and
// returns its packet identifier, or 0 when the device has subscribed with QoS
// 0: such a message is settled with that. It may fail with [ErrNotSubscribed];
// after any other error it is called again a little later. It must neither wait
// nor call the mailbox.
func (q *Queues) Open(o Owner, send func(Delivery) (packetID uint16, err error)) *Mailbox {
	m := &Mailbox{queues: q, owner: o, send: send}
	if o.Resumed && o.Cut {
		m.doubts = q.Limits.window() // it can't have sent more
	}
	return m
}

// Start begins to deliver: the device has subscribed.
func (m *Mailbox) Start() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.start()
}

// start is Start. m.mu is held.
func (m *Mailbox) start() {
	if m.closed {
		return
	}
	if !m.started {
		m.started = true
		m.queues.enter(m)
	}
	m.blocked = false
	m.reasons++
	m.kick()
}

// StartAfter is Start after a while. Devices whose subscription is from an
// earlier connection get it: their applications may not listen yet.
func (m *Mailbox) StartAfter(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.closed {
		m.delay = time.AfterFunc(d, m.Start)
	}
}

// Hurry is Start if StartAfter was called: the device shows that it is awake.
func (m *Mailbox) Hurry() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.delay != nil && m.delay.Stop() {
		m.start()
	}
}

// Wake says that the message with this number is in the queue; 0: there may be
// some.
func (m *Mailbox) Wake(sequence uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hint = max(m.hint, sequence)
	m.reasons++
	m.kick()
}

// Acked says that the device has acknowledged a packet, and reports whether it
// was one of the mailbox's.
func (m *Mailbox) Acked(packetID uint16) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, ok := m.packets[packetID]
	if !ok {
		return false
	}
	f := m.flights[n]
	if f == nil || !f.again {
		delete(m.packets, packetID) // else there is one more PUBACK to come
	}
	m.blocked = false
	if f != nil && !f.acked {
		f.acked = true
		m.acked = append(m.acked, n)
	}
	m.kick()
	return true
}

// Close ends the deliveries: the connection is gone. What was sent and not
// acknowledged counts as delivered in vain; that is stored after Close has
// returned, see [Queues.Wait].
func (m *Mailbox) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	m.queues.leave(m)
	if m.delay != nil {
		m.delay.Stop()
	}
	if len(m.flights) > 0 {
		m.kick()
		return
	}
	if !m.running {
		m.end()
	}
}

// end forgets everything. m.mu is held.
func (m *Mailbox) end() {
	m.ended = true
	m.flights, m.packets, m.acked = nil, nil, nil
	if m.timer != nil {
		m.timer.Stop()
	}
}

// kick starts the goroutine unless it is at work. m.mu is held.
func (m *Mailbox) kick() {
	if m.ended || !m.started && len(m.flights) == 0 && m.discard.IsZero() {
		return
	}
	if m.running {
		m.again = true
		return
	}
	m.running = true
	m.queues.working.Go(m.run)
}
