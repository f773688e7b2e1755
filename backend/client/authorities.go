package client

import (
	"context"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/trust"
)

// Authorities manages the certificate authorities that vouch for the devices of
// a hub, over NATS. Its errors are *hub.Error with the hub's own code;
// ServiceUnavailable when no hub answers. It is safe for concurrent use.
type Authorities struct{ c *Client }

// Authorities returns the certificate authorities of the hub.
func (c *Client) Authorities() *Authorities { return &Authorities{c} }

// List returns all authorities by name.
func (a *Authorities) List(ctx context.Context) (all []trust.Authority, err error) {
	var q struct {
		After string `json:"after,omitempty"`
	}
	for {
		var page struct {
			Value []trust.Authority `json:"value"`
			Next  string            `json:"next"`
		}
		if err := a.c.request(ctx, call{subject: a.c.names.AuthorityVerb(subject.List), body: q}, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Value...)
		if q.After = page.Next; q.After == "" {
			return all, nil
		}
	}
}

// Get returns an authority.
func (a *Authorities) Get(ctx context.Context, name string) (trust.Authority, error) {
	return a.ask(ctx, subject.Get, name, call{})
}

// Add registers an authority: its name and certificate, and whether it is
// verified, which an operator may say who knows whose it is.
func (a *Authorities) Add(ctx context.Context, authority trust.Authority) (trust.Authority, error) {
	return a.ask(ctx, subject.Put, authority.Name, call{body: authority})
}

// Replace is Add for a name that there is; ifMatch is its etag, or [Any].
func (a *Authorities) Replace(ctx context.Context, authority trust.Authority, ifMatch string) (trust.Authority, error) {
	if ifMatch == "" {
		return trust.Authority{}, hub.Errorf(hub.PreconditionFailed, "give the etag of the certificate authority, or *")
	}
	return a.ask(ctx, subject.Put, authority.Name, call{body: authority, ifMatch: ifMatch})
}

// Delete removes an authority; ifMatch is its etag, or [Any]. The devices that
// it alone vouches for are cut.
func (a *Authorities) Delete(ctx context.Context, name, ifMatch string) error {
	return a.c.request(ctx, call{subject: a.c.names.Authority(subject.Delete, name), ifMatch: ifMatch}, nil)
}

// NewCode makes a verification code: a certificate for it, issued by the
// authority, is what [Authorities.Verify] takes.
func (a *Authorities) NewCode(ctx context.Context, name string) (trust.Authority, error) {
	return a.ask(ctx, subject.Code, name, call{})
}

// Verify shows the hub the certificate for the verification code, PEM or DER,
// after which the authority vouches for devices.
func (a *Authorities) Verify(ctx context.Context, name string, proof []byte) (trust.Authority, error) {
	cert, err := trust.ParseCertificate(proof)
	if err != nil {
		return trust.Authority{}, err
	}
	return a.ask(ctx, subject.Prove, name, call{body: map[string][]byte{"certificate": cert.Raw}})
}

func (a *Authorities) ask(ctx context.Context, v subject.Verb, name string, r call) (trust.Authority, error) {
	if name == "" {
		return trust.Authority{}, hub.Errorf(hub.ArgumentInvalid, "the certificate authority has no name")
	}
	r.subject = a.c.names.Authority(v, name)
	var got trust.Authority
	err := a.c.request(ctx, r, &got)
	return got, err
}
