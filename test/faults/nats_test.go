package faults

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/internal/pki"
	"github.com/hubgate/hubgate/test/hubtest"
)

// natsChild, in the environment, makes this test binary a NATS server: its
// value is the port and the directory of JetStream.
const natsChild = "HUBGATE_FAULTS_NATS"

// serveNATS is the child process: a nats-server until SIGTERM.
func serveNATS(where string) int {
	var port int
	text, dir, _ := strings.Cut(where, " ")
	if _, err := fmt.Sscan(text, &port); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: dir, NoLog: true, NoSigs: true, MaxPayload: 1 << 20,
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	s.Start()
	if !s.ReadyForConnections(patience) {
		fmt.Fprintln(os.Stderr, "not ready")
		return 1
	}
	fmt.Println(s.ClientURL())
	<-ctx.Done()
	s.Shutdown()
	s.WaitForShutdown()
	return 0
}

// natsServer is an external NATS server, which may end and start again.
type natsServer struct {
	url string
	dir string
	cmd *exec.Cmd
}

func startNATS(t *testing.T) *natsServer {
	t.Helper()
	n := &natsServer{dir: t.TempDir()}
	t.Cleanup(func() { n.stop(t, syscall.SIGTERM) })
	n.start(t, "-1")
	return n
}

func (n *natsServer) start(t *testing.T, port string) {
	t.Helper()
	n.cmd = exec.CommandContext(context.Background(), os.Args[0])
	n.cmd.Env = append(os.Environ(), natsChild+"="+port+" "+n.dir)
	n.cmd.Stderr = os.Stderr
	out, err := n.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("start nats-server: %v", err)
	}
	n.url = strings.TrimSpace(line)
}

func (n *natsServer) stop(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if n.cmd == nil {
		return
	}
	if err := n.cmd.Process.Signal(sig); err != nil {
		t.Errorf("stop nats-server: %v", err)
	}
	_ = n.cmd.Process.Signal(syscall.SIGCONT) // a test that failed may have left it stopped
	_ = n.cmd.Wait()
	n.cmd = nil
}

func (n *natsServer) again(t *testing.T) {
	t.Helper()
	n.start(t, n.url[strings.LastIndexByte(n.url, ':')+1:])
}

func (n *natsServer) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := n.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// place is where a node of a hub is.
type place struct {
	host   string // of the hub
	listen string
	certs  string // directory
}

func newPlace(t *testing.T) place {
	t.Helper()
	host := hubtest.FreeAddress(t, mqttPort, httpsPort, plainPort)
	p := place{host: host, listen: host, certs: t.TempDir()}
	if _, err := pki.Open(p.certs, []string{host}, time.Now()); err != nil {
		t.Fatal(err)
	}
	return p
}

// another is where another node of the same hub can be.
func (p place) another(t *testing.T) place {
	t.Helper()
	p.listen = hubtest.FreeAddress(t, mqttPort, httpsPort, plainPort)
	return p
}

func (p place) flags() []string {
	return []string{
		"--host", p.host, "--listen", p.listen, "--mqtt-port", strconv.Itoa(mqttPort), "--https-port", strconv.Itoa(httpsPort),
		"--plain-listen", net.JoinHostPort(p.listen, strconv.Itoa(plainPort)),
		"--tls-cert", filepath.Join(p.certs, "server.pem"), "--tls-key", filepath.Join(p.certs, "server.key"),
	}
}

// startNode runs hubgate serve against an external NATS server.
func startNode(t *testing.T, n *natsServer, p place, flags ...string) *hubtest.Gateway {
	t.Helper()
	g := hubtest.Start(t, hubtest.Options{Verb: "serve", NATS: n.url, Flags: append(p.flags(), flags...)})
	g.Ready.CAFile = filepath.Join(p.certs, "ca.pem")
	return g
}

// TestNATSAwayAndBack ends NATS amid publishing devices, three times, and
// starts it again before their messages have waited too long: nobody is
// disconnected, and everything acknowledged is stored, in order.
func TestNATSAwayAndBack(t *testing.T) {
	n := startNATS(t)
	g := startNode(t, n, newPlace(t), "--set", "telemetry.store_timeout=20s")
	all, warm := newPublishers(t, g, 10, 16)
	pings := newDevice(t, g, "pings").mustConnect(t)
	c := begin(t, all, never)
	for range all {
		await(t, "every client to publish", warm)
	}
	for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGKILL} {
		g.NATS.Close()
		n.stop(t, sig)
		silentUntil(t, all, 300*time.Millisecond)
		if err := pings.send(&mqtt.Pingreq{}); err != nil {
			t.Fatal(err)
		}
		if _, err := pings.receive(); err != nil {
			t.Errorf("PINGREQ while NATS is away: %v", err)
		}
		n.again(t)
		g.Dial(t)
		mark := progress(all)
		waitFor(t, "every client to be acknowledged something again", func() bool {
			for i, p := range all {
				if p.done.Load() < mark[i]+50 {
					return false
				}
			}
			return true
		})
	}
	c.finish()
	for _, p := range all {
		if p.sessions != 1 || p.ends[0] != nil {
			t.Errorf("%s had %d connections, which ended by %v; want one that lasts", p.id, p.sessions, p.ends)
		}
	}
	t.Logf("%v", audit(t, g, all...))
}

// TestNATSHangs stops NATS without closing its connections, for longer than
// messages may wait: connections end, and log and session say why; when NATS
// goes on, everything acknowledged is there.
func TestNATSHangs(t *testing.T) {
	n := startNATS(t)
	g := startNode(t, n, newPlace(t), "--set", "telemetry.store_timeout=2s")
	all, warm := newPublishers(t, g, 10, 16)
	idle := newDevice(t, g, "idle").mustConnect(t)
	state := newPower()
	c := begin(t, all, state.wait)
	for range all {
		await(t, "every client to publish", warm)
	}
	state.off()
	hubtest.Pause(t, n.cmd.Process)
	silentUntil(t, all, 300*time.Millisecond)
	for _, p := range all {
		line := g.Log.Await(t, "the end of "+p.id.String(), ended(p.id.String()))
		if line.Text("code") != codeText(hub.ServiceUnavailable) || !strings.Contains(line.Text("reason"), "JetStream") {
			t.Errorf("%s ended by %v, want code %d and JetStream in the reason", p.id, line, hub.ServiceUnavailable)
		}
	}
	if err := idle.send(&mqtt.Pingreq{}); err != nil {
		t.Fatal(err)
	}
	if _, err := idle.receive(); err != nil {
		t.Errorf("a device that sent nothing was disturbed: %v", err)
	}
	n.signal(t, syscall.SIGCONT)
	// The gateway's connections to NATS come back each by itself; then
	// devices get in.
	waitFor(t, "a device to get in again", func() bool {
		conn, _, err := all[0].connect()
		if err != nil {
			return false
		}
		conn.close()
		return true
	})
	state.up()
	for range all {
		await(t, "every client to publish again", warm)
	}
	c.finish()
	t.Logf("%v", audit(t, g, all...))
	for _, p := range all {
		if last := p.ends[len(p.ends)-1]; last != nil {
			t.Errorf("%s ended by %v", p.id, last)
		}
	}
	checkReasons(t, g, all)
}

// checkReasons checks that the events tell of an end for want of JetStream.
func checkReasons(t *testing.T, g *hubtest.Gateway, all []*publisher) {
	t.Helper()
	for _, p := range all {
		g.AwaitEvents(t, p.id.String(), "an end with code "+codeText(hub.ServiceUnavailable), func(all []hubtest.Event) bool {
			for _, e := range all {
				if !e.Connected() && e.Code == int(hub.ServiceUnavailable) && strings.Contains(e.Reason, "JetStream") {
					return true
				}
			}
			return false
		})
	}
}

// TestNATSAwayAtConnect refuses devices by "try later" while NATS is away.
func TestNATSAwayAtConnect(t *testing.T) {
	n := startNATS(t)
	g := startNode(t, n, newPlace(t))
	d := newDevice(t, g, "early")
	d.mustConnect(t).close()
	g.NATS.Close()
	n.stop(t, syscall.SIGKILL)
	refusal(t, g, d, 3, hub.ServiceUnavailable, "")
	n.again(t)
	waitFor(t, "the device to get in", func() bool {
		c, _, err := d.connect()
		if err != nil {
			return false
		}
		defer c.close()
		return c.publish(d.eventsTopic(""), "x", 1) == nil
	})
	g.Dial(t)
}

// TestNATSAwayAtStart starts a node before its NATS: the log says what is
// missing and what to do, nothing listens, and the node gets ready when NATS
// comes, without help.
func TestNATSAwayAtStart(t *testing.T) {
	n := startNATS(t)
	n.stop(t, syscall.SIGKILL)
	p := newPlace(t)
	g := hubtest.New(t, hubtest.Options{Verb: "serve", NATS: n.url, Flags: p.flags()})
	came := make(chan struct{})
	go func() {
		defer close(came)
		g.Log.Await(t, "that it waits", func(l hubtest.Line) bool {
			return strings.Contains(l.Text("message"), "waiting for NATS") && strings.Contains(l.Text("why"), "no NATS server answers at "+n.url)
		})
		if c, err := dial(net.JoinHostPort(p.listen, strconv.Itoa(mqttPort)), nil); err == nil {
			c.close()
			t.Error("a node that is not ready takes devices")
		}
		n.again(t)
	}()
	g.Start(t)
	<-came
	g.Ready.CAFile = filepath.Join(p.certs, "ca.pem")
	newDevice(t, g, "early").mustConnect(t)
}

// TestNATSRefusesAtStart ends at once by what no waiting mends.
func TestNATSRefusesAtStart(t *testing.T) {
	n := startNATS(t)
	p := newPlace(t)
	args := append([]string{"serve", "--data-dir", t.TempDir(), "--nats", n.url, "--creds", "/nowhere/hub.creds"}, p.flags()...)
	r := hubtest.Run(t, nil, args...)
	checkRefusedStart(t, r, 1, "read the credentials for NATS")
}

func ended(id string) func(hubtest.Line) bool {
	return func(l hubtest.Line) bool { return l.Text("device_id") == id && l.Text("message") == "disconnected" }
}

func progress(all []*publisher) []int64 {
	var done []int64
	for _, p := range all {
		done = append(done, p.done.Load())
	}
	return done
}

// silentUntil checks that nobody is acknowledged anything for a while. What
// was acknowledged before NATS ended may still be on its way at the beginning.
func silentUntil(t *testing.T, all []*publisher, quiet time.Duration) {
	t.Helper()
	var last []int64
	waitFor(t, "acknowledgements to end", func() bool {
		now := progress(all)
		same := len(last) > 0
		for i := range last {
			same = same && last[i] == now[i]
		}
		last = now
		return same
	})
	<-time.After(quiet) // nothing tells that nothing comes
	for i, done := range progress(all) {
		if done != last[i] {
			t.Errorf("%s: %d acknowledgements came while NATS was away", all[i].id, done-last[i])
		}
	}
}

// waitFor asks again until condition holds: for what another process does and
// nobody tells.
func waitFor(t *testing.T, what string, condition func() bool) {
	t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	pace := time.NewTicker(50 * time.Millisecond)
	defer pace.Stop()
	for !condition() {
		select {
		case <-pace.C:
		case <-limit.C:
			t.Fatalf("waited %v for %s", patience, what)
		}
	}
}

// TestCutAfterNATSWasAway changes identities right when NATS is back, before
// the gateway has noticed: its watches go on where they were, and connected
// devices are cut.
func TestCutAfterNATSWasAway(t *testing.T) {
	n := startNATS(t)
	g := startNode(t, n, newPlace(t))
	var conns []*client
	var ids []string
	for i := range 4 {
		id := fmt.Sprintf("victim-%d", i)
		conns, ids = append(conns, newDevice(t, g, id).mustConnect(t)), append(ids, id)
	}
	for i, id := range ids {
		g.NATS.Close()
		n.stop(t, []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM}[i%2])
		n.again(t)
		g.Dial(t)
		setStatus(t, g, id, "disabled")
		conns[i].closed(t)
		checkEnd(t, g, id, conns[i], end{code: hub.DeviceDisabled, reason: "disabled"})
	}
}

// setStatus changes a device without the gateway's help, which may be away.
func setStatus(t *testing.T, g *hubtest.Gateway, id, status string) {
	t.Helper()
	var kv jetstream.KeyValue
	var entry jetstream.KeyValueEntry
	waitFor(t, "JetStream", func() bool {
		var err error
		if kv, err = g.JS.KeyValue(t.Context(), "hub_devices"); err != nil {
			return false
		}
		entry, err = kv.Get(t.Context(), hubtest.Key(id))
		return err == nil
	})
	record := map[string]any{}
	if err := json.Unmarshal(entry.Value(), &record); err != nil {
		t.Fatal(err)
	}
	record["status"] = status
	value, err := json.Marshal(record)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Update(t.Context(), hubtest.Key(id), value, entry.Revision()); err != nil {
		t.Fatal(err)
	}
}

// TestTwoNodes runs two nodes of one hub: a device that goes to the other node
// takes its connection with it, and when a node dies its devices go on at the
// other one, with nothing lost.
func TestTwoNodes(t *testing.T) {
	n := startNATS(t)
	here := newPlace(t)
	there := here.another(t)
	a, b := startNode(t, n, here, "--node", "a"), startNode(t, n, there, "--node", "b")
	other := net.JoinHostPort(there.listen, strconv.Itoa(mqttPort))

	d := newDevice(t, a, "wanderer").with(persistent)
	conn := d.mustConnect(t)
	if _, err := conn.subscribe("$iothub/methods/POST/#"); err != nil {
		t.Fatal(err)
	}
	d.addr = other
	moved, present, err := d.connect()
	if err != nil || !present {
		t.Fatalf("connect to the other node: session present %v, %v", present, err)
	}
	defer moved.close()
	conn.closed(t)
	line := loggedOnce(t, a, conn.remote())
	if line.Text("code") != codeText(hub.ConnectionReplaced) {
		t.Errorf("the first node logged %v, want code %d", line, hub.ConnectionReplaced)
	}
	b.AwaitSession(t, "wanderer", "the new owner", func(s hubtest.Session) bool { return s.Connected && s.Node == "b" })

	all, warm := newPublishers(t, a, 20, 16)
	c := begin(t, all, func(p *publisher) bool {
		p.addr = other
		return true
	})
	for range all {
		await(t, "every client to publish", warm)
	}
	a.Stop(t, syscall.SIGKILL)
	for range all {
		await(t, "every client to publish at the other node", warm)
	}
	c.finish()
	for _, p := range all {
		checkComeback(t, p, 1)
	}
	t.Logf("%v", audit(t, b, all...))
}
