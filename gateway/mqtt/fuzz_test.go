package mqtt_test

import (
	"bytes"
	"runtime"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/hubgate/hubgate/gateway/mqtt"
)

// fuzzVersion is the version that a seed or a fuzzed byte chooses.
func fuzzVersion(x byte) mqtt.Version {
	return []mqtt.Version{0, mqtt.V31, mqtt.V311, mqtt.V5}[x%4]
}

// fuzzDecoder is a decoder whose settings a fuzzed byte chooses.
func fuzzDecoder(x byte) mqtt.Decoder {
	return mqtt.Decoder{
		Version:        fuzzVersion(x),
		From:           mqtt.Sender(x >> 2 % 3),
		LenientTopics:  x&0x20 != 0,
		LenientFilters: x&0x40 != 0,
	}
}

// seed adds every golden packet, those that are refused for a property, and a
// few beginnings that are no MQTT.
func seed(f *testing.F) {
	f.Helper()
	for _, g := range goldens() {
		if len(g.wire) > 1<<10 {
			continue
		}
		x := byte(slices.Index([]mqtt.Version{0, mqtt.V31, mqtt.V311, mqtt.V5}, versionOf(g)))
		f.Add(x, g.wire)
		f.Add(x|0x60, g.wire)
	}
	for _, h := range holders() {
		for _, e := range examples() {
			f.Add(byte(3), h.wire(int(e.id), e.value))
		}
	}
	f.Add(byte(0), []byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add(byte(0), []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"))
	f.Add(byte(2), []byte{0x30, 0xFF, 0xFF, 0xFF, 0x7F})
}

// FuzzDecode decodes anything: it does not panic, reads no byte that is not
// there, accepts nothing but one whole packet, and allocates a small multiple
// of what came.
func FuzzDecode(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, settings byte, in []byte) {
		d := fuzzDecoder(settings)
		in = exactly(in)
		before := bytes.Clone(in)
		checkFrame(t, d, in)

		var start, end runtime.MemStats
		measured := len(in) > 64 // reading the statistics stops the world
		if measured {
			runtime.ReadMemStats(&start)
		}
		p, err := d.Decode(in)
		if measured {
			runtime.ReadMemStats(&end)
			// A topic of UNSUBSCRIBE has at least 3 bytes and takes 24; errors and
			// the fuzzer itself allocate a little, too.
			if got, limit := end.TotalAlloc-start.TotalAlloc, uint64(12*len(in)+64<<10); got > limit {
				t.Errorf("decoding %d bytes allocated %d, more than %d", len(in), got, limit)
			}
		}
		if (p == nil) == (err == nil) {
			t.Errorf("got packet %v and error %v", p, err)
		}
		if !bytes.Equal(in, before) {
			t.Error("decoding wrote to the bytes")
		}
	})
}

// checkFrame compares Frame, byte by byte, with Decode.
func checkFrame(t *testing.T, d mqtt.Decoder, in []byte) {
	t.Helper()
	size, err := d.Frame(in)
	if err != nil && size != 0 {
		t.Errorf("Frame gave size %d and error %v", size, err)
	}
	for n := range min(len(in), 6) {
		early, earlyErr := d.Frame(exactly(in[:n]))
		if earlyErr != nil && err == nil {
			t.Errorf("Frame refused %d bytes (%v) and took all", n, earlyErr)
		}
		if early != 0 && early != size {
			t.Errorf("Frame gave %d for %d bytes and %d for all", early, n, size)
		}
	}
	if whole := err == nil && size == len(in) && size > 0; !whole {
		if p, err := d.Decode(in); err == nil {
			t.Errorf("Frame says %d of %d bytes, but they were decoded as %+v", size, len(in), p)
		}
	}
}

// FuzzRoundTrip writes what was decoded and decodes that: it is the same
// packet, and canonical, so that writing it again changes no byte. Bytes that
// were canonical come back as they were.
func FuzzRoundTrip(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, settings byte, in []byte) {
		d := fuzzDecoder(settings)
		p, err := d.Decode(in)
		if err != nil {
			return
		}
		once, err := p.Append(nil, d.Version)
		if err != nil {
			t.Fatalf("%+v was decoded but can't be written: %v", p, err)
		}
		again := fuzzDecoder(settings)
		q, err := again.Decode(once)
		if err != nil {
			t.Fatalf("%+v was decoded and written as % x: %v", p, once, err)
		}
		if diff := cmp.Diff(p, q, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("% x, written as % x, is another packet: %s", in, once, diff)
		}
		twice, err := q.Append(nil, d.Version)
		if err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("got % x, %v the second time, want % x", twice, err, once)
		}
		if want := canonical(d.Version, in); len(once) > len(want) || len(once) == len(want) && !bytes.Equal(once, want) {
			t.Errorf("% x came back as % x", in, once)
		}
	})
}

// canonical is b without the two things that MQTT 3.1 lets a sender add and
// that no packet keeps: the DUP flag of SUBSCRIBE, UNSUBSCRIBE and PUBREL, and
// the flags of a user name and a password that do not follow.
func canonical(v mqtt.Version, b []byte) []byte {
	b = bytes.Clone(b)
	if v != mqtt.V31 {
		return b
	}
	switch mqtt.Type(b[0] >> 4) {
	case mqtt.TypeSubscribe, mqtt.TypeUnsubscribe, mqtt.TypePubrel:
		b[0] &^= 0x08
	case mqtt.TypeConnect:
		d := mqtt.Decoder{LenientTopics: true}
		p, err := d.Decode(b)
		if err != nil {
			return b
		}
		flags := bytes.Index(b, []byte("MQIsdp")) + len("MQIsdp") + 1
		b[flags] &= 0x3F
		if p.(*mqtt.Connect).HasUsername {
			b[flags] |= 0x80
		}
		if p.(*mqtt.Connect).HasPassword {
			b[flags] |= 0x40
		}
	default:
	}
	return b
}
