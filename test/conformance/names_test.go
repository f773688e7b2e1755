package conformance

import (
	"crypto/tls"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hubgate/hubgate/test/hubtest"
)

// The names of a hub that a fleet has moved to. The fleet's own name comes from
// another authority than the hub's, which its devices do not know.
const (
	ownHub      = "hub.example.com"
	fleetDomain = "fleet.example.net" // *. of which is in the fleet's certificate
	gatewayName = "gw." + fleetDomain
)

// moved is a production node with a certificate for each name, and devices that
// trust the authority of their former hub and no other.
type moved struct {
	*gateway

	address  string
	dir      string
	renewing sync.Mutex // one at a time: two would mix their keys and certificates
}

// startMoved runs the node. The hub's own certificate is the first: a client
// whose name is not looked at gets that, and refuses it.
func startMoved(t *testing.T) *moved {
	t.Helper()
	m := &moved{address: freeAddress(t), dir: t.TempDir()}
	cert := func(args ...string) {
		t.Helper()
		if r := hubtest.Run(t, nil, append([]string{"cert"}, args...)...); r.Code != 0 {
			t.Fatalf("hubgate cert %q: %s", args, r.Stderr)
		}
	}
	for _, ca := range []string{"own", "former"} {
		cert("ca", "--name", ca, "--out-dir", m.file(ca), "--intermediate")
	}
	cert("server", ownHub, "--ca", m.file("own"), "--out-dir", m.dir)
	cert("server", formerHub, "--ca", m.file("former"), "--out-dir", m.dir)
	cert("server", "*."+fleetDomain, "--key", "rsa", "--ca", m.file("former"), "--out-dir", m.dir)
	flags := []string{"--embedded", "--host", ownHub, "--listen", m.address, "--alias", formerHub}
	for _, name := range []string{ownHub, formerHub, "=2A." + fleetDomain} {
		flags = append(flags, "--tls-cert", m.file(name+".pem"), "--tls-key", m.file(name+".key"))
	}
	m.gateway = &gateway{Gateway: hubtest.Start(t, hubtest.Options{Verb: "serve", Flags: flags}), t: t}
	m.Ready.CAFile = m.file("former", "ca.pem")
	return m
}

func (m *moved) file(parts ...string) string {
	return filepath.Join(append([]string{m.dir}, parts...)...)
}

// resolve is what the SDKs' stand-ins for DNS are told.
func (m *moved) resolve() string {
	return "RESOLVE=" + strings.Join([]string{formerHub, gatewayName, m.address}, " ")
}

// adopt registers a device of the former hub, with the key that it has, and
// returns the connection string that is burnt into it.
func (m *moved) adopt(t *testing.T, id string) string {
	t.Helper()
	const key = "Zm9ybWVyLWh1Yi1rZXktb2YtYS1kZXZpY2UtMzItYnk="
	data := m.CLI(t, "device", "create", "-o", "json", "--primary-key", key, "--secondary-key", key, "--", id)
	if err := json.Unmarshal(data, new(identity)); err != nil {
		t.Fatal(err)
	}
	return "HostName=" + formerHub + ";DeviceId=" + id + ";SharedAccessKey=" + key
}

// TestMovedFleet: a device of another hub comes with the connection string, the
// key and the trust that it has, by its former name and by a GatewayHostName, and
// stays while the certificate is renewed.
func TestMovedFleet(t *testing.T) {
	t.Parallel()
	m := startMoved(t)
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	t.Run("group", func(t *testing.T) {
		t.Run("node", func(t *testing.T) {
			t.Parallel()
			argv := installNode(t, "driver.js") // env, NODE_PATH=…, node, driver.js
			preload := append([]string{"env", m.resolve(), "NODE_OPTIONS=--require " + filepath.Join(here, "node", "resolve.js")}, argv[1:]...)
			start := func(t *testing.T) *driver { return startDriver(t, preload...) }
			for _, s := range []*sdk{nodeSDK("mqtt", start), nodeSDK("ws", start)} {
				t.Run(s.transport, func(t *testing.T) { movedDevice(t, m, s) })
			}
		})
		t.Run("python", func(t *testing.T) {
			t.Parallel()
			python := installPython(t)
			start := func(t *testing.T) *driver {
				return startDriver(t, "env", m.resolve(), "PYTHONPATH="+filepath.Join(here, "python", "resolve"), python, "python/driver.py", "sync")
			}
			for _, s := range []*sdk{pythonSDK("sync", "mqtt", start), pythonSDK("sync", "ws", start)} {
				t.Run(s.transport, func(t *testing.T) { movedDevice(t, m, s) })
			}
		})
	})
}

// movedDevice sends by both names, and once more when the certificates have
// been replaced.
func movedDevice(t *testing.T, m *moved, s *sdk) {
	g := &gateway{Gateway: m.Gateway, t: t}
	id := deviceName(t)
	old := m.adopt(t, id)
	body := func(text string) message { return s.adapt(id, message{Body: []byte(text), MessageID: text}) }
	sent := []message{body("by the former name")}
	d := s.start(t)
	d.do("open", "a", s.open(g, id, old, nil))
	d.do("send", "a", args{"message": sent[0]})

	m.renew(t)
	sent = append(sent, body("after the renewal"))
	d.do("send", "a", args{"message": sent[1]})
	for _, l := range d.events() {
		if l.Event == "disconnected" {
			t.Errorf("the connection was lost while the certificate was renewed: %+v", l)
		}
	}
	d.do("close", "a", nil)

	sent = append(sent, body("by way of the gateway's name"))
	d.do("open", "b", s.open(g, id, old+";GatewayHostName="+gatewayName, nil))
	d.do("send", "b", args{"message": sent[2]})
	d.do("close", "b", nil)
	who := identity{ConnectionString: old}
	who.GenerationID = generationOf(t, m, id)
	compare(t, id, who, sent, g.messages(id, len(sent)))
}

func generationOf(t *testing.T, m *moved, id string) string {
	t.Helper()
	var who identity
	if err := json.Unmarshal(m.CLI(t, "device", "show", "-o", "json", "--", id), &who); err != nil {
		t.Fatal(err)
	}
	return who.GenerationID
}

// shown is the certificate that a client gets who asks for the former hub.
func (m *moved) shown(t *testing.T) string {
	t.Helper()
	conn, err := tls.Dial("tcp", net.JoinHostPort(m.address, "8883"), &tls.Config{ServerName: formerHub, InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
}

// renew replaces the certificate of the former hub and has the node told.
func (m *moved) renew(t *testing.T) {
	t.Helper()
	m.renewing.Lock()
	defer m.renewing.Unlock()
	before := m.shown(t)
	r := hubtest.Run(t, nil, "cert", "server", formerHub, "--ca", m.file("former"), "--out-dir", m.dir, "--force")
	if r.Code != 0 {
		t.Fatalf("renew: %s", r.Stderr)
	}
	m.Signal(t, syscall.SIGHUP)
	deadline := time.After(patience)
	for m.shown(t) == before {
		select {
		case <-time.After(50 * time.Millisecond):
		case <-deadline:
			t.Fatalf("the new certificate is not shown within %v", patience)
		}
	}
}
