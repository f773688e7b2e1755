package main

import (
	"context"
	"fmt"
	"time"

	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/sas"
)

// firstDevice is there in every development hub, and servicePolicy may do
// everything.
const (
	firstDevice   = "dev1"
	servicePolicy = "iothubowner"
)

type devCmd struct {
	nodeFlags `embed:""`
}

// Run has a development hub run until ctx ends.
func (c *devCmd) Run(ctx context.Context, a *app) error { //nolint:unparam // kong wants an error
	a.goOn = func() error { return c.serve(ctx, a) }
	return nil
}

func (c *devCmd) serve(ctx context.Context, a *app) error {
	began := time.Now()
	cfg, log, err := a.prepare(c.configFlags, config.Dev)
	if err != nil {
		return err
	}
	var certs devCertificates
	n, err := a.launch(ctx, cfg, config.Dev, log, func() (secrets, error) {
		if certs, err = openDevCertificates(cfg, log); err != nil {
			return secrets{}, err
		}
		issuer, err := devIssuer(cfg, began)
		return secrets{certs: certs.certificates, tls: certs.shown.Config(), ca: certs.made.CA, issuer: issuer}, err
	})
	if err != nil {
		return err
	}
	defer n.stop()
	// No hangups: a development hub ends with its terminal.
	if err := n.startReload(a, c.configFlags, config.Dev, nil); err != nil {
		return err
	}
	ready, err := n.devReady(ctx, certs.made.CAFile)
	if err != nil {
		return err
	}
	if err := n.leaveHubFile(certs.made.CAFile); err != nil {
		return err
	}
	if a.format == formatJSON {
		err = writeJSON(a.out, ready)
	} else {
		err = ready.write(a.out, cfg.DataDir, time.Since(began))
	}
	if err != nil {
		return err
	}
	log.Debug().Dur("after", time.Since(began)).Msg("ready")
	return n.wait(ctx)
}

// devReady makes the first device, unless it is there, and collects what the
// user needs.
func (n *node) devReady(ctx context.Context, caFile string) (devReady, error) {
	first, err := n.ensureDevice(ctx, hub.Identity{Device: firstDevice})
	if err != nil {
		return devReady{}, err
	}
	policy, ok := n.policies.Lookup(servicePolicy)
	if !ok {
		return devReady{}, fmt.Errorf("the shared access policy %s is missing or damaged", servicePolicy)
	}
	r := devReady{
		HostName: n.cfg.Hub.Host, DeviceID: firstDevice,
		DeviceConnectionString: connectionString(n.cfg.Hub.Host, first, primary),
		ServiceConnectionString: sas.ConnectionString{
			HostName: n.cfg.Hub.Host, SharedAccessKeyName: policy.Name, SharedAccessKey: policy.PrimaryKey,
		}.String(),
		CAFile: caFile, NATSURL: n.nats.URL(), NATSCreds: n.nats.HubCreds(), BackendCreds: n.nats.BackendCreds(), HTTPURL: n.httpURL(), Ports: n.ports,
	}
	if n.ports.MQTT != mqttPort {
		r.NodeConnectionString = connectionString(fmt.Sprintf("%s:%d", n.cfg.Hub.Host, n.ports.MQTT), first, primary)
	}
	return r, nil
}

// The ports that the SDKs have built in.
const (
	mqttPort  = 8883
	httpsPort = 443
)

func (n *node) ensureDevice(ctx context.Context, id hub.Identity) (identity.Record, error) {
	r, err := n.registry.Get(ctx, id)
	if hub.CodeOf(err) == hub.DeviceNotFound {
		r, err = n.registry.Create(ctx, identity.Record{ID: id})
	}
	if err != nil {
		return r, fmt.Errorf("create the first device: %w", err)
	}
	return r, nil
}
