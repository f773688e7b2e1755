package gateway

import "testing"

// [MQTT3-2.3.1-4] An identifier in use is given to no other message, and those
// that messages name are given to nobody else.
func TestPacketIdentifiers(t *testing.T) {
	var u unacked
	const fixed = FirstFixedID | 7
	for range 2 { // the second time it is the same message again
		if id, ok := u.take(fixed); id != fixed || !ok {
			t.Fatalf("take(%d) = %d, %v", fixed, id, ok)
		}
	}
	u.last = FirstFixedID - 2
	for _, want := range []uint16{FirstFixedID - 1, 1, 2} {
		if id, ok := u.take(0); id != want || !ok {
			t.Fatalf("take = %d, %v, want %d", id, ok, want)
		}
	}
	u.last = FirstFixedID - 2
	if id, _ := u.take(0); id != 3 {
		t.Errorf("take = %d, want 3, for those before are in use", id)
	}
	if !u.give(fixed) || u.give(fixed) {
		t.Error("one PUBACK is enough")
	}
	for len(u.ids) < maxUnacked {
		u.take(0)
	}
	for _, named := range []uint16{0, fixed} {
		if id, ok := u.take(named); ok {
			t.Errorf("take(%d) = %d beyond the limit", named, id)
		}
	}
	if _, ok := u.take(1); !ok {
		t.Error("a message that is under way can't be sent again")
	}
}
