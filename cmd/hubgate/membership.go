package main

import (
	"github.com/hubgate/hubgate/backend"
)

// membership is this node as the others of its hub ask and judge it.
type membership struct{ node *node }

var _ backend.Member = membership{}

// Report implements [backend.Member].
func (m membership) Report() backend.NodeReport {
	p := m.node.ports
	ports := map[string]int{"mqtt": p.MQTT, "https": p.HTTPS}
	if p.Plain != 0 {
		ports["plain"] = p.Plain
	}
	if p.NATS != 0 {
		ports["nats"] = p.NATS
	}
	return backend.NodeReport{
		Connections: m.node.gateway.Serving(), Draining: m.node.gateway.Draining(), Ports: ports, Faults: m.node.faults.last(),
	}
}

// Fenced implements [backend.Member].
func (m membership) Fenced() { m.node.gateway.Fenced() }

// Usurped implements [backend.Member].
func (m membership) Usurped(err error) {
	m.node.gateway.Fenced()
	select {
	case m.node.failed <- err:
	default: // it ends already
	}
}

// portsOf notes what the listeners are bound to.
func (n *node) portsOf(bound *listeners) {
	n.ports.MQTT, n.ports.HTTPS = portOf(bound.mqtt[0]), portOf(bound.https[0])
	for _, ln := range bound.plain {
		n.ports.Plain = portOf(ln)
	}
}
