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
