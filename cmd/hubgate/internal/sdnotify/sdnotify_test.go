package sdnotify

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// socket listens as a manager does.
func socket(t *testing.T, name string) *net.UnixConn {
	t.Helper()
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func environment(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func next(t *testing.T, l *net.UnixConn) string {
	t.Helper()
	b := make([]byte, 4096)
	if err := l.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	n, err := l.Read(b)
	if err != nil {
		t.Fatalf("no message came: %v", err)
	}
	return string(b[:n])
}

// TestMessages: each message as the manual has it, on both kinds of socket.
func TestMessages(t *testing.T) {
	names := []string{filepath.Join(t.TempDir(), "notify")}
	if runtime.GOOS == "linux" {
		names = append(names, fmt.Sprintf("@hubgate-test-%d", os.Getpid()))
	}
	for _, name := range names {
		l := socket(t, name)
		m, err := Find(environment("NOTIFY_SOCKET", name, "WATCHDOG_USEC", "2500000"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = m.Close() }()
		if m.Watchdog() != 2500*time.Millisecond {
			t.Errorf("the watchdog waits %v", m.Watchdog())
		}
		for want, send := range map[string]func() error{
			"READY=1\nSTATUS=a b READY=0\n":   func() error { return m.Ready("a\nb\x00READY=0") },
			"STOPPING=1\nSTATUS=goes\n":       func() error { return m.Stopping("goes") },
			"STATUS=3 devices\n":              func() error { return m.Status("3 devices") },
			"EXTEND_TIMEOUT_USEC=1500000\n":   func() error { return m.Extend(1500 * time.Millisecond) },
			"WATCHDOG=1\n":                    m.Alive,
			"RELOADING=1\nMONOTONIC_USEC=#\n": m.Reloading,
		} {
			if strings.HasPrefix(want, "RELOADING") && runtime.GOOS != "linux" {
				continue
			}
			if err := send(); err != nil {
				t.Errorf("%s: %q: %v", name, want, err)
				continue
			}
			got := next(t, l)
			if before, digits, ok := strings.Cut(got, "USEC="); ok && strings.HasPrefix(want, "RELOADING") {
				if usec, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64); err == nil && usec > 0 {
					got = before + "USEC=#\n"
				}
			}
			if got != want {
				t.Errorf("%s: got %q, want %q", name, got, want)
			}
		}
	}
}

// TestNobody: without a manager nothing is sent, and nothing fails.
func TestNobody(t *testing.T) {
	m, err := Find(environment("WATCHDOG_USEC", "1"))
	if m != nil || err != nil {
		t.Fatalf("found %v, %v", m, err)
	}
	for _, err := range []error{m.Ready(""), m.Reloading(), m.Stopping(""), m.Status(""), m.Extend(1), m.Alive(), m.Close()} {
		if err != nil {
			t.Error(err)
		}
	}
	if m.Watchdog() != 0 {
		t.Error("nobody watches")
	}
}

// TestFind: whom the environment means, and what is wrong with it.
func TestFind(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	socket(t, path)
	for name, tc := range map[string]struct {
		env      []string
		watchdog time.Duration
		fails    string
	}{
		"no watchdog":         {[]string{"NOTIFY_SOCKET", path}, 0, ""},
		"ours":                {[]string{"NOTIFY_SOCKET", path, "WATCHDOG_USEC", "1000000", "WATCHDOG_PID", strconv.Itoa(os.Getpid())}, time.Second, ""},
		"a parent's":          {[]string{"NOTIFY_SOCKET", path, "WATCHDOG_USEC", "1000000", "WATCHDOG_PID", "1"}, 0, ""},
		"zero":                {[]string{"NOTIFY_SOCKET", path, "WATCHDOG_USEC", "0"}, 0, "WATCHDOG_USEC"},
		"overflows":           {[]string{"NOTIFY_SOCKET", path, "WATCHDOG_USEC", "9223372036854775807"}, 0, "WATCHDOG_USEC"},
		"no number":           {[]string{"NOTIFY_SOCKET", path, "WATCHDOG_USEC", "30s"}, 0, "WATCHDOG_USEC"},
		"a machine's socket":  {[]string{"NOTIFY_SOCKET", "vsock:2:1234"}, 0, "vsock:2:1234"},
		"nobody listens":      {[]string{"NOTIFY_SOCKET", path + "-not"}, 0, "NOTIFY_SOCKET"},
		"a socket, not a dir": {[]string{"NOTIFY_SOCKET", filepath.Dir(path)}, 0, "NOTIFY_SOCKET"},
	} {
		m, err := Find(environment(tc.env...))
		if tc.fails != "" {
			if err == nil || !strings.Contains(err.Error(), tc.fails) {
				t.Errorf("%s: got %v, want an error about %s", name, err, tc.fails)
			}
			continue
		}
		if err != nil || m.Watchdog() != tc.watchdog {
			t.Errorf("%s: got %v, %v, want %v", name, m.Watchdog(), err, tc.watchdog)
		}
		_ = m.Close()
	}
}
