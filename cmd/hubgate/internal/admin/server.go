package admin

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"
)

const (
	headerTime  = 5 * time.Second
	requestTime = 5 * time.Second
	answerTime  = 15 * time.Second
	idleTime    = 90 * time.Second // more than the usual minute between two scrapes
	headerBytes = 16 << 10
	// maxAnswering and maxHeavy are how many requests are answered at a time, and
	// how many of those that cost something.
	maxAnswering = 256
	maxHeavy     = 4
)

// Server answers administrators. Set the fields before use.
type Server struct {
	Version any // what /version tells, as JSON
	Log     zerolog.Logger

	access atomic.Pointer[Access]
	pprof  atomic.Bool
	node   atomic.Pointer[Node]
	waits  atomic.Pointer[string] // what the start waits for
	http   *http.Server
	crowd  crowd
	inside chan struct{}
	heavy  chan struct{}
	tell   *rate.Limiter // of lines about bad credentials
}

// Node is what there is to tell of a node that has started.
type Node struct {
	Live    []Check
	Ready   []Check
	Metrics http.Handler
}

// Serve answers on ln until Close. Until Started is called, the node lives and
// is not ready.
func (s *Server) Serve(ln net.Listener) error {
	s.inside, s.heavy = make(chan struct{}, maxAnswering), make(chan struct{}, maxHeavy)
	s.tell = rate.NewLimiter(1, 5)
	if s.access.Load().cert != nil {
		ln = tls.NewListener(ln, &tls.Config{
			GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.access.Load().tls(), nil },
		})
	}
	err := s.http.Serve(ln)
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Allow says who may ask from now on, and whether there are profiles. What it
// begins with decides whether there is TLS.
func (s *Server) Allow(a *Access, pprof bool) {
	if s.http == nil {
		s.http = &http.Server{
			Handler:           http.HandlerFunc(s.serve),
			ReadHeaderTimeout: headerTime, ReadTimeout: requestTime, WriteTimeout: answerTime, IdleTimeout: idleTime,
			MaxHeaderBytes: headerBytes,
			ConnState:      s.crowd.state,
			ConnContext:    func(ctx context.Context, nc net.Conn) context.Context { return context.WithValue(ctx, connKey{}, nc) },
			ErrorLog:       log.New(io.Discard, "", 0), // of peers who don't speak HTTP

			DisableGeneralOptionsHandler: true,
		}
	}
	if before := s.access.Load(); before != nil && before.cert != nil && a.cert == nil {
		a.cert = before.cert // that there is TLS is settled by the start
	}
	s.access.Store(a)
	s.pprof.Store(pprof)
}

type connKey struct{}

// Waiting says what the start of the node waits for.
func (s *Server) Waiting(what string) { s.waits.Store(&what) }

// Started says that the node has started.
func (s *Server) Started(n Node) { s.node.Store(&n) }

// Close ends all connections.
func (s *Server) Close() { _ = s.http.Close() }

// Ready makes the checks of a node that has started, as /readyz does.
func (s *Server) Ready(ctx context.Context) (all []Result, ok bool) {
	n := s.current()
	return look(ctx, n.Ready, nil)
}

// current is the node, or one that has not started.
func (s *Server) current() *Node {
	if n := s.node.Load(); n != nil {
		return n
	}
	starting := Check{"started", func(context.Context) (string, error) {
		if what := s.waits.Load(); what != nil {
			return "", errors.New("the node is starting: " + *what)
		}
		return "", errors.New("the node is starting: it connects to NATS and opens its streams")
	}}
	return &Node{Live: []Check{alive()}, Ready: []Check{starting}}
}

func alive() Check {
	return Check{"ping", func(context.Context) (string, error) { return "the process answers", nil }}
}

// serve takes one request.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if nc, ok := r.Context().Value(connKey{}).(net.Conn); ok {
		s.crowd.leave(nc)
	}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	select {
	case s.inside <- struct{}{}:
		defer func() { <-s.inside }()
	default:
		h.Set("Connection", "close")
		say(w, http.StatusServiceUnavailable, "the administrative listener is busy; try again")
		return
	}
	a := s.access.Load()
	who := a.judge(r)
	switch {
	case !a.needed() && !isLocal(r.Host):
		say(w, http.StatusMisdirectedRequest, "this listener is asked by an address or by localhost, and not as any other host")
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		h.Set("Allow", "GET, HEAD")
		say(w, http.StatusMethodNotAllowed, "only GET and HEAD are answered here")
	case who == wrong:
		s.unauthorized(w, r, "the credentials are not right: send Authorization: Bearer and the token of admin.token_file, or show a certificate of admin.client_ca_files")
	default:
		s.route(w, r, who)
	}
}

// route answers by the path.
func (s *Server) route(w http.ResponseWriter, r *http.Request, who verdict) {
	kind, name := probeOf(r.URL.Path)
	if kind != "" {
		s.probe(w, r, ask{kind: kind, name: name, bare: who != known})
		return
	}
	if who != known {
		s.unauthorized(w, r, "this needs credentials: send Authorization: Bearer and the token of admin.token_file, or show a certificate of admin.client_ca_files")
		return
	}
	switch r.URL.Path {
	case "/":
		s.index(w)
	case "/version":
		reply(w, http.StatusOK, s.Version)
	case "/metrics":
		if n := s.node.Load(); n != nil {
			s.costly(w, r, n.Metrics)
		} else {
			say(w, http.StatusServiceUnavailable, "the node is starting; there are no metrics yet")
		}
	default:
		s.profile(w, r)
	}
}

// costly answers by h, unless enough are at it.
func (s *Server) costly(w http.ResponseWriter, r *http.Request, h http.Handler) {
	select {
	case s.heavy <- struct{}{}:
		defer func() { <-s.heavy }()
		h.ServeHTTP(w, r)
	default:
		say(w, http.StatusServiceUnavailable, "enough requests of this kind are being answered; try again")
	}
}

func (s *Server) unauthorized(w http.ResponseWriter, r *http.Request, text string) {
	w.Header().Set("WWW-Authenticate", `Bearer realm="hubgate administration"`)
	say(w, http.StatusUnauthorized, text)
	if s.tell.Allow() {
		s.Log.Warn().Str("remote", r.RemoteAddr).Msg("somebody without credentials asks the administrative listener")
	}
}
