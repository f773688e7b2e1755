package gateway

import (
	"encoding/binary"
	"testing"

	"pgregory.net/rapid"
)

// Whatever the order in which messages are stored, the ring gives out each
// PUBACK once, in the order of the PUBLISHes, and never early.
func TestRingKeepsOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r ring
		var waiting []uint64 // tags not stored yet
		stored := map[uint64]bool{}
		ids := map[uint64]uint16{} // 0 for QoS 0
		var head uint64
		for step := range rapid.IntRange(1, 300).Draw(t, "steps") {
			if len(waiting) == 0 || rapid.Bool().Draw(t, "push") {
				id := uint16(step + 1)
				if rapid.Bool().Draw(t, "qos0") {
					id = 0
				}
				tag := r.push(id, 10)
				waiting, ids[tag] = append(waiting, tag), id
				continue
			}
			i := rapid.IntRange(0, len(waiting)-1).Draw(t, "which")
			tag := waiting[i]
			waiting = append(waiting[:i], waiting[i+1:]...)
			stored[tag] = true
			var want []uint16
			for ; stored[head]; head++ {
				if ids[head] != 0 {
					want = append(want, ids[head])
				}
			}
			if got := pubackIDs(r.stored(tag, nil)); !equal(got, want) {
				t.Fatalf("PUBACKs %v, want %v", got, want)
			}
			if r.bytes != 10*r.len() {
				t.Fatalf("%d bytes for %d packets", r.bytes, r.len())
			}
		}
	})
}

// A packet that is taken back leaves nothing: not its tag, its size, nor a PUBACK.
func TestRingTakesBack(t *testing.T) {
	var r ring
	r.push(1, 10)
	tag := r.push(2, 20)
	r.drop()
	if r.len() != 1 || r.bytes != 10 {
		t.Errorf("%d packets with %d bytes are left, want one of 10", r.len(), r.bytes)
	}
	if again := r.push(3, 30); again != tag || r.bytes != 40 {
		t.Errorf("the next one has tag %d, want %d, and makes it %d bytes", again, tag, r.bytes)
	}
	if got := pubackIDs(append(r.stored(tag, nil), r.stored(0, nil)...)); !equal(got, []uint16{1, 3}) || r.len() != 0 || r.bytes != 0 {
		t.Errorf("PUBACKs %v, %d packets with %d bytes are left", got, r.len(), r.bytes)
	}
}

func pubackIDs(b []byte) []uint16 {
	var ids []uint16
	for ; len(b) >= 4; b = b[4:] {
		ids = append(ids, binary.BigEndian.Uint16(b[2:]))
	}
	return ids
}

func equal(a, b []uint16) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
