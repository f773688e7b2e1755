package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/hub"
)

// ServeTLS accepts MQTT over TLS on ln until Shutdown. ln hands out plain
// sockets; the TLS handshake is the server's.
func (s *Server) ServeTLS(ln net.Listener) error { return s.serve(ln, s.handshakeTLS) }

// ServePlain accepts MQTT without TLS on ln until Shutdown: for benches and
// for sidecars on the same machine.
func (s *Server) ServePlain(ln net.Listener) error { return s.serve(ln, handshakePlain) }

// secure turns an accepted socket into the stream below MQTT.
type secure func(ctx context.Context, src *tcpSource, t *turn) (source, string, error)

func handshakePlain(_ context.Context, src *tcpSource, _ *turn) (source, string, error) {
	return src, "tcp", nil
}

func (s *Server) handshakeTLS(ctx context.Context, src *tcpSource, own *turn) (source, string, error) {
	t := newTLSSource(src, &s.inboxes, s.TLS)
	defer own.end()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	own.clock.start(s.Limits.HandshakeTimeout, cancel)
	began := time.Now()
	err := t.HandshakeContext(ctx)
	switch inTime := own.clock.stop(); {
	case err == nil:
	case !inTime:
		err = errLateHandshake
	default:
		err = tlsRefused(err)
	}
	s.counts.handshakes.Done(began, err)
	if err != nil {
		return nil, "", err
	}
	return t, "tls", nil
}

// tlsRefused says in a sentence why a TLS handshake failed.
func tlsRefused(err error) error {
	if h, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return hub.Errorf(hub.GenericBadRequest, "the peer does not speak TLS (it began with % x); this port takes MQTT over TLS only", h.RecordHeader[:1])
	}
	return hub.Errorf(hub.ConnectionLost, "the TLS handshake failed: %w", err)
}

// serve runs the accept loop, which never waits for a peer.
func (s *Server) serve(ln net.Listener, handshake secure) error {
	s.init()
	if !s.listeners.add(ln) {
		return net.ErrClosed
	}
	var pause time.Duration
	for {
		nc, err := ln.Accept()
		if err != nil {
			if s.listeners.isClosed() {
				return nil
			}
			if !isTemporary(err) {
				return fmt.Errorf("accept on %s: %w", ln.Addr(), err)
			}
			pause = s.acceptFailed(ln, err, pause)
			<-time.After(pause)
			continue
		}
		pause = 0
		if s.unwelcome(nc) {
			continue
		}
		// The gate is entered here, in the order of arrival: in goroutines of
		// their own, peers of a crowd could overtake a device and push it out.
		own := s.turns.enter()
		own.ticket = s.gate.enter(entrant{nc, own})
		s.workers.start(func() { s.receive(nc, own, handshake) })
	}
}

const (
	minPause = 5 * time.Millisecond
	maxPause = time.Second
)

// acceptFailed returns how long to wait before the next try. Most likely no
// file descriptor is free: then the peer goes who has been in a handshake
// longest, as when there are too many of them.
func (s *Server) acceptFailed(ln net.Listener, err error, pause time.Duration) time.Duration {
	pause = min(max(2*pause, minPause), maxPause)
	if s.gate.relieve() {
		pause = minPause
	}
	s.notice(zerolog.ErrorLevel).Err(err).Stringer("address", ln.Addr()).Dur("pause", pause).
		Msg("a connection could not be accepted")
	return pause
}

func isTemporary(err error) bool {
	var ne interface{ Temporary() bool }
	return errors.As(err, &ne) && ne.Temporary()
}

// receive takes an accepted socket through the handshakes.
func (s *Server) receive(nc net.Conn, own *turn, handshake secure) {
	t := own.ticket
	defer t.leave()
	peer := Peer{Remote: nc.RemoteAddr().String()}
	src, err := newTCPSource(nc)
	if err != nil {
		s.refused(peer, err)
		_ = nc.Close()
		return
	}
	src.turn = own
	ctx := context.Background()
	stream, transport, err := handshake(ctx, src, own)
	peer.Transport = transport
	peer.Certificates = certificatesOf(stream)
	if err != nil {
		s.refused(peer, t.explain(err))
		_ = nc.Close()
		return
	}
	s.accept(ctx, stream, peer, t)
}
