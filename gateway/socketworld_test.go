package gateway

import (
	"crypto/tls"
	"net"
	"testing"
	"time"
)

// socketWorld is a server, and connections to it that nobody reads.
type socketWorld struct {
	srv    *Server
	ln     net.Listener
	config *tls.Config // nil: no TLS
	roots  *tls.Config
}

func newSocketWorld(t *testing.T, secure bool) *socketWorld {
	t.Helper()
	w := &socketWorld{srv: new(Server)}
	w.srv.init()
	t.Cleanup(w.srv.workers.stop)
	if secure {
		w.config, w.roots = selfSigned(t)
	}
	var err error
	if w.ln, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.ln.Close() })
	return w
}

// smallSocket is how much a socket holds in tests of peers who do not read: they need not
// wait until the buffers are full that the system would make.
const smallSocket = 64 << 10

// narrow has what a server sends wait after little, when the client does not read.
func narrow(t *testing.T, server, client net.Conn) {
	t.Helper()
	if err := server.(*net.TCPConn).SetWriteBuffer(smallSocket); err != nil {
		t.Fatal(err)
	}
	if err := client.(*net.TCPConn).SetReadBuffer(smallSocket); err != nil {
		t.Fatal(err)
	}
}

// connect returns both ends of a connection.
func (w *socketWorld) connect(t *testing.T) (*conn, net.Conn) {
	t.Helper()
	client, err := net.Dial("tcp", w.ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	nc, err := w.ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	narrow(t, nc, client)
	if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	tcp, err := newTCPSource(nc)
	if err != nil {
		t.Fatal(err)
	}
	c := &conn{srv: w.srv, src: tcp, greeted: true}
	c.changed.L = &c.mu
	if w.config != nil {
		config := w.roots.Clone()
		config.ServerName = "127.0.0.1"
		secured := tls.Client(client, config)
		done := make(chan error, 1)
		go func() { done <- secured.Handshake() }()
		src := newTLSSource(tcp, &w.srv.inboxes, w.config)
		if err := src.Handshake(); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		c.src, client = src, secured
	}
	if err := client.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c, client
}
