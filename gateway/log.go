package gateway

import (
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/timeline"
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
	if max(s.Log.GetLevel(), zerolog.GlobalLevel()) > level {
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

// record enters what went wrong into the timeline, and returns the line of the
// log about it, which repetitions have at the level debug only: two devices that
// fight for one id must not fill the log.
func (s *Server) record(level zerolog.Level, e timeline.Entry, err error) *zerolog.Event {
	e.Code, e.Message = codeOf(err), sentence(err)
	if first := s.Timeline.Record(e); !first {
		level = zerolog.DebugLevel
	}
	return s.notice(level).Int("code", int(e.Code)).Str("reason", e.Message).AnErr("cause", causeOf(err))
}

// causeOf is what lies below the sentence of an error.
func causeOf(err error) error {
	if e, ok := errors.AsType[*hub.Error](err); ok {
		return e.Err
	}
	return errors.Unwrap(err)
}

// refused records a peer who never said who it is.
func (s *Server) refused(p Peer, err error) {
	s.refusals.Add(1)
	s.counts.refused.Add(codeOf(err))
	s.record(zerolog.WarnLevel, timeline.Entry{What: timeline.Refused, Remote: p.Remote}, err).
		Str("remote", p.Remote).Str("transport", p.Transport).Msg("peer refused")
}

// refusedClient records a client that was refused by CONNACK.
func (s *Server) refusedClient(p Peer, connect *mqtt.Connect, err error) {
	s.refusals.Add(1)
	s.counts.refused.Add(codeOf(err))
	e := timeline.Entry{What: timeline.Refused, Remote: p.Remote}
	if about, ok := errors.AsType[*refusal](err); ok && about.id.Device != "" {
		e.ID = about.id
	} else {
		e.Claimed = clip(connect.ClientID)
	}
	s.record(zerolog.WarnLevel, e, err).Str("remote", p.Remote).Str("transport", p.Transport).
		Str("client_id", clip(connect.ClientID)).Str("hint", hub.CodeOf(err).Hint()).Msg("client refused")
}

// clip is what is kept of a client id, which may be anything.
func clip(clientID []byte) string {
	const most = 2*hub.MaxIDLength + 1
	return strings.ToValidUTF8(string(clientID[:min(len(clientID), most)]), "?")
}

// refusal is why a client is refused that named an identity which exists.
type refusal struct {
	id    hub.Identity
	cause error
}

func (r *refusal) Error() string { return r.cause.Error() }
func (r *refusal) Unwrap() error { return r.cause }

func (s *Server) logBegin(c *conn, present bool) {
	s.describe(s.notice(zerolog.DebugLevel), c).Bool("session_present", present).
		Uint64("epoch", c.session.Epoch).Str("client_agent", c.session.ClientAgent).Msg("connected")
}

// ended records the end of a connection; an orderly one is nobody's trouble.
func (s *Server) ended(c *conn, cause error, now time.Time) {
	s.counts.ended.Add(codeOf(cause))
	if same(cause, errDisconnected) {
		s.describe(s.notice(zerolog.DebugLevel), c).Str("reason", sentence(cause)).
			Dur("duration", now.Sub(c.started)).Msg("disconnected")
		return
	}
	level := zerolog.InfoLevel
	if same(cause, errShutdown) {
		level = zerolog.DebugLevel
	}
	s.describe(s.record(level, c.entry(timeline.Closed), cause), c).Dur("duration", now.Sub(c.started)).Msg("disconnected")
}

// stale records a connection that lives on the grace for tokens.
func (s *Server) stale(c *conn) {
	err := hub.Errorf(hub.Unauthorized, "what the client showed has expired; unless it comes again with something newer, the connection ends at %s", c.expires.UTC().Format(time.RFC3339))
	s.describe(s.record(zerolog.InfoLevel, c.entry(timeline.TokenExpired), err), c).Msg("expired, and still connected")
}

// refusedFilter records a subscription that is not granted.
func (s *Server) refusedFilter(c *conn, filter string, err error) {
	s.describe(s.record(zerolog.WarnLevel, c.entry(timeline.SubscribeRefused), err), c).
		Str("filter", filter).Msg("subscription refused")
}

// entry begins an entry about the connection's identity.
func (c *conn) entry(what timeline.What) timeline.Entry {
	return timeline.Entry{ID: c.session.ID, What: what, Remote: c.peer.Remote}
}

func (s *Server) describe(e *zerolog.Event, c *conn) *zerolog.Event {
	return e.Str("device_id", c.session.ID.Device).Str("module_id", c.session.ID.Module).
		Str("remote", c.peer.Remote).Str("transport", c.peer.Transport)
}
