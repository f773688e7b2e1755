package main

import (
	"crypto/x509"
	"fmt"
	"os"
	"time"

	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
	"github.com/hubgate/hubgate/credential"
	"github.com/hubgate/hubgate/gateway/iothub"
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

// trustIssuer lets the certificates that the hub itself issues in. Of its file
// only the first certificate is trusted, and nothing above it.
func trustIssuer(files *trust.Files, cfg config.TLS) error {
	issuer, err := loadIssuer(cfg)
	if err != nil || issuer == nil {
		return err
	}
	files.Authorities = append(files.Authorities, trust.File{Origin: cfg.IssuerCertFile, Certificates: []*x509.Certificate{issuer.Authority()}})
	return nil
}

// openRenewal makes what renews certificates in-band.
func (n *node) openRenewal() (*iothub.Renewal, error) {
	issuer, err := loadIssuer(n.cfg.TLS)
	if err != nil {
		return nil, err
	}
	return &iothub.Renewal{
		Desk:        &credential.Desk{Issuer: issuer, Store: n.back.Credentials()},
		Thumbprints: n.registry, Tokens: n.cfg.TLS.IssueToSAS, Issued: n.back.Events().Issued,
	}, nil
}
