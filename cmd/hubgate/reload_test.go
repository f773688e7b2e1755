package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/sas"
)

// reloadHub is a production node whose files a test changes. Its certificates
// lie as Kubernetes mounts a secret: tls.crt is a link into ..data, and that is a
// link to the directory of a version.
type reloadHub struct {
	*process

	dir    string // of everything
	config string
}

const reloadHost = "hub.example"

// startReload runs a node with more lines in its configuration file.
func startReload(t *testing.T, more string) *reloadHub {
	t.Helper()
	h := &reloadHub{dir: t.TempDir()}
	h.config = filepath.Join(h.dir, "hubgate.yaml")
	must(t, "cert", "ca", "--out-dir", filepath.Join(h.dir, "ca"))
	h.issue(t, "..v1", reloadHost)
	mount := filepath.Join(h.dir, "tls")
	link(t, filepath.Join("..", "..v1"), filepath.Join(mount, "..data"))
	for _, name := range []string{"tls.crt", "tls.key"} {
		link(t, filepath.Join("..data", name), filepath.Join(mount, name))
	}
	h.configure(t, more)
	h.process = start(t, "serve", "-o", "json", "--config", h.config)
	h.ready.CAFile = filepath.Join(h.dir, "ca", "ca.pem")
	return h
}

// configure writes the configuration, as an editor does: anew and in place of
// the old one.
func (h *reloadHub) configure(t *testing.T, more string) {
	t.Helper()
	text := "hub: {host: " + reloadHost + "}\nlisten: {address: [127.0.0.1], mqtt_port: 0, https_port: 0}\n" +
		"nats: {embedded: true, port: 0}\ndata_dir: " + h.data() + "\n" +
		"tls: {cert_files: [" + filepath.Join(h.dir, "tls", "tls.crt") + "], key_files: [" + filepath.Join(h.dir, "tls", "tls.key") + "]}\n" + more
	write(t, h.dir, "new.yaml", text)
	if err := os.Rename(filepath.Join(h.dir, "new.yaml"), h.config); err != nil {
		t.Fatal(err)
	}
}

func (h *reloadHub) data() string { return filepath.Join(h.dir, "data") }

// issue makes a certificate in the directory of a version.
func (h *reloadHub) issue(t *testing.T, version string, names ...string) {
	t.Helper()
	dir := filepath.Join(h.dir, version)
	must(t, append([]string{"cert", "server", "--ca", filepath.Join(h.dir, "ca"), "--out-dir", dir}, names...)...)
	for from, to := range map[string]string{names[0] + ".pem": "tls.crt", names[0] + ".key": "tls.key"} {
		if err := os.Rename(filepath.Join(dir, from), filepath.Join(dir, to)); err != nil {
			t.Fatal(err)
		}
	}
}

// swap makes a version the current one, by one rename.
func (h *reloadHub) swap(t *testing.T, version string) {
	t.Helper()
	link(t, filepath.Join("..", version), filepath.Join(h.dir, "tls", "..tmp"))
	if err := os.Rename(filepath.Join(h.dir, "tls", "..tmp"), filepath.Join(h.dir, "tls", "..data")); err != nil {
		t.Fatal(err)
	}
}

// reload runs hubgate reload and returns what it printed.
func (h *reloadHub) reload(t *testing.T, code int) result {
	t.Helper()
	r := hubgate(t, []string{"HUBGATE_DATA_DIR=" + h.data()}, "reload")
	if r.code != code {
		t.Errorf("got exit code %d, want %d:\n%s%s", r.code, code, r.out, r.err)
	}
	return r
}

func must(t *testing.T, args ...string) result {
	t.Helper()
	r := hubgate(t, nil, args...)
	if r.code != exitOK {
		t.Fatalf("hubgate %q: exit code %d: %s", args, r.code, r.err)
	}
	return r
}

func link(t *testing.T, to, at string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(to, at); err != nil {
		t.Fatal(err)
	}
}

// shows returns the serial number of the certificate that a new connection
// gets, on a port.
func (h *reloadHub) shows(t *testing.T, port int) string {
	t.Helper()
	conn, err := tls.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), &tls.Config{RootCAs: h.roots(t), ServerName: reloadHost})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
}

func (h *reloadHub) roots(t *testing.T) *x509.CertPool {
	t.Helper()
	ca, err := os.ReadFile(h.ready.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	return roots
}

// serial reads the serial number of a certificate file.
func serial(t *testing.T, file string) string {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(file, strings.TrimSuffix(file, ".crt")+".key")
	if err != nil {
		t.Fatal(err)
	}
	return pair.Leaf.SerialNumber.String()
}

// connect connects a device by a key of its own or, if policy is not empty, of
// that policy.
func (h *reloadHub) connect(t *testing.T, connection, policy string) (*testDevice, error) {
	t.Helper()
	c, err := sas.ParseConnectionString(connection)
	if err != nil {
		t.Fatal(err)
	}
	key, err := hub.DecodeKey(c.SharedAccessKey)
	if err != nil {
		t.Fatal(err)
	}
	return dialDeviceWith(t, h.process, connection, func(o *paho.ClientOptions) {
		o.SetTLSConfig(&tls.Config{RootCAs: h.roots(t), ServerName: reloadHost})
		if policy != "" {
			o.SetPassword(sas.Sign(sas.Resource(c.HostName, hub.Identity{Device: c.DeviceID}), key, time.Now().Add(time.Hour), policy))
		}
	})
}

// within waits until a condition holds.
func within(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(patience)
	for !holds() {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-deadline:
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// TestReloadCertificates: a new connection gets the new certificate, by file
// change, by signal and by command, and those that are there stay up.
func TestReloadCertificates(t *testing.T) {
	t.Parallel()
	h := startReload(t, "")
	connection := create(t, h.data(), "device", "pump")
	device, err := h.connect(t, connection, "")
	if err != nil {
		t.Fatal(err)
	}
	ports := []int{h.ready.Ports.MQTT, h.ready.Ports.HTTPS}
	wait := func(version string) {
		t.Helper()
		want := serial(t, filepath.Join(h.dir, version, "tls.crt"))
		for _, port := range ports {
			within(t, "the certificate of "+version, func() bool { return h.shows(t, port) == want })
		}
	}
	wait("..v1")

	h.issue(t, "..v2", reloadHost)
	h.swap(t, "..v2") // nobody says a word
	wait("..v2")
	wantAll(t, h.log.String(), `"because":"a file has changed"`, "server certificates: "+reloadHost)

	h.issue(t, "..v3", reloadHost)
	h.swap(t, "..v3")
	if err := h.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	wait("..v3")
	within(t, "a word about the signal", func() bool { return strings.Contains(h.log.String(), "SIGHUP was sent") })

	h.issue(t, "..v4", reloadHost)
	h.swap(t, "..v4")
	h.reload(t, exitOK)
	wait("..v4")

	device.send(t, "", []byte("the connection from before"))
	select {
	case err := <-device.lost:
		t.Errorf("the connection from before has ended: %v", err)
	default:
	}
	h.stopCleanly(t)
}

// TestHangupDuringTheStart: who renews certificates while the node waits for NATS
// does not end it.
func TestHangupDuringTheStart(t *testing.T) {
	t.Parallel()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := ln.Addr().String()
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	must(t, "cert", "ca", "--out-dir", dir)
	must(t, "cert", "server", "--ca", dir, "--out-dir", dir, reloadHost)
	var log lockedBuffer
	node := program(context.WithoutCancel(t.Context()), t, nil, "serve", "--host", reloadHost, "--nats", "nats://"+nobody, "--data-dir", dir,
		"--listen", "127.0.0.1", "--mqtt-port", "0", "--https-port", "0", "--admin-listen", "none",
		"--tls-cert", filepath.Join(dir, reloadHost+".pem"), "--tls-key", filepath.Join(dir, reloadHost+".key"))
	node.Stderr = &log
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = node.Process.Kill() }()
	within(t, "the node waits", func() bool { return strings.Contains(log.String(), "waiting for NATS") })
	for _, sig := range []os.Signal{syscall.SIGHUP, syscall.SIGTERM} {
		if err := node.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
	}
	if _ = node.Wait(); node.ProcessState.ExitCode() != exitFailure {
		t.Errorf("the node ended with %v, want exit code %d", node.ProcessState, exitFailure)
	}
	wantAll(t, log.String(), "the start was interrupted")
}

// TestReloadKeepsTheOld: what is wrong is told, and changes nothing.
func TestReloadKeepsTheOld(t *testing.T) {
	t.Parallel()
	h := startReload(t, "")
	old := h.shows(t, h.ready.Ports.MQTT)
	keeps := func(words ...string) {
		t.Helper()
		r := h.reload(t, exitFailure)
		wantAll(t, r.out, append(words, "Node ", "error")...)
		wantAll(t, r.err, "stays as it was")
		if h.shows(t, h.ready.Ports.MQTT) != old {
			t.Error("another certificate is shown")
		}
	}
	// Another's key, half a file, none at all.
	h.issue(t, "..bad", reloadHost)
	if err := os.Rename(filepath.Join(h.dir, "..v1", "tls.key"), filepath.Join(h.dir, "..v1", "kept.key")); err != nil {
		t.Fatal(err)
	}
	copyFile(t, filepath.Join(h.dir, "..bad", "tls.key"), filepath.Join(h.dir, "..v1", "tls.key"))
	keeps("tls.crt", "private key does not match")
	write(t, filepath.Join(h.dir, "..v1"), "tls.key", "-----BEGIN PRIV")
	keeps("tls.crt", "tls.key")
	if err := os.Remove(filepath.Join(h.dir, "..v1", "tls.key")); err != nil {
		t.Fatal(err)
	}
	keeps("tls.key", "no such file")
	copyFile(t, filepath.Join(h.dir, "..v1", "kept.key"), filepath.Join(h.dir, "..v1", "tls.key"))
	h.reload(t, exitOK)

	// A mistake in the configuration does not keep a certificate from renewal.
	h.configure(t, "log: {levels: warn}\n")
	keeps("configuration: ", "hubgate.yaml:6: unknown key log.levels; did you mean log.level?")
	h.swap(t, "..bad") // which is good, with its own key
	r := h.reload(t, exitFailure)
	wantAll(t, r.out, "server certificates: "+reloadHost, "unknown key")
	if got := h.shows(t, h.ready.Ports.MQTT); got != serial(t, filepath.Join(h.dir, "..bad", "tls.crt")) {
		t.Error("the new certificate is not shown")
	}

	// What needs a restart says so, until it is taken back.
	h.configure(t, "telemetry: {max_in_flight: 5}\nlog: {level: debug}\n")
	r = h.reload(t, exitOK)
	wantAll(t, r.out, "restart needed", "telemetry.max_in_flight", "log level: debug")
	if strings.Contains(r.out, "log.level") {
		t.Errorf("the level of the log needs no restart:\n%s", r.out)
	}
	h.configure(t, "")
	if r = h.reload(t, exitOK); strings.Contains(r.out, "restart needed") {
		t.Errorf("nothing needs a restart any more:\n%s", r.out)
	}
	if r = h.reload(t, exitOK); !strings.Contains(r.out, "nothing has changed") {
		t.Errorf("a second reload: %s", r.out)
	}
	r = hubgate(t, []string{"HUBGATE_DATA_DIR=" + h.data()}, "reload", "--node", "nobody")
	if r.code != exitNotFound { // as of drain
		t.Errorf("a node that is not there: got exit code %d", r.code)
	}
	wantAll(t, r.err, `no node "nobody" answers`)
	h.stopCleanly(t)
}

// TestReloadDev: a development hub follows its own files, and makes those again
// that somebody removes.
func TestReloadDev(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := startDev(t, dir)
	device := connectDevice(t, p, p.ready.DeviceConnectionString, p.ready.Ports.MQTT)
	h := &reloadHub{process: p}
	pem := filepath.Join(dir, "certs", "server.pem")
	old, err := os.ReadFile(pem)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(pem); err != nil {
		t.Fatal(err)
	}
	within(t, "another certificate", func() bool {
		conn, err := tls.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p.ready.Ports.MQTT)), &tls.Config{RootCAs: h.roots(t)})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		return !conn.ConnectionState().PeerCertificates[0].Equal(parsePEM(t, old))
	})
	device.send(t, "", []byte("still here"))
	must(t, "reload", "--data-dir", dir)
	write(t, filepath.Join(dir, "certs"), "ca.pem", "x")
	if r := hubgate(t, nil, "reload", "--data-dir", dir); r.code != exitFailure || !strings.Contains(r.out, "ca.pem is damaged") {
		t.Errorf("a damaged authority: exit code %d: %s", r.code, r.out)
	}
	device.send(t, "", []byte("still here"))
	p.stopCleanly(t)
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Dir(to), filepath.Base(to), string(text))
}

// marked is a key that a test finds again wherever it is written.
func marked(word string) string {
	return base64.StdEncoding.EncodeToString([]byte((word + strings.Repeat("-secret", 8))[:33]))
}

// TestPoliciesOfConfig: they let in what they say, win over those that the hub
// keeps, and what they let in is cut when they go. No output has a key.
func TestPoliciesOfConfig(t *testing.T) {
	t.Parallel()
	inline, inFile, kept, wrong := marked("inline"), marked("in-file"), marked("kept"), "not+base64=but-a-secret"
	keyFile := write(t, t.TempDir(), "fleet.key", inFile+"\n")
	fleet := "  fleet: {permissions: [deviceConnect], primary_key_file: " + keyFile + "}\n"
	own := "  device: {permissions: [deviceConnect], primary_key: " + inline + ", secondary_key: " + kept + "}\n"
	h := startReload(t, "policies:\n"+fleet+own)
	var outputs strings.Builder
	note := func(r result) result {
		outputs.WriteString(r.out + r.err)
		return r
	}
	who := func(id, key string) string {
		create(t, h.data(), "device", id)
		return "HostName=" + reloadHost + ";DeviceId=" + id + ";SharedAccessKey=" + key
	}
	byFleet, err := h.connect(t, who("a", inFile), "fleet")
	if err != nil {
		t.Fatal(err)
	}
	byDevice, err := h.connect(t, who("b", kept), "device") // in place of the hub's own
	if err != nil {
		t.Fatal(err)
	}

	h.configure(t, "policies:\n"+fleet)
	wantAll(t, note(h.reload(t, exitOK)).out, "policies: device was removed, and the one that the hub keeps counts again")
	byDevice.wantLost(t)
	if _, err := h.connect(t, who("c", kept), "device"); err == nil {
		t.Error("the key of a policy that was removed lets a device in")
	}
	byFleet.send(t, "", []byte("still here"))

	// A key that is no key changes nothing.
	write(t, filepath.Dir(keyFile), "fleet.key", wrong)
	wantAll(t, note(h.reload(t, exitFailure)).out, "policies.fleet: primary_key_file: "+keyFile, "it is not a key")
	byFleet.send(t, "", []byte("still here"))

	// Another key takes effect without a word.
	write(t, filepath.Dir(keyFile), "fleet.key", inline)
	byFleet.wantLost(t)
	if _, err := h.connect(t, who("d", inline), "fleet"); err != nil {
		t.Errorf("the new key does not let a device in: %v", err)
	}
	h.configure(t, "")
	within(t, "the policy is gone", func() bool { return strings.Contains(h.log.String(), "fleet was removed") })

	h.configure(t, "policies:\n"+fleet+own+"  x: {permissions: [deviceConnect], primary_key: "+wrong+"}\n  "+wrong+": {"+wrong+": 1}\n")
	for _, args := range [][]string{
		{"config", "print", "--config", h.config},
		{"config", "print", "--no-redact", "--config", h.config},
		{"config", "print", "-o", "json", "--config", h.config},
		{"config", "check", "--config", h.config},
	} {
		note(hubgate(t, nil, args...))
	}
	h.configure(t, "policies:\n"+fleet+own)
	for _, args := range [][]string{
		{"config", "print", "--config", h.config},
		{"config", "print", "--no-redact", "--config", h.config},
		{"config", "print", "-o", "json", "--no-redact", "--config", h.config},
		{"config", "check", "--config", h.config},
		{"reload", "-o", "json"},
	} {
		if r := note(hubgate(t, []string{"HUBGATE_DATA_DIR=" + h.data()}, args...)); r.code != exitOK {
			t.Errorf("%q: exit code %d: %s", args, r.code, r.err)
		}
	}
	r := hubgate(t, []string{"HUBGATE_DATA_DIR=" + h.data()}, "sas", "--policy", "fleet", "--config", h.config)
	wantAll(t, note(r).out, "skn=fleet")
	h.stopCleanly(t)
	outputs.WriteString(h.log.String())
	wantAll(t, outputs.String(), "fleet", "***")
	for _, secret := range []string{inline, inFile, kept, wrong} {
		if strings.Contains(outputs.String(), secret) {
			t.Errorf("the secret %s is in an output:\n%s", secret, outputs.String())
		}
	}
}
