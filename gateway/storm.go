package gateway

import (
	"cmp"
	"context"
	"net"
	"time"

	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/timeline"
)

// unwelcome closes a socket whose address has a penalty, before it costs more
// than the accept. It reports whether it did.
func (s *Server) unwelcome(nc net.Conn) bool {
	a, ok := nc.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return false
	}
	refused, first := s.offences.refuses(offender{addr: network(a.AddrPort().Addr())}, time.Now())
	if !refused {
		return false
	}
	s.offences.turned.Add(1)
	if first {
		s.record(zerolog.WarnLevel, timeline.Entry{What: timeline.Refused, Remote: a.String()}, errBoxed).
			Str("remote", a.String()).Msg("peer refused")
	}
	if hard, ok := nc.(interface{ SetLinger(sec int) error }); ok {
		_ = hard.SetLinger(0) // no state is kept for it
	}
	s.tarpit.close(nc)
	return true
}

// examine is admit behind what refuses cheaply: first who has a penalty, then
// what is too much for the node.
func (s *Server) examine(ctx context.Context, src source, peer Peer, connect *mqtt.Connect) (c *conn, present bool, err error) {
	addr, now := addressOf(peer.Remote), time.Now()
	who := offender{addr, nameOf(connect)}
	if refused, _ := s.offences.refuses(who, now); refused {
		s.offences.repeated(addr, now)
		return nil, false, errRepeated
	}
	if err := s.Limiter.Connect(now); err != nil {
		return nil, false, err
	}
	c, present, err = s.admit(ctx, src, peer, connect)
	switch hub.CodeOf(err) {
	case 0:
		s.offences.welcome(addr, who.client, now)
	case hub.Unauthorized, hub.DeviceNotFound, hub.ModuleNotFound:
		s.offences.failed(addr, who.client, now)
	default: // no credentials are to blame
	}
	return c, present, err
}

// nameless stands for a client without an id, who is not his address as a whole. No
// client id holds U+0000.
const nameless = "\x00"

// nameOf is what a client calls himself, which is not empty.
func nameOf(connect *mqtt.Connect) string { return cmp.Or(clip(connect.ClientID), nameless) }
