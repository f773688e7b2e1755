package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"strconv"

	"github.com/hubgate/hubgate/cmd/hubgate/internal/simulate"
	"github.com/hubgate/hubgate/sas"
)

// simulation is a fleet with what it needs from the hub.
type simulation struct {
	app      *app
	cmd      *simulateCmd
	hub      *remote // nil: only the REST API
	registry simulate.Registry
	target   simulate.Target
	fleet    *simulate.Fleet
}

func (s *simulation) close() {
	if s.hub != nil {
		s.hub.Close()
	}
}

// prepare finds the hub.
func (c *simulateCmd) prepare(ctx context.Context, a *app) (*simulation, error) {
	s := &simulation{app: a, cmd: c}
	local, err := c.local(a)
	if err != nil {
		return nil, err
	}
	if s.target.Sources, err = simulate.ParseSources(ctx, c.Source); err != nil {
		return nil, usageError{err}
	}
	if err := s.join(ctx, local); err != nil {
		return nil, err
	}
	if err := s.aim(local); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// local is the hub that runs with the data directory; zero when flags or the
// environment say another one.
func (c *simulateCmd) local(a *app) (hubFile, error) {
	cfg, err := a.load(c.configFlags)
	if err != nil || cfg.NATS.URL != "" || c.Service != "" {
		return hubFile{}, err
	}
	return findHub(cfg)
}

// join connects to the hub's registry, and finds its name.
func (s *simulation) join(ctx context.Context, local hubFile) error {
	c := s.cmd
	if c.Service == "" {
		h, err := s.app.connect(c.clientFlags)
		if err != nil {
			return err
		}
		s.hub = h
		if s.target.Host, err = h.hostName(ctx); err != nil {
			h.Close()
			return err
		}
		s.registry = simulate.OverNATS{Identities: h.Registry()}
		return nil
	}
	if c.MaxLost != nil {
		return usagef("--max-lost needs the hub's NATS, where the streams are: leave out --service, and give --nats or --data-dir")
	}
	text, err := readSecret(c.Service, s.app.getenv)
	if err != nil {
		return usagef("--service: %w", err)
	}
	cs, err := sas.ParseConnectionString(text)
	if err != nil {
		return usagef("--service: %s", sentence(err))
	}
	s.target.Host = cs.HostName
	if s.target.TLS, err = c.trust(local); err != nil {
		return err
	}
	s.registry, err = simulate.NewOverREST(text, c.API, &s.target)
	if err != nil {
		return usagef("--service: %s", sentence(err))
	}
	return nil
}

// aim finds out where devices connect to.
func (s *simulation) aim(local hubFile) error {
	c := s.cmd
	config, err := c.trust(local)
	if err != nil {
		return err
	}
	config.ServerName = s.target.Host
	s.target.TLS, s.target.WebSockets = config, c.WebSockets
	port := mqttPort
	if c.WebSockets {
		port = httpsPort
	}
	host := s.target.Host
	if local.Ports.MQTT != 0 {
		port = local.Ports.MQTT
		if c.WebSockets {
			port = local.Ports.HTTPS
		}
	}
	s.target.Addresses = []string{net.JoinHostPort(host, strconv.Itoa(port))}
	if len(c.Address) == 0 {
		return nil
	}
	s.target.Addresses = nil
	for _, text := range c.Address {
		name, p, err := net.SplitHostPort(text)
		if n, wrong := strconv.ParseUint(p, 10, 16); err != nil || wrong != nil || n == 0 || name == "" {
			return usagef("--address %.100q is not HOST:PORT, such as 10.0.0.5:8883", text)
		}
		s.target.Addresses = append(s.target.Addresses, text)
	}
	return nil
}

// trust is the TLS configuration that all devices share.
func (c *simulateCmd) trust(local hubFile) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.TLSResume {
		config.ClientSessionCache = tls.NewLRUClientSessionCache(c.Devices)
	}
	file := c.CA
	if file == "" {
		file = local.CAFile
	}
	if file == "" {
		return config, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, usagef("read the authority of the hub's certificate: %w", err)
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(text) {
		return nil, usagef("--ca %s holds no certificate in PEM", file)
	}
	return config, nil
}
