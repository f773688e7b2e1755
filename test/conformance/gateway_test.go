package conformance

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// gateway is a running hubgate process.
type gateway struct {
	t     *testing.T
	flags []string // of hubgate dev, the same at every start
	log   lockedBuffer

	cmd   *exec.Cmd
	exit  chan error
	ready ready
	nc    *nats.Conn
	js    jetstream.JetStream
}

// ready is the line that hubgate dev -o json prints.
type ready struct {
	HostName                string `json:"hostName"`
	DeviceID                string `json:"deviceId"`
	DeviceConnectionString  string `json:"deviceConnectionString"`
	ServiceConnectionString string `json:"serviceConnectionString"`
	CAFile                  string `json:"caFile"`
	NATSURL                 string `json:"natsUrl"`
	NATSCreds               string `json:"natsCreds"`
	HTTPURL                 string `json:"httpUrl"`
	Ports                   struct {
		MQTT  int `json:"mqtt"`
		HTTPS int `json:"https"`
		NATS  int `json:"nats"`
	} `json:"ports"`
}

// identity is what the CLI prints about a device or module.
type identity struct {
	GenerationID     string `json:"generationId"`
	ConnectionString string `json:"connectionString"`
}

// startGateway runs hubgate with the standard ports on a loopback address of its
// own until the end of t. It skips t where the ports can't be bound.
func startGateway(t *testing.T, flags ...string) *gateway {
	t.Helper()
	return startWith(t, append([]string{"--host", freeAddress(t)}, flags...)...)
}

// startWith runs hubgate with exactly these flags, a data directory and any free
// port for NATS.
func startWith(t *testing.T, flags ...string) *gateway {
	t.Helper()
	g := &gateway{t: t}
	g.flags = append([]string{"dev", "-o", "json", "--data-dir", t.TempDir(), "--nats-port", "0"}, flags...)
	t.Cleanup(func() {
		if g.cmd != nil {
			g.stop(syscall.SIGTERM)
		}
		if t.Failed() {
			t.Logf("the gateway's log:\n%s", tail(g.log.String(), 8000))
		}
	})
	g.start()
	return g
}

// start runs the process and waits for its ready line.
func (g *gateway) start() {
	g.t.Helper()
	path, err := program()
	if err != nil {
		g.t.Fatal(err)
	}
	cmd := exec.Command(path, g.flags...)
	cmd.Stderr = &g.log
	out, err := cmd.StdoutPipe()
	if err != nil {
		g.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	g.cmd, g.exit = cmd, make(chan error, 1)
	first := make(chan []byte, 1)
	go func() {
		r := bufio.NewReader(out)
		text, _ := r.ReadBytes('\n')
		first <- text
		_, _ = r.WriteTo(&g.log)
		g.exit <- cmd.Wait()
	}()
	select {
	case text := <-first:
		g.ready = ready{}
		if err := json.Unmarshal(text, &g.ready); err != nil {
			g.t.Fatalf("read the ready line %q: %v\n%s", text, err, tail(g.log.String(), 4000))
		}
	case <-time.After(patience):
		g.t.Fatalf("hubgate is not ready after %v:\n%s", patience, tail(g.log.String(), 4000))
	}
	g.dial()
}

// dial connects to the gateway's NATS as a back-end app would.
func (g *gateway) dial() {
	g.t.Helper()
	var err error
	g.nc, err = nats.Connect(g.ready.NATSURL, nats.UserCredentials(g.ready.NATSCreds), nats.NoReconnect())
	if err != nil {
		g.t.Fatalf("connect to NATS at %s: %v", g.ready.NATSURL, err)
	}
	if g.js, err = jetstream.New(g.nc); err != nil {
		g.t.Fatal(err)
	}
}

// stop ends the process by a signal and waits for its end.
func (g *gateway) stop(sig syscall.Signal) {
	g.t.Helper()
	if g.nc != nil {
		g.nc.Close()
	}
	if err := g.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		g.t.Errorf("signal hubgate: %v", err)
	}
	select {
	case err := <-g.exit:
		if sig == syscall.SIGTERM && err != nil {
			g.t.Errorf("hubgate ended by SIGTERM: %v\n%s", err, tail(g.log.String(), 4000))
		}
	case <-time.After(patience):
		_ = g.cmd.Process.Kill()
		g.t.Errorf("hubgate still runs %v after signal %v", patience, sig)
	}
	g.cmd = nil
}

// restart ends the process by a signal and starts it again on the same data.
func (g *gateway) restart(sig syscall.Signal) {
	g.t.Helper()
	g.stop(sig)
	g.start()
}

// cli runs a hubgate command against the running gateway and returns its output.
func (g *gateway) cli(argv ...string) []byte {
	g.t.Helper()
	path, err := program()
	if err != nil {
		g.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, argv...)
	cmd.Env = append(os.Environ(), "HUBGATE_NATS="+g.ready.NATSURL, "HUBGATE_CREDS="+g.ready.NATSCreds)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		g.t.Fatalf("hubgate %s: %v\n%s%s", strings.Join(argv, " "), err, out, stderr.Bytes())
	}
	return out
}

// create makes a device ("dev") or module ("dev/mod") by the CLI.
func (g *gateway) create(id string) identity {
	g.t.Helper()
	kind := "device"
	if strings.Contains(id, "/") {
		kind = "module"
	}
	var out identity
	data := g.cli(kind, "create", id, "-o", "json")
	if err := json.Unmarshal(data, &out); err != nil {
		g.t.Fatalf("read the output of %s create: %v\n%s", kind, err, data)
	}
	if out.ConnectionString == "" {
		g.t.Fatalf("%s create printed no connection string: %s", kind, data)
	}
	return out
}

// sas asks the CLI for a token.
func (g *gateway) sas(device string, ttl time.Duration) string {
	g.t.Helper()
	return strings.TrimSpace(string(g.cli("sas", "--device", device, "--ttl", ttl.String())))
}

// freeAddress returns a loopback address whose ports 443 and 8883 can be bound.
func freeAddress(t *testing.T) string {
	t.Helper()
	var last error
	for range 20 {
		ip := net.IPv4(127, byte(1+rand.IntN(250)), byte(rand.IntN(250)), byte(2+rand.IntN(250))).String()
		if last = bindable(ip, 443, 8883); last == nil {
			return ip
		}
		if errors.Is(last, fs.ErrPermission) {
			skip(t, "ports 443 and 8883, which the SDKs have built in, need root: "+last.Error())
		}
	}
	skip(t, "no address of 127.0.0.0/8 has ports 443 and 8883 free: "+last.Error())
	return ""
}

func bindable(ip string, ports ...int) error {
	for _, port := range ports {
		l, err := net.Listen("tcp", net.JoinHostPort(ip, strconv.Itoa(port)))
		if err != nil {
			return err
		}
		_ = l.Close()
	}
	return nil
}
