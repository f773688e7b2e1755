package gateway

import (
	"sync/atomic"
	"time"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/meter"
)

// transport is how a peer has come, as [Peer] names it.
type transport uint8

const (
	plain transport = iota
	overTLS
	overWebSocket
	transports // how many there are
)

// String is what [Peer.Transport] says.
func (t transport) String() string { return [...]string{"tcp", "tls", "websocket"}[t] }

func transportOf(name string) transport {
	for t := range transports {
		if t.String() == name {
			return t
		}
	}
	return plain
}

// counters is what a server counts. What every packet changes is counted once
// for each read, or in a cache line of its own.
type counters struct {
	began time.Time // of the clock of [Server.ticks]

	admitted [transports]atomic.Uint64
	here     [transports]atomic.Int64
	refused  meter.Codes // before CONNACK, or by it
	ended    meter.Codes

	handshakes meter.Operation // of TLS
	connects   meter.Operation // from CONNECT to its answer

	bytesIn, bytesOut meter.Counter
	messages          meter.Counter // PUBLISH to topics that do not begin with $
	requests          meter.Counter // PUBLISH to those that do
	sent              meter.Counter // PUBLISH to clients
	full              atomic.Uint64 // pauses of readers whose window was full

	puback meter.Histogram
}

// ticks is microseconds since the server began, on a clock that starts again
// after 71 minutes: no PUBACK takes that long.
func (s *Server) ticks() uint32 {
	return uint32(time.Since(s.counts.began) / time.Microsecond) //nolint:gosec // see above
}

// read counts what came by one read.
func (n *counters) read(b batch) {
	n.bytesIn.Add(uint64(b.bytes)) //nolint:gosec // lengths
	if b.messages > 0 {
		n.messages.Add(uint64(b.messages)) //nolint:gosec // a count
	}
	if b.requests > 0 {
		n.requests.Add(uint64(b.requests)) //nolint:gosec // a count
	}
}

func (n *counters) begun(c *conn) {
	t := transportOf(c.peer.Transport)
	n.admitted[t].Add(1)
	n.here[t].Add(1)
}

func (n *counters) left(c *conn) { n.here[transportOf(c.peer.Transport)].Add(-1) }

// acknowledged counts how long the messages have waited whose PUBACKs are due
// now: those of c.pending from tag on that are out of it. c.mu is held.
func (c *conn) acknowledged(tag uint64) {
	if tag == c.pending.head {
		return
	}
	for now := c.srv.ticks(); tag < c.pending.head; tag++ {
		if e := c.pending.at(tag); e.timed {
			c.srv.counts.puback.Observe(time.Duration(now-e.came) * time.Microsecond)
		}
	}
}

// Stats is what a server has done so far, and how it is now. The zero value is
// that of a server that has not begun.
type Stats struct {
	Connected map[string]int    // clients now, by transport
	Admitted  map[string]uint64 // clients that were let in, by transport
	HalfOpen  int               // peers in a handshake, now
	Refused   map[hub.Code]uint64
	Ended     map[hub.Code]uint64 // connections; 0: by DISCONNECT

	Displaced  uint64 // peers in a handshake that had to go for newer ones
	TurnedAway uint64 // peers that were closed unheard, for their address has a penalty
	Offenders  int    // addresses and clients that are remembered for bad credentials

	Handshakes meter.Operated
	Connects   meter.Operated

	BytesIn, BytesOut uint64 // of MQTT packets
	Messages          uint64 // PUBLISH packets to topics that do not begin with $
	Requests          uint64 // PUBLISH packets to those that do
	Sent              uint64 // PUBLISH packets to clients
	WindowFull        uint64 // times that a client was read no further before its messages were stored
	Puback            meter.Durations

	Memory, MemoryLimit int64  // held for clients, in bytes; limit 0: none
	MemoryCut           uint64 // connections that were cut for it

	Accepting bool // the listeners are open
}

// Stats returns the numbers as they are.
func (s *Server) Stats() Stats {
	s.init()
	n := &s.counts
	all := Stats{
		Connected: map[string]int{}, Admitted: map[string]uint64{}, HalfOpen: s.gate.waiting(),
		Refused: n.refused.Counts(), Ended: n.ended.Counts(),
		Displaced: s.gate.evicted(), TurnedAway: s.offences.turned.Load(), Offenders: int(s.offences.count.Load()),
		Handshakes: n.handshakes.Counts(), Connects: n.connects.Counts(),
		BytesIn: n.bytesIn.Load(), BytesOut: n.bytesOut.Load(),
		Messages: n.messages.Load(), Requests: n.requests.Load(), Sent: n.sent.Load(),
		WindowFull: n.full.Load(), Puback: n.puback.Durations(),
		Memory: s.memory.used.Load(), MemoryLimit: s.memory.limit.Load(), MemoryCut: s.memory.cut.Load(),
		Accepting: s.listeners.open(),
	}
	for t := range transports {
		all.Connected[t.String()] = int(n.here[t].Load())
		all.Admitted[t.String()] = n.admitted[t].Load()
	}
	return all
}

// open reports whether there are listeners, and none is closed.
func (l *listeners) open() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.all) > 0 && !l.closed
}
