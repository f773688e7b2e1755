package gateway

import (
	"errors"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
)

// logLimit keeps peers from flooding the log: so many lines a second, and
// then a line that says how many were left out.
type logLimit struct {
	mu      sync.Mutex
	second  time.Time // when the current second began
	lines   int
	skipped int
}

// linesPerSecond is how many lines about peers a second may have.
const linesPerSecond = 50

// allow reports whether a line may be written now, and how many were left out
// in the second before.
func (l *logLimit) allow(now time.Time) (ok bool, skipped int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.second) >= time.Second {
		skipped = l.skipped
		l.second, l.lines, l.skipped = now, 0, 0
	}
	if l.lines++; l.lines > linesPerSecond {
		l.skipped++
		return false, skipped
	}
	return true, skipped
}

// notice starts a log line about a peer, or returns nil, which zerolog takes.
func (s *Server) notice(level zerolog.Level) *zerolog.Event {
	if s.Log.GetLevel() > level {
		return nil
	}
	ok, skipped := s.logLimit.allow(time.Now())
	if skipped > 0 {
		s.Log.Warn().Int("skipped", skipped).Msg("too many lines about connections; some were left out")
	}
	if !ok {
		return nil
	}
	return s.Log.WithLevel(level)
}

// refused records a peer who never said who it is.
func (s *Server) refused(p Peer, err error) {
	s.refusals.Add(1)
	s.notice(zerolog.WarnLevel).Str("remote", p.Remote).Str("transport", p.Transport).
		Int("code", int(hub.CodeOf(err))).Str("reason", sentence(err)).AnErr("cause", errors.Unwrap(err)).
		Msg("peer refused")
}

// refusedClient records a client that was refused by CONNACK.
func (s *Server) refusedClient(p Peer, connect *mqtt.Connect, err error) {
	s.refusals.Add(1)
	code := hub.CodeOf(err)
	s.notice(zerolog.WarnLevel).Str("remote", p.Remote).Str("transport", p.Transport).
		Bytes("client_id", connect.ClientID).
		Int("code", int(code)).Str("reason", sentence(err)).Str("hint", code.Hint()).AnErr("cause", errors.Unwrap(err)).
		Msg("client refused")
}

func (s *Server) logBegin(c *conn, present bool) {
	s.describe(s.notice(zerolog.DebugLevel), c).Bool("session_present", present).
		Uint64("epoch", c.session.Epoch).Str("client_agent", c.session.ClientAgent).Msg("connected")
}

func (s *Server) logEnd(c *conn, cause error, now time.Time) {
	level := zerolog.InfoLevel
	if same(cause, errDisconnected) || same(cause, errShutdown) {
		level = zerolog.DebugLevel
	}
	s.describe(s.notice(level), c).Int("code", int(codeOf(cause))).Str("reason", sentence(cause)).
		AnErr("cause", errors.Unwrap(cause)).Dur("duration", now.Sub(c.started)).Msg("disconnected")
}

func (s *Server) logFilter(c *conn, filter string, err error) {
	s.describe(s.notice(zerolog.WarnLevel), c).Str("filter", filter).
		Int("code", int(hub.CodeOf(err))).Str("reason", sentence(err)).Msg("subscription refused")
}

func (s *Server) describe(e *zerolog.Event, c *conn) *zerolog.Event {
	return e.Str("device_id", c.session.ID.Device).Str("module_id", c.session.ID.Module).
		Str("remote", c.peer.Remote).Str("transport", c.peer.Transport)
}
