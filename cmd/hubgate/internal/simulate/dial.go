package simulate

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/coder/websocket"
)

const (
	dialTimeout   = time.Minute
	webSocketPath = "/$iothub/websocket"
	webSocketMost = 1 << 20 // of one message
)

// Target is where a hub listens for devices, and how its devices reach it.
type Target struct {
	// Host is what devices call the hub, which its certificate must name.
	Host string
	// Addresses are where to connect to, as host:port, one device after another.
	Addresses []string
	// TLS has the authorities to trust, and a cache where sessions are to be
	// resumed. It is shared by all devices.
	TLS *tls.Config
	// WebSockets says that the addresses speak HTTPS.
	WebSockets bool
	// Sources are the local addresses to connect from; none: any.
	Sources []netip.Addr
}

// carrier is a byte stream that a connection speaks MQTT on, and the TCP
// connection below it.
type carrier struct {
	conn net.Conn
	wire *wire
}

// dial opens the n-th connection of device i, up to where MQTT begins.
func (t *Target) dial(ctx context.Context, i, n int) (carrier, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	tcp, err := t.dialTCP(ctx, i, n)
	if err != nil {
		return carrier{}, &stepError{dialling, err}
	}
	w := &wire{TCPConn: tcp}
	secure := tls.Client(w, t.TLS)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = w.Close()
		return carrier{}, &stepError{securing, err}
	}
	if !t.WebSockets {
		return carrier{secure, w}, nil
	}
	ws, err := t.upgrade(ctx, secure)
	if err != nil {
		_ = w.Close()
		return carrier{}, &stepError{upgrading, err}
	}
	return carrier{ws, w}, nil
}

func (t *Target) dialTCP(ctx context.Context, i, n int) (*net.TCPConn, error) {
	d := net.Dialer{Control: lateBind}
	if len(t.Sources) > 0 {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(t.Sources[i%len(t.Sources)], 0))
	}
	address := t.Addresses[(i+n)%len(t.Addresses)]
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		_ = conn.Close()
		return nil, fmt.Errorf("%s is not reached by TCP", address)
	}
	return tcp, nil
}

// upgrade makes a WebSocket of a connection that TLS protects already.
func (t *Target) upgrade(ctx context.Context, secure net.Conn) (net.Conn, error) {
	only := func(context.Context, string, string) (net.Conn, error) { return secure, nil }
	ws, answer, err := websocket.Dial(ctx, "wss://"+t.Host+webSocketPath, &websocket.DialOptions{
		HTTPClient:   &http.Client{Transport: &http.Transport{DialTLSContext: only}},
		Subprotocols: []string{"mqtt"}, CompressionMode: websocket.CompressionDisabled,
	})
	if err != nil {
		return nil, err
	}
	if answer.Body != nil {
		_ = answer.Body.Close()
	}
	ws.SetReadLimit(webSocketMost)
	return websocket.NetConn(context.WithoutCancel(ctx), ws, websocket.MessageBinary), nil
}
