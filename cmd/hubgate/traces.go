package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
	"github.com/hubgate/hubgate/cmd/hubgate/internal/tracing"
)

// tracingOf is what the configuration says of traces, with the secrets that it
// names; nil: there are to be none.
func tracingOf(c config.Tracing, getenv func(string) string) (*tracing.Config, error) {
	url := c.TracesURL()
	if url == "" {
		return nil, nil //nolint:nilnil // the default
	}
	to := &tracing.Config{URL: url, Sample: float64(c.Sample)}
	if c.Headers != "" {
		text, err := readSecret(c.Headers, getenv)
		if err == nil {
			to.Headers, err = tracing.ParseHeaders(text)
		}
		if err != nil {
			return nil, usagef("tracing.headers: %w", err)
		}
	}
	if c.CAFile != "" {
		roots, err := readRoots(c.CAFile)
		if err != nil {
			return nil, usagef("tracing.ca_file: %w", err)
		}
		to.TLS = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	return to, nil
}

func readRoots(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate", file)
	}
	return roots, nil
}

// startTracing begins to trace, if that is wanted.
func (n *node) startTracing() error {
	if n.tracing == nil {
		return nil
	}
	to := *n.tracing
	to.Node, to.Hub, to.Version, to.Log = n.cfg.Node, n.cfg.Hub.Host, version().Version, n.log
	if n.cfg.Tracing.TracesAreBare() {
		n.log.Warn().Str("url", to.URL).Msg("what lets this node in at the collector of traces passes the network readable: use a collector with https")
	}
	t, err := tracing.Start(to)
	if err != nil {
		return err
	}
	n.tracer = t
	n.onStop(func(ctx context.Context) {
		if err := t.Close(ctx); err != nil {
			n.log.Warn().Err(err).Msg("the last traces were not sent")
		}
	})
	return nil
}
