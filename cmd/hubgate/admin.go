package main

import (
	"context"
	"fmt"
	"net"
	"slices"

	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/cmd/hubgate/internal/admin"
	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
	"github.com/hubgate/hubgate/cmd/hubgate/internal/reload"
)

// bindAdmin binds the administrative listener, if there is to be one. Where
// nobody has asked for it a port that is taken is no reason not to start: there
// may be several nodes on a machine.
func bindAdmin(ctx context.Context, cfg *config.Config, log zerolog.Logger) ([]net.Listener, error) {
	host, port, wanted, firm := cfg.AdminAddress()
	if !wanted {
		return nil, nil
	}
	all, err := door{takes: "administration", flag: "--admin-listen", port: port}.bind(ctx, []string{host})
	if portTaken(err) && !firm {
		log.Warn().Str("address", cfg.Admin.Listen).
			Msg("there is no administrative listener: its port is taken, perhaps by another node of this machine; choose one with --admin-listen, or none")
		return nil, nil
	}
	return all, err
}

// readAccess reads who may use the administrative listener.
func readAccess(c config.Admin) (*admin.Access, error) {
	return admin.ReadAccess(admin.AccessFiles{Token: c.TokenFile, Cert: c.CertFile, Key: c.KeyFile, ClientCAs: c.ClientCAFiles})
}

// serveAdmin answers administrators from the beginning of the start to the end of
// the stop.
func (n *node) serveAdmin(bound *listeners) error {
	if len(bound.admin) == 0 {
		return nil
	}
	access, err := readAccess(n.cfg.Admin)
	if err != nil {
		return err
	}
	if n.cfg.AdminIsBare() {
		n.log.Warn().Str("address", n.cfg.Admin.Listen).
			Msg("the administrative token passes the network readable: give admin.cert_file, or put the listener behind something that speaks TLS")
	}
	n.admin = &admin.Server{Version: version(), Log: n.log}
	n.admin.Allow(access, n.cfg.Admin.Pprof)
	ln := bound.admin[0]
	n.ports.Admin = portOf(ln)
	n.background(func() error { return n.admin.Serve(ln) })
	n.onStop(func(context.Context) { n.admin.Close() })
	return nil
}

// waitingAdmin tells administrators what the start waits for.
func (n *node) waitingAdmin(why error) {
	if n.admin != nil {
		n.admin.Waiting("waiting for NATS: " + sentence(why))
	}
}

// startedAdmin tells administrators of a node that has started.
func (n *node) startedAdmin() {
	if n.admin == nil {
		return
	}
	n.admin.Started(admin.Node{Live: n.liveness(), Ready: n.readiness(), Metrics: n.metrics()})
}

// adminPart reloads who may use the administrative listener, and whether there
// are profiles.
func (n *node) adminPart() reload.Part {
	return reload.Whole(reload.Part{
		Name: "administrative listener", Keys: []string{"admin.token_file", "admin.pprof", "admin.client_ca_files"},
		Files: func(cfg *config.Config) []string {
			c := cfg.Admin
			files := slices.Concat([]string{c.TokenFile, c.CertFile, c.KeyFile}, c.ClientCAFiles)
			return slices.DeleteFunc(files, func(name string) bool { return name == "" })
		},
	}, func(cfg *config.Config) error {
		if n.cfg.AdminIsReachable() && !cfg.Admin.Asks() { // that is for the next listener
			return fmt.Errorf("the listener is at %s until the next start, and whoever reaches it could read all: who may ask stays as it is", n.cfg.Admin.Listen)
		}
		access, err := readAccess(cfg.Admin)
		if err == nil && n.admin != nil {
			n.admin.Allow(access, cfg.Admin.Pprof)
		}
		return err
	})
}
