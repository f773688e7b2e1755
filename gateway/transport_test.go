package gateway

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
)

// selfSigned makes a server certificate for 127.0.0.1.
func selfSigned(t *testing.T) (*tls.Config, *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	server := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
	return server, &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
}

// listenTLS adds a TLS listener to w and returns its address.
func listenTLS(t *testing.T, w *world) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = w.ServeTLS(ln) }()
	return ln.Addr().String()
}

// Packets cross TLS records in both versions, whatever their sizes.
func TestTLS(t *testing.T) {
	server, roots := selfSigned(t)
	w := newWorld(t, func(w *world) { w.TLS = server })
	addr := listenTLS(t, w)
	for name, version := range map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			config := roots.Clone()
			config.MaxVersion = version
			nc, err := tls.Dial("tcp", addr, config)
			if err != nil {
				t.Fatal(err)
			}
			c := newClient(t, nc).join("d"+name, 0)
			id := uint16(0)
			for _, size := range []int{0, 1, 100, 16000, 16384, 16385, 33000, 200000, 1} {
				id++
				c.publish(id, strings.Repeat("y", size))
				if a := next[*mqtt.Puback](c); a.ID != id {
					t.Fatalf("PUBACK %d, want %d", a.ID, id)
				}
				if got := <-w.handler.came; len(got) != size {
					t.Fatalf("a message of %d bytes came with %d", size, len(got))
				}
			}
			b, _ := (&mqtt.Pingreq{}).Append(nil, mqtt.V311)
			for range 300 { // many records in one segment
				c.raw(b)
			}
			for range 300 {
				next[*mqtt.Pingresp](c)
			}
		})
	}
}

// A peer who speaks the wrong protocol is told apart in the log, and hurts
// nobody.
func TestWrongProtocolOnThePort(t *testing.T) {
	server, _ := selfSigned(t)
	w := newWorld(t, func(w *world) { w.TLS = server })
	tlsAddr := listenTLS(t, w)
	for name, tc := range map[string]struct {
		addr, send, want string
	}{
		"MQTT on the TLS port":    {tlsAddr, "\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x02d1", "does not speak TLS"},
		"garbage on the TLS port": {tlsAddr, "\x00\x01\x02\x03\x04\x05\x06\x07", "does not speak TLS"},
		"HTTP on the TLS port":    {tlsAddr, "GET / HTTP/1.1\r\n\r\n", "does not speak TLS"},
		"TLS on the plain port":   {w.addr, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "speaks TLS"},
		"garbage on the plain":    {w.addr, "\x00\x01\x02\x03", "MQTT"},
		"HTTP on the plain port":  {w.addr, "GET / HTTP/1.1\r\n\r\n", "MQTT"},
	} {
		t.Run(name, func(t *testing.T) {
			before := w.Refused()
			c := dial(t, tc.addr)
			c.raw([]byte(tc.send))
			buf := make([]byte, 100)
			for {
				if _, err := c.nc.Read(buf); err != nil { // a TLS alert may come first
					break
				}
			}
			if w.Refused() != before+1 {
				t.Errorf("Refused() = %d, want %d", w.Refused(), before+1)
			}
			if !strings.Contains(w.log.String(), tc.want) {
				t.Errorf("the log does not say %q:\n%s", tc.want, w.log)
			}
		})
	}
}

func TestConnectDeadline(t *testing.T) {
	w := newWorld(t, func(w *world) { w.Limits.ConnectTimeout = 200 * time.Millisecond })
	for name, tc := range map[string]struct{ send, want string }{
		"silence":        {"", "no CONNECT came in time"},
		"half a CONNECT": {"\x10\x0e\x00\x04MQ", "begun and not finished"},
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, w.addr)
			c.raw([]byte(tc.send))
			c.closed()
			if !strings.Contains(w.log.String(), tc.want) {
				t.Errorf("the log does not say %q:\n%s", tc.want, w.log)
			}
		})
	}
}

// When the gate is full, the peer who has waited longest goes, and a real
// device gets through.
func TestGateLetsDevicesThroughSilentPeers(t *testing.T) {
	w := newWorld(t, func(w *world) { w.Limits.HalfOpen = 8 })
	var silent []*client
	for range 50 {
		silent = append(silent, dial(t, w.addr))
	}
	silent[0].closed()
	w.connect(t, "d1")
	if n := w.HalfOpen(); n > 8 {
		t.Errorf("HalfOpen() = %d, want 8 at most", n)
	}
}

func TestConnectionLimitAnswersBusy(t *testing.T) {
	w := newWorld(t, func(w *world) { w.Limits.Connections = 1 })
	w.connect(t, "d1")
	c := dial(t, w.addr)
	c.write(&mqtt.Connect{ClientID: []byte("d2")})
	if k := c.connack(); k.Code != 3 {
		t.Errorf("CONNACK %d, want 3: the only code that makes Node come again", k.Code)
	}
}

// TestFullNodeLetsItsOwnComeBack: who is connected takes no other place when it comes
// again, for example because it has lost its connection and the node does not know yet.
func TestFullNodeLetsItsOwnComeBack(t *testing.T) {
	w := newWorld(t, func(w *world) { w.Limits.Connections = 1 })
	older := w.connect(t, "d1")
	newer := w.connect(t, "d1")
	older.closed()
	newer.write(&mqtt.Pingreq{})
	next[*mqtt.Pingresp](newer)
	c := dial(t, w.addr)
	c.write(&mqtt.Connect{ClientID: []byte("d1/m")})
	if k := c.connack(); k.Code != 3 {
		t.Errorf("CONNACK %d for somebody else, want 3", k.Code)
	}
}

func TestWebSocket(t *testing.T) {
	w := newWorld(t, nil)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle(WebSocketPath, w.WebSocket())
	hs := &http.Server{Handler: mux, ConnState: ConnState, ReadHeaderTimeout: patience}
	go func() { _ = hs.Serve(w.GateListener(ln)) }()
	t.Cleanup(func() { _ = hs.Close() })
	for name, protocols := range map[string][]string{
		"mqtt": {"mqtt"}, "MQTT as the C SDK asks": {"MQTT"}, "among others": {"chat", "mqtt"}, "none": nil,
	} {
		t.Run(name, func(t *testing.T) {
			ws, res, err := websocket.Dial(t.Context(), "ws://"+ln.Addr().String()+WebSocketPath+"?iothub-no-client-cert=true",
				&websocket.DialOptions{Subprotocols: protocols, HTTPHeader: http.Header{"Origin": {"https://elsewhere.example:443"}}})
			if err != nil {
				t.Fatal(err)
			}
			want := ""
			if len(protocols) > 0 {
				want = protocols[len(protocols)-1]
			}
			if got := res.Header.Get("Sec-WebSocket-Protocol"); got != want {
				t.Errorf("subprotocol %q, want %q", got, want)
			}
			c := newClient(t, websocket.NetConn(t.Context(), ws, websocket.MessageBinary))
			b, _ := (&mqtt.Connect{ClientID: []byte("ws1")}).Append(nil, mqtt.V311)
			for i := range b { // as Node does
				c.raw(b[i : i+1])
			}
			if k := c.connack(); k.Code != 0 {
				t.Fatalf("CONNACK %d", k.Code)
			}
			large := strings.Repeat("z", 250<<10)
			c.publish(1, large)
			if a := next[*mqtt.Puback](c); a.ID != 1 {
				t.Errorf("PUBACK %d, want 1", a.ID)
			}
			if got := <-w.handler.came; got != large {
				t.Errorf("the message came with %d bytes", len(got))
			}
		})
	}
}

// [MQTT3-6.0.0-1]: a text frame ends the connection.
func TestWebSocketTextFrameCloses(t *testing.T) {
	w := newWorld(t, nil)
	c, ws := w.webSocket(t, "d1")
	w.event(t)
	if err := ws.Write(t.Context(), websocket.MessageText, []byte("\xc0\x00")); err != nil {
		t.Fatal(err)
	}
	c.closed()
	if e := w.event(t); e.Connected || e.Code != hub.ConnectionLost {
		t.Errorf("event %+v, want an end", e)
	}
}

// webSocket connects a device by WebSocket.
func (w *world) webSocket(t *testing.T, id string) (*client, *websocket.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	hs := &http.Server{Handler: w.WebSocket(), ConnState: ConnState, ReadHeaderTimeout: patience}
	go func() { _ = hs.Serve(w.GateListener(ln)) }()
	t.Cleanup(func() { _ = hs.Close() })
	ws, _, err := websocket.Dial(t.Context(), "ws://"+ln.Addr().String(), &websocket.DialOptions{Subprotocols: []string{"mqtt"}})
	if err != nil {
		t.Fatal(err)
	}
	return newClient(t, websocket.NetConn(t.Context(), ws, websocket.MessageBinary)).join(id, 60), ws
}

// A client that does not read what it is sent is cut, and keeps nobody
// waiting.
func TestSlowReaderIsCut(t *testing.T) {
	w := newWorld(t, func(w *world) { w.Limits.WriteTimeout = time.Second })
	slow := w.connect(t, "slow")
	server := w.live.get(hub.Identity{Device: "slow"})
	narrow(t, server.src.socket().Conn, slow.nc)
	other := w.connect(t, "other")
	w.event(t)
	w.event(t)
	// More than the sockets hold, and less than may wait. What fills them may not be answers
	// to a flood: sockets that are full both ways can stop to tell each other what has come.
	much := Message{Topic: "t", Payload: make([]byte, maxOutput/2)}
	if _, err := server.Send(much); err != nil {
		t.Fatal(err)
	}
	if e := w.event(t); e.ID.Device != "slow" || e.Code != hub.ConnectionLost {
		t.Errorf("event %+v, want the end of the slow reader", e)
	}
	other.write(&mqtt.Pingreq{})
	next[*mqtt.Pingresp](other)
}
