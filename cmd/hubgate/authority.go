package main

import (
	"context"
	"os"

	"github.com/hubgate/hubgate/backend/client"
	"github.com/hubgate/hubgate/trust"
)

type authorityCmd struct {
	clientFlags `embed:""`

	List             listAuthoritiesCmd `cmd:"" help:"List the certificate authorities."`
	Add              addAuthorityCmd    `cmd:"" help:"Register a certificate authority. It vouches for devices once it is verified."`
	Show             showAuthorityCmd   `cmd:"" help:"Show a certificate authority."`
	Remove           removeAuthorityCmd `cmd:"" help:"Remove a certificate authority; connections of its devices end."`
	VerificationCode authorityCodeCmd   `cmd:"" help:"Make a code, for which the authority must issue a certificate to prove that you hold its key."`
	Verify           verifyAuthorityCmd `cmd:"" help:"Show the hub the certificate for the verification code."`
}

// AfterApply gives the commands below the flags of the group.
func (c *authorityCmd) AfterApply(a *app) error { //nolint:unparam // kong wants the error
	a.client = c.clientFlags
	return nil
}

// withAuthorities connects and calls f.
func (a *app) withAuthorities(f func(*client.Authorities) error) error {
	h, err := a.connect(a.client)
	if err != nil {
		return err
	}
	defer h.Close()
	return f(h.Authorities())
}

type listAuthoritiesCmd struct{}

// Run lists the authorities.
func (c *listAuthoritiesCmd) Run(ctx context.Context, a *app) error {
	return a.withAuthorities(func(all *client.Authorities) error {
		authorities, err := all.List(ctx)
		if err != nil {
			return err
		}
		if a.format == formatJSON {
			return writeJSON(a.out, append([]trust.Authority{}, authorities...))
		}
		rows := []row{}
		for _, authority := range authorities {
			cert, err := authority.Parse()
			if err != nil {
				return err
			}
			rows = append(rows, row{authority.Name, verifiedText(authority), timeText(cert.NotAfter), trust.Thumbprint(cert), visible(cert.Subject.String())})
		}
		return writeTable(a.out, row{"NAME", "VERIFIED", "EXPIRES", "THUMBPRINT", "SUBJECT"}, rows)
	})
}

func verifiedText(a trust.Authority) string {
	if a.Verified {
		return "yes"
	}
	return "no"
}

type addAuthorityCmd struct {
	Name     string `arg:"" help:"A name for it: 1 to 64 characters of A-Z a-z 0-9 - . _"`
	File     string `arg:"" type:"path" help:"Its certificate, PEM or DER."`
	Verified bool   `name:"verified" help:"Trust it without proof: you know whose it is."`
	Replace  bool   `name:"replace" help:"Replace the certificate of an authority with this name."`
}

// Run registers an authority.
func (c *addAuthorityCmd) Run(ctx context.Context, a *app) error {
	text, err := os.ReadFile(c.File)
	if err != nil {
		return usagef("read the certificate: %w", err)
	}
	cert, err := trust.ParseCertificate(text)
	if err != nil {
		return usagef("%s: %s", c.File, sentence(err))
	}
	return a.withAuthorities(func(all *client.Authorities) error {
		authority := trust.Authority{Name: c.Name, Certificate: cert.Raw, Verified: c.Verified}
		if c.Replace {
			authority, err = all.Replace(ctx, authority, client.Any)
		} else {
			authority, err = all.Add(ctx, authority)
		}
		if err != nil {
			return err
		}
		return a.showAuthority(authority)
	})
}

type showAuthorityCmd struct {
	Name string `arg:"" help:"Its name."`
}

// Run shows an authority.
func (c *showAuthorityCmd) Run(ctx context.Context, a *app) error {
	return a.withAuthorities(func(all *client.Authorities) error {
		authority, err := all.Get(ctx, c.Name)
		if err != nil {
			return err
		}
		return a.showAuthority(authority)
	})
}

func (a *app) showAuthority(authority trust.Authority) error {
	if a.format == formatJSON {
		return writeJSON(a.out, authority)
	}
	cert, err := authority.Parse()
	if err != nil {
		return err
	}
	return writePairs(a.out, []row{
		{"Authority", authority.Name},
		{"Subject", visible(cert.Subject.String())},
		{"Verified", verifiedText(authority)},
		{"Verification code", authority.VerificationCode},
		{"Expires", timeText(cert.NotAfter)},
		{"Thumbprint", trust.Thumbprint(cert)},
		{"Created", timeText(authority.Created)},
		{"Updated", timeText(authority.Updated)},
		{"ETag", authority.ETag()},
	})
}

type removeAuthorityCmd struct {
	Name string `arg:"" help:"Its name."`
	ETag string `name:"etag" default:"*" help:"Remove only if it still has this etag."`
}

// Run removes an authority.
func (c *removeAuthorityCmd) Run(ctx context.Context, a *app) error {
	return a.withAuthorities(func(all *client.Authorities) error {
		if err := all.Delete(ctx, c.Name, c.ETag); err != nil {
			return err
		}
		if a.format == formatJSON {
			return writeJSON(a.out, map[string]string{"deleted": c.Name})
		}
		return a.say("%s is removed.", c.Name)
	})
}

type authorityCodeCmd struct {
	Name string `arg:"" help:"Name of the authority."`
}

// Run makes a verification code.
func (c *authorityCodeCmd) Run(ctx context.Context, a *app) error {
	return a.withAuthorities(func(all *client.Authorities) error {
		authority, err := all.NewCode(ctx, c.Name)
		if err != nil {
			return err
		}
		if a.format == formatJSON {
			return writeJSON(a.out, authority)
		}
		return a.say("%s", authority.VerificationCode)
	})
}

type verifyAuthorityCmd struct {
	Name string `arg:"" help:"Name of the authority."`
	File string `arg:"" type:"path" help:"The certificate for the verification code, PEM or DER."`
}

// Run proves that the key of an authority is at hand.
func (c *verifyAuthorityCmd) Run(ctx context.Context, a *app) error {
	text, err := os.ReadFile(c.File)
	if err != nil {
		return usagef("read the certificate: %w", err)
	}
	return a.withAuthorities(func(all *client.Authorities) error {
		authority, err := all.Verify(ctx, c.Name, text)
		if err != nil {
			return err
		}
		if a.format == formatJSON {
			return writeJSON(a.out, authority)
		}
		return a.say("%s is verified: it vouches for devices now.", c.Name)
	})
}
