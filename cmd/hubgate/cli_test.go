package main

import (
	"bufio"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRegistryTranscript(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := startDev(t, dir)
	transcript(t, "registry.txt", p, dir)
	p.stopCleanly(t)
}

// TestTelemetryTranscript shows what a device sent.
func TestTelemetryTranscript(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := startDev(t, dir)
	first := connectDevice(t, p, p.ready.DeviceConnectionString, p.ready.Ports.MQTT)
	first.send(t, "$.ct=application%2Fjson&$.ce=utf-8&$.mid=m-1&level=high&site=plant%207&empty=&null", []byte(`{"temperature": 21.5}`))
	first.send(t, "", []byte("plain text"))
	first.send(t, "", []byte{0xff, 0x00, 0x01})
	first.send(t, "say%20%22hi%22=a%1b%5b31m", []byte("a \x1b[31mred\x1b[0m word\nand a line"))
	first.send(t, "", nil)
	first.send(t, "", []byte("12345678901234567890"))
	pump := connectDevice(t, p, create(t, dir, "device", "pump-station"), p.ready.Ports.MQTT)
	pump.send(t, "", []byte("from another device"))
	module := connectDevice(t, p, create(t, dir, "module", "dev1/camera"), p.ready.Ports.MQTT)
	module.send(t, "", []byte("from a module"))
	transcript(t, "telemetry.txt", p, dir)
	p.stopCleanly(t)
}

// TestTail prints what comes while it runs, and a signal ends it with success.
func TestTail(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := startDev(t, dir)
	device := connectDevice(t, p, p.ready.DeviceConnectionString, p.ready.Ports.MQTT)
	device.send(t, "", []byte("old"))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tail := program(ctx, t, []string{"HUBGATE_DATA_DIR=" + dir}, "telemetry", "tail", "--since", "1h", "-o", "json")
	out, err := tail.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := tail.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for _, want := range []string{"old", "new"} {
		if !lines.Scan() {
			t.Fatalf("the tail ends before %q", want)
		}
		wantAll(t, lines.Text(), `"bodyText":"`+want+`"`)
		device.send(t, "", []byte("new"))
	}
	if err := tail.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() { // until the end
		continue
	}
	if err := tail.Wait(); err != nil {
		t.Errorf("the tail ended with %v", err)
	}
}

// TestTailWithoutNATS says why nothing comes any more, and still ends by a signal
// with success.
func TestTailWithoutNATS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := startDev(t, dir)
	connectDevice(t, p, p.ready.DeviceConnectionString, p.ready.Ports.MQTT).send(t, "", []byte("old"))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tail := program(ctx, t, []string{"HUBGATE_DATA_DIR=" + dir}, "telemetry", "tail", "--from-start")
	var out, errOut lockedBuffer
	tail.Stdout, tail.Stderr = &out, &errOut
	if err := tail.Start(); err != nil {
		t.Fatal(err)
	}
	within(t, "the tail prints", func() bool { return strings.Contains(out.String(), "old") })
	p.stopCleanly(t)
	within(t, "a word about NATS", func() bool { return strings.Contains(errOut.String(), "NATS does not answer any more") })
	if err := tail.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := tail.Wait(); err != nil {
		t.Errorf("the tail ended with %v", err)
	}
}

// TestTwoNodes runs a second node on the NATS of the first: a device can only
// be at one of them, and a change of the registry reaches both.
func TestTwoNodes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a := startDev(t, dir, "--node", "a")
	b := start(t, "serve", "-o", "json", "--host", "127.0.0.1", "--node", "b", "--nats", a.ready.NATSURL, "--creds", a.ready.NATSCreds,
		"--mqtt-port", "0", "--https-port", "0", "--data-dir", t.TempDir(),
		"--tls-cert", filepath.Join(dir, "certs", "server.pem"), "--tls-cert", filepath.Join(dir, "certs", "server-rsa.pem"),
		"--tls-key", filepath.Join(dir, "certs", "server.key"), "--tls-key", filepath.Join(dir, "certs", "server-rsa.key"))
	b.ready.CAFile = a.ready.CAFile
	connection := a.ready.DeviceConnectionString

	atA := connectDevice(t, a, connection, a.ready.Ports.MQTT)
	atA.send(t, "", []byte("by node a"))
	atB := connectDevice(t, b, connection, b.ready.Ports.MQTT)
	atA.wantLost(t)
	atB.send(t, "", []byte("by node b"))

	// The CLI finds the hub through NATS alone.
	env := []string{"HUBGATE_NATS=" + a.ready.NATSURL, "HUBGATE_CREDS=" + a.ready.NATSCreds}
	if r := hubgate(t, env, "device", "disable", "dev1"); r.code != exitOK {
		t.Fatalf("got exit code %d: %s", r.code, r.err)
	}
	atB.wantLost(t)
	for _, p := range []*process{a, b} {
		if _, err := dialDevice(t, p, connection, p.ready.Ports.MQTT); err == nil {
			t.Error("a disabled device is let in")
		}
	}
	if r := hubgate(t, env, "device", "connection-string", "dev1"); r.out != connection+"\n" {
		t.Errorf("got %q, want %q", r.out, connection)
	}
	b.stopCleanly(t)
	a.stopCleanly(t)
}

// TestServeEmbedded runs a node of its own with given certificates.
func TestServeEmbedded(t *testing.T) {
	t.Parallel()
	certs, dir := t.TempDir(), t.TempDir()
	startDev(t, certs).stopCleanly(t)
	file := func(name string) string { return filepath.Join(certs, "certs", name) }
	p := start(t, "serve", "-o", "json", "--host", "hub.example", "--listen", "127.0.0.1", "--embedded", "--sync", "always",
		"--mqtt-port", "0", "--https-port", "0", "--nats-port", "0", "--data-dir", dir,
		"--tls-cert", file("server.pem"), "--tls-key", file("server.key"))
	p.ready.CAFile = file("ca.pem")
	connection := create(t, dir, "device", "pump")
	wantAll(t, connection, "HostName=hub.example;")
	connectDevice(t, p, connection, p.ready.Ports.MQTT).send(t, "", []byte("stored"))
	p.stopCleanly(t)
}

// TestForeignCredentials are refused with a code of their own.
func TestForeignCredentials(t *testing.T) {
	t.Parallel()
	p, other := startDev(t, t.TempDir()), startDev(t, t.TempDir())
	tests := map[string][]string{
		"other hub's": {"device", "list", "--nats", p.ready.NATSURL, "--creds", other.ready.NATSCreds},
		"none":        {"device", "list", "--nats", p.ready.NATSURL},
	}
	for name, args := range tests {
		r := hubgate(t, nil, args...)
		if r.code != exitUnauthorized {
			t.Errorf("%s: got exit code %d: %s", name, r.code, r.err)
		}
		wantAll(t, r.err, "refuses the user", "--creds")
	}
	r := hubgate(t, nil, "device", "list", "--nats", p.ready.NATSURL, "--creds", "/nowhere.creds")
	if r.code != exitUsage {
		t.Errorf("got exit code %d: %s", r.code, r.err)
	}
	wantAll(t, r.err, "/nowhere.creds")
	// A file that is none is no fault of NATS.
	wrong := write(t, t.TempDir(), "wrong", "neither credentials nor a seed")
	for _, args := range [][]string{{"--creds", wrong}, {"--set", "nats.nkey=" + wrong}, {"--set", "nats.ca=" + wrong}} {
		r := hubgate(t, nil, append([]string{"device", "list", "--nats", p.ready.NATSURL}, args...)...)
		if r.code != exitUsage || strings.Contains(r.err, "is it running") {
			t.Errorf("%q: got exit code %d: %s", args, r.code, r.err)
		}
		wantAll(t, r.err, wrong)
	}
}

// TestWhyTranscript asks about those with whom nothing is wrong; test/faults
// has the others.
func TestWhyTranscript(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := startDev(t, dir)
	transcript(t, "why.txt", p, dir)
	p.stopCleanly(t)
}
