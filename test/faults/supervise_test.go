package faults

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hubgate/hubgate/test/hubtest"
)

// manager hears what a service tells its service manager.
type manager struct{ conn *net.UnixConn }

func newManager(t *testing.T, name string) *manager {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &manager{conn}
}

// await returns the first message with a line that begins so, and fails on one
// that must not come before.
func (m *manager) await(t *testing.T, want, before string) string {
	t.Helper()
	if err := m.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 4096)
	for {
		n, err := m.conn.Read(b)
		if err != nil {
			t.Fatalf("the service has not said %s: %v", want, err)
		}
		text := "\n" + string(b[:n])
		if strings.Contains(text, "\n"+want) {
			return text
		}
		if before != "" && strings.Contains(text, "\n"+before) {
			t.Fatalf("the service has said %q before %s", text, want)
		}
	}
}

// TestServiceManager runs a node below a service manager, by a path and by an
// abstract socket: it is ready when its ports accept and not before, tells of a
// reload and of its stop, and feeds the watchdog until it hangs.
func TestServiceManager(t *testing.T) {
	for kind, name := range map[string]string{
		"path":     filepath.Join(t.TempDir(), "notify"),
		"abstract": fmt.Sprintf("@hubgate-faults-%d", os.Getpid()),
	} {
		t.Run(kind, func(t *testing.T) {
			m := newManager(t, name)
			g := startSupervised(t, name)
			m.await(t, "READY=1", "WATCHDOG=1")
			for _, port := range []int{mqttPort, httpsPort} {
				c, err := net.DialTimeout("tcp", address(g, port), patience)
				if err != nil {
					t.Fatalf("the node is ready and does not accept: %v", err)
				}
				_ = c.Close()
			}
			m.await(t, "WATCHDOG=1", "STOPPING=1")
			d := newDevice(t, g, "d").mustConnect(t)
			m.await(t, "STATUS=1 connections", "STOPPING=1")

			g.Signal(t, syscall.SIGHUP)
			reloading := m.await(t, "RELOADING=1", "READY=1")
			_, digits, _ := strings.Cut(strings.TrimSpace(reloading), "MONOTONIC_USEC=")
			if usec, err := strconv.ParseInt(digits, 10, 64); err != nil || usec <= 0 {
				t.Errorf("%q has no time", reloading)
			}
			m.await(t, "READY=1", "STOPPING=1")

			g.Signal(t, syscall.SIGTERM)
			m.await(t, "STOPPING=1", "READY=1")
			m.await(t, "EXTEND_TIMEOUT_USEC=", "READY=1")
			g.Wait(t, syscall.SIGTERM)
			d.close()
		})
	}
}

// startSupervised runs a production node below a service manager.
func startSupervised(t *testing.T, name string) *hubtest.Gateway {
	t.Helper()
	p := newPlace(t)
	g := hubtest.Start(t, hubtest.Options{
		Verb: "serve", Flags: append(p.flags(), "--embedded"),
		Env: []string{"NOTIFY_SOCKET=" + name, "WATCHDOG_USEC=600000"},
	})
	g.Ready.CAFile = filepath.Join(p.certs, "ca.pem")
	return g
}

// TestServiceManagerThatIsNotThere: a node that could never say that it is ready
// says so itself.
func TestServiceManagerThatIsNotThere(t *testing.T) {
	p := newPlace(t)
	args := append([]string{"serve", "--data-dir", t.TempDir(), "--embedded", "--nats-port", "0"}, p.flags()...)
	r := hubtest.Run(t, []string{"NOTIFY_SOCKET=" + filepath.Join(t.TempDir(), "nobody")}, args...)
	if r.Code != 1 || !strings.Contains(r.Stderr, "NOTIFY_SOCKET") {
		t.Errorf("got exit code %d: %s", r.Code, r.Stderr)
	}
}
