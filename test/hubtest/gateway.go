package hubtest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Options say how to run a gateway.
type Options struct {
	// Verb of hubgate. Empty: dev.
	Verb string
	// DataDir is the data directory. Empty: a new one.
	DataDir string
	// Flags come after those of the data directory and of the NATS port, which
	// is any free one.
	Flags []string
	// NATS is the URL of an external NATS server, which takes anybody. Empty:
	// the gateway runs its own.
	NATS string
	// Env is added to the environment.
	Env []string
	// Wrapper is a program, with its arguments, that becomes hubgate: the
	// command line of hubgate follows. Then the process may have another root
	// directory.
	Wrapper []string
}

// Ready is the line that hubgate -o json prints when it is ready.
type Ready struct {
	HostName                string `json:"hostName"`
	DeviceID                string `json:"deviceId"`
	DeviceConnectionString  string `json:"deviceConnectionString"`
	ServiceConnectionString string `json:"serviceConnectionString"`
	CAFile                  string `json:"caFile"`
	NATSURL                 string `json:"natsUrl"`
	NATSCreds               string `json:"natsCreds"`    // the operator's
	BackendCreds            string `json:"backendCreds"` // for back-end apps
	HTTPURL                 string `json:"httpUrl"`
	Ports                   Ports  `json:"ports"`
}

// Ports are the ports that a gateway listens on.
type Ports struct {
	MQTT  int `json:"mqtt"`
	HTTPS int `json:"https"`
	NATS  int `json:"nats"`
	Admin int `json:"admin"`
}

// Gateway is a hubgate process, which may end and start again, and a back-end
// app's connection to its NATS. Its methods are for one goroutine, except
// where they say otherwise.
type Gateway struct {
	Ready   Ready
	Log     *Log
	DataDir string

	// NATS and JS lead to the process that runs now.
	NATS *nats.Conn
	JS   jetstream.JetStream

	opts    Options
	wrapped bool
	cmd     *exec.Cmd // nil while nothing runs
	exit    chan error
}

// Start runs the gateway until the end of t.
func Start(t *testing.T, opts Options) *Gateway {
	t.Helper()
	g := New(t, opts)
	g.Start(t)
	return g
}

// New returns a gateway that does not run yet. What runs in the end ends with
// t.
func New(t *testing.T, opts Options) *Gateway {
	t.Helper()
	g := &Gateway{Log: new(Log), DataDir: opts.DataDir, opts: opts, wrapped: len(opts.Wrapper) > 0}
	if g.opts.Verb == "" {
		g.opts.Verb = "dev"
	}
	if g.DataDir == "" {
		g.DataDir = t.TempDir()
	}
	t.Cleanup(func() {
		g.Stop(t, syscall.SIGTERM)
		if t.Failed() {
			t.Logf("the gateway's log:\n%s", Tail(g.Log.String()))
		}
	})
	return g
}

// Args is the command line that the gateway runs with.
func (g *Gateway) Args() []string {
	args := []string{g.opts.Verb, "-o", "json", "--data-dir", g.DataDir, "--nats-port", "0"}
	if g.opts.NATS != "" {
		args = append(args, "--nats", g.opts.NATS)
	}
	return append(args, g.opts.Flags...)
}

// Start runs the process and waits for its ready line.
func (g *Gateway) Start(t *testing.T) {
	t.Helper()
	cmd, out := g.spawn(t)
	g.cmd, g.exit = cmd, make(chan error, 1)
	exit, first := g.exit, make(chan []byte, 1)
	go func() {
		r := bufio.NewReader(out)
		text, _ := r.ReadBytes('\n')
		first <- text
		_, _ = io.Copy(g.Log, r)
		exit <- cmd.Wait()
	}()
	select {
	case text := <-first:
		g.Ready = Ready{}
		if err := json.Unmarshal(text, &g.Ready); err != nil || g.Ready.HostName == "" {
			t.Fatalf("read the ready line %q: %v\n%s", text, err, Tail(g.Log.String()))
		}
	case <-time.After(Patience):
		t.Fatalf("hubgate is not ready after %v:\n%s", Patience, Tail(g.Log.String()))
	}
	if g.opts.NATS != "" {
		g.Ready.NATSURL = g.opts.NATS
	} else if g.Ready.NATSCreds == "" { // a production node with a server of its own
		g.Ready.NATSCreds = filepath.Join(g.DataDir, "nats", "hub.creds")
	}
	g.Dial(t)
}

func (g *Gateway) spawn(t *testing.T) (*exec.Cmd, io.Reader) {
	t.Helper()
	path, err := Program()
	if err != nil {
		t.Fatal(err)
	}
	line := slices.Concat(g.opts.Wrapper, []string{path}, g.Args())
	// Not t's context: that ends before the cleanup, which ends the process.
	cmd := exec.CommandContext(context.Background(), line[0], line[1:]...)
	// What a busy node's heap may pile up is not what its peers make it hold: with GOGC
	// set, Memory tells that.
	cmd.Env = append(append(os.Environ(), "GOGC=100"), g.opts.Env...)
	cmd.Stderr = g.Log
	dieWithParent(cmd)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", line[0], err)
	}
	return cmd, out
}

// StartAndKill runs the process for a while, whether it gets ready or not, and
// ends it by SIGKILL.
func (g *Gateway) StartAndKill(t *testing.T, after time.Duration) {
	t.Helper()
	cmd, out := g.spawn(t)
	go func() { _, _ = io.Copy(io.Discard, out) }()
	<-time.After(after)
	if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatalf("kill hubgate: %v", err)
	}
	_ = cmd.Wait()
}

// Dial connects to the gateway's NATS as a back-end app does.
func (g *Gateway) Dial(t *testing.T) {
	t.Helper()
	opts := []nats.Option{nats.NoReconnect()}
	if g.Ready.NATSCreds != "" {
		opts = append(opts, nats.UserCredentials(g.Path(g.Ready.NATSCreds)))
	}
	var err error
	if g.NATS, err = nats.Connect(g.Ready.NATSURL, opts...); err != nil {
		t.Fatalf("connect to NATS at %s: %v", g.Ready.NATSURL, err)
	}
	if g.JS, err = jetstream.New(g.NATS); err != nil {
		t.Fatal(err)
	}
}

// Path returns where a file of the gateway is for the test: the gateway may
// have another root directory.
func (g *Gateway) Path(path string) string {
	if g.wrapped {
		return fmt.Sprintf("/proc/%d/root%s", g.cmd.Process.Pid, path)
	}
	return path
}

// Stop ends the process by a signal, if it runs, and waits for its end; after
// SIGTERM its exit code must be 0.
func (g *Gateway) Stop(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if g.cmd == nil {
		return
	}
	g.Signal(t, sig)
	g.Wait(t, sig)
}

// Signal sends a signal to the process and does not wait.
func (g *Gateway) Signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := g.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("signal hubgate: %v", err)
	}
}

// Pause stops the process until it gets SIGCONT.
func (g *Gateway) Pause(t *testing.T) {
	t.Helper()
	Pause(t, g.cmd.Process)
}

// Wait waits for the end of the process after a signal, which is 0 if there was
// none.
func (g *Gateway) Wait(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if g.NATS != nil {
		defer g.NATS.Close()
	}
	select {
	case err := <-g.exit:
		if sig == syscall.SIGTERM && err != nil {
			t.Errorf("hubgate ended by SIGTERM: %v\n%s", err, Tail(g.Log.String()))
		}
	case <-time.After(Patience):
		_ = g.cmd.Process.Kill()
		t.Errorf("hubgate still ran %v after signal %v; killed: %v", Patience, sig, <-g.exit)
	}
	g.cmd = nil
}

// AwaitExit waits until the process ends by itself, and returns its exit code.
func (g *Gateway) AwaitExit(t *testing.T) int {
	t.Helper()
	cmd := g.cmd
	g.Wait(t, 0)
	return cmd.ProcessState.ExitCode()
}

// Restart ends the process by a signal and starts it again on the same data.
func (g *Gateway) Restart(t *testing.T, sig syscall.Signal) {
	t.Helper()
	g.Stop(t, sig)
	g.Start(t)
}

// Memory is the resident memory of the process in bytes. It skips t where
// there is no /proc.
func (g *Gateway) Memory(t *testing.T) int64 {
	t.Helper()
	path := fmt.Sprintf("/proc/%d/status", g.cmd.Process.Pid)
	text, err := os.ReadFile(path)
	if err != nil {
		Skip(t, "memory is measured by /proc: "+err.Error())
	}
	for line := range strings.Lines(string(text)) {
		rest, found := strings.CutPrefix(line, "VmRSS:")
		if !found {
			continue
		}
		kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
		if err != nil {
			t.Fatalf("read %s: %v", path, err)
		}
		return kb << 10
	}
	t.Fatalf("%s has no VmRSS", path)
	return 0
}

// PID is the id of the process that runs now.
func (g *Gateway) PID() int { return g.cmd.Process.Pid }
