//go:build unix

package main

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/cmd/hubgate/internal/sdnotify"
)

// TestWatchdogOfAHungNode: a node is called alive while it is, not while a lock
// is held for good, and again when the lock is free.
func TestWatchdogOfAHungNode(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	manager, err := sdnotify.Find(func(name string) string { return map[string]string{"NOTIFY_SOCKET": path}[name] })
	if err != nil {
		t.Fatal(err)
	}
	n := &node{log: zerolog.Nop()}
	s := &supervision{node: n, manager: manager, status: func() string { return "7 connections" }}
	lock := make(chan struct{}, 1)
	n.pulse.add("connections", func() bool { lock <- struct{}{}; <-lock; return true })
	said := func() string {
		t.Helper()
		var all strings.Builder
		b := make([]byte, 4096)
		_ = l.SetReadDeadline(time.Now().Add(patience))
		for !strings.Contains(all.String(), "end") {
			k, err := l.Read(b)
			if err != nil {
				t.Fatal(err)
			}
			all.Write(b[:k])
		}
		return all.String()
	}
	for _, tc := range []struct {
		what string
		do   func()
		want string
	}{
		{"alive", func() {}, "WATCHDOG=1\nSTATUS=7 connections\nSTATUS=end\n"},
		{"still so", func() {}, "WATCHDOG=1\nSTATUS=end\n"},
		{"hung", func() { lock <- struct{}{} }, "STATUS=stuck: connections\nSTATUS=end\n"},
		{"still hung", func() {}, "STATUS=stuck: connections\nSTATUS=end\n"},
		{"free again", func() { <-lock; waitUntil(t, func() bool { return !n.pulse.checks[0].busy.Load() }) }, "WATCHDOG=1\nSTATUS=7 connections\nSTATUS=end\n"},
		{"stopping", func() { s.stopping.Store(true) }, "WATCHDOG=1\nEXTEND_TIMEOUT_USEC=20000000\nSTATUS=end\n"},
	} {
		tc.do()
		s.look(time.Second)
		if err := manager.Status("end"); err != nil {
			t.Fatal(err)
		}
		if got := said(); got != tc.want {
			t.Errorf("%s: got %q, want %q", tc.what, got, tc.want)
		}
	}
}

// waitUntil polls a condition that comes soon.
func waitUntil(t *testing.T, came func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !came(); <-time.After(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it never came")
		}
	}
}
