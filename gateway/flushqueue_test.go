//go:build unix

package gateway

import (
	"bytes"
	"io"
	"net"
	"runtime"
	"testing"
	"time"
)

// muchOutput is more than two sockets hold for a peer who does not read.
const muchOutput = 32 << 20

// send queues packets, however many.
func (w *flushWorld) send(c *conn, packets []byte) {
	c.mu.Lock()
	c.out = append(c.out, packets...)
	start := c.startWriting()
	c.mu.Unlock()
	if start {
		w.srv.writers.flush(c)
	}
}

func expect(t *testing.T, from io.Reader, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(from, got); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("read %.20q, %v; want %.20q", got, err, want)
	}
}

// TestFlushQueue: who does not read keeps nobody waiting, gets everything as soon as
// he reads, and one flusher is busy at a time all the same.
func TestFlushQueue(t *testing.T) {
	for name, secure := range map[string]bool{"plain": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newFlushWorld(t, secure)
			slow, slowClient := w.connect(t)
			other, otherClient := w.connect(t)
			much := bytes.Repeat([]byte("0123456789abcdef"), muchOutput/16)
			w.send(slow, much)
			for range 100 {
				w.send(other, pingresp)
				expect(t, otherClient, pingresp)
			}
			w.send(slow, pingresp)
			expect(t, slowClient, much)
			expect(t, slowClient, pingresp)
			w.rests(t)
		})
	}
}

// TestFlushQueueAndTheReader: a TLS connection has its reader write at times, an alert
// or the answer to a request for new keys. If that has to wait for the peer, whoever
// flushes waits for the reader, and must not keep others waiting.
func TestFlushQueueAndTheReader(t *testing.T) {
	t.Parallel()
	w := newFlushWorld(t, true)
	slow, slowClient := w.connect(t)
	other, otherClient := w.connect(t)
	much := bytes.Repeat([]byte("0123456789abcdef"), muchOutput/16)
	written := make(chan error, 1)
	go func() {
		_, err := slow.src.Write(much)
		written <- err
	}()
	expect(t, slowClient, much[:1]) // from now on nobody else writes to it
	w.send(slow, pingresp)
	for range 100 {
		w.send(other, pingresp)
		expect(t, otherClient, pingresp)
	}
	expect(t, slowClient, much[1:])
	expect(t, slowClient, pingresp)
	if err := <-written; err != nil {
		t.Error(err)
	}
	w.rests(t)
}

// TestFlushQueueIsFair: many connections, each with much to send, get all of it.
func TestFlushQueueIsFair(t *testing.T) {
	t.Parallel()
	w := newFlushWorld(t, false)
	w.srv.writers.queue.most = 2
	type pair struct {
		c      *conn
		client net.Conn
	}
	var pairs []pair
	for range 50 {
		c, client := w.connect(t)
		pairs = append(pairs, pair{c, client})
	}
	const rounds = 200
	for range rounds {
		for _, p := range pairs {
			w.send(p.c, pingresp)
		}
	}
	for _, p := range pairs {
		expect(t, p.client, bytes.Repeat(pingresp, rounds))
	}
	w.rests(t)
}

// refilled is a source that has something queued while it writes.
type refilled struct {
	*tcpSource
	refill func()
}

func (r refilled) Write(p []byte) (int, error) {
	r.refill()
	return r.tcpSource.Write(p)
}

// TestFlushQueueComesBack: what is queued while a connection is flushed is written.
func TestFlushQueueComesBack(t *testing.T) {
	t.Parallel()
	w := newFlushWorld(t, false)
	c, client := w.connect(t)
	const all = 3
	times := all
	c.src = refilled{c.src.socket(), func() {
		if times--; times > 0 {
			w.send(c, pingresp)
		}
	}}
	w.send(c, pingresp)
	expect(t, client, bytes.Repeat(pingresp, all))
	w.rests(t)
}

// TestFlusherLeaves: a flusher leaves before it might wait for somebody else who
// writes to the same connection already.
func TestFlusherLeaves(t *testing.T) {
	t.Parallel()
	for _, busy := range []bool{false, true} {
		w := newFlushWorld(t, false)
		c, client := w.connect(t)
		if busy {
			c.src.socket().writes.Add(1)
		}
		w.srv.writers.queue.busy = 1
		c.out, c.writing = pingresp, true
		if more, left := newFlusher(w.srv.writers.queue).flush(c); more || left != busy {
			t.Errorf("somebody writes: %t; more %t, left %t", busy, more, left)
		}
		expect(t, client, pingresp)
	}
}

// TestFlusherAfterAnother: a connection that has something to send as soon as it was
// flushed may have its next flusher before the last one is done with it.
func TestFlusherAfterAnother(t *testing.T) {
	t.Parallel()
	w := newFlushWorld(t, false)
	c, _ := w.connect(t)
	s := c.src.socket()
	next := newFlusher(w.srv.writers.queue)
	c.src = refilled{s, func() { s.flusher.Store(next) }}
	c.out, c.writing = pingresp, true
	newFlusher(w.srv.writers.queue).flush(c)
	if s.flusher.Load() != next {
		t.Error("a flusher has taken the connection from the next one")
	}
}

// rests waits until no flusher is busy, and fails if the count of them is wrong.
func (w *flushWorld) rests(t *testing.T) {
	t.Helper()
	q := w.srv.writers.queue
	for deadline := time.Now().Add(patience); ; runtime.Gosched() {
		q.mu.Lock()
		busy, waiting := q.busy, len(q.conns)-q.first
		q.mu.Unlock()
		switch {
		case busy == 0 && waiting == 0:
			return
		case busy < 0, time.Now().After(deadline):
			t.Fatalf("%d flushers are busy, %d connections wait", busy, waiting)
		}
	}
}

// TestFlushQueueKeepsItsSize: connections that come while others wait do not make the
// queue longer than they are.
func TestFlushQueueKeepsItsSize(t *testing.T) {
	t.Parallel()
	q := newFlushQueue(time.Second, nil)
	q.most = 0 // nobody flushes
	c := new(conn)
	for range 10 {
		q.add(c)
	}
	for range 10_000 {
		q.add(c)
		if q.next() != c {
			t.Fatal("the queue has lost a connection")
		}
	}
	if n := cap(q.conns); n > 64 {
		t.Errorf("the queue has room for %d connections, and 10 are in it", n)
	}
}
