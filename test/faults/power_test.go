//go:build linux

package faults

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hubgate/hubgate/test/hubtest"
)

// machine is a file system in a mount namespace of its own, below which a device
// can be looked at as power failure would leave it: what the kernel has not
// written to it yet is not there.
type machine struct {
	dir    string // as the gateway sees it
	holder int    // the process that holds the namespace
	stdin  io.WriteCloser
	stdout *bufio.Reader
	stderr string // the file of what it complains of
}

// machineScript makes the device, a file on a file system in memory, and then does
// what it is told.
//
// The kernel writes on its own account after seconds, and its journal later than
// the test takes: what is on the device is there because somebody has synced. What
// is frozen is the file system below the device, so that nobody asks the one above
// to write: each sync stands still where it is, and the copy is of one moment.
const machineScript = `set -e
mount -t tmpfs -o size=1500m tmpfs "$0"
cd "$0"
mkdir below live after
truncate -s 1300m disk
mkfs.ext4 -q -F -m 0 -E lazy_itable_init=0,lazy_journal_init=0,nodiscard disk
mount -o loop disk below
truncate -s 700m below/device
mkfs.ext4 -q -F -m 0 -E lazy_itable_init=0,lazy_journal_init=0,nodiscard below/device
mount -o loop,commit=300 below/device live
echo ready
while read -r word; do
  case $word in
  sync) sync -f live;;
  stand) fsfreeze -f below;;
  fail)
    cp --sparse=always below/device image
    fsfreeze -u below
    mount -o loop image after;;
  mend)
    umount live
    until umount below; do :; done
    mount -o loop disk below
    mount -o loop,commit=300 below/device live;;
  esac
  echo "$word"
done
fsfreeze -u below 2>/dev/null || true`

// newMachine makes one. It takes root and loop devices.
func newMachine(t *testing.T) *machine {
	t.Helper()
	hubtest.Require(t, "unshare", "nsenter", "mount", "mkfs.ext4", "fsfreeze")
	dir := t.TempDir()
	cmd := exec.CommandContext(context.Background(), "unshare", "-m", "sh", "-c", machineScript, dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer stderr.Close()
	cmd.Stderr = stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	m := &machine{dir: dir, holder: cmd.Process.Pid, stdin: stdin, stdout: bufio.NewReader(stdout), stderr: stderr.Name()}
	if line, _ := m.stdout.ReadString('\n'); line != "ready\n" {
		hubtest.Skip(t, "a file system on a loop device needs root and a kernel with both: "+m.complaint())
	}
	return m
}

func (m *machine) complaint() string {
	text, err := os.ReadFile(m.stderr)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text))
}

// tell gives the holder a word and returns when it has obeyed.
func (m *machine) tell(t *testing.T, word string) {
	t.Helper()
	if _, err := io.WriteString(m.stdin, word+"\n"); err != nil {
		t.Fatalf("%s: %v", word, err)
	}
	if line, err := m.stdout.ReadString('\n'); line != word+"\n" {
		_ = m.stdin.Close() // it ends, and no other word comes
		t.Fatalf("%s: %q, %v: %s", word, line, err, m.complaint())
	}
}

// breaks makes the device fail each write and each flush, and lose what it has not
// flushed, until it is mended.
func (m *machine) breaks(t *testing.T) {
	t.Helper()
	const (
		shutdown   = 0x8004587d // FS_IOC_SHUTDOWN
		noLogFlush = 2
	)
	below, err := os.Open(fmt.Sprintf("/proc/%d/root%s/below", m.holder, m.dir))
	if err != nil {
		t.Fatal(err)
	}
	defer below.Close()
	if err := unix.IoctlSetPointerInt(int(below.Fd()), shutdown, noLogFlush); err != nil {
		t.Fatalf("shut the file system below the device down: %v", err)
	}
}

// start runs a gateway on the file system.
func (m *machine) start(t *testing.T, opts hubtest.Options) *hubtest.Gateway {
	t.Helper()
	opts.DataDir = filepath.Join(m.dir, "live", "data")
	opts.Wrapper = []string{"nsenter", "-m", "-t", strconv.Itoa(m.holder), "--"}
	return start(t, opts)
}

// powerFails stops the machine, and starts it again with what the device had at
// that moment. The gateway is stopped before the device stands no longer, for what
// it says after that moment it can't have said.
func (m *machine) powerFails(t *testing.T, g *hubtest.Gateway) {
	t.Helper()
	m.tell(t, "stand")
	g.Signal(t, syscall.SIGSTOP)
	m.tell(t, "fail")
	g.Stop(t, syscall.SIGKILL)
	g.DataDir = filepath.Join(m.dir, "after", "data")
	g.Start(t)
}

// soonAfter is a moment anywhere in the work of a gateway.
func soonAfter() { <-time.After(200*time.Millisecond + rand.N(500*time.Millisecond)) }

// losesPower has the power fail somewhere in the work of g, whose clients know by
// state.
func (m *machine) losesPower(t *testing.T, g *hubtest.Gateway, state *power) {
	t.Helper()
	soonAfter()
	state.off()
	m.powerFails(t, g)
	state.up()
}

// TestPowerFailsWithGroupSync: whatever has been acknowledged is on the device,
// messages, twins, devices, subscriptions and queues.
func TestPowerFailsWithGroupSync(t *testing.T) {
	sync := []string{"--sync", "group"}
	for name, opts := range map[string]hubtest.Options{
		"plain":     {Flags: sync},
		"encrypted": {Flags: append(sync[:2:2], "--set", "nats.encryption_key=env:POWER_KEY"), Env: []string{"POWER_KEY=" + strings.Repeat("k", 40)}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			g := m.start(t, opts)
			publishers, warm := newPublishers(t, g, 20, 16)
			patchers, patched := newPatchers(t, g, 10)
			clerk := newClerk(t, g)
			subscribers := newSubscribers(t, g, 10)
			desirers := newDesirers(3, patchers)

			l, s := newLives(g), newStaff(t)
			c := begin(t, publishers, l.wait)
			for _, p := range patchers {
				s.do(func(ctx context.Context) { p.run(ctx, l) })
			}
			for _, d := range desirers {
				s.do(func(ctx context.Context) { d.run(ctx, l) })
			}
			s.do(func(ctx context.Context) { clerk.run(ctx, l) })
			for range publishers {
				await(t, "every client to publish", warm)
			}
			patched.await(t, "every device to patch its twin")
			for _, sub := range subscribers {
				s.do(func(context.Context) { sub.subscribe() })
			}
			soonAfter()
			l.interrupt(func() { m.powerFails(t, g) })
			for range publishers {
				await(t, "every client to publish after the power failure", warm)
			}
			patched.await(t, "every device to patch its twin after the power failure")
			c.finish()
			s.finish()
			t.Logf("%v", audit(t, g, publishers...))
			checkTwins(t, g, patchers, desirers)
			clerk.check(t, g)
			for _, sub := range subscribers {
				sub.check(t, g)
			}
		})
	}
}

// TestPowerFailsWithIntervalSync is the test of the other one: the machine does
// lose what nobody has synced.
func TestPowerFailsWithIntervalSync(t *testing.T) {
	m := newMachine(t)
	g := m.start(t, hubtest.Options{Flags: []string{"--sync", "interval"}})
	all, warm := newPublishers(t, g, 10, 16)
	m.tell(t, "sync") // the devices are to be known
	state := newPower()
	c := begin(t, all, state.wait)
	for range all {
		await(t, "every client to publish", warm)
	}
	m.losesPower(t, g, state)
	for range all {
		await(t, "every client to publish after the power failure", warm)
	}
	c.finish()
	sum, _ := count(t, g, all...)
	t.Logf("%v", sum)
	if sum.missing == 0 {
		t.Error("nothing is missing: this machine does not lose what is not synced, and the test with group sync proves nothing")
	}
}

// TestDiskThatLosesWrites: the device fails, and what it had not flushed is lost.
// Nothing that waited is acknowledged, the node says why and ends; and when the
// device works again, everything acknowledged is there, also after a power failure.
func TestDiskThatLosesWrites(t *testing.T) {
	m := newMachine(t)
	g := m.start(t, hubtest.Options{Flags: []string{"--sync", "group"}})
	all, warm := newPublishers(t, g, 10, 16)
	state := newPower()
	c := begin(t, all, state.wait)
	for range all {
		await(t, "every client to publish", warm)
	}
	state.off()
	m.breaks(t)
	if code := g.AwaitExit(t); code != 1 {
		t.Errorf("the node ended with exit code %d, want 1", code)
	}
	if log := g.Log.String(); !strings.Contains(log, "hubgate: the node cannot go on: the disk may have lost what was stored last, none of which was acknowledged; look at the disk, and start the hub again: sync the file system of "+filepath.Join(g.DataDir, "jetstream")) {
		t.Error("the node has not said why it ended")
	}
	m.tell(t, "mend")
	g.Start(t)
	state.up()
	for range all {
		await(t, "every client to publish again", warm)
	}
	m.losesPower(t, g, state)
	for range all {
		await(t, "every client to publish after the power failure", warm)
	}
	c.finish()
	t.Logf("%v", audit(t, g, all...))
}
