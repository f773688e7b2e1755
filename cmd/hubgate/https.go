package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
	"github.com/hubgate/hubgate/gateway"
)

const (
	httpIdleTimeout = 2 * time.Minute
	maxHeaderBytes  = 32 << 10
)

// newHTTPServer is the HTTPS listener: WebSockets of devices, the authority of
// a development hub, and a page that says what this is.
func newHTTPServer(webSocket http.Handler, ca []byte, cfg *config.Config, logger zerolog.Logger) *http.Server {
	mux := http.NewServeMux()
	mux.Handle(gateway.WebSocketPath, webSocket)
	mux.HandleFunc("GET /{$}", servePage(cfg.Hub.Host, ca != nil))
	if ca != nil {
		mux.HandleFunc("GET /ca.pem", serveCA(ca))
	}
	peers := &peerLog{log: logger, limit: rate.NewLimiter(10, 50)}
	v := &visitors{next: mux, log: peers}
	return &http.Server{
		Handler:           v,
		ReadHeaderTimeout: time.Duration(cfg.Limits.HandshakeTimeout), // bounds the TLS handshake too
		IdleTimeout:       httpIdleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ConnState:         v.state,
		ConnContext:       v.context,
		ErrorLog:          log.New(peers, "", 0),
	}
}

// visitors passes requests on, and tells the log of connections that end
// without one: package net/http answers what is no request, or too large a
// one, without a word to anybody else.
type visitors struct {
	next http.Handler
	log  io.Writer
	mute sync.Map // net.Conn: no request has come
}

type visitorKey struct{}

func (v *visitors) context(ctx context.Context, nc net.Conn) context.Context {
	v.mute.Store(nc, true)
	return context.WithValue(ctx, visitorKey{}, nc)
}

// ServeHTTP implements http.Handler.
func (v *visitors) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v.mute.Delete(r.Context().Value(visitorKey{}))
	v.next.ServeHTTP(w, r)
}

func (v *visitors) state(nc net.Conn, state http.ConnState) {
	gateway.ConnState(nc, state)
	if state != http.StateClosed {
		return
	}
	_, mute := v.mute.LoadAndDelete(nc)
	t, ok := nc.(*tls.Conn)
	if mute && ok && t.ConnectionState().HandshakeComplete { // else ErrorLog has been told
		_, _ = fmt.Fprintf(v.log, "no HTTP request came from %s, or one that cannot be served", nc.RemoteAddr())
	}
}

// httpsConfig is the TLS configuration of the HTTPS listener. There is no
// HTTP/2: a WebSocket needs a connection of its own.
func httpsConfig(c *tls.Config) *tls.Config {
	c = c.Clone()
	c.NextProtos = []string{"http/1.1"}
	return c
}

func servePage(host string, hasCA bool) http.HandlerFunc {
	text := fmt.Sprintf("Hubgate: a gateway that speaks the device protocol of Azure IoT Hub.\n\nHub:        %s\nWebSocket:  wss://%s%s\n", host, host, gateway.WebSocketPath)
	if hasCA {
		text += "Authority:  /ca.pem\n"
	}
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, text)
	}
}

func serveCA(ca []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-pem-file")
		_, _ = w.Write(ca)
	}
}

// peerLog takes what package net/http says about peers, not more than a few
// lines a second.
type peerLog struct {
	log   zerolog.Logger
	limit *rate.Limiter
}

// Write implements io.Writer.
func (l *peerLog) Write(line []byte) (int, error) {
	if l.limit.Allow() {
		l.log.Warn().Str("transport", "https").Str("reason", strings.TrimSpace(string(line))).Msg("peer refused")
	}
	return len(line), nil
}
