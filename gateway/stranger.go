package gateway

import (
	"time"

	"github.com/hubgate/hubgate/hub"
)

// Stranger records a peer of the HTTPS listener who never got as far as a
// request, as package net/http tells of him: his address in the log and in the
// timeline is all that is known. reason is one sentence without the address.
func (s *Server) Stranger(remote, reason string) {
	s.refused(Peer{Remote: remote, Transport: "https"}, hub.Errorf(hub.ConnectionLost, "%s", reason))
}

// Visitors are peers of the HTTPS listener who have to prove who they are. Those
// with bad credentials have the penalties of [Penalty], which devices behind the
// same address share.
type Visitors struct{ server *Server }

// Visitors returns the peers of the HTTPS listener.
func (s *Server) Visitors() Visitors {
	s.init()
	return Visitors{s}
}

// Refuses reports whether a peer is refused without a look at his credentials.
// client is what he calls himself, which is not empty.
func (v Visitors) Refuses(remote, client string) bool {
	addr, now := addressOf(remote), time.Now()
	if refused, _ := v.server.offences.refuses(offender{addr: addr}, now); refused {
		return true
	}
	refused, _ := v.server.offences.refuses(offender{addr, client}, now)
	if refused {
		v.server.offences.repeated(addr, now)
	}
	return refused
}

// Failed notes bad credentials, for the timeline and the log too. err says what
// is wrong with them.
func (v Visitors) Failed(remote, client string, err error) {
	v.server.offences.failed(addressOf(remote), client, time.Now())
	v.server.refused(Peer{Remote: remote, Transport: "https"}, err)
}

// Welcome notes good credentials.
func (v Visitors) Welcome(remote, client string) {
	v.server.offences.welcome(addressOf(remote), client, time.Now())
}
