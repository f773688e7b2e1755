package mqtt

import (
	"errors"
	"testing"
)

// TestAppendTooLarge has packets that no length can frame. Those that are seen
// before a byte is copied cost no memory: their zeros are never touched.
func TestAppendTooLarge(t *testing.T) {
	huge := make([]byte, maxRemaining+1)
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

// TestCloseTooLarge has a body that is too large only as a whole.
func TestCloseTooLarge(t *testing.T) {
	w := open(make([]byte, 0, 2+maxRemaining+1), V5, 0x82, nil)
	w.b = w.b[:cap(w.b)]
	if b, err := w.close(); len(b) != 0 || !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %d bytes, %v, want ErrTooLarge", len(b), err)
	}
}
