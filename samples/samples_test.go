package samples_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/hubgate/hubgate/test/hubtest"
	"github.com/hubgate/hubgate/test/sampletest"
)

func TestMain(m *testing.M) { os.Exit(hubtest.Main(m)) }

// build compiles a sample.
func build(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, "./"+name).CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", name, err, out)
	}
	return path
}

func start(t *testing.T) *hubtest.Gateway {
	t.Helper()
	return hubtest.Start(t, hubtest.Options{Flags: []string{"--host", "127.0.0.1", "--mqtt-port", "0", "--https-port", "0"}})
}

// asDevice and asBackend are the environments of the samples.
func asDevice(g *hubtest.Gateway) []string {
	return []string{"IOTHUB_DEVICE_CONNECTION_STRING=" + g.Ready.DeviceConnectionString}
}

func asBackend(g *hubtest.Gateway) []string {
	return []string{"HUBGATE_NATS=" + g.Ready.NATSURL, "HUBGATE_CREDS=" + g.Ready.BackendCreds}
}

// startDevice runs device-go until Ctrl-C.
func startDevice(t *testing.T, g *hubtest.Gateway, args ...string) *sampletest.Process {
	t.Helper()
	args = append([]string{"-ca", g.Ready.CAFile, "-port", strconv.Itoa(g.Ready.Ports.MQTT)}, args...)
	return sampletest.Start(t, asDevice(g), build(t, "device-go"), args...)
}

// TestGoDevice holds all conversations with the device, kills the hub, and holds
// them again over the connection that the device has made by itself.
func TestGoDevice(t *testing.T) {
	t.Parallel()
	g := start(t)
	device := startDevice(t, g)
	sampletest.Converse(t, g, sampletest.Device{Process: device, ID: g.Ready.DeviceID})
	g.Stop(t, syscall.SIGKILL)
	device.Await("connection lost")
	g = hubtest.Start(t, hubtest.Options{DataDir: g.DataDir, Flags: []string{
		"--host", "127.0.0.1", "--mqtt-port", strconv.Itoa(g.Ready.Ports.MQTT), "--https-port", "0",
	}})
	sampletest.Converse(t, g, sampletest.Device{Process: device, ID: g.Ready.DeviceID, Round: 1})
	device.Interrupt()
}

// TestGoDeviceGivesUp tells what trying again can't mend from what it can.
func TestGoDeviceGivesUp(t *testing.T) {
	t.Parallel()
	g := start(t)
	device := build(t, "device-go")
	other := g.Create(t, "other").ConnectionString
	_, key, _ := strings.Cut(other, "SharedAccessKey=")
	tests := map[string]struct {
		connectionString, ca, want string
	}{
		"another device's key": {
			"HostName=" + g.Ready.HostName + ";DeviceId=" + g.Ready.DeviceID + ";SharedAccessKey=" + key, g.Ready.CAFile, "is the connection string that of the device",
		},
		"no authority":  {other, "", "-ca names the file"},
		"no device":     {"HostName=h;SharedAccessKey=" + key, g.Ready.CAFile, "there is no DeviceId"},
		"key not whole": {"HostName=h;DeviceId=d;SharedAccessKey=" + key[:5], g.Ready.CAFile, "not base64"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), hubtest.Patience)
			defer cancel()
			cmd := exec.CommandContext(ctx, device, "-ca", test.ca, "-port", strconv.Itoa(g.Ready.Ports.MQTT))
			cmd.Env = append(os.Environ(), "IOTHUB_DEVICE_CONNECTION_STRING="+test.connectionString)
			out, err := cmd.CombinedOutput()
			if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), test.want) {
				t.Errorf("it ended with %v, want exit code 1 and %q in\n%s", err, test.want, out)
			}
			if strings.Contains(string(out), key[:5]) {
				t.Errorf("it prints the key:\n%s", out)
			}
		})
	}
}

// TestGoTelemetry sends with one sample and reads with the other, in two turns:
// the second goes on where the first ended.
func TestGoTelemetry(t *testing.T) {
	t.Parallel()
	g := start(t)
	device := startDevice(t, g, "-count", "3", "-every", "1ms")
	device.Await("stored: ", `"n":2`)
	backend := build(t, "backend-go")
	read := sampletest.Play(t, asBackend(g), backend, "telemetry", "-count", "2") +
		sampletest.Play(t, asBackend(g), backend, "telemetry", "-count", "1")
	lines := strings.Split(strings.TrimSpace(read), "\n")
	if len(lines) != 3 {
		t.Fatalf("the back end has read %d lines, want 3:\n%s", len(lines), read)
	}
	for n, line := range lines {
		for _, want := range []string{fmt.Sprintf("%d ", n+1), " dev1 ", fmt.Sprintf(`"n":%d`, n), "map[level:info]"} {
			if !strings.Contains(line, want) {
				t.Errorf("%q is not in %q", want, line)
			}
		}
	}
}

// TestGoBackend has the conversations of the back-end app with the device.
func TestGoBackend(t *testing.T) {
	t.Parallel()
	g := start(t)
	device := startDevice(t, g)
	device.Await("connected")
	app := build(t, "backend-go")
	run := func(want string, args ...string) {
		t.Helper()
		if out := sampletest.Play(t, asBackend(g), app, args...); !strings.Contains(out, want) {
			t.Errorf("backend-go %q prints\n%s\nwhich has no %q", args, out, want)
		}
	}
	run(`status 200: {"rebootingIn":0}`, "method", "dev1", "reboot")
	run(`status 404: {"error":"there is no method fly"}`, "method", "dev1", "fly", `{"high":true}`)
	device.Await("method: fly", `{"high":true}`)
	run(`"telemetryInterval": 7`, "twin", "dev1", `{"telemetryInterval":7}`)
	device.Await("reported: ", `"telemetryInterval":7`)
	run(`"firmware": "1.0.0"`, "twin", "dev1")
	run("feedback: Success", "message", "dev1", "Hello, device")
	device.Await("message: Hello, device", "from:backend-go")
	device.Interrupt()
}
