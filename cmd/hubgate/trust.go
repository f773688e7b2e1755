package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
	"github.com/hubgate/hubgate/cmd/hubgate/internal/reload"
	"github.com/hubgate/hubgate/trust"
)

// trustReminder is how often the log repeats what is wrong with authorities and
// revocation lists, and connections are held against what expires.
const trustReminder = time.Hour

// trustSum tells the files of one time from those of another.
type trustSum [sha256.Size]byte

// loadTrust reads the authorities and revocation lists that the configuration
// names. Its error says which file is wrong.
func loadTrust(cfg config.TLS) (trust.Files, trustSum, error) {
	files := trust.Files{StrictLists: cfg.CRLStrict}
	sum := sha256.New()
	_, _ = fmt.Fprintln(sum, cfg.CRLStrict)
	for _, path := range cfg.ClientCAFiles {
		text, err := os.ReadFile(path)
		if err != nil {
			return trust.Files{}, trustSum{}, fmt.Errorf("read the certificate authority: %w", err)
		}
		_, _ = fmt.Fprintf(sum, "%s %d %s", path, len(text), text)
		f, err := trust.ParseFile(path, text)
		if err != nil {
			return trust.Files{}, trustSum{}, fmt.Errorf("read the certificate authority %s: %w", path, err)
		}
		files.Authorities = append(files.Authorities, f)
	}
	for _, path := range cfg.CRLFiles {
		text, err := os.ReadFile(path)
		if err != nil {
			return trust.Files{}, trustSum{}, fmt.Errorf("read the revocation list: %w", err)
		}
		_, _ = fmt.Fprintf(sum, "%s %d %s", path, len(text), text)
		lists, err := trust.ParseLists(path, text)
		if err != nil {
			return trust.Files{}, trustSum{}, fmt.Errorf("read the revocation list %s: %w", path, err)
		}
		files.Lists = append(files.Lists, lists...)
	}
	return files, trustSum(sum.Sum(nil)), nil
}

// openTrust makes the pool of what vouches for devices, and serves its registry.
func (n *node) openTrust() error {
	files, sum, err := loadTrust(n.cfg.TLS)
	if err != nil {
		return err
	}
	n.trusted = sum
	n.trust = &trust.Pool{}
	n.trust.SetFiles(n.withIssuer(files))
	n.trust.SetRegistered(n.back.Authorities().All())
	service, err := n.back.ServeAuthorities(&trust.Registry{Store: n.back.Authorities()})
	if err != nil {
		return err
	}
	n.onStop(func(context.Context) { _ = service.Stop() })
	return nil
}

// applyTrust reads the files of authorities and revocation lists again and lets
// them take effect: at once for who comes, and within a second for who is there.
// It reports whether anything has changed. When a file is bad it returns the
// error, and everything stays as it was. One call at a time, once the node
// serves.
func (n *node) applyTrust(cfg config.TLS) (changed bool, err error) {
	files, sum, err := loadTrust(cfg)
	if err != nil || sum == n.trusted {
		return false, err
	}
	n.trusted = sum
	n.trust.SetFiles(n.withIssuer(files))
	n.trustChanged()
	return true, nil
}

// trustPart lets authorities and revocation lists change while the node runs.
func (n *node) trustPart() reload.Part {
	return reload.Part{
		Name: "client authorities", Keys: []string{"tls.client_ca_files", "tls.crl_files", "tls.crl_strict"},
		Files: func(cfg *config.Config) []string { return slices.Concat(cfg.TLS.ClientCAFiles, cfg.TLS.CRLFiles) },
		Apply: func(_ context.Context, cfg *config.Config) (reload.Change, error) {
			changed, err := n.applyTrust(cfg.TLS)
			if !changed || err != nil {
				return reload.Change{}, err
			}
			return reload.Change{
				Applied:  []string{fmt.Sprintf("%d files of authorities, %d of revocation lists", len(cfg.TLS.ClientCAFiles), len(cfg.TLS.CRLFiles))},
				Warnings: n.trust.Warnings(time.Now()),
			}, nil
		},
	}
}

// trustChanged cuts the connections that nobody vouches for any more.
func (n *node) trustChanged() {
	n.warnOfTrust()
	n.face.TrustChanged(n.gateway)
}

// warnOfTrust logs what an operator should mend.
func (n *node) warnOfTrust() {
	for _, warning := range n.trust.Warnings(time.Now()) {
		n.log.Warn().Msg(warning)
	}
}

// followAuthorities lets the changes of the registry of authorities take effect,
// until ctx ends.
func (n *node) followAuthorities(ctx context.Context) {
	reminder := time.NewTicker(trustReminder)
	defer reminder.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-reminder.C:
			n.trustChanged()
		case <-n.back.Authorities().Changed():
			n.trust.SetRegistered(n.back.Authorities().All())
			n.trustChanged()
		}
	}
}
