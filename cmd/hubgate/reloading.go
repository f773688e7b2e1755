package main

import (
	"context"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
	"github.com/hubgate/hubgate/cmd/hubgate/internal/reload"
)

// startReload lets the node follow its configuration and its files: when they
// change, when a command asks for it, and on what comes from hangups; nil: nothing.
func (n *node) startReload(a *app, flags configFlags, role config.Role, hangups <-chan os.Signal) error {
	load := func() (*config.Config, error) {
		cfg, err := config.Load(a.source(flags))
		if err != nil {
			return nil, err
		}
		return cfg, cfg.Complete(role)
	}
	started, err := load() // n.cfg has what the start has changed, such as a port
	if err != nil {
		return usageError{err}
	}
	r := reload.New(started, n.log)
	r.Load, r.File, r.Parts = load, a.source(flags).File, n.parts(a)
	service, err := n.back.ServeNode(n.cfg.Node, func(ctx context.Context) any { return r.Reload(ctx, "a command asked for it") })
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	n.onStop(func(context.Context) {
		cancel()
		_ = service.Stop()
	})
	go r.Watch(ctx)
	go onHangup(ctx, hangups, func() { n.supervision.reload(func() { r.Reload(ctx, "SIGHUP was sent") }) })
	return nil
}

// parts are what can change while the node runs.
func (n *node) parts(a *app) []reload.Part {
	return []reload.Part{
		n.certs.part(),
		n.policies.part(a.getenv, func() { n.face.PoliciesChanged(n.gateway) }),
		logLevel(),
		n.adminPart(),
		reload.Whole(reload.Part{
			Name: "client authorities", Keys: []string{"tls.client_ca_files", "tls.crl_files", "tls.crl_strict"},
			Files: func(cfg *config.Config) []string { return slices.Concat(cfg.TLS.ClientCAFiles, cfg.TLS.CRLFiles) },
		}, func(cfg *config.Config) error { return n.applyTrust(cfg.TLS) }),
		reload.Whole(reload.Part{Name: "rates", Keys: []string{"rates"}}, func(cfg *config.Config) error {
			n.limiter.Set(ratesOf(cfg.Rates))
			return nil
		}),
		reload.Whole(reload.Part{Name: "limits", Keys: adjustableKeys}, func(cfg *config.Config) error {
			n.gateway.Adjust(adjustable(cfg.Limits))
			return nil
		}),
	}
}

// logLevel changes log.level. The level is the process's: a check of it must
// cost nothing where nothing is logged.
func logLevel() reload.Part {
	return reload.Part{
		Name: "log level", Keys: []string{"log.level"},
		Apply: func(_ context.Context, cfg *config.Config) (reload.Change, error) {
			level, err := zerolog.ParseLevel(cfg.Log.Level)
			if err != nil || level == zerolog.GlobalLevel() {
				return reload.Change{}, err
			}
			zerolog.SetGlobalLevel(level)
			return reload.Change{Applied: []string{level.String()}}, nil
		},
	}
}

// takeHangups has each SIGHUP come to a channel from now on, so that it does not end
// a node that is still starting, or stops already.
func takeHangups() <-chan os.Signal {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	return hangups
}

// onHangup calls f for each of hangups, until ctx ends.
func onHangup(ctx context.Context, hangups <-chan os.Signal, f func()) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			f()
		}
	}
}
