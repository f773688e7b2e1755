package faults

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

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

// startNode runs hubgate serve against an external NATS server.
func startNode(t *testing.T, n *natsServer, flags ...string) *hubtest.Gateway {
	t.Helper()
	host := hubtest.FreeAddress(t, mqttPort, httpsPort, plainPort)
	dir := t.TempDir()
	if _, err := pki.Open(dir, []string{host}, time.Now()); err != nil {
		t.Fatal(err)
	}
	flags = append(addressFlags(host), append([]string{
		"--tls-cert", filepath.Join(dir, "server.pem"), "--tls-key", filepath.Join(dir, "server.key"),
	}, flags...)...)
	g := hubtest.Start(t, hubtest.Options{Verb: "serve", NATS: n.url, Flags: flags})
	g.Ready.CAFile = filepath.Join(dir, "ca.pem")
	return g
}

// TestNATSAwayAndBack ends NATS amid publishing devices, three times, and
// starts it again before their messages have waited too long: nobody is
// disconnected, and everything acknowledged is stored, in order.
func TestNATSAwayAndBack(t *testing.T) {
	n := startNATS(t)
	g := startNode(t, n, "--set", "telemetry.store_timeout=20s")
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
	g := startNode(t, n, "--set", "telemetry.store_timeout=2s")
	all, warm := newPublishers(t, g, 10, 16)
	idle := newDevice(t, g, "idle").mustConnect(t)
	state := newPower()
	c := begin(t, all, state.wait)
	for range all {
		await(t, "every client to publish", warm)
	}
	state.off()
	n.signal(t, syscall.SIGSTOP)
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
	g := startNode(t, n)
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

// TestNATSAwayAtStart says what to do when there is no NATS.
func TestNATSAwayAtStart(t *testing.T) {
	host := hubtest.FreeAddress(t, mqttPort, httpsPort, plainPort)
	dir := t.TempDir()
	if _, err := pki.Open(dir, []string{host}, time.Now()); err != nil {
		t.Fatal(err)
	}
	args := append([]string{
		"serve", "--data-dir", dir, "--nats", "nats://" + host + ":4999",
		"--tls-cert", filepath.Join(dir, "server.pem"), "--tls-key", filepath.Join(dir, "server.key"),
	}, addressFlags(host)...)
	r := hubtest.Run(t, nil, args...)
	checkRefusedStart(t, r, 6, "no NATS server answers at nats://"+host+":4999")
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
