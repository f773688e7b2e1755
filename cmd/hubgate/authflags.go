package main

import (
	"context"
	"os"
	"strings"

	"github.com/hubgate/hubgate/backend/client"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/trust"
)

// authFlags say how an identity proves who it is.
type authFlags struct {
	Auth                string `name:"auth" enum:",sas,self-signed,ca" default:"" placeholder:"HOW" help:"How it proves who it is: sas, by a token; self-signed, by a certificate with a thumbprint; ca, by a certificate of a registered authority. Default: sas, or self-signed with a thumbprint."`
	Thumbprint          string `name:"thumbprint" placeholder:"HEX" help:"SHA-1 or SHA-256 thumbprint of its certificate."`
	SecondaryThumbprint string `name:"secondary-thumbprint" placeholder:"HEX" help:"That of another certificate, to change from one to the other."`
	Certificate         string `name:"certificate" type:"path" placeholder:"FILE" help:"Its certificate, PEM or DER, in place of --thumbprint."`
}

// authentication is what the flags say. keys are for sas.
func (f authFlags) authentication(keys identity.SymmetricKey) (identity.Authentication, error) {
	prints, err := f.thumbprints()
	if err != nil {
		return identity.Authentication{}, err
	}
	kind := f.kind(prints)
	switch {
	case kind != identity.AuthSAS && keys != identity.SymmetricKey{}:
		return identity.Authentication{}, usagef("keys are for --auth sas, and this is --auth %s", f.Auth)
	case kind == identity.AuthSelfSigned && prints == identity.Thumbprints{}:
		return identity.Authentication{}, usagef("--auth self-signed needs the certificate, by --certificate or --thumbprint")
	case kind != identity.AuthSelfSigned && prints != identity.Thumbprints{}:
		return identity.Authentication{}, usagef("a thumbprint is for --auth self-signed; a certificate of a registered authority needs none")
	}
	return identity.Authentication{Type: kind, SymmetricKey: keys, X509Thumbprint: prints}, nil
}

func (f authFlags) kind(prints identity.Thumbprints) identity.AuthType {
	switch {
	case f.Auth == "ca":
		return identity.AuthCA
	case f.Auth == "self-signed", f.Auth == "" && prints != identity.Thumbprints{}:
		return identity.AuthSelfSigned
	default:
		return identity.AuthSAS
	}
}

// thumbprints reads them from the flags, as openssl prints them too: AA:BB:….
func (f authFlags) thumbprints() (identity.Thumbprints, error) {
	plain := strings.NewReplacer(":", "", " ", "")
	prints := identity.Thumbprints{
		PrimaryThumbprint: plain.Replace(f.Thumbprint), SecondaryThumbprint: plain.Replace(f.SecondaryThumbprint),
	}
	if f.Certificate == "" {
		return prints, nil
	}
	if f.Thumbprint != "" {
		return prints, usagef("--certificate and --thumbprint say the same; give one of them")
	}
	text, err := os.ReadFile(f.Certificate)
	if err != nil {
		return prints, usagef("read the certificate: %w", err)
	}
	certs, err := trust.ParseCertificates(text)
	if err != nil {
		return prints, usagef("%s: %s", f.Certificate, sentence(err))
	}
	prints.PrimaryThumbprint = trust.Thumbprint(certs[0])
	return prints, nil
}

type setAuthCmd struct {
	authFlags `embed:""`

	ID string `arg:"" help:"Its id."`
}

// Run changes how a device or module proves who it is. What it needs for that
// is made anew: keys, for sas.
func (c *setAuthCmd) Run(ctx context.Context, a *app) error {
	if c.authFlags == (authFlags{}) {
		return usagef("say how, with --auth, --thumbprint or --certificate")
	}
	auth, err := c.authentication(identity.SymmetricKey{})
	if err != nil {
		return err
	}
	return a.with(c.ID, func(h *remote, id hub.Identity) error {
		r, err := setAuth(ctx, h.Registry(), id, auth)
		if err != nil {
			return err
		}
		return a.show(r)
	})
}

// setAuth replaces the authentication of an identity that nobody may change
// meanwhile.
func setAuth(ctx context.Context, all *client.Registry, id hub.Identity, auth identity.Authentication) (identity.Record, error) {
	r, err := all.Get(ctx, id)
	if err != nil {
		return r, err
	}
	r.Authentication = auth
	return all.Update(ctx, r, r.ETag)
}
