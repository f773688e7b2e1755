package main

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/backend/client"
	"github.com/hubgate/hubgate/cmd/hubgate/internal/simulate"
	"github.com/hubgate/hubgate/trust/trusttest"
)

// simulateFlags are those of a small fleet that does much in a short time.
func simulateFlags(dir string, flags ...string) []string {
	return append([]string{
		"simulate", "-o", "json", "--data-dir", dir, "--devices", "20", "--rate", "10", "--twin-every", "1s",
		"--connect-rate", "100", "--duration", "4s", "--progress", "1s", "--seed", "7",
	}, flags...)
}

func reportOf(t *testing.T, r result) simulate.Report {
	t.Helper()
	var report simulate.Report
	if err := json.Unmarshal([]byte(r.out), &report); err != nil {
		t.Fatalf("the report %q of exit code %d: %v\n%s", r.out, r.code, err, r.err)
	}
	return report
}

// TestSimulateProfiles runs each profile on a real hub, until it has done what it
// is about. All is acknowledged and stored whatever the profile does.
func TestSimulateProfiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := startDev(t, dir, "--set", "telemetry.shards=3")
	write(t, dir, "service", p.ready.ServiceConnectionString)
	mqtt, https := "127.0.0.1:"+strconv.Itoa(p.ready.Ports.MQTT), "127.0.0.1:"+strconv.Itoa(p.ready.Ports.HTTPS)
	for name, test := range map[string]struct {
		flags []string
		upset bool // the profile does something to connections
		blind bool // the streams are not to be read
	}{
		"steady":     {flags: []string{"--profile", "steady"}},
		"storm":      {flags: []string{"--profile", "storm", "--storm-every", "3s"}, upset: true},
		"diurnal":    {flags: []string{"--profile", "diurnal", "--period", "2s"}},
		"flaky":      {flags: []string{"--profile", "flaky", "--upset-every", "5s"}, upset: true},
		"websockets": {flags: []string{"--profile", "flaky", "--upset-every", "5s", "--websockets", "--tls-resume"}, upset: true},
		"node":       {flags: []string{"--sdk", "node", "--source", "127.0.0.0/28"}},
		"service":    {flags: []string{"--service", dir + "/service", "--api", https, "--ca", p.ready.CAFile, "--address", mqtt}, blind: true},
	} {
		t.Run(name, func(t *testing.T) {
			flags := append(test.flags, "--duration", "0", "--prefix", name+"-", "--cleanup", "--max-errors", "0", "--min-connected", "100%")
			f := runFleet(t, simulateFlags(dir, flags...)...)
			if test.upset { // which may never leave all of them connected at a time
				f.await(t, "  disturbed ")
			} else {
				f.await(t, "connected 20/20")
			}
			f.await(t, " acked  puback p50 ")
			got := f.stop(t)
			r := reportOf(t, got)
			if got.code != exitOK {
				t.Errorf("exit code %d: %s\n%s", got.code, got.err, got.out)
			}
			if r.Connected != 20 || r.Errors != 0 || r.Acked == 0 || r.Acked != r.Sent || r.TwinReads == 0 || (r.Upsets > 0) != test.upset {
				t.Errorf("got %+v", r)
			}
			if test.blind {
				if r.Verified != nil || r.Unverified == "" {
					t.Errorf("verified %+v, %q", r.Verified, r.Unverified)
				}
			} else if v := r.Verified; v == nil || v.Lost != 0 || v.Acked != r.Acked || v.Stored != r.Sent {
				t.Errorf("verified %+v (%s) of %d", v, r.Unverified, r.Acked)
			}
		})
	}
	left := hubgate(t, nil, "device", "list", "-o", "json", "--data-dir", dir)
	if strings.Contains(left.out, "-000001") {
		t.Errorf("devices are left: %s", left.out)
	}
	p.stopCleanly(t)
}

// fleetProcess is a running hubgate simulate.
type fleetProcess struct {
	cmd      *exec.Cmd
	out, err lockedBuffer
}

// startFleet runs a fleet until all devices are connected.
func startFleet(t *testing.T, args ...string) *fleetProcess {
	t.Helper()
	f := runFleet(t, args...)
	f.await(t, "connected 20/20")
	return f
}

// runFleet runs a fleet.
func runFleet(t *testing.T, args ...string) *fleetProcess {
	t.Helper()
	f := &fleetProcess{cmd: program(context.WithoutCancel(t.Context()), t, nil, args...)}
	f.cmd.Stdout, f.cmd.Stderr = &f.out, &f.err
	if err := f.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.cmd.Process.Kill() })
	return f
}

// await waits until a line of progress says so.
func (f *fleetProcess) await(t *testing.T, word string) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !strings.Contains(f.err.String(), word) {
		select {
		case <-deadline:
			t.Fatalf("no %q in\n%s", word, f.err.String())
		case <-tick.C:
		}
	}
}

// stop ends the process as Ctrl-C does.
func (f *fleetProcess) stop(t *testing.T) result {
	t.Helper()
	if err := f.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	return f.end(t)
}

// end waits for the end of the process.
func (f *fleetProcess) end(t *testing.T) result {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- f.cmd.Wait() }()
	select {
	case <-done:
	case <-time.After(2 * patience):
		t.Fatalf("the fleet does not end:\n%s", f.err.String())
	}
	return result{f.cmd.ProcessState.ExitCode(), f.out.String(), f.err.String()}
}

// TestSimulateConversations has a back-end app talk to a simulated device, and
// ends the run as Ctrl-C does.
func TestSimulateConversations(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := startDev(t, dir)
	f := startFleet(t, simulateFlags(dir, "--duration", "0", "--twin-every", "0")...)
	env := []string{"HUBGATE_DATA_DIR=" + dir}
	for _, id := range []string{"sim-000001", "sim-000002", "sim-000003"} { // one of each SDK
		for _, line := range [][]string{
			{"method", "invoke", id, "reboot", "--payload", "1"},
			{"twin", "update", id, `{"properties":{"desired":{"interval":30}}}`},
			{"c2d", "send", id, "hello", "--ack", "full"},
		} {
			if got := hubgate(t, env, line...); got.code != exitOK {
				t.Errorf("%q: %d: %s", line, got.code, got.err)
			}
		}
	}
	got := hubgate(t, env, "c2d", "feedback", "--from-start", "--count", "3")
	if n := strings.Count(got.out, "Success  Success"); n != 3 {
		t.Errorf("%d messages are completed: %s", n, got.out)
	}
	eventually(t, "a reported property", func() bool {
		return strings.Contains(hubgate(t, env, "twin", "get", "sim-000003", "-o", "json").out, `"simulated"`)
	})
	ended := f.stop(t)
	r := reportOf(t, ended)
	if ended.code != exitOK || r.MethodCalls != 3 || r.DesiredUpdate != 3 || r.CloudMessages != 3 || r.Errors != 0 || r.TwinReports != 3 {
		t.Errorf("got %d, %+v\n%s", ended.code, r, ended.err)
	}
	p.stopCleanly(t)
}

// TestSimulateKilledHub kills the hub amid a run: thresholds fail, each with a
// sentence, and what can't be verified is said to be so.
func TestSimulateKilledHub(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := startDev(t, dir)
	f := startFleet(t, simulateFlags(dir, "--duration", "0", "--max-errors", "10", "--min-connected", "90%", "--max-lost", "0", "--max-p99", "1us")...)
	if err := p.stop(t, os.Kill); err == nil {
		t.Error("the hub was not killed")
	}
	f.await(t, "connected 0/20")
	f.await(t, "dial: refused, nobody listens")
	got := f.stop(t)
	r := reportOf(t, got)
	if got.code != exitFailure || r.Connected != 0 || r.Losses != 20 || r.Errors <= 20 || len(r.Failures) != 4 || r.Verified != nil {
		t.Errorf("exit code %d, %+v", got.code, r)
	}
	for _, want := range []string{"hubgate: --max-errors is 10, and there were", "hubgate: --min-connected is 18, and 0 of 20", "hubgate: --max-lost is 0, and it could not be verified", "hubgate: --max-p99 is 1µs, and the p99"} {
		wantAll(t, got.err, want)
	}
	wantAll(t, got.out, "dial: refused, nobody listens")
}

// TestSimulateRestartedHub kills the hub and starts it again on its ports:
// devices come back by themselves, and nothing that was acknowledged is lost.
func TestSimulateRestartedHub(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := startDev(t, dir)
	r := p.ready.Ports
	f := startFleet(t, simulateFlags(dir, "--duration", "0", "--sdk", "node", "--max-lost", "0", "--min-connected", "20")...)
	_ = p.stop(t, os.Kill)
	f.await(t, "connected 0/20")
	again := start(t, "dev", "-o", "json", "--data-dir", dir, "--mqtt-port", strconv.Itoa(r.MQTT), "--https-port", strconv.Itoa(r.HTTPS), "--nats-port", strconv.Itoa(r.NATS))
	before := len(f.err.String())
	eventually(t, "all are back", func() bool { return strings.Contains(f.err.String()[before:], "connected 20/20") })
	got := f.stop(t)
	report := reportOf(t, got)
	if got.code != exitOK || report.Verified == nil || report.Verified.Lost != 0 || report.Connected != 20 || report.Comeback.Count < 20 {
		t.Errorf("exit code %d: %s\n%+v", got.code, got.err, report)
	}
	again.stopCleanly(t)
}

// TestSimulateLost takes an acknowledged message out of the stream: the run
// names it and fails, without being asked for.
func TestSimulateLost(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := startDev(t, dir)
	c, err := client.Connect(client.Options{URL: p.ready.NATSURL, CredsFile: p.ready.NATSCreds})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	js, err := jetstream.New(c.Conn())
	if err != nil {
		t.Fatal(err)
	}
	f := startFleet(t, simulateFlags(dir, "--duration", "0")...)
	stream, err := js.Stream(t.Context(), c.Names().TelemetryStream())
	if err != nil {
		t.Fatal(err)
	}
	last, err := stream.GetLastMsgForSubject(t.Context(), c.Names().TelemetryAll())
	if err != nil {
		t.Fatal(err)
	}
	id := last.Header.Get("message-id")
	eventually(t, "later messages", func() bool {
		info, err := stream.Info(t.Context())
		return err == nil && info.State.LastSeq > last.Sequence+20
	})
	if err := stream.DeleteMsg(t.Context(), last.Sequence); err != nil {
		t.Fatal(err)
	}
	got := f.stop(t)
	r := reportOf(t, got)
	if got.code != exitFailure || r.Verified == nil || r.Verified.Lost != 1 || len(r.Failures) != 1 {
		t.Fatalf("exit code %d: %s\n%+v", got.code, got.err, r)
	}
	wantAll(t, got.err, "hubgate: --max-lost is 0, and 1 messages that were acknowledged are in no stream", id)
	got = startFleet(t, simulateFlags(dir, "--duration", "0", "--max-lost", "0")...).stop(t)
	if r = reportOf(t, got); got.code != exitOK || r.Verified == nil {
		t.Errorf("the next run: %d, %s", got.code, got.err)
	}
	p.stopCleanly(t)
}

// TestSimulateRefusals holds what the command says to bad flags, and to devices
// that are not its own.
func TestSimulateRefusals(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := startDev(t, dir)
	create(t, dir, "device", "mine-000003")
	empty := t.TempDir()
	service := write(t, dir, "service", p.ready.ServiceConnectionString)
	device := write(t, dir, "device", p.ready.DeviceConnectionString)
	for name, test := range map[string]struct {
		flags []string
		code  int
		want  string
	}{
		"no devices":          {[]string{"--devices", "0"}, exitUsage, "--devices is 0"},
		"profile":             {[]string{"--profile", "calm"}, exitUsage, "--profile must be one of"},
		"first":               {[]string{"--first", "0"}, exitUsage, "numbered from 1"},
		"prefix":              {[]string{"--prefix", "a/b"}, exitUsage, "can't begin a device id"},
		"rate":                {[]string{"--rate=-1"}, exitUsage, "messages per second of one device"},
		"no rate":             {[]string{"--rate", "NaN"}, exitUsage, "messages per second of one device"},
		"size":                {[]string{"--size", "262144"}, exitUsage, "256 KiB"},
		"connect rate":        {[]string{"--connect-rate", "0"}, exitUsage, "connects per second"},
		"no connect rate":     {[]string{"--connect-rate", "NaN"}, exitUsage, "connects per second"},
		"slowest":             {[]string{"--connect-rate", "1e-300"}, exitUsage, "0.001 at least"},
		"token":               {[]string{"--token-ttl", "1s"}, exitUsage, "replaced all the time"},
		"storm":               {[]string{"--profile", "storm", "--storm-every", "1ms"}, exitUsage, "--storm-every is 1ms: give 1s at least"},
		"share":               {[]string{"--min-connected", "101%"}, exitUsage, "neither a number of devices"},
		"number":              {[]string{"--min-connected", "21"}, exitUsage, "20 at most"},
		"files":               {[]string{"--devices", "100000000"}, exitUsage, "ulimit -n"},
		"source":              {[]string{"--source", "192.0.2.1"}, exitUsage, "addresses of its own"},
		"no source":           {[]string{"--source", "here"}, exitUsage, "neither an address nor a network"},
		"address":             {[]string{"--address", "127.0.0.1"}, exitUsage, "not HOST:PORT"},
		"nobody":              {[]string{"--address", "127.0.0.1:1"}, exitUnavailable, "the first device, sim-000001, can't connect to 127.0.0.1:1: dial:"},
		"authority":           {[]string{"--ca", service}, exitUsage, "no certificate in PEM"},
		"other authority":     {[]string{"--ca", strangeCA(t)}, exitUsage, "is not trusted"},
		"a device of another": {[]string{"--prefix", "mine-", "--cleanup"}, exitConflict, "mine-000003 exists, and hubgate simulate has not made it"},
		"no such service":     {[]string{"--service", dir + "/nowhere"}, exitUsage, "--service: "},
		"a device's string":   {[]string{"--service", device}, exitUsage, "not that of a service"},
		"blind":               {[]string{"--service", service, "--max-lost", "0"}, exitUsage, "--max-lost needs the hub's NATS"},
		"no hub":              {[]string{"--data-dir", empty}, exitUnavailable, "no hub runs with the data directory"},
	} {
		t.Run(name, func(t *testing.T) {
			got := hubgate(t, nil, simulateFlags(dir, test.flags...)...)
			if got.code != test.code {
				t.Errorf("exit code %d, want %d: %s", got.code, test.code, got.err)
			}
			wantAll(t, got.err, test.want)
		})
	}
	if left := hubgate(t, nil, "device", "show", "mine-000003", "--data-dir", dir); left.code != exitOK {
		t.Errorf("the device of another is gone: %s", left.err)
	}
	p.stopCleanly(t)
}

// strangeCA is the file of an authority that has made no hub's certificate.
func strangeCA(t *testing.T) string {
	t.Helper()
	return write(t, t.TempDir(), "strange.pem", string(trusttest.Root(t, "strange").PEM()))
}
