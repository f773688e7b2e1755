package telemetry

import (
	"bytes"
	"hash/maphash"
	"math/bits"
)

// scanned is how many properties are compared one by one: that many are faster
// to compare than to hash.
const scanned = 16

// index finds a property among many. A topic has room for some 20,000 of
// them, which compared one by one would keep a core busy for a second. The zero
// value is ready. The hash is seeded, so that nobody can make names collide.
type index struct {
	seed  maphash.Seed
	slots []int32 // open addressing; 1 + the place in the list, 0: free
	count int     // how many properties of the list are in slots
}

// find returns the place of a name in the list, -1 when it is not there. The
// list must have grown only at its end since the last call, unless count was
// set to 0.
func (x *index) find(list []Property, name []byte) int {
	if len(list) <= scanned {
		for i := range list {
			if bytes.Equal(list[i].Name, name) {
				return i
			}
		}
		return -1
	}
	x.extend(list)
	return int(x.slots[x.slot(list, name)]) - 1
}

// extend enters the properties that are new in the list.
func (x *index) extend(list []Property) {
	if x.count == 0 || 2*len(list) > len(x.slots) {
		x.rebuild(len(list))
	}
	for ; x.count < len(list); x.count++ {
		x.slots[x.slot(list, list[x.count].Name)] = int32(x.count) + 1
	}
}

// rebuild empties the index and gives it room for n properties and more.
func (x *index) rebuild(n int) {
	if x.seed == (maphash.Seed{}) {
		x.seed = maphash.MakeSeed()
	}
	x.count = 0
	size := 1 << bits.Len(uint(4*n))
	if cap(x.slots) < size {
		x.slots = make([]int32, size)
		return
	}
	x.slots = x.slots[:size]
	clear(x.slots)
}

// slot returns the slot that holds the name, or the free one where it belongs.
func (x *index) slot(list []Property, name []byte) int {
	mask := len(x.slots) - 1
	at := int(maphash.Bytes(x.seed, name)) & mask
	for x.slots[at] != 0 && !bytes.Equal(list[x.slots[at]-1].Name, name) {
		at = (at + 1) & mask
	}
	return at
}
