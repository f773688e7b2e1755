package direct_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/hubgate/hubgate/backend/direct"
)

// Headers are those that nats.go reads, whatever is on the wire.
func FuzzReadHeaders(f *testing.F) {
	for _, h := range hostile() {
		f.Add([]byte(h.headers))
	}
	for _, lines := range []string{
		"", "\r\n", "A: b\r\n", "A: b\r\nA: c\r\n\r\n", "A: b\r\n\r\nC: d\r\n\r\n", ": b\r\n\r\n", "A : b: c\r\n\r\n", "A:b: c\r\n\r\n",
		"A: \r\n\r\n", "A:\r\n\r\n", "A:  b\r\n\r\n", "A: \tb\r\n\r\n", "A: b\r\r\n\r\n", "A: b\nC: d\r\n\r\n", "A: b\r\n\r\nrest",
	} {
		f.Add([]byte("NATS/1.0\r\n" + lines))
	}
	f.Fuzz(func(t *testing.T, block []byte) {
		want, err := nats.DecodeHeadersMsg(block)
		got := direct.ReadHeaders(string(block))
		if (got == nil) != (err != nil) || cmp.Diff(want, got.Map()) != "" && err == nil {
			t.Errorf("%q is %v, nats.go says %v, %v", block, got, want, err)
		}
		for name := range want {
			if got.Get(name) != want.Get(name) {
				t.Errorf("%q: %s is %q, want %q", block, name, got.Get(name), want.Get(name))
			}
		}
	})
}
