package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestReadyLine holds the shape of the JSON line, which scripts read.
func TestReadyLine(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := startDev(t, dir, "--plain-listen", "127.0.0.1:0")
	var fields map[string]any
	if err := json.Unmarshal([]byte(p.line), &fields); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"backendCreds", "caFile", "deviceConnectionString", "deviceId", "hostName", "httpUrl", "natsCreds", "natsUrl",
		"nodeConnectionString", "ports", "serviceConnectionString",
	}
	if got := slices.Sorted(maps.Keys(fields)); !slices.Equal(got, want) {
		t.Errorf("got the fields %q, want %q", got, want)
	}
	r := p.ready
	if r.HostName != "127.0.0.1" || r.DeviceID != "dev1" {
		t.Errorf("got hub %q and device %q", r.HostName, r.DeviceID)
	}
	wantAll(t, r.DeviceConnectionString, "HostName=127.0.0.1;DeviceId=dev1;SharedAccessKey=")
	wantAll(t, r.NodeConnectionString, "HostName=127.0.0.1:"+strconv.Itoa(r.Ports.MQTT)+";DeviceId=dev1;SharedAccessKey=")
	wantAll(t, r.ServiceConnectionString, "HostName=127.0.0.1;SharedAccessKeyName=iothubowner;SharedAccessKey=")
	wantAll(t, r.HTTPURL, "https://127.0.0.1:"+strconv.Itoa(r.Ports.HTTPS))
	wantAll(t, r.NATSURL, "nats://127.0.0.1:"+strconv.Itoa(r.Ports.NATS))
	if r.CAFile != filepath.Join(dir, "certs", "ca.pem") || r.NATSCreds != filepath.Join(dir, "nats", "hub.creds") ||
		r.BackendCreds != filepath.Join(dir, "nats", "backend.creds") {
		t.Errorf("got the files %s, %s and %s", r.CAFile, r.NATSCreds, r.BackendCreds)
	}
	if r.Ports.Plain == 0 {
		t.Error("the plain listener has no port")
	}
	p.stopCleanly(t)
}

// TestStartText checks what people see.
func TestStartText(t *testing.T) {
	t.Parallel()
	r := devReady{
		HostName: "127.0.0.1", DeviceID: "dev1", DeviceConnectionString: "HostName=127.0.0.1;DeviceId=dev1;SharedAccessKey=AA==",
		ServiceConnectionString: "HostName=127.0.0.1;SharedAccessKeyName=iothubowner;SharedAccessKey=BB==",
		CAFile:                  "/my data/certs/ca.pem", NATSURL: "nats://127.0.0.1:4222", NATSCreds: "/my data/nats/hub.creds", BackendCreds: "/my data/nats/backend.creds",
		HTTPURL: "https://127.0.0.1", Ports: ports{MQTT: 8883, HTTPS: 443, NATS: 4222},
	}
	text := func(r devReady) string {
		var b strings.Builder
		if err := r.write(&b, "/my data", 1234e6); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	wantAll(t, text(r), "ready after 1.23 s", r.DeviceConnectionString, r.ServiceConnectionString, r.CAFile, "https://127.0.0.1/ca.pem",
		r.NATSURL, r.NATSCreds, r.BackendCreds, "NODE_EXTRA_CA_CERTS='/my data/certs/ca.pem' node -e '", "python3 -c '",
		"nats --server nats://127.0.0.1:4222 --creds '/my data/nats/backend.creds' sub \"hub.telemetry.>\"", "start with --host")
	r.NodeConnectionString = "HostName=127.0.0.1:8884;DeviceId=dev1;SharedAccessKey=AA=="
	r.Ports.Plain = 1883
	wantAll(t, text(r), "'"+r.NodeConnectionString+"'", "only Node's reads another one", "port 1883, without TLS")
}

// TestSecondStart finds everything as it was, after a clean stop and after a
// kill.
func TestSecondStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := startDev(t, dir)
	ca, err := os.ReadFile(first.ready.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	env := []string{"HUBGATE_DATA_DIR=" + dir}
	if r := hubgate(t, env, "device", "create", "pump"); r.code != exitOK {
		t.Fatalf("got exit code %d: %s", r.code, r.err)
	}
	for _, sig := range []os.Signal{syscall.SIGTERM, os.Kill} {
		_ = first.stop(t, sig)
		second := startDev(t, dir)
		if second.ready.DeviceConnectionString != first.ready.DeviceConnectionString ||
			second.ready.ServiceConnectionString != first.ready.ServiceConnectionString {
			t.Errorf("after %v the keys are others", sig)
		}
		if again, err := os.ReadFile(second.ready.CAFile); err != nil || string(again) != string(ca) {
			t.Errorf("after %v the authority is another (%v)", sig, err)
		}
		if r := hubgate(t, env, "device", "show", "pump"); r.code != exitOK {
			t.Errorf("after %v the device is gone: %s", sig, r.err)
		}
		first = second
	}
}

// TestHubFile: the file is there while the hub runs; what a killed hub leaves
// is seen through.
func TestHubFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	env := []string{"HUBGATE_DATA_DIR=" + dir}
	p := startDev(t, dir)
	info, err := os.Stat(hubFilePath(dir))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("hub.json has mode %o", info.Mode().Perm())
	}
	p.stopCleanly(t)
	if _, err := os.Stat(hubFilePath(dir)); !os.IsNotExist(err) {
		t.Errorf("hub.json is still there (%v)", err)
	}
	r := hubgate(t, env, "device", "list")
	if r.code != exitUnavailable {
		t.Errorf("got exit code %d", r.code)
	}
	wantAll(t, r.err, "no hub runs with the data directory "+dir, "hubgate dev")

	p = startDev(t, dir)
	_ = p.stop(t, os.Kill)
	r = hubgate(t, env, "device", "list")
	if r.code != exitUnavailable {
		t.Errorf("got exit code %d", r.code)
	}
	wantAll(t, r.err, "is not running: it was not stopped cleanly", "start it again")

	write(t, dir, "hub.json", "{")
	r = hubgate(t, env, "device", "list")
	if r.code != exitFailure {
		t.Errorf("got exit code %d", r.code)
	}
	wantAll(t, r.err, "hub.json is damaged", "start the hub again")
}

// TestSignals: both end the hub cleanly.
func TestSignals(t *testing.T) {
	t.Parallel()
	for _, sig := range []os.Signal{syscall.SIGINT, syscall.SIGTERM} {
		p := startDev(t, t.TempDir())
		if err := p.stop(t, sig); err != nil {
			t.Errorf("%v: %v", sig, err)
		}
		if log := p.log.String(); strings.Contains(log, `"error"`) {
			t.Errorf("%v: the log has an error:\n%s", sig, log)
		}
	}
}

// TestTakenPort names the port and the flag.
func TestTakenPort(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	port := strconv.Itoa(portOf(ln))
	for _, flag := range []string{"--mqtt-port", "--https-port", "--nats-port"} {
		args := []string{"dev", "--data-dir", t.TempDir(), "--mqtt-port", "0", "--https-port", "0", "--nats-port", "0", flag, port}
		r := hubgate(t, nil, args...)
		if r.code != exitFailure {
			t.Errorf("%s: got exit code %d", flag, r.code)
		}
		wantAll(t, r.err, port, flag, "another")
	}
}

// TestTwoHubs: a data directory belongs to one process.
func TestTwoHubs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := startDev(t, dir)
	r := hubgate(t, nil, "dev", "--data-dir", dir, "--mqtt-port", "0", "--https-port", "0", "--nats-port", "0")
	if r.code != exitFailure {
		t.Errorf("got exit code %d", r.code)
	}
	wantAll(t, r.err, dir, "in use", "--data-dir")
	if r := hubgate(t, []string{"HUBGATE_DATA_DIR=" + dir}, "device", "list"); r.code != exitOK {
		t.Errorf("the first hub has suffered: %s", r.err)
	}
	p.stopCleanly(t)
}

// TestDamage starts on a data directory that is not what it was.
func TestDamage(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		harm func(t *testing.T, dir string)
		want []string
	}{
		"authority":    {func(t *testing.T, dir string) { write(t, dir, "certs/ca.pem", "x") }, []string{"ca.pem is damaged", "backup"}},
		"server's key": {func(t *testing.T, dir string) { write(t, dir, "certs/server.key", "x") }, []string{"server.key is damaged", "remove"}},
		"NATS seed":    {func(t *testing.T, dir string) { write(t, dir, "nats/hub.nk", "x") }, []string{"hub.nk", "backup"}},
		"credentials":  {func(t *testing.T, dir string) { write(t, dir, "nats/gateway.creds", "x") }, []string{"gateway.creds", "remove"}},
		"a stream":     {harmStream, []string{"KV_hub_devices"}},
		"no directory": {func(t *testing.T, dir string) { replaceByFile(t, dir) }, []string{"data directory"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "data")
			startDev(t, dir).stopCleanly(t)
			tt.harm(t, dir)
			r := hubgate(t, nil, "dev", "-o", "json", "--data-dir", dir, "--mqtt-port", "0", "--https-port", "0", "--nats-port", "0")
			if r.code != exitFailure {
				t.Errorf("got exit code %d, want %d", r.code, exitFailure)
			}
			wantAll(t, r.err, append(tt.want, "hubgate: ")...)
			wantAll(t, r.out, `{"error":{"code":500001,`)
		})
	}
}

func harmStream(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", "KV_hub_devices", "meta.inf"))
	if err != nil || len(files) != 1 {
		t.Fatalf("found %q, %v", files, err)
	}
	if err := os.WriteFile(files[0], []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func replaceByFile(t *testing.T, dir string) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestBadConfiguration: a mistake keeps the hub from starting.
func TestBadConfiguration(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	tests := map[string]struct {
		env, args []string
		want      []string
	}{
		"unknown key": {
			nil,
			[]string{"dev", "--config", write(t, dir, "a.yaml", "hub:\n  hots: x\n")},
			[]string{"a.yaml:2: unknown key hub.hots; did you mean hub.host?"},
		},
		"missing file":  {[]string{"HUBGATE_CONFIG=/nowhere.yaml"}, []string{"dev"}, []string{"/nowhere.yaml"}},
		"environment":   {[]string{"HUBGATE_MQTT_PORT=x"}, []string{"dev"}, []string{"HUBGATE_MQTT_PORT: listen.mqtt_port"}},
		"listeners":     {nil, []string{"dev", "--mqtt-port", "443"}, []string{"listen.mqtt_port"}},
		"flag":          {nil, []string{"dev", "--mqtt-port", "x"}, []string{"--mqtt-port: listen.mqtt_port"}},
		"unknown flag":  {nil, []string{"dev", "--mqqt-port", "1"}, []string{"unknown flag --mqqt-port", "--mqtt-port"}},
		"plain for all": {nil, []string{"dev", "--plain-listen", "0.0.0.0:1883"}, []string{"--plain-insecure"}},
		"serve":         {nil, []string{"serve"}, []string{"--host", "--nats", "--tls-cert"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := hubgate(t, append(tt.env, "HUBGATE_DATA_DIR="+t.TempDir()), tt.args...)
			if r.code != exitUsage {
				t.Errorf("got exit code %d, want %d", r.code, exitUsage)
			}
			wantAll(t, r.err, tt.want...)
		})
	}
}

// TestHTTPS asks for what the HTTPS listener serves.
func TestHTTPS(t *testing.T) {
	t.Parallel()
	p := startDev(t, t.TempDir(), "--alias", "hub.example")
	ca, err := os.ReadFile(p.ready.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	tests := map[string]struct {
		status int
		want   string
	}{
		"/":                    {http.StatusOK, "wss://127.0.0.1/$iothub/websocket"},
		"/ca.pem":              {http.StatusOK, string(ca)},
		"/nowhere":             {http.StatusNotFound, ""},
		"/$iothub/websocket":   {http.StatusUpgradeRequired, ""},
		"/$iothub/websocket?x": {http.StatusUpgradeRequired, ""},
	}
	for path, tt := range tests {
		resp, err := client.Get(p.ready.HTTPURL + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != tt.status || !strings.Contains(string(body), tt.want) {
			t.Errorf("%s: got %s and %q", path, resp.Status, body)
		}
	}
	for _, name := range []string{"127.0.0.1", "localhost", "hub.example", "host.docker.internal"} {
		for _, port := range []int{p.ready.Ports.MQTT, p.ready.Ports.HTTPS} {
			conn, err := tls.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), &tls.Config{RootCAs: roots, ServerName: name})
			if err != nil {
				t.Errorf("port %d as %s: %v", port, name, err)
				continue
			}
			_ = conn.Close()
		}
	}
	plain, err := http.Get(strings.Replace(p.ready.HTTPURL, "https:", "http:", 1))
	if err == nil {
		_ = plain.Body.Close()
	}
	p.stopCleanly(t)
	wantAll(t, p.log.String(), "peer refused", "HTTP request to an HTTPS server")
}
