package attack

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
)

func readFull(r io.Reader, b []byte) (int, error) { return io.ReadFull(r, b) }

// nothing is what was received when err ended it, which must not be patience.
func (p *peer) nothing(t *testing.T, err error) []byte {
	t.Helper()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the gateway has not closed the connection within %v", patience)
	}
	return nil
}

// drip sends data a byte at a time until the gateway closes the connection, and
// returns how long that took.
func (p *peer) drip(t *testing.T, data []byte) time.Duration {
	t.Helper()
	begin := time.Now()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_ = p.SetReadDeadline(time.Now().Add(patience))
		_, _ = io.Copy(io.Discard, p.Conn)
	}()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-gone:
			return time.Since(begin)
		case <-tick.C:
			_ = p.SetWriteDeadline(time.Now().Add(patience))
			if len(data) > 0 {
				_, _ = p.Write(data[i%len(data) : i%len(data)+1])
			}
		}
	}
}

// TestSlowLoris does every step of a connection a byte at a time, ten peers a
// step, so that no read ever waits for long: each step has its deadline all the
// same. Meanwhile devices publish, and a newcomer gets in at once.
func TestSlowLoris(t *testing.T) {
	t.Parallel()
	g := start(t, "--set", "limits.handshake_timeout=2s", "--set", "limits.connect_timeout=3s")
	w := watch(t, g, 2, 2*time.Millisecond)
	d, late := g.create(t, "dev10"), g.create(t, "late")
	hello := hello12(t)
	connect := append(length(0x10, 60_000), make([]byte, 1000)...)
	copy(connect[4:], "\x00\x04MQTT\x04\xC2\x00\xF0")
	request := upgrade + strings.Repeat("X: y\r\n", 1000)
	steps := map[string]struct {
		open  func(t *testing.T) *peer
		data  []byte
		words string // of log and timeline; empty: it depends
	}{
		"accept":                       {func(t *testing.T) *peer { return dialPlain(t, g, mqttPort) }, nil, "TLS handshake"},
		"ClientHello":                  {func(t *testing.T) *peer { return dialPlain(t, g, mqttPort) }, hello, "TLS handshake was not finished"},
		"CONNECT in TLS":               {func(t *testing.T) *peer { return dialTLS(t, g, mqttPort) }, connect, "CONNECT was begun"},
		"CONNECT without TLS":          {func(t *testing.T) *peer { return dialPlain(t, g, plainPort) }, connect, "CONNECT was begun"},
		"ClientHello of HTTPS":         {func(t *testing.T) *peer { return dialPlain(t, g, httpsPort) }, hello, "TLS handshake was not finished"},
		"a request line":               {func(t *testing.T) *peer { return dialTLS(t, g, httpsPort) }, []byte("GET /" + strings.Repeat("x", 1000)), "no HTTP request"},
		"headers of a request":         {func(t *testing.T) *peer { return dialTLS(t, g, httpsPort) }, []byte(request), "no HTTP request"},
		"headers of empty frames":      {webSocket(g), frame(fin|binaries, nil), "CONNECT"},
		"pings":                        {webSocket(g), frame(fin|ping, nil), "CONNECT"},
		"CONNECT in a frame":           {webSocket(g), frame(fin|binaries, connect), "CONNECT was begun"},
		"CONNECT in frames of a byte":  {webSocket(g), bytes.Repeat(frame(fin|binaries, []byte{0x10}), 2), ""},
		"empty fragments of a message": {webSocket(g), append(frame(binaries, nil), bytes.Repeat(frame(more, nil), 1000)...), "CONNECT"},
	}
	t.Run("all", func(t *testing.T) { // ends when all of them have
		for step, c := range steps {
			t.Run(step, func(t *testing.T) {
				t.Parallel()
				var peers []*peer
				for range 3 {
					peers = append(peers, c.open(t))
				}
				for _, p := range peers[1:] {
					go p.drip(t, c.data)
				}
				p := peers[0]
				if took := p.drip(t, c.data); took > 15*time.Second {
					t.Errorf("held for %v", took)
				}
				if c.words != "" {
					g.told(t, p, hub.Identity{}, hub.ConnectionLost, c.words)
				}
			})
		}
		t.Run("a newcomer", func(t *testing.T) {
			t.Parallel()
			begin := time.Now()
			for range 10 {
				if err := late.join(t).publish(late.events(""), "x"); err != nil {
					t.Fatal(err)
				}
			}
			t.Logf("ten newcomers got in and published within %v", time.Since(begin))
		})
	})
	g.slowBodies(t, d)
	w.finish(t)
}

func webSocket(g *target) func(t *testing.T) *peer {
	return func(t *testing.T) *peer {
		t.Helper()
		p, _ := dialWebSocket(t, g, "")
		return p
	}
}

// slowBodies begins large messages of one device after the other and finishes
// none: who has been let in may be slow, for as long as he is not silent, but
// what he makes the gateway hold goes with him.
func (g *target) slowBodies(t *testing.T, d *device) {
	t.Helper()
	before := g.Memory(t)
	body := publishing(d.events(""), string(make([]byte, 250<<10)))
	for range 20 {
		p := d.joinPlain(t) // takes over from the one before
		if err := p.write(body[:len(body)-10]); err != nil {
			t.Fatal(err)
		}
	}
	p := d.joinPlain(t)
	if err := p.write(body[:len(body)-3]); err != nil {
		t.Fatal(err)
	}
	for _, b := range body[len(body)-3:] {
		if err := p.write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	if packet, err := p.receive(); err != nil || packet.Type() != (&mqtt.Puback{}).Type() {
		t.Errorf("a message that took its time: %v, %v", packet, err)
	}
	if n := g.stored(t, d.id.String()); n != 1 {
		t.Errorf("%d messages are stored, want the one that came to its end", n)
	}
	if after := g.Memory(t); after > before+100<<20 {
		t.Errorf("resident memory grew from %d to %d MiB", before>>20, after>>20)
	}
}

// TestHalfClose closes one half of the connection at each step: nobody waits
// for more from a peer who has said that nothing comes.
func TestHalfClose(t *testing.T) {
	t.Parallel()
	g := start(t)
	w := watch(t, g, 1, 2*time.Millisecond)
	d := g.create(t, "dev10")
	for step, open := range map[string]func(t *testing.T) *peer{
		"accept":       func(t *testing.T) *peer { return dialPlain(t, g, mqttPort) },
		"TLS":          func(t *testing.T) *peer { return dialTLS(t, g, mqttPort) },
		"plain":        func(t *testing.T) *peer { return dialPlain(t, g, plainPort) },
		"HTTPS":        func(t *testing.T) *peer { return dialTLS(t, g, httpsPort) },
		"a WebSocket":  webSocket(g),
		"a connection": func(t *testing.T) *peer { return d.join(t) },
	} {
		t.Run(step, func(t *testing.T) {
			p := open(t)
			begin := time.Now()
			if secure, ok := p.Conn.(*tls.Conn); ok {
				_ = secure.CloseWrite()
			} else {
				_ = p.Conn.(interface{ CloseWrite() error }).CloseWrite()
			}
			_ = p.closed(t)
			if took := time.Since(begin); took > 8*time.Second {
				t.Errorf("closed after %v", took)
			}
			g.told(t, p, d.id, hub.ConnectionLost, "")
		})
	}
	w.finish(t)
}
