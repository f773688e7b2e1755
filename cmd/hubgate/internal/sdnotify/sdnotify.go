// Package sdnotify tells a service manager how a service is, by the protocol of
// sd_notify(3): datagrams of NAME=VALUE lines to a socket that the environment
// names. It is a few lines of code, so it is no dependency: what libraries add
// is a socket for each message and, in most of them, no clock for RELOADING=1.
package sdnotify

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// sendTimeout bounds one message: the manager that does not read keeps nobody
// waiting.
const sendTimeout = time.Second

// Manager is the service manager that has started this process. A nil one is
// nobody, who is told nothing. It is safe for concurrent use.
type Manager struct {
	conn     *net.UnixConn
	watchdog time.Duration
}

// Find returns the manager that the environment names: $NOTIFY_SOCKET,
// $WATCHDOG_USEC and $WATCHDOG_PID. It returns nil when there is none.
func Find(getenv func(string) string) (*Manager, error) {
	name := getenv("NOTIFY_SOCKET")
	if name == "" {
		return nil, nil //nolint:nilnil // nobody is a manager too
	}
	if name[0] != '/' && name[0] != '@' {
		return nil, fmt.Errorf("NOTIFY_SOCKET is %q, which is neither a path nor an abstract socket", name)
	}
	watchdog, err := watchdogOf(getenv)
	if err != nil {
		return nil, err
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("reach the service manager at NOTIFY_SOCKET: %w", err)
	}
	return &Manager{conn: conn, watchdog: watchdog}, nil
}

// watchdogOf reads after which silence the manager gives this process up.
func watchdogOf(getenv func(string) string) (time.Duration, error) {
	text := getenv("WATCHDOG_USEC")
	if text == "" {
		return 0, nil
	}
	if pid := getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0, nil // it is meant for a process above this one
	}
	const most = int64(1<<63-1) / int64(time.Microsecond)
	usec, err := strconv.ParseInt(text, 10, 64)
	if err != nil || usec <= 0 || usec > most {
		return 0, fmt.Errorf("WATCHDOG_USEC is %q, which is not a number of microseconds above 0", text)
	}
	return time.Duration(usec) * time.Microsecond, nil
}

// Watchdog is after which time without [Manager.Alive] the manager ends this
// process; 0: it does not watch.
func (m *Manager) Watchdog() time.Duration {
	if m == nil {
		return 0
	}
	return m.watchdog
}

// Ready says that the service does what it is for, or does so again after
// [Manager.Reloading].
func (m *Manager) Ready(status string) error { return m.send("READY=1", "STATUS="+oneLine(status)) }

// Reloading says that the service reads its configuration again.
func (m *Manager) Reloading() error {
	if m == nil {
		return nil
	}
	now, err := monotonic()
	if err != nil {
		return fmt.Errorf("read the clock for the service manager: %w", err)
	}
	return m.send("RELOADING=1", "MONOTONIC_USEC="+strconv.FormatInt(now.Microseconds(), 10))
}

// Stopping says that the service has begun to end.
func (m *Manager) Stopping(status string) error {
	return m.send("STOPPING=1", "STATUS="+oneLine(status))
}

// Status tells people in a line how the service is.
func (m *Manager) Status(text string) error { return m.send("STATUS=" + oneLine(text)) }

// Extend asks the manager, who would otherwise lose patience with a start or an
// end, to wait for so long from now on.
func (m *Manager) Extend(wait time.Duration) error {
	return m.send("EXTEND_TIMEOUT_USEC=" + strconv.FormatInt(wait.Microseconds(), 10))
}

// Alive says that the service is not stuck.
func (m *Manager) Alive() error { return m.send("WATCHDOG=1") }

// Close closes the socket.
func (m *Manager) Close() error {
	if m == nil {
		return nil
	}
	return m.conn.Close()
}

func (m *Manager) send(lines ...string) error {
	if m == nil {
		return nil
	}
	err := m.conn.SetWriteDeadline(time.Now().Add(sendTimeout))
	if err == nil {
		_, err = m.conn.Write([]byte(strings.Join(lines, "\n") + "\n"))
	}
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// oneLine keeps a text from being read as another assignment.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, text)
}
