package gateway

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"
)

// TestReadSocketDoesNotWait: a socket with nothing to read says so, on every system, so
// that the deadline of whoever waits for it, and its Close, are heard.
func TestReadSocketDoesNotWait(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	peer, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = peer.Close() }()
	nc, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = nc.Close() }()
	s, err := newTCPSource(nc)
	if err != nil {
		t.Fatal(err)
	}
	var pool inboxes
	ended := make(chan error, 1)
	go func() {
		_ = nc.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		_, err := s.fill(nil, &pool)
		ended <- err
	}()
	select {
	case err := <-ended:
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v, want a timeout", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("a read does not hear of its deadline")
	}
	// What comes after that is read.
	_ = nc.SetReadDeadline(time.Time{})
	if _, err := peer.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	in, err := s.fill(nil, &pool)
	if err != nil || in == nil {
		t.Errorf("got %v, %v", in, err)
	}
}
