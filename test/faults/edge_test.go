package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/test/hubtest"
)

// catchUp is how long a copy may take to go on: JetStream tries to reach an edge that
// is away every two minutes at least.
const catchUp = 4 * time.Minute

// edgePrefix is that of the hub at the edge.
const edgePrefix = "plant7"

// startCenter is the NATS at the other end of an edge's link: its URL, and where it
// takes leaves.
func startCenter(t *testing.T) (url, leaves string) {
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
	if !s.ReadyForConnections(patience) {
		t.Fatal("the center is not ready")
	}
	v, err := s.Varz(nil)
	if err != nil {
		t.Fatal(err)
	}
	return s.ClientURL(), net.JoinHostPort("127.0.0.1", strconv.Itoa(v.LeafNode.Port))
}

// edgeDevice publishes numbered messages and counts those that were acknowledged.
type edgeDevice struct {
	*device
	conn  *client
	acked int
}

func (e *edgeDevice) send(t *testing.T, n int) {
	t.Helper()
	if e.conn == nil {
		waitFor(t, "the device to get in", func() bool {
			c, _, err := e.connect()
			e.conn = c
			return err == nil
		})
	}
	for range n {
		if err := e.conn.publish(e.eventsTopic(""), strconv.Itoa(e.acked), uint16(e.acked%60000+1)); err != nil {
			t.Fatalf("message %d: %v", e.acked, err)
		}
		e.acked++
	}
}

// TestEdgeWithoutItsLink runs a hub with an embedded server that is a leaf: it works
// without the link, the link is cut and comes back, the hub is killed meanwhile, and
// all that was acknowledged is in the center, each message once.
func TestEdgeWithoutItsLink(t *testing.T) {
	t.Setenv("HUBGATE_NATS_PREFIX", edgePrefix)
	const part = 50
	url, leaves := startCenter(t)
	link := hubtest.NewCable(t, leaves)
	link.Cut()
	p := newPlace(t)
	flags := append(p.flags(), "--embedded", "--set", "nats.leaf.url=nats://"+link.Addr(), "--set", "nats.max_store=256MiB")
	g := hubtest.New(t, hubtest.Options{Verb: "serve", Flags: flags})
	g.Start(t)
	g.Ready.CAFile = filepath.Join(p.certs, "ca.pem")
	pump := &edgeDevice{device: newDevice(t, g, "pump")}
	pump.send(t, part)
	attach := func() hubtest.Result {
		return hubtest.Run(t, nil, "edge", "attach", edgePrefix, "--nats", url, "--max-age", "30d")
	}
	if r := attach(); r.Code == 0 || !strings.Contains(r.Stderr, "no edge answers in the domain "+edgePrefix) {
		t.Errorf("attach without the link: %d %s", r.Code, r.Stderr)
	}
	link.Mend()
	var said string
	waitFor(t, "the copies to be made", func() bool {
		r := attach()
		if r.Stderr != said {
			said = r.Stderr
			t.Log(said)
		}
		return r.Code == 0
	})
	pump.send(t, part)
	link.Cut()
	pump.send(t, part)
	pump.conn.close()
	pump.conn = nil
	g.Restart(t, syscall.SIGKILL)
	g.Ready.CAFile = filepath.Join(p.certs, "ca.pem")
	pump.send(t, part)
	link.Mend()
	pump.send(t, part)
	inCenter(t, url, pump)
}

// inCenter asserts that the center has all that the device was acknowledged, once,
// and that the hub is asked from there.
func inCenter(t *testing.T, url string, pump *edgeDevice) {
	t.Helper()
	limit := time.After(catchUp)
	for all := []struct{ Copied, Lag uint64 }(nil); len(all) != 2 || all[0].Copied < uint64(pump.acked) || all[0].Lag > 0; {
		select {
		case <-limit:
			t.Fatalf("the copies are not complete after %v: %v, want %d", catchUp, all, pump.acked)
		case <-time.After(time.Second / 2): // each look is a process
		}
		r := hubtest.Run(t, nil, "edge", "status", edgePrefix, "--nats", url, "-o", "json")
		_ = json.Unmarshal([]byte(r.Stdout), &all) // or once more
	}
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, err := js.Stream(ctx, "PLANT7_TELEMETRY")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for seq := uint64(1); seq <= s.CachedInfo().State.LastSeq; seq++ {
		m, err := s.GetMsg(ctx, seq)
		if err != nil {
			t.Fatalf("message %d of the copy: %v", seq, err)
		}
		seen[string(m.Data)]++
	}
	for i := range pump.acked {
		if n := seen[strconv.Itoa(i)]; n != 1 {
			t.Errorf("message %d is %d times in the center", i, n)
		}
	}
	waitFor(t, "the registry of the edge to be asked from the center", func() bool {
		m, err := nc.Request(fmt.Sprintf("%s.registry.get.%s", edgePrefix, pump.id), nil, time.Second)
		return err == nil && strings.Contains(string(m.Data), `"deviceId":"pump"`)
	})
}

// TestEdgeNeedsItsOwnPrefix: what would mix two hubs, or does nothing, is refused.
func TestEdgeNeedsItsOwnPrefix(t *testing.T) {
	p := newPlace(t)
	with := func(more ...string) []string {
		return append(append([]string{"serve", "--data-dir", t.TempDir()}, p.flags()...), more...)
	}
	link := "nats.leaf.url=nats://127.0.0.1:7422"
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"no prefix":   {with("--embedded", "--set", link), "needs a prefix of its own"},
		"external":    {with("--nats", "nats://127.0.0.1:1", "--set", "nats.prefix=plant7", "--set", link), "leafnodes section"},
		"shards":      {with("--embedded", "--set", "nats.prefix=plant7", "--set", link, "--set", "telemetry.shards=2"), "one stream of telemetry"},
		"no URL":      {with("--embedded", "--set", "nats.leaf.creds=/x"), "no URL to use it for"},
		"bad domain":  {with("--embedded", "--set", "nats.domain=a.b"), "is not up to 64 characters"},
		"bad URL":     {with("--embedded", "--set", "nats.prefix=plant7", "--set", "nats.leaf.url=example.com"), "nats.leaf.url"},
		"no such CA":  {with("--embedded", "--set", "nats.prefix=plant7", "--set", link, "--set", "nats.leaf.ca=/nonexistent"), "nats.leaf.ca"},
		"no such key": {with("--embedded", "--set", "nats.prefix=plant7", "--set", link, "--set", "nats.leaf.creds=/nonexistent"), "nats.leaf.creds"},
	} {
		t.Run(name, func(t *testing.T) {
			r := hubtest.Run(t, nil, tt.args...)
			if r.Code == 0 || !strings.Contains(r.Stderr, tt.want) {
				t.Errorf("exit code %d, want one that is not 0, and %q in:\n%s", r.Code, tt.want, hubtest.Tail(r.Stderr))
			}
		})
	}
}
