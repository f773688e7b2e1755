package backend

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/hubgate/hubgate/telemetry"
)

func TestPublication(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		headers [][2]string
		body    string
		want    string
	}{
		"headers":    {[][2]string{{"a", "1"}, {"b", " x"}}, "body", "HPUB hub.a _INBOX.x.3-2s 27 31\r\nNATS/1.0\r\na: 1\r\nb: %20x\r\n\r\nbody\r\n"},
		"no body":    {[][2]string{{"a", "1"}}, "", "HPUB hub.a _INBOX.x.3-2s 18 18\r\nNATS/1.0\r\na: 1\r\n\r\n\r\n"},
		"no headers": {nil, "body", "PUB hub.a _INBOX.x.3-2s 4\r\nbody\r\n"},
		"nothing":    {nil, "", "PUB hub.a _INBOX.x.3-2s 0\r\n\r\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &slot{seq: 100, asks: true}
			for _, h := range tt.headers {
				s.headers.Add(h[0], h[1])
			}
			s.fill([]byte("hub.a"), []byte(tt.body))
			if diff := cmp.Diff("x"+tt.want, string(appendPublication([]byte("x"), "_INBOX.x.", 3, s))); diff != "" {
				t.Errorf("publication (-want +got):\n%s", diff)
			}
		})
	}
}

// framesOf reads all frames, as text, and how it ended.
func framesOf(from io.Reader, buffer int) (all []string, err error) {
	r := newWireReader(buffer)
	for {
		err := r.fill(from)
		for {
			f, ok, broken := r.next()
			if broken != nil {
				return all, broken
			}
			if !ok {
				break
			}
			all = append(all, fmt.Sprintf("%d %s|%s|%q|%q|%s", f.kind, f.subject, f.sid, f.headers, f.data, f.text))
		}
		if err != nil {
			return all, err
		}
	}
}

// TestFrames: whatever pieces a stream comes in, the frames are the same.
func TestFrames(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 100)
	tests := map[string]struct {
		text string
		want []string
		err  error
	}{
		"messages": {
			"MSG in.1 1 5\r\nhello\r\nMSG in.2 1 reply 2\r\n\r\n\r\nHMSG in.3 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\nHMSG in.4 1 reply 12 14\r\nNATS/1.0\r\n\r\nab\r\nMSG in.5 1 0\r\n\r\n",
			[]string{
				`1 in.1|1|""|"hello"|`, `1 in.2|1|""|"\r\n"|`, `1 in.3|1|"NATS/1.0 503\r\n\r\n"|""|`,
				`1 in.4|1|"NATS/1.0\r\n\r\n"|"ab"|`, `1 in.5|1|""|""|`,
			},
			io.EOF,
		},
		"the rest": {
			"INFO {\"a\": 1}\r\nPING\r\nPONG\r\n+OK\r\n-ERR 'Stale Connection'\r\n",
			[]string{`4 ||""|""|{"a": 1}`, `2 ||""|""|`, `3 ||""|""|`, `5 ||""|""|`, `6 ||""|""|Stale Connection`},
			io.EOF,
		},
		"too long a message": {
			"PING\r\nMSG in.1 1 100\r\n" + long + "\r\nMSG in.2 1 2\r\nab\r\nMSG in.3 1 100\r\n" + long + "\r\nPONG\r\n",
			[]string{`2 ||""|""|`, `1 in.2|1|""|"ab"|`, `3 ||""|""|`},
			io.EOF,
		},
		"too long a line":         {"PING\r\nINFO " + long, []string{`2 ||""|""|`}, errWireLine},
		"unknown":                 {"PING\r\nPIN\r\n", []string{`2 ||""|""|`}, errWire},
		"lower case":              {"ping\r\n", nil, errWire},
		"empty line":              {"\r\n", nil, errWire},
		"no size":                 {"MSG in.1 1\r\n", nil, errWire},
		"too many parts":          {"MSG in.1 1 reply 1 1\r\n", nil, errWire},
		"far too many":            {"HMSG a b c d e f g 1 1 1\r\n", nil, errWire},
		"negative size":           {"MSG in.1 1 -1\r\n", nil, errWire},
		"no number":               {"MSG in.1 1 1x\r\n", nil, errWire},
		"huge size":               {"MSG in.1 1 99999999999\r\n", nil, errWire},
		"headers longer than all": {"HMSG in.1 1 5 4\r\nabcde\r\n", nil, errWire},
		"headers without a size":  {"HMSG in.1 1 5\r\nabcde\r\n", nil, errWire},
		"longer than it says":     {"MSG in.1 1 2\r\nabcd\r\n", nil, errWire},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check := func(how string, from io.Reader) {
				t.Helper()
				got, err := framesOf(from, 64)
				if diff := cmp.Diff(tt.want, got); diff != "" || !errors.Is(err, tt.err) {
					t.Fatalf("%s: error %v, frames (-want +got):\n%s", how, err, diff)
				}
			}
			check("byte by byte", iotest.OneByteReader(strings.NewReader(tt.text)))
			check("with the end", iotest.DataErrReader(strings.NewReader(tt.text)))
			for at := range len(tt.text) + 1 {
				check(fmt.Sprintf("split at %d", at), io.MultiReader(strings.NewReader(tt.text[:at]), strings.NewReader(tt.text[at:])))
			}
		})
	}
}

// FuzzWireReader: what a server sends is read the same way in any pieces, and
// nothing that it says is longer than the buffer.
func FuzzWireReader(f *testing.F) {
	for _, text := range []string{
		"MSG in.1 1 5\r\nhello\r\nPING\r\n", "HMSG in.3 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n", "INFO {}\r\n+OK\r\n-ERR 'x'\r\n",
		"MSG in.1 1 9999999999\r\n", "MSG in.1 1 200\r\n" + strings.Repeat("x", 200) + "\r\nPONG\r\n", "HMSG a b c 1 2 3\r\n", "\r\n\r\n", "MSG  a  1  0\n\r\n",
	} {
		f.Add(text, uint8(3))
	}
	f.Fuzz(func(t *testing.T, text string, piece uint8) {
		const buffer = 128
		whole, end := framesOf(strings.NewReader(text), buffer)
		var pieces []io.Reader
		for chunk := range slices.Chunk([]byte(text), int(piece)+1) {
			pieces = append(pieces, strings.NewReader(string(chunk)))
		}
		got, other := framesOf(io.MultiReader(pieces...), buffer)
		if diff := cmp.Diff(whole, got); diff != "" || !errors.Is(other, end) {
			t.Fatalf("in pieces of %d: %v, want %v; frames (-whole +pieces):\n%s", int(piece)+1, other, end, diff)
		}
	})
}

// repeated is a reader of one text for ever, one at a time.
type repeated struct{ text []byte }

func (r *repeated) Read(b []byte) (int, error) { return copy(b, r.text), nil }

// noReceipt is a receipt that does nothing.
type noReceipt struct{}

func (noReceipt) Stored(uint64, error) {}

// TestMessageCostsNoAllocation: neither going out nor with its acknowledgement.
func TestMessageCostsNoAllocation(t *testing.T) { //nolint:paralleltest // it counts
	const batch = 50
	e := &Engine{win: newWindow(100, 1<<30), stream: telemetryStream, state: flowing, pumping: make(chan struct{}, 1)}
	m := &wireMail{to: e.receive}
	l := &wire{inbox: "_INBOX.x.", to: m}
	in := newWireReader(wireBuffer)
	acks := &repeated{}
	var out []byte
	p := parcel{now: &e.epoch}
	msg := message(device(1), 7)
	var done telemetry.Receipt = noReceipt{}
	round := func() {
		acks.text, out = acks.text[:0], out[:0]
		for range batch {
			s := e.reserve(int64(msg.Size()))
			msg.Headers(&s.headers)
			s.done = done
			s.fill(e.names.AppendShardTelemetry(s.storage(), 0, msg.From), msg.Body)
			e.submit(s)
		}
		if !e.pull(&p) || len(p.slots) != batch {
			t.Fatalf("pull has taken %d messages", len(p.slots))
		}
		for _, s := range p.slots {
			out = appendPublication(out, l.inbox, p.epoch+1, s)
			acks.text = append(append(acks.text, "MSG "...), l.inbox...)
			acks.text = strconv.AppendUint(append(acks.text, "1-"...), s.seq, replyBase)
			acks.text = append(acks.text, " 1 35\r\n{\"stream\":\"HUB_TELEMETRY\",\"seq\":12}\r\n"...)
		}
		e.release(p.slots)
		if err := in.fill(acks); err != nil {
			t.Fatal(err)
		}
		if err := l.takeAll(in); err != nil || len(m.responses) != batch {
			t.Fatalf("%d replies, error %v", len(m.responses), err)
		}
		m.read()
	}
	if n := testing.AllocsPerRun(100, round); n != 0 {
		t.Errorf("%d messages cost %v allocations", batch, n)
	}
	if e.Stored() < 100*batch || e.InFlight() != 0 {
		t.Errorf("%d stored, %d in flight", e.Stored(), e.InFlight())
	}
}
