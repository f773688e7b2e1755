package backup

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const waitAtMost = 30 * time.Second

// account runs a server and returns the account of a hub in it.
func account(t *testing.T, change func(*server.Options), user ...nats.Option) Account {
	t.Helper()
	opts := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true}
	if change != nil {
		change(opts)
	}
	return Account{Conn: connect(t, run(t, opts), user...), Domain: opts.JetStreamDomain}
}

func run(t *testing.T, opts *server.Options) *server.Server {
	t.Helper()
	s, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(waitAtMost) {
		t.Fatal("the NATS server is not ready")
	}
	return s
}

func connect(t *testing.T, s *server.Server, user ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(s.ClientURL(), user...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// cluster runs three servers and returns the account of a hub in them.
func cluster(t *testing.T) Account {
	t.Helper()
	return clusterNamed(t, "c")
}

func clusterNamed(t *testing.T, name string) Account {
	t.Helper()
	ports := make([]int, 3)
	var routes []string
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ports[i] = l.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // it is one
		routes = append(routes, "nats://127.0.0.1:"+strconv.Itoa(ports[i]))
		_ = l.Close()
	}
	var servers []*server.Server
	for i, port := range ports {
		servers = append(servers, run(t, &server.Options{
			ServerName: fmt.Sprint("s", i), Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true,
			Cluster: server.ClusterOpts{Name: name, Host: "127.0.0.1", Port: port}, Routes: server.RoutesFromStr(routes[0] + "," + routes[1] + "," + routes[2]),
		}))
	}
	a := Account{Conn: connect(t, servers[0])}
	js := jetStreamOf(t, a)
	until(t, "the cluster to store", func(ctx context.Context) bool {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "PROBE", Subjects: []string{"probe"}, Replicas: len(servers)})
		return err == nil && js.DeleteStream(ctx, "PROBE") == nil
	})
	return a
}

func until(t *testing.T, what string, came func(context.Context) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waitAtMost)
	defer cancel()
	for !came(ctx) {
		select {
		case <-ctx.Done():
			t.Fatalf("waited %v for %s", waitAtMost, what)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func jetStreamOf(t *testing.T, a Account) jetstream.JetStream {
	t.Helper()
	js, err := a.jetStream()
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// bucketOf makes a bucket.
func bucketOf(t *testing.T, a Account, c jetstream.KeyValueConfig) jetstream.KeyValue {
	t.Helper()
	kv, err := jetStreamOf(t, a).CreateKeyValue(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return kv
}

// hubOf makes what a hub has, with a device, a session and two messages.
func hubOf(t *testing.T, a Account, replicas int) {
	t.Helper()
	put(t, bucketOf(t, a, jetstream.KeyValueConfig{Bucket: "hub_devices", Replicas: replicas}), "d", "secret-key-of-d")
	put(t, bucketOf(t, a, jetstream.KeyValueConfig{Bucket: "hub_presence", Replicas: replicas}), "d", `{"generation":"g","connected":true,"node":"n","instance":"i"}`)
	js := jetStreamOf(t, a)
	for name, subjects := range map[string]string{"HUB_TELEMETRY": "hub.telemetry.>", "HUB_EVENTS": "hub.events.>"} {
		if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{subjects}, Replicas: replicas}); err != nil {
			t.Fatal(err)
		}
	}
	for _, text := range []string{"one", "two"} {
		if _, err := js.Publish(t.Context(), "hub.telemetry.d", []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
}

func put(t *testing.T, kv jetstream.KeyValue, key, value string) uint64 {
	t.Helper()
	rev, err := kv.PutString(t.Context(), key, value)
	if err != nil {
		t.Fatal(err)
	}
	return rev
}

// copied makes a backup.
func copied(t *testing.T, a Account, o Options) (string, *Manifest) {
	t.Helper()
	o.Dir = t.TempDir()
	m, err := a.Write(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return o.Dir, m
}

// restored makes the hub of a backup.
func restored(t *testing.T, a Account, p Plan) *Result {
	t.Helper()
	r, err := a.Restore(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
