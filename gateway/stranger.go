package gateway

import "github.com/hubgate/hubgate/hub"

// Stranger records a peer of the HTTPS listener who never got as far as a
// request, as package net/http tells of him: his address in the log and in the
// timeline is all that is known. reason is one sentence without the address.
func (s *Server) Stranger(remote, reason string) {
	s.refused(Peer{Remote: remote, Transport: "https"}, hub.Errorf(hub.ConnectionLost, "%s", reason))
}
