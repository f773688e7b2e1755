//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"syscall"

	"github.com/nats-io/nats-server/v2/server"
)

// natsChild, in the environment, makes this program a NATS server: its value is
// a natsSettings as JSON.
const natsChild = "HUBGATE_CHAOS_NATS"

// natsSettings is one server of the cluster.
type natsSettings struct {
	Name   string   `json:"name"`
	IP     string   `json:"ip"`
	Store  string   `json:"store"`
	Log    string   `json:"log"`
	Dead   string   `json:"dead"`   // an address where nobody listens
	Routes []string `json:"routes"` // to the other servers, by relays
}

// The ports of a server, on an address of its own.
const (
	natsPort    = 4222
	routePort   = 6222
	monitorPort = 8222
)

const storeLimit = 64 << 30

// serveNATS is a nats-server until SIGTERM. It returns the exit code.
//
// Servers tell each other of their peers, and would connect past the relays:
// they advertise an address where nobody is, and have all routes configured.
func serveNATS(text string) int {
	var c natsSettings
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	opts := &server.Options{
		ServerName: c.Name, Host: c.IP, Port: natsPort, HTTPHost: c.IP, HTTPPort: monitorPort, NoSigs: true, MaxPayload: 1 << 20,
		JetStream: true, StoreDir: c.Store, JetStreamMaxStore: storeLimit, JetStreamMaxMemory: 256 << 20,
		Cluster: server.ClusterOpts{Name: "chaos", Host: c.IP, Port: routePort, Advertise: c.Dead, NoAdvertise: true},
		LogFile: c.Log, Logtime: true,
	}
	for _, r := range c.Routes {
		opts.Routes = append(opts.Routes, &url.URL{Scheme: "nats-route", Host: r})
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	s, err := server.NewServer(opts)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	s.ConfigureLogger()
	s.Start()
	if !s.ReadyForConnections(patience) {
		fmt.Fprintln(os.Stderr, "not ready")
		return 1
	}
	fmt.Println("ready")
	<-ctx.Done()
	s.Shutdown()
	s.WaitForShutdown()
	return 0
}
