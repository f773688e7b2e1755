package session

import (
	"context"

	"github.com/hubgate/hubgate/hub"
)

// Store keeps sessions, and tells [Events] the ends of their connections: of each
// connection once, or more often after a fault. Errors are *hub.Error: ConnectionReplaced where it is
// named, ServiceUnavailable when the store does not answer. Methods may be
// called from any goroutine, with different sessions. Package backendtest has
// the tests that every store must pass.
type Store interface {
	// Claim makes next the owner of its identity, whoever owned it before, and
	// returns it as stored: with what [Resume] took over, and with its Epoch,
	// which is greater than that of every claim before. present says that there
	// was a session to go on with. Who claims tells the end of [Session.Previous];
	// the store sends the wills that are owed.
	Claim(ctx context.Context, next Session) (s Session, present bool, err error)
	// Save writes the owner's session and sets its Revision. It fails with
	// ConnectionReplaced when there is a newer owner.
	Save(ctx context.Context, s *Session) error
	// Release writes the owner's last word and sets Connected to false and the
	// Revision. The session stays, persistent or not: it says when the device
	// was last here; the end is told unless the session is Untold. It fails with
	// ConnectionReplaced when there is a newer owner, or somebody has told the end
	// of this one, which is no fault. After any other error the store goes on
	// trying: it ends the first try by itself, and ctx needs no deadline. A session
	// that has been removed is released.
	Release(ctx context.Context, s *Session) error
	// Get returns the session of id, the zero Session when there is none.
	Get(ctx context.Context, id hub.Identity) (Session, error)
	// Watch calls claimed, from one goroutine, for the claims that any node makes
	// from now on, and for the repairs. It returns nil when ctx ends, and an error when it
	// can't go on.
	Watch(ctx context.Context, claimed func(Claim)) error
}

// Claim announces that a connection owns an identity now or, without Connection,
// that nobody does: the node of its owner was taken for dead. Owners of older
// epochs are none any more. Its JSON is the body of the announcement; the identity
// is in the subject.
type Claim struct {
	ID         hub.Identity `json:"-"`
	Epoch      uint64       `json:"epoch"`
	Node       string       `json:"node"`
	Connection string       `json:"connection"`
}
