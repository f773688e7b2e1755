package backend

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// cluster is NATS servers of this process, with JetStream and no users.
type cluster struct {
	tb      testing.TB
	options []*server.Options
	servers []*server.Server
}

// newCluster starts a cluster of n servers. The caller may change the options of
// one before it starts.
func newCluster(tb testing.TB, n int, change ...func(i int, o *server.Options)) *cluster {
	tb.Helper()
	c := &cluster{tb: tb, options: make([]*server.Options, n), servers: make([]*server.Server, n)}
	var routes []*url.URL
	ports := freePorts(tb, n)
	for _, port := range ports {
		routes = append(routes, &url.URL{Scheme: "nats", Host: fmt.Sprintf("127.0.0.1:%d", port)})
	}
	for i := range n {
		o := &server.Options{
			ServerName: fmt.Sprintf("n%d", i), Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true,
			JetStream: true, StoreDir: tb.TempDir(), JetStreamMaxStore: 1 << 40, JetStreamMaxMemory: 64 << 20,
			Cluster: server.ClusterOpts{Name: "plant", Host: "127.0.0.1", Port: ports[i]}, Routes: routes,
		}
		for _, f := range change {
			f(i, o)
		}
		c.options[i] = o
	}
	for i := range n {
		c.start(i)
	}
	return c
}

// start starts a server, on the ports that it had before.
func (c *cluster) start(i int) {
	c.tb.Helper()
	o := c.options[i].Clone()
	s, err := server.NewServer(o)
	if err != nil {
		c.tb.Fatal(err)
	}
	go s.Start()
	if !s.ReadyForConnections(20 * time.Second) {
		c.tb.Fatalf("server %d is not ready", i)
	}
	c.servers[i] = s
	c.tb.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	c.options[i].Port = portOf(c.tb, s.ClientURL())
}

// freePorts finds n ports that nobody listens on: servers of a cluster have to know
// each other before they start.
func freePorts(tb testing.TB, n int) []int {
	tb.Helper()
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			tb.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		ports = append(ports, portOf(tb, l.Addr().String()))
	}
	return ports
}

func portOf(tb testing.TB, text string) int {
	tb.Helper()
	var port int
	if _, err := fmt.Sscanf(text[strings.LastIndex(text, ":"):], ":%d", &port); err != nil {
		tb.Fatal(err)
	}
	return port
}

// stop stops a server.
func (c *cluster) stop(i int) {
	c.servers[i].Shutdown()
	c.servers[i].WaitForShutdown()
}

// url is the addresses of all servers.
func (c *cluster) url() string {
	all := make([]string, len(c.options))
	for i, o := range c.options {
		all[i] = fmt.Sprintf("nats://127.0.0.1:%d", o.Port)
	}
	return strings.Join(all, ",")
}

// ready waits until JetStream has a leader that knows all servers.
func (c *cluster) ready() {
	c.tb.Helper()
	until(c.tb, "the cluster is complete", func() bool {
		for _, s := range c.servers {
			if s.JetStreamIsLeader() {
				return len(s.JetStreamClusterPeers()) == len(c.servers)
			}
		}
		return false
	})
}

// join connects a node.
func (c *cluster) join(cfg Config) *Backbone {
	c.tb.Helper()
	cfg.URL = c.url()
	cfg.Patience = testTimeout
	b, err := Connect(testContext(c.tb), cfg)
	if err != nil {
		c.tb.Fatalf("Connect: %v", err)
	}
	c.tb.Cleanup(func() { shut(b) })
	return b
}

// lookUp asks once for a stream. Nobody answers while it is between two leaders: who
// waits for something asks again.
func lookUp(tb testing.TB, b *Backbone, stream string) (jetstream.Stream, error) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(testContext(tb), time.Second)
	defer cancel()
	return b.js.Stream(ctx, stream)
}

// client is a connection of somebody else.
func (c *cluster) client() (*nats.Conn, jetstream.JetStream) {
	c.tb.Helper()
	nc, err := nats.Connect(c.url())
	if err != nil {
		c.tb.Fatal(err)
	}
	c.tb.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		c.tb.Fatal(err)
	}
	return nc, js
}
