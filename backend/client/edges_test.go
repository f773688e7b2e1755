package client_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/hubgate/hubgate/backend"
	"github.com/hubgate/hubgate/backend/client"
	"github.com/hubgate/hubgate/backend/embedded"
	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/session"
	"github.com/hubgate/hubgate/twin"
)

// cable is a link that can be cut.
type cable struct {
	t    *testing.T
	to   string
	ln   net.Listener
	mu   sync.Mutex
	cut  bool
	ends map[net.Conn]bool
}

func newCable(t *testing.T, to string) *cable {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{t: t, to: to, ln: ln, ends: map[net.Conn]bool{}}
	t.Cleanup(func() {
		_ = ln.Close()
		c.pull()
	})
	go c.accept()
	return c
}

func (c *cable) accept() {
	for {
		from, err := c.ln.Accept()
		if err != nil {
			return
		}
		to, err := new(net.Dialer).DialContext(context.Background(), "tcp", c.to)
		if err != nil || !c.add(from, to) {
			_ = from.Close()
			if to != nil {
				_ = to.Close()
			}
			continue
		}
		go c.pass(from, to)
		go c.pass(to, from)
	}
}

func (c *cable) add(ends ...net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range ends {
		c.ends[e] = !c.cut
	}
	return !c.cut
}

func (c *cable) pass(from, to net.Conn) {
	_, _ = io.Copy(to, from)
	_ = to.Close()
	_ = from.Close()
}

// pull cuts the link; plug mends it.
func (c *cable) pull() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = true
	for e := range c.ends {
		_ = e.Close()
		delete(c.ends, e)
	}
}

func (c *cable) plug() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = false
}

// center is the NATS at the other end of an edge's link, which takes anybody.
func center(t *testing.T) (*server.Server, *nats.Conn) {
	t.Helper()
	s, err := server.NewServer(&server.Options{
		ServerName: "center", Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(),
		LeafNode: server.LeafNodeOpts{Host: "127.0.0.1", Port: server.RANDOM_PORT},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(30 * time.Second) {
		t.Fatal("the center is not ready")
	}
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return s, nc
}

// leafAddress is where a server takes leaves.
func leafAddress(t *testing.T, s *server.Server) string {
	t.Helper()
	v, err := s.Varz(nil)
	if err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(v.LeafNode.Port))
}

// edge runs a hub with the prefix plant7 as a leaf.
func edge(t *testing.T, url string) (*embedded.Server, *backend.Backbone) {
	t.Helper()
	names := subject.Names{Prefix: "plant7"}
	leaf := embedded.Leaf{URL: url}
	leaf.DenyImports, leaf.DenyExports = names.EdgeDenied("plant7")
	s, err := embedded.Start(testContext(t), embedded.Config{DataDir: t.TempDir(), Domain: "plant7", Leaf: leaf})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Shutdown() })
	b, err := backend.Connect(testContext(t), backend.Config{URL: s.URL(), CredsFile: s.GatewayCreds(), Prefix: "plant7", HostName: "plant7.example.net"}, s.InProcess())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		b.Close(ctx)
	})
	registry := &identity.Registry{Store: b.Devices(), Events: b.Events()}
	if _, err := b.ServeRegistry(registry); err != nil {
		t.Fatal(err)
	}
	if _, err := b.ServeTwins(&twin.Twins{Store: b.Twins()}); err != nil {
		t.Fatal(err)
	}
	if _, err := registry.Create(testContext(t), identity.Record{ID: hub.Identity{Device: "pump"}}); err != nil {
		t.Fatal(err)
	}
	return s, b
}

// An edge works without its link, and what it has stored meanwhile is in the center
// once the link is back: every message once, in order. The center uses its services.
func TestEdgeCatchesUp(t *testing.T) {
	t.Parallel()
	const part = 200
	up, nc := center(t)
	link := newCable(t, leafAddress(t, up))
	link.pull() // it begins without a link
	s, b := edge(t, "nats://"+link.ln.Addr().String())
	pump := hub.Identity{Device: "pump"}
	send(t, b, pump, part)
	c, err := client.New(nc, client.Options{Prefix: "plant7"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.AttachEdge(testContext(t), client.Edge{Prefix: "plant7"}); hub.CodeOf(err) != hub.ServiceUnavailable {
		t.Errorf("attach without a link: %v", err)
	}
	link.plug()
	eventually(t, "the link", s.Linked)
	eventually(t, "the copies are made", func() bool {
		_, err := c.AttachEdge(testContext(t), client.Edge{Prefix: "plant7", MaxAge: 24 * time.Hour})
		return err == nil
	})
	send(t, b, pump, part)
	followed(t, c, 2*part)
	if _, err := c.Twins().Get(testContext(t), pump); err != nil {
		t.Errorf("the twin, asked in the center: %v", err)
	}
	if name, err := c.HostName(testContext(t)); err != nil || name != "plant7.example.net" {
		t.Errorf("the host name, asked in the center: %q, %v", name, err)
	}
	link.pull()
	eventually(t, "the end of the link", func() bool { return !s.Linked() })
	send(t, b, pump, part)
	link.plug()
	send(t, b, pump, part)
	followed(t, c, 4*part)
	copies(t, c, 4*part)
	if _, err := c.AttachEdge(testContext(t), client.Edge{Prefix: "hub"}); hub.CodeOf(err) != hub.ServiceUnavailable {
		t.Errorf("attach of an edge that is not there: %v", err)
	}
}

// copies asserts that the center has n messages of the edge, each once and in order.
func copies(t *testing.T, c *client.Client, n int) {
	t.Helper()
	got := take(t, c, client.TelemetryOptions{FromStart: true}, n)
	for i, e := range got {
		if e.Sequence != uint64(i+1) || string(e.Body) != strconv.Itoa(i%200) {
			t.Fatalf("message %d of the copy is number %d with the body %s", i, e.Sequence, e.Body)
		}
	}
}

// followed waits until the center says that it has n messages of the edge, and
// events. JetStream there takes 40 s until it asks again when what it has asked for
// was lost with the link.
func followed(t *testing.T, c *client.Client, n int) {
	t.Helper()
	within(t, 2*time.Minute, "the copies are said to be complete", func() bool {
		all, err := c.EdgeStatus(testContext(t), client.Edge{Prefix: "plant7"})
		return err == nil && len(all) == 2 && all[0].Copied == uint64(n) && all[0].Lag == 0 && all[1].Copied > 0
	})
}

// No key passes the link, and nobody at its other end forges what devices send or
// changes what the hub keeps.
func TestEdgeKeepsItsKeys(t *testing.T) {
	t.Parallel()
	up, nc := center(t)
	s, b := edge(t, "nats://"+leafAddress(t, up))
	eventually(t, "the link", s.Linked)
	eventually(t, "the services", func() bool {
		_, err := nc.Request("plant7.registry.get.pump", nil, time.Second)
		return err == nil
	})
	asks := map[string]string{
		"plant7.registry.keys.pump": "", "plant7.registry.delete.pump": "", "plant7.registry.put.other": "{}", "plant7.authority.list": "",
		"$JS.plant7.API.STREAM.DELETE.PLANT7_TELEMETRY": "", "$JS.plant7.API.STREAM.PURGE.PLANT7_TELEMETRY": "{}",
		"$JS.plant7.API.STREAM.MSG.GET.KV_plant7_devices":                     `{"last_by_subj":"$KV.plant7_devices.pump"}`,
		"$JS.plant7.API.DIRECT.GET.KV_plant7_devices":                         `{"last_by_subj":"$KV.plant7_devices.pump"}`,
		"$JS.plant7.API.DIRECT.GET.KV_plant7_devices.$KV.plant7_devices.pump": "",
		"$JS.plant7.API.CONSUMER.CREATE.KV_plant7_devices":                    `{"stream_name":"KV_plant7_devices","config":{"deliver_policy":"all","ack_policy":"none"}}`,
		"$JS.plant7.API.CONSUMER.CREATE.KV_plant7_devices.c":                  `{"stream_name":"KV_plant7_devices","config":{"name":"c","deliver_policy":"all","ack_policy":"none"}}`,
		"$JS.plant7.API.$KV.plant7_devices.pump":                              "x", "$KV.plant7_devices.pump": "x", "plant7.telemetry.pump": "forged",
	}
	for to, body := range asks {
		if m, err := nc.Request(to, []byte(body), 300*time.Millisecond); err == nil {
			t.Errorf("%s is answered: %s", to, m.Data)
		} else if !errors.Is(err, nats.ErrTimeout) && !errors.Is(err, nats.ErrNoResponders) && !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
	}
	ctx := testContext(t)
	if _, err := b.Devices().Get(ctx, hub.Identity{Device: "pump"}); err != nil {
		t.Errorf("the device is not what it was: %v", err)
	}
	stream, err := b.JetStream().Stream(ctx, "PLANT7_TELEMETRY")
	if err != nil || stream.CachedInfo().State.Msgs != 0 {
		t.Errorf("the stream has what the center has published: %v", err)
	}
	nothingPrivate(t, nc, b)
}

// nothingPrivate asserts that the center does not see what the edge writes for
// itself.
func nothingPrivate(t *testing.T, nc *nats.Conn, b *backend.Backbone) {
	t.Helper()
	ctx := testContext(t)
	seen := make(chan *nats.Msg, 100)
	for _, s := range []string{"$KV.>", "plant7.session.>"} {
		if _, err := nc.ChanSubscribe(s, seen); err != nil {
			t.Fatal(err)
		}
	}
	// Its answer comes behind what was written before: the link keeps the order.
	ask := func() {
		if _, err := nc.RequestWithContext(ctx, "plant7.registry.get.pump", nil); err != nil {
			t.Fatal(err)
		}
	}
	ask() // the edge knows of the subscriptions
	if _, err := b.Devices().Create(ctx, identity.Record{ID: hub.Identity{Device: "secret"}}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Sessions().Claim(ctx, session.Session{ID: hub.Identity{Device: "pump"}, Node: "n", Connection: "c"}); err != nil {
		t.Fatal(err)
	}
	ask()
	select {
	case m := <-seen:
		t.Errorf("the center sees %s", m.Subject)
	default:
	}
}
