package attack

import (
	"bufio"
	"bytes"
	"compress/flate"
	"crypto/tls"
	"encoding/binary"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hubgate/hubgate/gateway/mqtt"
)

const upgrade = "GET /$iothub/websocket HTTP/1.1\r\nHost: hub\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: mqtt\r\n"

// Of frames, RFC 6455, 5.2.
const (
	fin      = 0x80
	rsv1     = 0x40
	rsv2     = 0x20
	more     = 0x00 // the opcode of a continuation
	text     = 0x01
	binaries = 0x02
	goodbye  = 0x08
	ping     = 0x09
	masked   = 0x80
)

// frame is a masked frame whose mask is nothing.
func frame(first byte, body []byte) []byte {
	b := append([]byte{first}, sized(masked, uint64(len(body)))...)
	b = append(b, 0, 0, 0, 0)
	return append(b, body...)
}

// sized is the length in a frame's header, with the bit for the mask.
func sized(mask byte, n uint64) []byte {
	switch {
	case n < 126:
		return []byte{mask | byte(n)}
	case n < 1<<16:
		return binary.BigEndian.AppendUint16([]byte{mask | 126}, uint16(n))
	default:
		return binary.BigEndian.AppendUint64([]byte{mask | 127}, n)
	}
}

// dialWebSocket opens a WebSocket. What follows is up to the attacker.
func dialWebSocket(t *testing.T, g *target, headers string) (*peer, *http.Response) {
	t.Helper()
	p := dialTLS(t, g, httpsPort)
	if err := p.write([]byte(upgrade + headers + "\r\n")); err != nil {
		t.Fatal(err)
	}
	_ = p.SetReadDeadline(time.Now().Add(patience))
	r := bufio.NewReader(p.Conn)
	answer, err := http.ReadResponse(r, nil)
	if err != nil || answer.StatusCode != http.StatusSwitchingProtocols || r.Buffered() > 0 {
		t.Fatalf("upgrade: %+v, %v", answer, err)
	}
	return p, answer
}

// TestWebSocketTricks has frames that a good client never sends carry a good
// CONNECT, or something else. Where the rules of WebSockets allow it the client
// is let in; else the connection ends, and the timeline says why.
func TestWebSocketTricks(t *testing.T) {
	t.Parallel()
	g := start(t, "--set", "limits.connect_timeout=3s")
	w := watch(t, g, 2, 2*time.Millisecond)
	d := g.create(t, "dev10")
	before := g.Memory(t)
	hello, err := d.hello().Append(nil, mqtt.V311)
	if err != nil {
		t.Fatal(err)
	}
	half := len(hello) / 2
	var bomb bytes.Buffer
	z, _ := flate.NewWriter(&bomb, flate.BestCompression)
	for range 1 << 10 {
		_, _ = z.Write(make([]byte, 64<<10)) // 64 MiB in all
	}
	_ = z.Flush()
	header := func(first byte, length ...byte) []byte { return append([]byte{first}, length...) }
	split := func(between []byte) []byte {
		b := append(frame(binaries, hello[:half]), between...)
		return append(b, frame(fin|more, hello[half:])...)
	}
	single := func() (b []byte) {
		for i := range hello {
			b = append(b, frame(fin|binaries, hello[i:i+1])...)
		}
		return b
	}
	const refused, in = false, true
	cases := map[string]struct {
		data []byte
		in   bool
	}{
		"as it should be":                 {frame(fin|binaries, hello), in},
		"a byte a message":                {single(), in},
		"in two fragments":                {split(nil), in},
		"a ping between fragments":        {split(frame(fin|ping, []byte("x"))), in},
		"5,000 pings between fragments":   {split(bytes.Repeat(frame(fin|ping, nil), 5000)), in},
		"20,000 empty fragments":          {split(bytes.Repeat(frame(more, nil), 20_000)), in},
		"20,000 empty messages before":    {append(bytes.Repeat(frame(fin|binaries, nil), 20_000), frame(fin|binaries, hello)...), in},
		"a frame of 2^62 bytes":           {append(append(header(fin|binaries), sized(masked, 1<<62)...), append(make([]byte, 4), hello...)...), refused}, // what it announced never comes
		"a frame of 2^63 bytes":           {append(append(header(fin|binaries), sized(masked, 1<<63)...), append(make([]byte, 4), hello...)...), refused},
		"a compressed bomb":               {frame(fin|rsv1|binaries, bomb.Bytes()), refused},
		"a compressed CONNECT":            {frame(fin|rsv1|binaries, hello), refused},
		"a reserved bit":                  {frame(fin|rsv2|binaries, hello), refused},
		"a reserved opcode":               {frame(fin|0x03, hello), refused},
		"a reserved opcode for control":   {frame(fin|0x0B, nil), refused},
		"without a mask":                  {append(append(header(fin|binaries), sized(0, uint64(len(hello)))...), hello...), refused},
		"as text":                         {frame(fin|text, hello), refused},
		"a continuation of nothing":       {frame(fin|more, hello), refused},
		"a message within a message":      {append(frame(binaries, hello[:half]), frame(fin|binaries, hello[half:])...), refused},
		"a ping in fragments":             {append(frame(ping, nil), frame(fin|binaries, hello)...), refused},
		"a ping of 126 bytes":             {append(frame(fin|ping, make([]byte, 126)), frame(fin|binaries, hello)...), refused},
		"a goodbye of one byte":           {frame(fin|goodbye, []byte{3}), refused},
		"a goodbye with a bad code":       {frame(fin|goodbye, []byte{0, 0}), refused},
		"a goodbye":                       {frame(fin|goodbye, []byte{3, 0xE8}), refused},
		"half a frame header, then no":    {frame(fin|binaries, hello)[:3], refused},
		"empty fragments, and no end":     {append(frame(binaries, hello[:half]), bytes.Repeat(frame(more, nil), 5000)...), refused},
		"pings, and nothing else":         {bytes.Repeat(frame(fin|ping, []byte("are you there")), 5000), refused},
		"HTTP, once more":                 {[]byte(upgrade + "\r\n"), refused},
		"CONNECT without a frame":         {hello, refused},
		"64 KiB of it at once, no MQTT":   {frame(fin|binaries, make([]byte, 64<<10)), refused},
		"a message of nothing, then ends": {frame(fin|binaries, nil), refused},
	}
	t.Run("all", func(t *testing.T) { // ends when all of them have
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				p, answer := dialWebSocket(t, g, "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n")
				if e := answer.Header.Get("Sec-WebSocket-Extensions"); e != "" {
					t.Errorf("the gateway agrees to %q", e)
				}
				go func() { _ = p.write(c.data) }() // the gateway may close before it has read all
				got := p.firstBinary(t)
				if letIn := bytes.HasPrefix(got, []byte{0x20, 2, 0, 0}); letIn != c.in {
					t.Errorf("let in: %v, want %v; received % .40x", letIn, c.in, got)
				}
				if !c.in {
					g.told(t, p, d.id, anyCode, "")
				}
			})
		}
	})
	w.finish(t)
	if after := g.Memory(t); after > before+100<<20 {
		t.Errorf("resident memory grew from %d to %d MiB", before>>20, after>>20)
	}
}

// firstBinary returns the body of the first binary frame that the gateway sends,
// past its pongs; nil when it closes first.
func (p *peer) firstBinary(t *testing.T) []byte {
	t.Helper()
	_ = p.SetReadDeadline(time.Now().Add(patience))
	r := bufio.NewReader(p.Conn)
	for {
		head := make([]byte, 2)
		if _, err := readFull(r, head); err != nil {
			return p.nothing(t, err)
		}
		body := make([]byte, int(head[1]&0x7F)) // an answer is short
		if _, err := readFull(r, body); err != nil {
			return p.nothing(t, err)
		}
		if head[0]&0x0F == binaries {
			return body
		}
	}
}

// TestHTTPTricks sends requests that are no handshake for a WebSocket, or that
// an intermediary could read in another way: none gets through.
func TestHTTPTricks(t *testing.T) {
	t.Parallel()
	g := start(t)
	w := watch(t, g, 1, 2*time.Millisecond)
	with := func(line string, drop ...string) string {
		r := upgrade
		for _, d := range drop {
			i := strings.Index(r, d)
			r = r[:i] + r[i+strings.Index(r[i:], "\r\n")+2:]
		}
		return r + line + "\r\n"
	}
	path := func(p string) string { return strings.Replace(upgrade, "/$iothub/websocket", p, 1) + "\r\n" }
	for name, request := range map[string]string{
		"another version":          with("Sec-WebSocket-Version: 12\r\n", "Sec-WebSocket-Version"),
		"no version":               with("", "Sec-WebSocket-Version"),
		"no key":                   with("", "Sec-WebSocket-Key"),
		"a key that is too short":  with("Sec-WebSocket-Key: AAAA\r\n", "Sec-WebSocket-Key"),
		"two keys":                 with("Sec-WebSocket-Key: BAAAAAAAAAAAAAAAAAAAAA==\r\n"),
		"no upgrade":               with("", "Upgrade: "),
		"another upgrade":          with("Upgrade: h2c\r\n", "Upgrade: "),
		"no connection":            with("", "Connection"),
		"POST":                     strings.Replace(upgrade, "GET", "POST", 1) + "Content-Length: 0\r\n\r\n",
		"HTTP/1.0":                 strings.Replace(upgrade, "HTTP/1.1", "HTTP/1.0", 1) + "\r\n",
		"HTTP/2's preface":         "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"two lengths":              with("Content-Length: 4\r\nContent-Length: 5\r\n"),
		"length and chunks":        with("Content-Length: 4\r\nTransfer-Encoding: chunked, chunked\r\n"),
		"unknown chunks":           with("Transfer-Encoding: xchunked\r\n"),
		"two hosts":                with("Host: other\r\n"),
		"no host":                  with("", "Host"),
		"a space before the colon": with("X : y\r\n"),
		"a bare CR":                with("X: a\rY: b\r\n"),
		"NUL in a header":          with("X: a\x00b\r\n"),
		"a folded header":          with("X: a\r\n b\r\n\tc: d\r\n\x01: \r\n"),
		"64 KiB of headers":        with("X: " + strings.Repeat("y", 64<<10) + "\r\n"),
		"10,000 headers":           with(strings.Repeat("X: y\r\n", 10_000)),
		"a path of 64 KiB":         path("/" + strings.Repeat("x", 64<<10)),
		"a way up":                 path("/$iothub/../$iothub/websocket"),
		"a way up, encoded":        path("/%2e%2e/$iothub/websocket"),
		"two slashes":              path("//$iothub/websocket"),
		"a slash behind":           path("/$iothub/websocket/"),
		"upper case":               path("/$IOTHUB/WEBSOCKET"),
		"an absolute other host":   path("http://other/nowhere"),
		"another path":             path("/ca.pem"),
		"CONNECT of HTTP":          "CONNECT hub:443 HTTP/1.1\r\nHost: hub\r\n\r\n",
		"TRACE":                    "TRACE /$iothub/websocket HTTP/1.1\r\nHost: hub\r\n\r\n",
		"a request of nothing":     "\r\n\r\n\r\n",
		"half a request":           "GET / HTTP/1.1\r\nHost",
	} {
		t.Run(name, func(t *testing.T) {
			p := dialTLS(t, g, httpsPort)
			_ = p.write([]byte(request)) // the gateway may close before it has read all
			_ = p.Conn.(*tls.Conn).CloseWrite()
			got := p.closed(t)
			if bytes.HasPrefix(got, []byte("HTTP/1.1 101")) || len(got) > 4096 {
				t.Errorf("answered by %.200q", got)
			}
			if bytes.HasPrefix(got, []byte("HTTP/1.1 500")) {
				t.Errorf("the gateway takes it for a fault of its own: %.200q", got)
			}
		})
	}
	w.finish(t)
}

// TestSubprotocols has a handshake ask for what it may: the answer is mqtt, or
// nothing, and never what the client wrote.
func TestSubprotocols(t *testing.T) {
	g := start(t)
	for header, want := range map[string]string{
		"": "mqtt", "Sec-WebSocket-Protocol: amqp, MQTT\r\n": "mqtt", "Origin: https://evil.example\r\n": "mqtt",
		"X-Forwarded-For: 10.0.0.1\r\n": "mqtt", "Sec-WebSocket-Protocol: mqtt\r\n": "mqtt", "Cookie: " + strings.Repeat("x", 16<<10) + "\r\n": "mqtt",
	} {
		_, answer := dialWebSocket(t, g, header)
		if got := answer.Header.Get("Sec-WebSocket-Protocol"); got != want {
			t.Errorf("%.40q: the protocol is %q, want %q", header, got, want)
		}
		for name := range answer.Header {
			if !strings.HasPrefix(name, "Sec-Websocket-") && name != "Date" && name != "Upgrade" && name != "Connection" {
				t.Errorf("%.40q: the answer has the header %s", header, name)
			}
		}
	}
}
