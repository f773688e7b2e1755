package session

import (
	"context"

	"github.com/hubgate/hubgate/hub"
)

// Store keeps sessions. All errors are *hub.Error: ServiceUnavailable when the
// store does not answer.
type Store interface {
	// Claim makes next the owner of its identity, whoever owned it before, and
	// returns it as stored: with what [Resume] took over, and with its Epoch.
	// present says that there was a session to go on with.
	Claim(ctx context.Context, next Session) (s Session, present bool, err error)
	// Save writes the owner's session and sets its Revision. It fails with
	// ConnectionReplaced when there is a newer owner.
	Save(ctx context.Context, s *Session) error
	// Release writes the owner's last word, with Connected false. It fails
	// with ConnectionReplaced when there is a newer owner, which is no fault.
	Release(ctx context.Context, s *Session) error
	// Get returns the session of id, the zero Session when there is none.
	Get(ctx context.Context, id hub.Identity) (Session, error)
	// Watch calls claimed for the claims made from now on by any node, until
	// ctx ends.
	Watch(ctx context.Context, claimed func(Claim)) error
}

// Claim announces that a connection owns an identity now.
type Claim struct {
	ID         hub.Identity `json:"-"`
	Epoch      uint64       `json:"epoch"`
	Node       string       `json:"node"`
	Connection string       `json:"connection"`
}
