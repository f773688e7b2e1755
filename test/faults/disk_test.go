//go:build linux

package faults

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/test/hubtest"
)

// disk is a small file system in a mount namespace of its own.
type disk struct {
	dir    string // as the gateway sees it
	within string // as the test reaches it
	holder int    // the process that holds the namespace
}

// newDisk makes a file system in memory. It takes root.
func newDisk(t *testing.T, size string) disk {
	t.Helper()
	hubtest.Require(t, "unshare", "nsenter", "mount")
	dir := t.TempDir()
	const script = `mount -t tmpfs -o size="$1" tmpfs "$0" && echo mounted && exec cat`
	cmd := exec.CommandContext(context.Background(), "unshare", "-m", "sh", "-c", script, dir, size)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdin, err := cmd.StdinPipe() // cat ends with it
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	if line, _ := bufio.NewReader(stdout).ReadString('\n'); line != "mounted\n" {
		hubtest.Skip(t, "mounting a small file system needs root: "+strings.TrimSpace(stderr.String()))
	}
	pid := cmd.Process.Pid
	return disk{dir: dir, within: fmt.Sprintf("/proc/%d/root%s", pid, dir), holder: pid}
}

func (d disk) ballast() string { return filepath.Join(d.within, "ballast") }

// fill leaves some bytes free.
func (d disk) fill(t *testing.T, leave int64) {
	t.Helper()
	var s syscall.Statfs_t
	if err := syscall.Statfs(d.within, &s); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(d.ballast())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := syscall.Fallocate(int(f.Fd()), 0, 0, int64(s.Bavail)*s.Bsize-leave); err != nil {
		t.Fatalf("fill the disk: %v", err)
	}
}

// TestFullDisk fills the disk below publishing devices: what can't be stored is
// not acknowledged and the reason is told. NATS gives up a stream that it could
// not write to, so that room alone does not help: the node ends as soon as there is
// some, and the next one finds everything that was acknowledged.
func TestFullDisk(t *testing.T) {
	d := newDisk(t, "700m")
	g := start(t, hubtest.Options{
		DataDir: filepath.Join(d.dir, "data"),
		Wrapper: []string{"nsenter", "-m", "-t", strconv.Itoa(d.holder), "--"},
		Flags:   []string{"--set", "telemetry.store_timeout=2s"},
	})
	all, warm := newPublishers(t, g, 5, 16)
	d.fill(t, 8<<20) // the publishers need a second for the rest
	state := newPower()
	c := begin(t, all, state.wait)
	for range all {
		await(t, "every client to publish", warm)
	}
	state.off()
	for _, p := range all {
		line := g.Log.Await(t, "the end of "+p.id.String(), ended(p.id.String()))
		if line.Text("code") != codeText(hub.ServiceUnavailable) || !strings.Contains(line.Text("reason"), "JetStream") {
			t.Errorf("%s ended by %v, want code %d and JetStream in the reason", p.id, line, hub.ServiceUnavailable)
		}
	}
	g.Log.Await(t, "no space left on device, and what to do", func(l hubtest.Line) bool {
		return l.Text("level") == "error" && strings.Contains(l.Text("message"), "no space left on device") && strings.Contains(l.Text("hint"), "make room")
	})
	marks := progress(all)

	remove(t, d.ballast())
	if code := g.AwaitExit(t); code != 1 || !strings.Contains(g.Log.String(), "hubgate: the node cannot go on: NATS could not write to the disk") {
		t.Errorf("with room on the disk again the hub ended with status %d, want 1 and the reason:\n%s", code, hubtest.Tail(g.Log.String()))
	}
	g.Start(t)
	state.up()
	for range all {
		await(t, "every client to publish again", warm)
	}
	c.finish()
	t.Logf("acknowledged before the disk was full: %v; %v", marks, audit(t, g, all...))
}
