//go:build unix

package mqtt

import (
	"errors"
	"syscall"
	"testing"
)

// untouched is n bytes that cost no memory as long as nobody looks at them.
func untouched(t *testing.T, n int) []byte {
	t.Helper()
	b, err := syscall.Mmap(-1, 0, n, syscall.PROT_READ, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatalf("map %d bytes: %v", n, err)
	}
	t.Cleanup(func() { _ = syscall.Munmap(b) })
	return b
}

// TestAppendTooLarge has packets that no length can frame, and shows that they
// are refused before a byte is copied.
func TestAppendTooLarge(t *testing.T) {
	huge := untouched(t, maxRemaining+1)
	user := Properties{raw: huge, set: 1 << PropertyUser}
	for name, p := range map[string]Packet{
		"[MQTT5-1.5.5] payload":                  &Publish{Topic: []byte("t"), Payload: huge},
		"[MQTT5-1.5.5] payload just too large":   &Publish{Topic: []byte("t"), Payload: huge[:maxRemaining-3]},
		"[MQTT5-1.5.5] properties of PUBLISH":    &Publish{Topic: []byte("t"), Properties: user},
		"[MQTT5-1.5.5] properties of an answer":  &Puback{ID: 1, Properties: user},
		"[MQTT5-1.5.5] properties of DISCONNECT": &Disconnect{Properties: user},
		"[MQTT5-1.5.5] codes of SUBACK":          &Suback{ID: 1, Codes: huge},
		"[MQTT5-1.5.5] codes of UNSUBACK":        &Unsuback{ID: 1, Codes: huge},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := p.Append([]byte("before"), V5)
			e, ok := errors.AsType[*Error](err)
			if !ok || !errors.Is(err, ErrTooLarge) || e.Rule != "MQTT5-1.5.5" {
				t.Errorf("got %v, want ErrTooLarge by MQTT5-1.5.5", err)
			}
			if string(b) != "before" {
				t.Errorf("got %d bytes with an error, want what was there before", len(b))
			}
		})
	}
}

// TestAppendTooLarge3 is the same for MQTT 3.1.1.
func TestAppendTooLarge3(t *testing.T) {
	p := Publish{Topic: []byte("t"), Payload: untouched(t, maxRemaining)}
	_, err := p.Append(nil, V311)
	if e, ok := errors.AsType[*Error](err); !ok || !errors.Is(err, ErrTooLarge) || e.Rule != "MQTT3-2.2.3" {
		t.Errorf("got %v, want ErrTooLarge by MQTT3-2.2.3", err)
	}
}

// TestCloseTooLarge has a body that is too large only as a whole.
func TestCloseTooLarge(t *testing.T) {
	w := writer{b: untouched(t, 2+maxRemaining+1), v: V5}
	if b, err := w.close(); len(b) != 0 || !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %d bytes, %v, want ErrTooLarge", len(b), err)
	}
}
