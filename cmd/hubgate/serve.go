package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
)

type serveCmd struct {
	serveFlags `embed:""`
}

// Run has a node run until ctx ends.
func (c *serveCmd) Run(ctx context.Context, a *app) error { //nolint:unparam // kong wants an error
	a.goOn = func() error { return c.serve(ctx, a) }
	return nil
}

func (c *serveCmd) serve(ctx context.Context, a *app) error {
	hangups := takeHangups()
	cfg, log, err := a.prepare(c.configFlags, config.Serve)
	if err != nil {
		return err
	}
	n, err := a.launch(ctx, cfg, config.Serve, log, func() (secrets, error) {
		certs := ownCertificates()
		if err := certs.load(cfg, log); err != nil {
			return secrets{}, err
		}
		issuer, err := loadIssuer(cfg.TLS)
		return secrets{certs: certs, tls: certs.shown.Config(), issuer: issuer}, err
	})
	if err != nil {
		return err
	}
	defer n.stop()
	if err := n.supervise(a); err != nil {
		return err
	}
	if err := n.startReload(a, c.configFlags, config.Serve, hangups); err != nil {
		return err
	}
	if cfg.NATS.Embedded {
		if err := n.leaveHubFile(""); err != nil {
			return err
		}
	}
	if a.format == formatJSON {
		if err := writeJSON(a.out, nodeReady{HostName: cfg.Hub.Host, Node: cfg.Node, NATSURL: n.natsURL(), HTTPURL: n.httpURL(), Ports: n.ports}); err != nil {
			return err
		}
	}
	log.Info().Str("hub", cfg.Hub.Host).Int("mqtt_port", n.ports.MQTT).Int("https_port", n.ports.HTTPS).Msg("ready")
	n.supervision.ready()
	defer n.supervision.stop()
	return n.wait(ctx)
}

// nodeReady is what serve prints when it accepts devices.
type nodeReady struct {
	HostName string `json:"hostName"`
	Node     string `json:"node"`
	NATSURL  string `json:"natsUrl,omitempty"`
	HTTPURL  string `json:"httpUrl"`
	Ports    ports  `json:"ports"`
}

// prepare reads the configuration of a node and makes its log.
func (a *app) prepare(flags configFlags, role config.Role) (*config.Config, zerolog.Logger, error) {
	cfg, err := a.loadNode(flags, role)
	if err != nil {
		return nil, zerolog.Nop(), err
	}
	log, err := a.logger(cfg.Log)
	for _, warning := range config.Misspelled(a.env) {
		log.Warn().Msg(warning)
	}
	if !strings.Contains(cfg.Hub.Host, ".") {
		log.Warn().Str("hub", cfg.Hub.Host).Msg("the hub's host name has no dot: devices with the C SDK will refuse the connection string")
	}
	return cfg, log, err
}

// launch binds the listeners and starts the node.
func (a *app) launch(ctx context.Context, cfg *config.Config, role config.Role, log zerolog.Logger, open func() (secrets, error)) (*node, error) {
	encryption, err := encryptionOf(cfg.NATS, a.getenv)
	if err != nil {
		return nil, err
	}
	traces, err := tracingOf(cfg.Tracing, a.getenv)
	if err != nil {
		return nil, err
	}
	own, err := cfg.Resolve(a.getenv)
	if err != nil {
		return nil, usageError{err}
	}
	bound, err := bindAll(ctx, cfg, role, log)
	if err != nil {
		return nil, err
	}
	n, err := startNode(ctx, &node{cfg: cfg, log: log, encryption: encryption, tracing: traces}, bound, func() (secrets, error) {
		s, err := open()
		s.policies = own
		return s, err
	})
	if err != nil && ctx.Err() != nil {
		return nil, errors.New("the start was interrupted")
	}
	return n, err
}

// leaveHubFile tells the commands of this machine where the hub is, until the
// node stops.
func (n *node) leaveHubFile(caFile string) error {
	h := hubFile{
		HostName: n.cfg.Hub.Host, NATSURL: n.nats.URL(), NATSCreds: n.nats.HubCreds(), BackendCreds: n.nats.BackendCreds(), CAFile: caFile,
		HTTPURL: n.httpURL(), Prefix: n.cfg.NATS.Prefix, PID: os.Getpid(), Ports: n.ports,
	}
	if err := h.write(n.cfg.DataDir); err != nil {
		return err
	}
	n.onStop(func(context.Context) {
		if err := os.Remove(hubFilePath(n.cfg.DataDir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			n.log.Warn().Err(err).Msg("hub.json could not be removed")
		}
	})
	return nil
}

// natsURL is where back-end apps of this machine find the embedded server.
func (n *node) natsURL() string {
	if n.nats == nil {
		return ""
	}
	return n.nats.URL()
}

func (n *node) httpURL() string {
	if n.ports.HTTPS == httpsPort {
		return "https://" + n.cfg.Hub.Host
	}
	return fmt.Sprintf("https://%s:%d", n.cfg.Hub.Host, n.ports.HTTPS)
}
