//go:build linux

package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/hubgate/hubgate/internal/pki"
)

// hubHost is what devices call the hub; nothing resolves it.
const hubHost = "chaos.hub.test"

// The ports of a node, on an address of its own.
const (
	mqttPort  = 8883
	httpsPort = 8443
	plainPort = 1883
	adminPort = 9610
)

// storeTimeout is telemetry.store_timeout of the nodes: shorter than its
// default, so that a schedule has room for many faults.
const storeTimeout = 10 * time.Second

// nodeName is what node i calls itself.
func nodeName(i int) string { return "gateway-" + strconv.Itoa(i) }

// newNodes returns the nodes, which do not run yet, and what devices trust.
func newNodes(n network, dir string, program string, c *cluster) (nodes [size]*process, trusted *tls.Config, err error) {
	certs := filepath.Join(dir, "certs")
	if _, err := pki.Open(certs, []string{hubHost}, time.Now()); err != nil {
		return nodes, nil, err
	}
	data, err := os.ReadFile(filepath.Join(certs, "ca.pem"))
	if err != nil {
		return nodes, nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(data) {
		return nodes, nil, fmt.Errorf("%s holds no certificate", certs)
	}
	for i := range nodes {
		ip := n.ip(hostGateway + i)
		nodes[i] = &process{name: nodeName(i), env: []string{clockFile + "=" + clockOf(dir, i)}, log: filepath.Join(dir, nodeName(i)+".log"), args: []string{
			program, "serve", "-o", "json", "--data-dir", filepath.Join(dir, nodeName(i)), "--nats", c.urls(i), "--node", nodeName(i),
			"--host", hubHost, "--listen", ip, "--mqtt-port", strconv.Itoa(mqttPort), "--https-port", strconv.Itoa(httpsPort),
			"--plain-listen", n.at(hostGateway+i, plainPort), "--admin-listen", n.at(hostGateway+i, adminPort),
			"--tls-cert", filepath.Join(certs, "server.pem"), "--tls-key", filepath.Join(certs, "server.key"),
			"--set", "nats.replicas=3", "--set", "telemetry.store_timeout=" + storeTimeout.String(), "--set", "limits.drain=5s",
		}}
	}
	return nodes, &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12, ServerName: hubHost}, nil
}

// clockOf is the file that moves the clock of node i.
func clockOf(dir string, i int) string { return filepath.Join(dir, nodeName(i)+".clock") }

// doorsOf are the addresses of one listener of all nodes.
func doorsOf(n network, port int) []string {
	var all []string
	for i := range size {
		all = append(all, n.at(hostGateway+i, port))
	}
	return all
}
