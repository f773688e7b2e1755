package identity

import (
	"context"
	"strings"

	"github.com/hubgate/hubgate/hub"
)

// AddThumbprint lets an identity that authenticates by thumbprint show one more
// certificate, that with the thumbprint next, beside the one that it shows now.
// inUse tells the thumbprint of that one: the other gives way, so that the
// identity's connection stays good. A thumbprint that is registered already
// changes nothing.
//
// It fails with PreconditionFailed when the identity is of another generation,
// or none of its certificates is the one in use, and with CredentialUnready
// when it does not authenticate by thumbprint.
func (s *Registry) AddThumbprint(ctx context.Context, id hub.Identity, generation string, inUse func(thumbprint string) bool, next string) error {
	r, err := s.Get(ctx, id)
	if err != nil || r.GenerationID == generation && r.hasThumbprint(next) {
		return err
	}
	_, err = s.change(ctx, id, "*", func(r *Record) error {
		if r.GenerationID != generation {
			return hub.Errorf(hub.PreconditionFailed, "%s was deleted and created again", id)
		}
		return r.addThumbprint(inUse, next)
	})
	return err
}

func (r *Record) hasThumbprint(text string) bool {
	t := r.Authentication.X509Thumbprint
	return strings.EqualFold(t.PrimaryThumbprint, text) || strings.EqualFold(t.SecondaryThumbprint, text)
}

func (r *Record) addThumbprint(inUse func(string) bool, next string) error {
	t := &r.Authentication.X509Thumbprint
	switch {
	case r.Authentication.Type != AuthSelfSigned:
		return hub.Errorf(hub.CredentialUnready, "%s does not authenticate by thumbprint but by %s", r.ID, r.Authentication.Type)
	case r.hasThumbprint(next):
	case inUse(t.PrimaryThumbprint):
		t.SecondaryThumbprint = next
	case inUse(t.SecondaryThumbprint):
		t.PrimaryThumbprint = next
	default:
		return hub.Errorf(hub.PreconditionFailed, "the thumbprint of the certificate that %s shows was replaced", r.ID)
	}
	return nil
}
