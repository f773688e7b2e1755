package main

import (
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
	"github.com/hubgate/hubgate/credential"
	"github.com/hubgate/hubgate/gateway/iothub"
	"github.com/hubgate/hubgate/internal/pki"
	"github.com/hubgate/hubgate/trust"
)

// loadIssuer reads the authority that issues certificates for devices; nil when
// the configuration names none.
func loadIssuer(cfg config.TLS) (*credential.Issuer, error) {
	if cfg.IssuerCertFile == "" {
		return nil, nil
	}
	cert, err := os.ReadFile(cfg.IssuerCertFile)
	if err != nil {
		return nil, fmt.Errorf("read the issuing authority: %w", err)
	}
	key, err := os.ReadFile(cfg.IssuerKeyFile)
	if err != nil {
		return nil, fmt.Errorf("read the key of the issuing authority: %w", err)
	}
	issuer, err := credential.NewIssuer(cert, key, time.Duration(cfg.IssuedLifetime))
	if err != nil {
		return nil, fmt.Errorf("%s with the key %s: %w", cfg.IssuerCertFile, cfg.IssuerKeyFile, err)
	}
	return issuer, nil
}

// devIssuer is the same for a development hub, which makes its own if it is
// given none.
func devIssuer(cfg *config.Config, now time.Time) (*credential.Issuer, error) {
	from := cfg.TLS
	if from.IssuerCertFile == "" {
		var err error
		if from.IssuerCertFile, from.IssuerKeyFile, err = pki.OpenIssuer(filepath.Join(cfg.DataDir, "certs"), now); err != nil {
			return nil, err
		}
	}
	return loadIssuer(from)
}

// withIssuer lets the certificates that the hub itself issues in. Nothing above
// the authority is trusted.
func (n *node) withIssuer(files trust.Files) trust.Files {
	if n.issuer == nil {
		return files
	}
	own := trust.File{Origin: "the issuing authority", Certificates: []*x509.Certificate{n.issuer.Authority()}}
	files.Authorities = append(slices.Clone(files.Authorities), own)
	return files
}

// renewal is what renews certificates in-band.
func (n *node) renewal() *iothub.Renewal {
	return &iothub.Renewal{
		Desk:        &credential.Desk{Issuer: n.issuer, Store: n.back.Credentials()},
		Thumbprints: n.registry, Tokens: n.cfg.TLS.IssueToSAS, Issued: n.back.Events().Issued,
	}
}
