package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/hubgate/hubgate/cmd/hubgate/internal/admin"
)

// What costs a request to NATS is asked for once a second at most.
const askNATSEvery = time.Second

// liveness is what /livez asks. Only what a restart would mend belongs here: a
// node is not restarted because NATS is away.
func (n *node) liveness() []admin.Check {
	return []admin.Check{
		{Name: "ping", Look: func(context.Context) (string, error) { return "the process answers", nil }},
		{Name: "locks", Look: admin.Shared(0, n.checkLocks)},
	}
}

// readiness is what /readyz asks: whether devices should be sent to this node.
// All checks are made at the same time. A new one is added here, and to the table
// in docs/admin.md.
func (n *node) readiness() []admin.Check {
	return []admin.Check{
		{Name: "draining", Look: n.checkDraining},
		{Name: "listeners", Look: n.checkListeners},
		{Name: "node", Look: told("the other nodes know that this one lives", n.back.CheckNode)},
		{Name: "nats", Look: told("all connections to NATS are there", n.back.CheckNATS)},
		{Name: "store", Look: told("JetStream stores what devices send", n.back.CheckStore)},
		{Name: "streams", Look: admin.Shared(askNATSEvery, n.checkStreams)},
		{Name: "index", Look: told("queries are answered", n.back.CheckIndex)},
		{Name: "certificates", Look: n.checkCertificates},
	}
}

// told makes a look of a check that has nothing to say when all is well.
func told(well string, check func() error) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return well, check() }
}

// checkLocks fails when one of the locks that every device needs is not to be had:
// then the node stands still, and only a new start helps.
func (n *node) checkLocks(context.Context) (string, error) {
	n.gateway.Connected()
	n.back.Telemetry().InFlight()
	return "nothing stands still", nil
}

func (n *node) checkDraining(context.Context) (string, error) {
	if n.draining() {
		return "", errors.New("the node takes no more devices: it stops, or somebody drains it")
	}
	return "the node takes devices", nil
}

// draining is true from the moment on at which the node begins to stop.
func (n *node) draining() bool { return n.stopping.Load() || n.gateway.Draining() }

func (n *node) checkListeners(context.Context) (string, error) {
	if !n.gateway.Stats().Accepting {
		return "", errors.New("the listeners of devices are closed")
	}
	return fmt.Sprintf("MQTT on port %d, HTTPS on port %d", n.ports.MQTT, n.ports.HTTPS), nil
}

func (n *node) checkStreams(ctx context.Context) (string, error) {
	return "JetStream has the streams of messages, identities and sessions", n.back.CheckStreams(ctx)
}

// checkCertificates fails when devices that look at the server's certificate have
// reason to refuse all that there are for the hub's name.
func (n *node) checkCertificates(context.Context) (string, error) {
	now := time.Now()
	var longest, any *x509.Certificate
	for _, c := range n.certs.shown.Certificates() {
		if covers := c.Leaf.VerifyHostname(n.cfg.Hub.Host) == nil; covers && (longest == nil || c.Leaf.NotAfter.After(longest.NotAfter)) {
			longest = c.Leaf
		}
		if any == nil || c.Leaf.NotAfter.After(any.NotAfter) {
			any = c.Leaf
		}
	}
	if longest == nil { // the start has warned of it
		longest = any
	}
	if longest == nil || now.After(longest.NotAfter) {
		return "", fmt.Errorf("the server's certificate for %s has expired at %s", n.cfg.Hub.Host, timeText(longest.NotAfter))
	}
	return fmt.Sprintf("the server's certificate for %s is good until %s", n.cfg.Hub.Host, timeText(longest.NotAfter)), nil
}
