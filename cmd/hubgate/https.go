package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
	"github.com/hubgate/hubgate/gateway"
	"github.com/hubgate/hubgate/gateway/rest"
)

const maxHeaderBytes = 32 << 10

// newHTTPServer is the HTTPS listener: WebSockets of devices, the service REST
// API and its document, the authority of a development hub, and a page that says
// what this is.
//
// There is no WriteTimeout, which would cut an answer that a device has five
// minutes for: the API and [front] bound the writing of their answers themselves.
func newHTTPServer(devices *gateway.Server, api *apiDoor, ca []byte, cfg *config.Config, logger zerolog.Logger) *http.Server {
	peers := &peerLog{log: logger, limit: rate.NewLimiter(10, 50), stranger: devices.Stranger}
	front := &front{pages: pages(ca, cfg), sockets: devices.WebSocket(), api: api}
	v := &visitors{next: front, log: peers, idle: api.idle}
	return &http.Server{
		Handler:           v,
		ReadHeaderTimeout: time.Duration(cfg.Limits.HandshakeTimeout), // bounds the TLS handshake too; a WebSocket has left it behind
		ReadTimeout:       time.Duration(cfg.Limits.ConnectTimeout),
		IdleTimeout:       time.Duration(cfg.API.IdleTimeout),
		MaxHeaderBytes:    maxHeaderBytes,
		ConnState:         v.state,
		ConnContext:       v.context,
		BaseContext:       api.context,
		ErrorLog:          log.New(peers, "", 0),

		DisableGeneralOptionsHandler: true, // OPTIONS * is refused like all that there is not
	}
}

// pages are for people with a browser.
func pages(ca []byte, cfg *config.Config) *http.ServeMux {
	mux := http.NewServeMux()
	page := fmt.Sprintf("Hubgate: a gateway that speaks the device protocol of Azure IoT Hub.\n\nHub:        %s\nWebSocket:  wss://%s%s\n",
		cfg.Hub.Host, cfg.Hub.Host, gateway.WebSocketPath)
	if ca != nil {
		page += "Authority:  /ca.pem\n"
		mux.HandleFunc("GET /ca.pem", serveText("application/x-pem-file", string(ca)))
	}
	mux.Handle("GET "+rest.DocumentPath, rest.Document())
	mux.HandleFunc("GET /{$}", serveText("text/plain; charset=utf-8", page))
	return mux
}

// front sends a request to whom it is for. It goes by the decoded path, which
// [http.ServeMux] does not: that one redirects what is not tidy, and a device
// may be called "..".
type front struct {
	pages, sockets, api http.Handler
}

// restOfBody is for what nobody reads, and pageTime is how long a client may take to
// read a page.
const (
	restOfBody = time.Second
	pageTime   = 30 * time.Second
)

// ServeHTTP implements http.Handler. Behind a page no connection waits for the
// next request: nobody has said who he is. Nor does one behind a body in chunks:
// a length that stands beside them is passed over by package net/http, and a
// proxy that goes by it would take what is the next request for the body.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if len(r.TransferEncoding) > 0 {
		w.Header().Set("Connection", "close")
	}
	switch r.URL.Path {
	case gateway.WebSocketPath:
		f.sockets.ServeHTTP(w, r)
	case "/", "/ca.pem", rest.DocumentPath:
		w.Header().Set("Connection", "close")
		control, now := http.NewResponseController(w), time.Now()
		_ = control.SetReadDeadline(now.Add(restOfBody))
		_ = control.SetWriteDeadline(now.Add(pageTime))
		f.pages.ServeHTTP(w, r)
	default:
		f.api.ServeHTTP(w, r)
	}
}

// visitors passes requests on, and tells the log of connections that end
// without one: package net/http answers what is no request, or too large a
// one, without a word to anybody else.
type visitors struct {
	next http.Handler
	log  *peerLog
	idle *idleConns
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
	v.idle.state(nc, state)
	if state != http.StateClosed {
		return
	}
	_, mute := v.mute.LoadAndDelete(nc)
	t, ok := nc.(*tls.Conn)
	if mute && ok && t.ConnectionState().HandshakeComplete { // else ErrorLog has been told
		v.log.stranger(nc.RemoteAddr().String(), "no HTTP request came, or one that cannot be served")
	}
}

// httpsConfig is the TLS configuration of the HTTPS listener. There is no
// HTTP/2: a WebSocket needs a connection of its own, no service SDK asks for
// it, and its streams would be in nobody's count.
func httpsConfig(c *tls.Config) *tls.Config {
	c = c.Clone()
	c.NextProtos = []string{"http/1.1"}
	return c
}

func serveText(contentType, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, _ = io.WriteString(w, text)
	}
}

// peerLog takes what package net/http says. What is about a peer goes where all
// is that is about peers; of the rest, a few lines a second are logged.
type peerLog struct {
	log      zerolog.Logger
	limit    *rate.Limiter
	stranger func(remote, reason string)
}

// Write implements io.Writer.
func (l *peerLog) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	if remote, reason, ok := aboutPeer(text); ok {
		l.stranger(remote, reason)
	} else if l.limit.Allow() {
		l.log.Warn().Str("transport", "https").Str("reason", text).Msg("the HTTPS listener has a complaint")
	}
	return len(line), nil
}

// aboutPeer takes a line such as "http: TLS handshake error from 192.0.2.7:40112:
// EOF" apart. The reason is without the address, so that repetitions are alike.
func aboutPeer(line string) (remote, reason string, ok bool) {
	before, line, found := strings.Cut(line, "TLS handshake error from ")
	remote, why, found2 := strings.Cut(line, ": ")
	_, err := netip.ParseAddrPort(remote)
	if !found || !found2 || before != "http: " || err != nil {
		return "", "", false
	}
	if _, timeout, ok := strings.Cut(why, "i/o timeout"); ok && timeout == "" {
		return remote, "the TLS handshake was not finished in time", true
	}
	why, _, _ = strings.Cut(why, "read tcp ") // whose addresses say nothing new
	return remote, strings.TrimSuffix("the TLS handshake failed: "+why, ": "), true
}
