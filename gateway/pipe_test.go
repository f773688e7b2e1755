package gateway

import (
	"context"
	"io"
	"net"
	"testing"
)

// pipe is a source without a socket, for tests in which time is made up.
type pipe struct{ net.Conn }

func (p pipe) fill(in *inbox, pool *inboxes) (*inbox, error) {
	if in == nil {
		in = pool.get()
	}
	n, err := p.Read(in.space())
	in.add(n)
	if n > 0 {
		err = nil
	}
	if n == 0 && len(in.unread()) == 0 {
		pool.put(in)
		in = nil
	}
	return in, err
}

func (p pipe) abort() error { return p.Close() }

func (pipe) rested() bool { return true }

func (pipe) socket() *tcpSource { return nil }

// newBubble returns a server without listeners, for a test in a bubble, and ends
// it with the test.
func newBubble(t *testing.T, configure func(*world)) *world {
	t.Helper()
	h := newFakeHandler()
	events := make(fakeEvents, 1000)
	w := &world{face: &fakeFace{handler: h}, handler: h, sessions: &fakeSessions{events: events}, events: events, log: new(syncBuffer)}
	w.Server = &Server{Face: w.face, Sessions: w.sessions, Events: w.events, Node: "n1"}
	if configure != nil {
		configure(w)
	}
	w.init()
	return w
}

// piped connects a client by a pipe.
func (w *world) piped(t *testing.T, id string, keepAlive uint16) *client {
	t.Helper()
	return pipedRaw(t, w).join(id, keepAlive)
}

// pipedRaw is a peer who has not said CONNECT.
func pipedRaw(t *testing.T, w *world) *client {
	t.Helper()
	near, far := net.Pipe()
	go w.accept(context.Background(), pipe{near}, Peer{Remote: "192.0.2.1:5"}, w.gate.enter(near))
	return newClient(t, far)
}

// close ends the server before the bubble does.
func (w *world) close(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := w.Shutdown(ctx); err != nil {
		t.Errorf("shutdown: %v", err)
	}
}

// hungUp waits until the server closes.
func (c *client) hungUp() { _, _ = io.Copy(io.Discard, c.nc) }
