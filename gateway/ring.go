package gateway

import "github.com/hubgate/hubgate/gateway/mqtt"

// ring holds the PUBLISH packets of a connection that are not stored yet, in
// the order received, so that their PUBACKs leave in that order
// [MQTT3-4.6.0-2] however the store answers. A tag is the packet's number in
// the connection's life.
type ring struct {
	entries []entry // length is a power of two; tag & (len-1) is the index
	head    uint64  // tag of the oldest entry
	tail    uint64  // tag of the next one
	bytes   int     // of all packets inside
}

// entry is one PUBLISH; id is 0 for QoS 0, which is not acknowledged.
type entry struct {
	id     uint16
	stored bool
	timed  bool // it counts how long its PUBACK takes
	size   int32
	came   uint32 // see Server.ticks
}

// minRing is the first size of a ring: most devices send one at a time.
const minRing = 4

// len is the number of packets inside.
func (r *ring) len() int { return int(r.tail - r.head) }

// push adds a packet and returns its tag.
func (r *ring) push(id uint16, size int) uint64 {
	if r.len() == len(r.entries) {
		r.grow()
	}
	tag := r.tail
	*r.at(tag) = entry{id: id, size: int32(size)}
	r.tail++
	r.bytes += size
	return tag
}

// drop takes back the newest packet, whose tag push has just returned.
func (r *ring) drop() {
	r.tail--
	r.bytes -= int(r.at(r.tail).size)
}

// stored marks the packet of tag, and appends the PUBACKs that are due now.
func (r *ring) stored(tag uint64, out []byte) []byte {
	r.at(tag).stored = true
	for r.head < r.tail {
		e := r.at(r.head)
		if !e.stored {
			break
		}
		if e.id != 0 {
			out = mqtt.AppendPuback(out, e.id)
		}
		r.bytes -= int(e.size)
		r.head++
	}
	return out
}

func (r *ring) at(tag uint64) *entry { return &r.entries[tag&uint64(len(r.entries)-1)] }

func (r *ring) grow() {
	old := *r
	r.entries = make([]entry, max(minRing, 2*len(old.entries)))
	for tag := old.head; tag < old.tail; tag++ {
		*r.at(tag) = *old.at(tag)
	}
}
