package mqtt_test

import (
	"testing"

	"github.com/hubgate/hubgate/gateway/mqtt"
)

// TestDecodeAllocates nothing, for every packet that has no error.
func TestDecodeAllocates(t *testing.T) {
	for name, g := range goldens() {
		t.Run(name, func(t *testing.T) {
			version := versionOf(g)
			var d mqtt.Decoder
			decode := func() {
				d.Version = version
				if _, err := d.Decode(g.wire); err != nil {
					t.Fatal(err)
				}
			}
			decode() // makes room for topic filters
			if got := testing.AllocsPerRun(100, decode); got != 0 {
				t.Errorf("got %v allocations, want 0", got)
			}
		})
	}
}

// TestFrameAllocates nothing.
func TestFrameAllocates(t *testing.T) {
	d := mqtt.Decoder{Version: mqtt.V5}
	b := wire(0x30, str("t"), 0, "payload")
	got := testing.AllocsPerRun(100, func() {
		if n, err := d.Frame(b); n != len(b) || err != nil {
			t.Fatal(n, err)
		}
	})
	if got != 0 {
		t.Errorf("got %v allocations, want 0", got)
	}
}

// TestAppendAllocates nothing when the buffer has room.
func TestAppendAllocates(t *testing.T) {
	for name, g := range goldens() {
		t.Run(name, func(t *testing.T) {
			b := make([]byte, 0, len(g.wire)+8)
			got := testing.AllocsPerRun(100, func() {
				if _, err := g.packet.Append(b, g.v); err != nil {
					t.Fatal(err)
				}
			})
			if got != 0 {
				t.Errorf("got %v allocations, want 0", got)
			}
		})
	}
}

// TestPropertiesAllocate nothing when they are read, or set in memory that was
// there before.
func TestPropertiesAllocate(t *testing.T) {
	var p mqtt.Properties
	content, key := []byte("application/json"), []byte("key")
	got := testing.AllocsPerRun(100, func() {
		p.Reset()
		p.SetNumber(mqtt.PropertyMessageExpiry, 1)
		p.SetBytes(mqtt.PropertyContentType, content)
		p.AddUser(key, content)
		p.AddSubscriptionID(300)
		n := 0
		for name, value := range p.User() {
			n += len(name) + len(value)
		}
		for id := range p.SubscriptionIDs() {
			n += int(id)
		}
		expiry, _ := p.Number(mqtt.PropertyMessageExpiry)
		kind, _ := p.Bytes(mqtt.PropertyContentType)
		if n != len(key)+len(content)+300 || expiry != 1 || len(kind) != len(content) {
			t.Fatal("the properties are not as they were set")
		}
	})
	if got != 0 {
		t.Errorf("got %v allocations, want 0", got)
	}
}
