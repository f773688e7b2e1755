package faults

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/test/hubtest"
)

// adminFlags ask for an administrative listener on any free port.
func adminFlags(more ...string) []string {
	return append([]string{"--admin-listen", "127.0.0.1:0"}, more...)
}

// ask asks the administrative listener of g, with a token if it is not empty.
func ask(t *testing.T, g *hubtest.Gateway, path, token string) (status int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d%s", g.Ready.Ports.Admin, path), nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// awaitReady waits until /readyz answers with a status and says something.
func awaitReady(t *testing.T, g *hubtest.Gateway, status int, says string) {
	t.Helper()
	var last string
	waitFor(t, fmt.Sprintf("/readyz to answer %d with %q", status, says), func() bool {
		got, body := ask(t, g, "/readyz?verbose", "")
		last = body
		return got == status && strings.Contains(body, says)
	})
	if live, body := ask(t, g, "/livez", ""); live != http.StatusOK {
		t.Errorf("a node with this readiness does not live: %s\n%s", body, last)
	}
}

// TestReadiness follows /readyz while NATS ends, comes back, hangs and goes on. No
// device is there whose messages would show that all is well again. The node is
// never one to restart.
func TestReadiness(t *testing.T) {
	n := startNATS(t)
	g := startNode(t, n, newPlace(t), adminFlags("--set", "telemetry.store_timeout=3s")...)
	awaitReady(t, g, http.StatusOK, "readyz check passed")
	for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		g.NATS.Close()
		n.stop(t, sig)
		awaitReady(t, g, http.StatusServiceUnavailable, "[-]nats failed")
		if m := scrape(t, g); m["hubgate_ready"] != 0 || m[`hubgate_readiness_check{check="nats"}`] != 0 || m[`hubgate_nats_connected{connection="main"}`] != 0 {
			t.Errorf("metrics call a node without NATS ready: %v", m["hubgate_ready"])
		}
		n.again(t)
		g.Dial(t)
		awaitReady(t, g, http.StatusOK, "readyz check passed")
	}
	if m := scrape(t, g); m["hubgate_ready"] != 1 || m[`hubgate_nats_reconnects_total{connection="telemetry"}`] < 2 {
		t.Errorf("ready is %v, and the connections were made anew %v times", m["hubgate_ready"], m[`hubgate_nats_reconnects_total{connection="telemetry"}`])
	}
	// A message that is given up while NATS hangs must not keep the node from being
	// ready for ever: nobody sends to a node that is not.
	d := newDevice(t, g, "d").mustConnect(t)
	hubtest.Pause(t, n.cmd.Process)
	if err := d.send(&mqtt.Publish{QoS: 1, ID: 1, Topic: []byte("devices/d/messages/events/"), Payload: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	awaitReady(t, g, http.StatusServiceUnavailable, "[-]streams failed")
	d.closed(t)
	n.signal(t, syscall.SIGCONT)
	awaitReady(t, g, http.StatusOK, "readyz check passed")
}

// TestReadinessOfDrain asks a node that is drained, and one that ends and waits for
// the last messages of its devices.
func TestReadinessOfDrain(t *testing.T) {
	n := startNATS(t)
	g := startNode(t, n, newPlace(t), adminFlags("--node", "north")...)
	awaitReady(t, g, http.StatusOK, "[+]draining ok")
	g.CLI(t, "drain", "north", "--over", "0s")
	status, body := ask(t, g, "/readyz", "")
	if status != http.StatusServiceUnavailable || !strings.Contains(body, "[-]draining failed") || !strings.Contains(body, "[-]listeners failed") {
		t.Errorf("a node that was drained: %d\n%s", status, body)
	}
	if m := scrape(t, g); m["hubgate_draining"] != 1 || m["hubgate_ready"] != 0 {
		t.Errorf("metrics of a node that was drained: draining %v, ready %v", m["hubgate_draining"], m["hubgate_ready"])
	}
	last := newDevice(t, g, "last")
	g.Restart(t, syscall.SIGTERM)
	awaitReady(t, g, http.StatusOK, "[+]draining ok")

	d := last.mustConnect(t)
	hubtest.Pause(t, n.cmd.Process)
	if err := d.send(&mqtt.Publish{QoS: 1, ID: 1, Topic: []byte("devices/last/messages/events/"), Payload: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the message to be in flight", func() bool {
		return scrape(t, g)[`hubgate_store_in_flight{stream="telemetry"}`] == 1
	})
	g.Signal(t, syscall.SIGTERM)
	awaitReady(t, g, http.StatusServiceUnavailable, "[-]draining failed")
	n.signal(t, syscall.SIGCONT)
	g.Wait(t, syscall.SIGTERM)
}

// scrape reads all metrics of g, by name and labels.
func scrape(t *testing.T, g *hubtest.Gateway) map[string]float64 {
	t.Helper()
	status, body := ask(t, g, "/metrics", "")
	if status != http.StatusOK {
		t.Fatalf("/metrics answers %d\n%s", status, body)
	}
	all := map[string]float64{}
	for line := range strings.Lines(body) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		i := strings.LastIndexByte(line, ' ')
		value, err := strconv.ParseFloat(strings.TrimSpace(line[i+1:]), 64)
		if i < 0 || err != nil {
			t.Fatalf("no metric: %q", line)
		}
		all[line[:i]] = value
	}
	return all
}

// TestMetricsMove does what devices and back ends do, and looks for it in the
// metrics.
func TestMetricsMove(t *testing.T) {
	g := start(t, hubtest.Options{Flags: adminFlags("--node", "south")})
	before := scrape(t, g)
	d := newDevice(t, g, "mover")
	conn := d.mustJoin(t, twinAnswers, methodCalls)
	for i := range 5 {
		if err := conn.publish(d.eventsTopic(""), "payload", uint16(i+1)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := conn.askTwin("$iothub/twin/GET/?$rid=1", "1", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.askTwin("$iothub/twin/PATCH/properties/reported/?$rid=2", "2", `{"a":1}`); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.askTwin("$iothub/twin/PATCH/properties/reported/?$rid=3", "3", `no JSON`); err != nil {
		t.Fatal(err)
	}
	calls := make(chan error, 1)
	go func() {
		_, err := g.NATS.Request("hub.method.mover.now", []byte("{}"), patience)
		calls <- err
	}()
	if call, err := conn.hear(); err != nil {
		t.Fatal(err)
	} else if _, rid, _ := strings.Cut(string(call.Topic), "$rid="); conn.say("$iothub/methods/res/200/?$rid="+rid, "{}") != nil {
		t.Fatal("the answer could not be sent")
	}
	if err := <-calls; err != nil {
		t.Fatal(err)
	}
	if m, err := g.NATS.Request("hub.twin.get.nobody", nil, patience); err != nil || m.Header.Get("Nats-Service-Error-Code") == "" {
		t.Fatal(m, err)
	}
	bad := *d
	bad.key = []byte("not the key of the device")
	if _, _, err := bad.connect(); err == nil {
		t.Fatal("a wrong key lets a device in")
	}
	plain := newDevice(t, g, "plain").plain().mustConnect(t)

	now := scrape(t, g)
	for series, want := range map[string]float64{
		`hubgate_connections{transport="tls"}`:                                              1,
		`hubgate_connections{transport="tcp"}`:                                              1,
		`hubgate_connects_total{transport="tls"}`:                                           1,
		`hubgate_connects_refused_total{code="401003",error="IotHubUnauthorized"}`:          1,
		`hubgate_tls_handshakes_total{outcome="success"}`:                                   2,
		`hubgate_connect_duration_seconds_count`:                                            3,
		`hubgate_messages_received_total{kind="telemetry"}`:                                 5,
		`hubgate_messages_received_total{kind="twin_get"}`:                                  1,
		`hubgate_messages_received_total{kind="twin_reported"}`:                             2,
		`hubgate_messages_received_total{kind="method_answer"}`:                             1,
		`hubgate_messages_sent_total{kind="twin_answer"}`:                                   3,
		`hubgate_messages_sent_total{kind="method_call"}`:                                   1,
		`hubgate_puback_duration_seconds_count`:                                             5,
		`hubgate_store_messages_total{outcome="stored",stream="telemetry"}`:                 5,
		`hubgate_store_duration_seconds_count{stream="telemetry"}`:                          5,
		`hubgate_twin_operations_total{by="device",operation="get",outcome="success"}`:      1,
		`hubgate_twin_operations_total{by="device",operation="reported",outcome="success"}`: 1,
		`hubgate_twin_operations_total{by="device",operation="reported",outcome="refused"}`: 1,
		`hubgate_twin_operations_total{by="backend",operation="get",outcome="refused"}`:     1,
		`hubgate_service_requests_total{operation="get",outcome="refused",service="twin"}`:  1,
		`hubgate_direct_methods_total{outcome="success"}`:                                   1,
		`hubgate_device_calls_total{outcome="success"}`:                                     1,
		`hubgate_timeline_entries_total{code="401003",error="IotHubUnauthorized"}`:          1,
		`hubgate_store_in_flight{stream="telemetry"}`:                                       0,
		`hubgate_disconnects_total{code="0",error="none"}`:                                  0,
		`hubgate_disconnects_total{code="404104",error="DeviceConnectionClosedRemotely"}`:   0,
	} {
		if got := now[series] - before[series]; got != want {
			t.Errorf("%s went up by %v, want %v", series, got, want)
		}
	}
	if got := now["hubgate_received_bytes_total"] - before["hubgate_received_bytes_total"]; got < 5*30 || got > 5000 {
		t.Errorf("%v bytes came", got)
	}
	if err := conn.send(&mqtt.Disconnect{}); err != nil {
		t.Fatal(err)
	}
	plain.close()
	waitFor(t, "the ends to be counted", func() bool {
		m := scrape(t, g)
		return m[`hubgate_disconnects_total{code="0",error="none"}`] == 1 && m[`hubgate_connections{transport="tls"}`] == 0 &&
			m[`hubgate_disconnects_total{code="404104",error="DeviceConnectionClosedRemotely"}`] == 1
	})
	for series := range scrape(t, g) {
		if strings.Contains(series, "mover") || strings.Contains(series, `"plain"`) {
			t.Errorf("%s has the name of a device", series)
		}
	}
}

// TestQueueMetrics sends a message to a device, which is counted when it has left
// its queue.
func TestQueueMetrics(t *testing.T) {
	g := start(t, hubtest.Options{Flags: adminFlags()})
	d := newDevice(t, g, "reader")
	conn := d.mustJoin(t, "devices/reader/messages/devicebound/#")
	if err := g.NATS.PublishMsg(&nats.Msg{Subject: "hub.c2d.reader", Data: []byte("hello")}); err != nil {
		t.Fatal(err)
	}
	m, err := conn.hear()
	if err == nil {
		err = conn.puback(m)
	}
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the message to be completed", func() bool {
		all := scrape(t, g)
		return all[`hubgate_c2d_settled_total{result="completed"}`] == 1 && all[`hubgate_messages_sent_total{kind="c2d"}`] == 1 &&
			all["hubgate_c2d_completion_duration_seconds_count"] == 1
	})
	waitFor(t, "a sample of the streams", func() bool {
		all := scrape(t, g)
		return all[`hubgate_stream_messages{stream="KV_hub_devices"}`] > 0 && all[`hubgate_stream_max_bytes{stream="HUB_TELEMETRY"}`] > 0 && all["hubgate_nats_rtt_seconds"] > 0
	})
}

// TestAdminUnderAttack lets many peers hang on the administrative port: probes are
// answered, and devices served.
func TestAdminUnderAttack(t *testing.T) {
	g := start(t, hubtest.Options{Flags: adminFlags()})
	d := newDevice(t, g, "served").mustConnect(t)
	for i := range 500 {
		nc, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", g.Ready.Ports.Admin), patience)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		_, _ = io.WriteString(nc, []string{"", "GET /metrics HTTP/1.1\r\nHost: localhost\r\n", "\x16\x03\x01", strings.Repeat("x", 4096)}[i%4])
		if i%100 != 99 {
			continue
		}
		if status, body := ask(t, g, "/readyz", ""); status != http.StatusOK {
			t.Fatalf("with %d peers: %d %s", i+1, status, body)
		}
		if err := d.publish("devices/served/messages/events/", "x", 1); err != nil {
			t.Fatalf("with %d peers: %v", i+1, err)
		}
	}
}

// TestAdminIsRefused starts nodes that must not start.
func TestAdminIsRefused(t *testing.T) {
	p := newPlace(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, c := range map[string]struct {
		flags []string
		code  int
		says  string
	}{
		"open":     {[]string{"--admin-listen", "0.0.0.0:0"}, 2, "admin.token_file or admin.client_ca_files"},
		"taken":    {[]string{"--admin-listen", taken.Addr().String()}, 1, "is taken"},
		"no token": {[]string{"--admin-listen", "127.0.0.1:0", "--set", "admin.token_file=/nowhere/token"}, 1, "/nowhere/token"},
	} {
		args := append([]string{"serve", "--data-dir", t.TempDir(), "--embedded", "--nats-port", "0"}, append(p.flags(), c.flags...)...)
		r := hubtest.Run(t, nil, args...)
		if r.Code != c.code || !strings.Contains(r.Stderr, c.says) {
			t.Errorf("%s: exit code %d, want %d and %q:\n%s", name, r.Code, c.code, c.says, r.Stderr)
		}
	}
}

// TestAdminReload changes the token and switches profiles on while the node runs.
func TestAdminReload(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const first, second = "the-first-token-of-admins", "the-second-token-of-admins"
	tokenFile := write("token", first)
	config := write("hub.yaml", "admin:\n  token_file: "+tokenFile+"\n")
	g := start(t, hubtest.Options{Flags: adminFlags("--config", config)})
	if status, _ := ask(t, g, "/metrics", first); status != http.StatusOK {
		t.Fatalf("the first token: %d", status)
	}
	if status, _ := ask(t, g, "/debug/pprof/", first); status != http.StatusNotFound {
		t.Errorf("profiles that are off: %d", status)
	}
	write("token", second)
	write("hub.yaml", "admin:\n  token_file: "+tokenFile+"\n  pprof: true\n")
	if report := string(g.CLI(t, "reload", "-o", "json")); !strings.Contains(report, "administrative listener") {
		t.Errorf("the reload does not tell of it: %s", report)
	}
	if status, _ := ask(t, g, "/metrics", first); status != http.StatusUnauthorized {
		t.Errorf("the first token after the change: %d", status)
	}
	if status, _ := ask(t, g, "/debug/pprof/", second); status != http.StatusOK {
		t.Errorf("profiles with the second token: %d", status)
	}
	write("token", "short")
	if r := g.Command(t, "reload"); r.Code == 0 {
		t.Errorf("a token that is too short is taken: %s", r.Stdout)
	}
	if status, _ := ask(t, g, "/metrics", second); status != http.StatusOK {
		t.Error("after a bad token the good one is gone")
	}
	if status, body := ask(t, g, "/readyz", ""); status != http.StatusOK || strings.TrimSpace(body) != "ok" {
		t.Errorf("a probe without a token: %d %s", status, body)
	}
}

// TestReadinessOfStart asks a node that waits for NATS, which comes later: it lives,
// and says what it waits for.
func TestReadinessOfStart(t *testing.T) {
	n, p := startNATS(t), newPlace(t)
	n.stop(t, syscall.SIGTERM)
	where := net.JoinHostPort(p.listen, "9610") // nobody else has this address
	g := hubtest.New(t, hubtest.Options{
		Verb: "serve", NATS: n.url, Flags: append(p.flags(), "--admin-listen", where, "--set", "nats.wait=10m"),
	})
	seen := make(chan string, 1)
	go func() {
		seen <- bodyWith(where, "[-]started failed: the node is starting: waiting for NATS")
		n.again(t)
	}()
	g.Start(t)
	if body := <-seen; body == "" {
		t.Error("/readyz does not say what the start waits for")
	}
	awaitReadyAt(t, where)
}

// bodyWith asks /readyz and /livez until the first has a text, and returns it; empty
// after a while, or when the node does not live.
func bodyWith(where, text string) string {
	client := &http.Client{Timeout: patience}
	for limit := time.Now().Add(patience); time.Now().Before(limit); <-time.After(50 * time.Millisecond) {
		body, live := page(client, "http://"+where+"/readyz"), page(client, "http://"+where+"/livez")
		if strings.Contains(body, text) && strings.TrimSpace(live) == "ok" {
			return body
		}
	}
	return ""
}

func page(client *http.Client, url string) string {
	resp, err := client.Get(url)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return string(body)
}

func awaitReadyAt(t *testing.T, where string) {
	t.Helper()
	waitFor(t, "the node to be ready", func() bool {
		return strings.TrimSpace(page(&http.Client{Timeout: patience}, "http://"+where+"/readyz")) == "ok"
	})
}
