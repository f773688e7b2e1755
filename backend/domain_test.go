package backend

import (
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/session"
	"github.com/hubgate/hubgate/twin"
)

// alone starts a server that is in no cluster.
func alone(t *testing.T, o *server.Options) *server.Server {
	t.Helper()
	o.Host, o.Port, o.NoSigs, o.NoLog = "127.0.0.1", server.RANDOM_PORT, true, true
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(20 * time.Second) {
		t.Fatal("the server is not ready")
	}
	return s
}

// A node whose NATS is a leaf without JetStream uses that of another domain, with
// the rights of a node in a domain and no more.
func TestNodeInADomain(t *testing.T) {
	t.Parallel()
	center := alone(t, &server.Options{
		ServerName: "center", JetStream: true, StoreDir: t.TempDir(), JetStreamDomain: "center", JetStreamMaxStore: 1 << 40,
		LeafNode: server.LeafNodeOpts{Host: "127.0.0.1", Port: server.RANDOM_PORT},
	})
	v, err := center.Varz(nil)
	if err != nil {
		t.Fatal(err)
	}
	rights := Config{}.names().NodeRights().InDomain("center")
	leaf := alone(t, &server.Options{
		ServerName: "leaf",
		LeafNode: server.LeafNodeOpts{Remotes: []*server.RemoteLeafOpts{{
			URLs: []*url.URL{{Scheme: "nats", Host: "127.0.0.1:" + strconv.Itoa(v.LeafNode.Port)}},
		}}},
		Users: []*server.User{{Username: "node", Password: "pw", Permissions: &server.Permissions{
			Publish:   &server.SubjectPermission{Allow: rights.Publish},
			Subscribe: &server.SubjectPermission{Allow: rights.Subscribe},
		}}},
	})
	ctx := testContext(t)
	cfg := Config{URL: "nats://node:pw@" + leaf.Addr().String(), Domain: "center", Patience: testTimeout}
	b, err := Connect(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shut(b) })
	for _, f := range Check(ctx, cfg) {
		if f.Level == Bad {
			t.Errorf("check: %+v", f)
		}
	}
	registry := &identity.Registry{Store: b.Devices(), Events: b.Events()}
	id := device(1)
	if _, err := registry.Create(ctx, identity.Record{ID: id}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Devices().Get(ctx, id); err != nil {
		t.Error(err)
	}
	if _, _, err := b.Sessions().Claim(ctx, session.Session{ID: id, Node: "a", Connection: "c"}); err != nil {
		t.Error(err)
	}
	twins := &twin.Twins{Store: b.Twins()}
	if _, err := twins.Get(ctx, id); err != nil {
		t.Error(err)
	}
	l := newLedger(t)
	offer(b.Telemetry(), l, 3, 20)
	l.wait(60)
	stored, _ := l.check()
	seen, _ := inOrder(t, contents(t, b.js, "HUB_TELEMETRY"))
	if holds(t, seen, stored); len(stored) != 60 {
		t.Errorf("%d of 60 messages are stored", len(stored))
	}
	if err := registry.Delete(ctx, id, "*"); err != nil {
		t.Error(err)
	}
	if _, err := b.Devices().Get(ctx, id); hub.CodeOf(err) != hub.DeviceNotFound {
		t.Errorf("after the deletion: %v", err)
	}
}

// Streams are on the servers that have the tags, and are moved when these change;
// tags that no server has are named.
func TestPlacement(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, func(i int, o *server.Options) { o.Tags = []string{"disk:ssd", "rack:" + strconv.Itoa(i)} })
	c.ready()
	b := c.join(Config{Placement: Placement{Tags: []string{"rack:1"}}})
	leads := func(name string) string {
		s, err := lookUp(t, b, name)
		if err != nil {
			return err.Error()
		}
		return s.CachedInfo().Cluster.Leader
	}
	for _, name := range b.names.Streams() {
		if got := leads(name); got != "n1" {
			t.Errorf("%s is on %s, want n1", name, got)
		}
	}
	again := c.join(Config{Placement: Placement{Tags: []string{"rack:2"}}})
	until(t, "the stream is moved", func() bool { return leads("HUB_TELEMETRY") == "n2" })
	if got := info(t, again, "HUB_TELEMETRY").Placement; got == nil || got.Tags[0] != "rack:2" {
		t.Errorf("the placement is %v", got)
	}
	_, err := Connect(testContext(t), Config{URL: c.url(), Prefix: "none", Placement: Placement{Tags: []string{"disk:tape"}}})
	if err == nil || !hasAll(err.Error(), "not enough NATS servers", "nats.placement", "disk:tape") {
		t.Errorf("with tags that no server has: %v", err)
	}
}
