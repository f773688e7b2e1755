package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
	"github.com/hubgate/hubgate/cmd/hubgate/internal/reload"
	"github.com/hubgate/hubgate/internal/pki"
)

// certificates are those that the listeners of a node show, and how to read
// them again.
type certificates struct {
	shown *pki.Shown
	read  func(*config.Config) pki.Reading
	files func(*config.Config) []string
}

// load reads the certificates for the first time: what can't be read keeps the
// node from starting.
func (c *certificates) load(cfg *config.Config, log zerolog.Logger) error {
	found := c.read(cfg)
	if err := errors.Join(found.Errors...); err != nil {
		return err
	}
	for _, warning := range append(found.Warnings, uncovered(found, cfg)...) {
		log.Warn().Str("warning", warning).Msg("the server's certificates need a look")
	}
	c.shown = pki.Show(found.Certificates)
	return nil
}

// part reloads the certificates.
func (c *certificates) part() reload.Part {
	return reload.Part{
		Name: "server certificates", Keys: []string{"tls.cert_files", "tls.key_files"},
		Files: c.files,
		Apply: func(_ context.Context, cfg *config.Config) (reload.Change, error) {
			found := c.read(cfg)
			change := reload.Change{Warnings: append(found.Warnings, uncovered(found, cfg)...), Again: found.Again}
			if len(found.Certificates) > 0 && !pki.Same(found.Certificates, c.shown.Certificates()) {
				c.shown.Replace(found.Certificates)
				for _, cert := range found.Certificates {
					change.Applied = append(change.Applied, fmt.Sprintf("%s until %s", strings.Join(pki.NamesOf(cert.Leaf), ", "), timeText(cert.Leaf.NotAfter)))
				}
			}
			return change, errors.Join(found.Errors...)
		},
	}
}

// uncovered warns of the hub's name if no certificate has it. Its aliases are
// only names in connection strings, as often as not.
func uncovered(found pki.Reading, cfg *config.Config) []string {
	if len(found.Certificates) == 0 || pki.Covers(found.Certificates, cfg.Hub.Host) {
		return nil
	}
	return []string{fmt.Sprintf("no certificate has the hub's name %s: devices that dial it will refuse them", cfg.Hub.Host)}
}

// ownCertificates are those of the files that the configuration names.
func ownCertificates() *certificates {
	var reader pki.Reader
	return &certificates{
		read: func(cfg *config.Config) pki.Reading {
			return reader.Read(cfg.TLS.CertFiles, cfg.TLS.KeyFiles, time.Now())
		},
		files: func(cfg *config.Config) []string { return slices.Concat(cfg.TLS.CertFiles, cfg.TLS.KeyFiles) },
	}
}
