package gateway

import (
	"context"
	"net"
	"net/http"
	"strings"

	"github.com/coder/websocket"

	"github.com/hubgate/hubgate/hub"
)

// WebSocketPath is where the SDKs open a WebSocket.
const WebSocketPath = "/$iothub/websocket"

// WebSocket returns the handler of [WebSocketPath]. It ignores the Origin, which
// the Python SDK sends, and the query ?iothub-no-client-cert=true: by the time it
// is known, the TLS handshake has asked for a certificate that nobody needs to
// show.
func (s *Server) WebSocket() http.Handler {
	s.init()
	return http.HandlerFunc(s.serveWebSocket)
}

func (s *Server) serveWebSocket(w http.ResponseWriter, r *http.Request) {
	peer := Peer{Remote: r.RemoteAddr, Transport: "websocket"}
	if r.TLS != nil {
		peer.Certificates = r.TLS.PeerCertificates
	}
	ws, err := websocket.Accept(closing{w}, r, &websocket.AcceptOptions{
		Subprotocols:       mqttSubprotocol(r.Header),
		InsecureSkipVerify: true, // devices have no origin; a token, not a cookie, lets them in
		CompressionMode:    websocket.CompressionDisabled,
	})
	if err != nil { // Accept has answered
		s.refused(peer, hub.Errorf(hub.GenericBadRequest, "the request is no WebSocket handshake: %w", err))
		return
	}
	// The request's context ends with this handler; the connection does not.
	src := newWebSocketSource(context.WithoutCancel(r.Context()), ws)
	t := s.gate.enter(aborter{src})
	t.owe(false) // a CONNECT that has come already is not seen here
	defer t.leave()
	s.accept(r.Context(), src, peer, t)
}

// aborter closes a source without a farewell, for which a gate can't wait.
type aborter struct{ source }

// Close implements io.Closer.
func (a aborter) Close() error { return a.abort() }

// closing has a connection end with the answer that refuses its handshake: who is
// there has not said who he is, and does not wait for his next request.
type closing struct{ http.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (w closing) WriteHeader(status int) {
	if status >= http.StatusBadRequest {
		h := w.Header()
		h["Connection"] = append([]string{"close"}, h["Connection"]...) // net/http goes by the first
	}
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap is for whoever takes the connection over.
func (w closing) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// mqttSubprotocol returns the client's own spelling of "mqtt", which it wants
// back: the C SDK asks for "MQTT". A client that asks for nothing gets nothing.
func mqttSubprotocol(h http.Header) []string {
	for _, line := range h.Values("Sec-WebSocket-Protocol") {
		for name := range strings.SplitSeq(line, ",") {
			if name = strings.TrimSpace(name); strings.EqualFold(name, "mqtt") {
				return []string{name}
			}
		}
	}
	return nil
}

// GateListener returns ln with its connections inside the gate until their
// first HTTP request, of which [ConnState] tells.
func (s *Server) GateListener(ln net.Listener) net.Listener {
	s.init()
	s.listeners.add(ln)
	return gatedListener{ln, s}
}

type gatedListener struct {
	net.Listener
	server *Server
}

// Accept implements net.Listener.
func (l gatedListener) Accept() (net.Conn, error) {
	s := l.server
	for {
		nc, err := l.Listener.Accept()
		if err != nil {
			if isTemporary(err) { // as in Server.acceptFailed; the caller waits
				s.gate.relieve()
			}
			return nil, err
		}
		if !s.unwelcome(nc) {
			own := s.turns.enter()
			own.ticket = s.gate.enter(entrant{nc, own})
			return &gatedConn{nc, own}, nil
		}
	}
}

type gatedConn struct {
	net.Conn
	turn *turn
}

// Read implements net.Conn for crypto/tls.
func (c *gatedConn) Read(p []byte) (int, error) {
	c.turn.give()
	c.turn.waiting()
	n, err := c.Conn.Read(p)
	if err == nil {
		err = c.turn.take()
	}
	return n, err
}

// Write implements net.Conn for crypto/tls.
func (c *gatedConn) Write(p []byte) (int, error) {
	c.turn.give() // a peer who does not read must not keep it
	return c.Conn.Write(p)
}

// Close implements net.Conn.
func (c *gatedConn) Close() error {
	c.turn.ticket.leave()
	c.turn.abandon()
	c.turn.end()
	return c.Conn.Close()
}

// ConnState is for http.Server.ConnState, when the server runs on a
// [Server.GateListener]: with its first request a connection leaves the gate.
func ConnState(nc net.Conn, state http.ConnState) {
	if state != http.StateActive {
		return
	}
	if t, ok := nc.(interface{ NetConn() net.Conn }); ok { // a tls.Conn
		nc = t.NetConn()
	}
	if g, ok := nc.(*gatedConn); ok {
		g.turn.end()
		g.turn.ticket.leave()
	}
}
