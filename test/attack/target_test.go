package attack

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	hubclient "github.com/hubgate/hubgate/backend/client"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/sas"
	"github.com/hubgate/hubgate/test/hubtest"
	"github.com/hubgate/hubgate/timeline"
)

const patience = hubtest.Patience

// The ports of every gateway here, on an address of its own.
const (
	mqttPort  = 8883
	httpsPort = 8443
	plainPort = 1883
)

// target is a gateway under attack.
type target struct {
	*hubtest.Gateway
	client   *hubclient.Client
	tls      *tls.Config       // of a client that trusts it
	policies map[string][]byte // primary keys by name
}

// start runs a gateway with a plain listener too, and has it log everything.
func start(t *testing.T, flags ...string) *target {
	t.Helper()
	host := hubtest.FreeAddress(t, mqttPort, httpsPort, plainPort)
	flags = append([]string{
		"--host", host, "--mqtt-port", strconv.Itoa(mqttPort), "--https-port", strconv.Itoa(httpsPort),
		"--plain-listen", net.JoinHostPort(host, strconv.Itoa(plainPort)), "--log-level", "debug",
	}, flags...)
	g := &target{Gateway: hubtest.Start(t, hubtest.Options{Flags: flags})}
	g.open(t)
	return g
}

func (g *target) open(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile(g.Path(g.Ready.CAFile))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		t.Fatalf("%s holds no certificate", g.Ready.CAFile)
	}
	g.tls = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12, ServerName: g.Ready.HostName}
	g.client, err = hubclient.Connect(hubclient.Options{URL: g.Ready.NATSURL, CredsFile: g.Path(g.Ready.NATSCreds)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.client.Close)
	kv, err := g.JS.KeyValue(t.Context(), "hub_policies")
	if err != nil {
		t.Fatal(err)
	}
	g.policies = map[string][]byte{}
	for _, p := range sas.DefaultPolicies() {
		entry, err := kv.Get(t.Context(), p.Name)
		if err != nil {
			t.Fatalf("policy %s: %v", p.Name, err)
		}
		if err := json.Unmarshal(entry.Value(), &p); err != nil {
			t.Fatal(err)
		}
		g.policies[p.Name] = decodeKey(t, p.PrimaryKey)
	}
}

func decodeKey(t *testing.T, text string) []byte {
	t.Helper()
	key, err := sas.DecodeKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (g *target) address(port int) string {
	return net.JoinHostPort(g.Ready.HostName, strconv.Itoa(port))
}

// create makes a device or module with fresh keys.
func (g *target) create(t *testing.T, id string) *device {
	t.Helper()
	who, err := hub.ParseIdentity(id)
	if err != nil {
		t.Fatal(err)
	}
	if id == "dev1" { // which hubgate dev makes by itself
		if err := g.client.Registry().Delete(t.Context(), who, ""); err != nil {
			t.Fatal(err)
		}
	}
	record, err := g.client.Registry().Create(t.Context(), identity.Record{ID: who})
	if err != nil {
		t.Fatalf("create %s: %v", id, err)
	}
	d := &device{g: g, id: who}
	d.setKeys(t, record)
	return d
}

// nextAddress numbers the attackers' addresses.
var nextAddress atomic.Uint32

// anAddress is a loopback address that nobody else comes from.
func anAddress() net.IP {
	n := nextAddress.Add(1)
	return net.IPv4(127, 251, byte(n>>8), byte(n)+1)
}

// anyCode is for what may go wrong in several ways.
const anyCode hub.Code = 0

// told waits until the log and the timeline, of the identity or of the address,
// say what was wrong with peer.
func (g *target) told(t *testing.T, p *peer, id hub.Identity, code hub.Code, words string) {
	t.Helper()
	remote := p.LocalAddr().String()
	line := g.Log.Await(t, "remote "+remote, func(l hubtest.Line) bool {
		return l.Text("remote") == remote && l.Text("code") != ""
	})
	if (code != anyCode && line.Text("code") != strconv.Itoa(int(code))) || !strings.Contains(line.Text("reason"), words) {
		t.Errorf("logged %.1000v, want code %d and a reason with %q", line, code, words)
		return
	}
	if text, err := json.Marshal(line); err != nil || len(text) > 4000 {
		t.Errorf("the line has %d bytes: whoever is refused decides how much is logged", len(text))
	}
	host, _, _ := net.SplitHostPort(remote)
	g.await(t, fmt.Sprintf("entry with code %d and %q about %s or %s", code, words, id, host), func() bool {
		a, err := g.client.WhyAddress(t.Context(), host)
		if err == nil && tells(a.Entries, code, words) {
			return true
		}
		r, err := g.client.Why(t.Context(), id)
		return err == nil && tells(r.Entries, code, words)
	})
}

func tells(entries []timeline.Entry, code hub.Code, words string) bool {
	for _, e := range entries {
		if (code == anyCode || e.Code == code) && strings.Contains(e.Message, words) && len(e.Message) < 1000 {
			return true
		}
	}
	return false
}

// await asks again and again until ok.
func (g *target) await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for tick := time.NewTicker(20 * time.Millisecond); !ok(); {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("no %s within %v", what, patience)
		}
	}
}
