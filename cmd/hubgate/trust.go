package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
	"github.com/hubgate/hubgate/trust"
)

// trustReminder is how often the log repeats what is wrong with authorities and
// revocation lists, and connections are held against what expires.
const trustReminder = time.Hour

// loadTrust reads the authorities and revocation lists that the configuration
// names. Its error says which file is wrong.
func loadTrust(cfg config.TLS) (trust.Files, error) {
	files := trust.Files{StrictLists: cfg.CRLStrict}
	for _, path := range cfg.ClientCAFiles {
		text, err := os.ReadFile(path)
		if err != nil {
			return trust.Files{}, fmt.Errorf("read the certificate authority: %w", err)
		}
		f, err := trust.ParseFile(path, text)
		if err != nil {
			return trust.Files{}, fmt.Errorf("read the certificate authority %s: %w", path, err)
		}
		files.Authorities = append(files.Authorities, f)
	}
	for _, path := range cfg.CRLFiles {
		text, err := os.ReadFile(path)
		if err != nil {
			return trust.Files{}, fmt.Errorf("read the revocation list: %w", err)
		}
		lists, err := trust.ParseLists(path, text)
		if err != nil {
			return trust.Files{}, fmt.Errorf("read the revocation list %s: %w", path, err)
		}
		files.Lists = append(files.Lists, lists...)
	}
	return files, nil
}

// openTrust makes the pool of what vouches for devices, and serves its registry.
func (n *node) openTrust() error {
	files, err := loadTrust(n.cfg.TLS)
	if err != nil {
		return err
	}
	n.trust = &trust.Pool{}
	n.trust.SetFiles(files)
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
// When a file is bad it returns the error, and everything stays as it was. It
// may be called at any time once the node serves.
func (n *node) applyTrust(cfg config.TLS) error {
	files, err := loadTrust(cfg)
	if err != nil {
		return err
	}
	n.trust.SetFiles(files)
	n.trustChanged()
	return nil
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
