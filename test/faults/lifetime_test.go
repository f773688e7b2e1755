package faults

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/sas"
	"github.com/hubgate/hubgate/test/hubtest"
)

// webConn is a WebSocket as a connection, with the address of its socket.
type webConn struct {
	net.Conn
	local net.Addr
}

func (c webConn) LocalAddr() net.Addr { return c.local }

// web is a stream to the gateway by WebSocket.
func web(t *testing.T, g *hubtest.Gateway, config *tls.Config) *client {
	t.Helper()
	var local net.Addr
	transport := &http.Transport{DialTLSContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := (&tls.Dialer{Config: config}).DialContext(ctx, network, addr)
		if err == nil {
			local = nc.LocalAddr()
		}
		return nc, err
	}}
	ws, resp, err := websocket.Dial(t.Context(), "wss://"+address(g, httpsPort)+"/$iothub/websocket?iothub-no-client-cert=true", &websocket.DialOptions{
		Subprotocols: []string{"mqtt"}, HTTPClient: &http.Client{Transport: transport},
	})
	if err != nil {
		t.Fatal(err)
	}
	if resp.Body != nil {
		_ = resp.Body.Close()
	}
	ws.SetReadLimit(-1)
	c := newClient(webConn{websocket.NetConn(context.WithoutCancel(t.Context()), ws, websocket.MessageBinary), local})
	t.Cleanup(c.close)
	return c
}

// TestLifetime lets connections come to the ends that time brings, by TLS and
// by WebSocket, and checks that everybody is told why.
func TestLifetime(t *testing.T) {
	g := start(t, hubtest.Options{Flags: loud()})
	innocent := newBystander(t, g, newDevice(t, g, "innocent"))
	cases := map[string]struct {
		hello  func(*device) func(*mqtt.Connect)
		want   end
		atMost time.Duration
	}{
		"token expires": {
			func(d *device) func(*mqtt.Connect) {
				return password(d.token(time.Now().Add(2*time.Second - sas.ClockSkew)))
			},
			end{code: hub.Unauthorized, reason: "expired"},
			4 * time.Second,
		},
		"silence": {
			func(*device) func(*mqtt.Connect) { return func(c *mqtt.Connect) { c.KeepAlive = 1 } },
			end{code: hub.ConnectionLost, reason: "keep-alive"},
			4 * time.Second,
		},
	}
	t.Run("all", func(t *testing.T) {
		for name, c := range cases {
			for _, by := range []string{"tls", "websocket"} {
				t.Run(name+" by "+by, func(t *testing.T) {
					t.Parallel()
					id := name[:5] + "-" + by
					d := newDevice(t, g, id)
					d = d.with(c.hello(d))
					begin := time.Now()
					conn := webOrTLS(t, g, d, by)
					if k, err := conn.handshake(d.hello()); err != nil || k.Code != 0 {
						t.Fatalf("CONNACK %+v, %v", k, err)
					}
					if err := conn.publish(d.eventsTopic(""), "x", 1); err != nil {
						t.Fatal(err)
					}
					conn.ended(t)
					if took := time.Since(begin); took < time.Second || took > c.atMost {
						t.Errorf("the connection ended after %v, want %v at most", took, c.atMost)
					}
					checkEnd(t, g, id, conn, c.want)
				})
			}
		}
	})
	innocent.finish(t)
}

func webOrTLS(t *testing.T, g *hubtest.Gateway, d *device, by string) *client {
	t.Helper()
	if by == "websocket" {
		return web(t, g, d.tls)
	}
	c, err := d.dial()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	return c
}

// ended waits for the end of a connection, however the transport shows it.
func (c *client) ended(t *testing.T) {
	t.Helper()
	if p, err := c.receive(); err == nil {
		t.Fatalf("the gateway sent %s, want that it closes the connection", p.Type())
	}
}

// TestDeafClient has a client send without reading what it is answered: the
// gateway reads no faster than it can answer, and gives up in the end.
func TestDeafClient(t *testing.T) {
	g := start(t, hubtest.Options{Flags: []string{"--set", "limits.write_timeout=2s"}})
	innocent := newBystander(t, g, newDevice(t, g, "innocent"))
	before := g.Memory(t)
	d := newDevice(t, g, "deaf").plain()
	conn := d.mustConnect(t)
	pings := make([]byte, 64<<10)
	for i := 0; i < len(pings); i += 2 {
		pings[i] = 0xC0
	}
	sent := 0
	for begin := time.Now(); time.Since(begin) < patience; {
		_ = conn.nc.SetWriteDeadline(time.Now().Add(patience))
		n, err := conn.nc.Write(pings)
		sent += n
		if err != nil {
			break
		}
	}
	full := g.Memory(t)
	t.Logf("the gateway took %d KiB of PINGREQ; resident memory %d MiB before, %d MiB at the end", sent>>10, before>>20, full>>20)
	checkEnd(t, g, "deaf", conn, end{code: hub.ConnectionLost})
	if full > before+64<<20 {
		t.Errorf("resident memory grew from %d to %d MiB", before>>20, full>>20)
	}
	innocent.finish(t)
}

// TestConnectionLimit refuses the device that is one too many by "try later".
func TestConnectionLimit(t *testing.T) {
	g := start(t, hubtest.Options{Flags: []string{"--set", "limits.connections=2"}})
	one, two, three := newDevice(t, g, "one"), newDevice(t, g, "two"), newDevice(t, g, "three")
	first := one.mustConnect(t)
	two.mustConnect(t)
	refusal(t, g, three, 3, hub.Throttled, "as many connections")
	first.close()
	waitFor(t, "a place", func() bool {
		c, _, err := three.connect()
		if err == nil {
			t.Cleanup(c.close)
		}
		return err == nil
	})
}
