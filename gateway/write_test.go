package gateway

import (
	"bytes"
	"context"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubgate/hubgate/gateway/mqtt"
)

// muchOutput is far more than two small sockets hold for a peer who does not read.
const muchOutput = 32 * smallSocket

// send queues packets, however many.
func (w *socketWorld) send(c *conn, packets []byte) {
	c.mu.Lock()
	c.out = append(c.out, packets...)
	start := c.startWriting()
	c.mu.Unlock()
	if start {
		w.srv.writes.add(c)
	}
}

func expect(t *testing.T, from io.Reader, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(from, got); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("read %.20q, %v; want %.20q", got, err, want)
	}
}

// TestSlowReader: who does not read keeps nobody waiting, and gets everything as soon as
// he reads.
func TestSlowReader(t *testing.T) {
	for name, secure := range map[string]bool{"plain": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newSocketWorld(t, secure)
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
		})
	}
}

// TestWriterBehindTheReader: a TLS connection has its reader write at times, an alert or
// the answer to a request for new keys. If that has to wait for the peer, a writer waits
// for the reader, and must not keep others waiting.
func TestWriterBehindTheReader(t *testing.T) {
	t.Parallel()
	w := newSocketWorld(t, true)
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

// TestQueuedMeanwhile: what is queued while a connection is flushed is written.
func TestQueuedMeanwhile(t *testing.T) {
	t.Parallel()
	w := newSocketWorld(t, false)
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
}

// deadlines is a source that remembers its write deadlines.
type deadlines struct {
	pipe
	all *[]time.Time
}

func (d deadlines) SetWriteDeadline(t time.Time) error {
	*d.all = append(*d.all, t)
	return d.pipe.SetWriteDeadline(t)
}

// TestRestWithoutDeadline: what is no socket has a write deadline while it is written to,
// and only then.
func TestRestWithoutDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newBubble(t, nil)
		near, far := net.Pipe()
		var all []time.Time
		go w.accept(context.Background(), deadlines{pipe{near}, &all}, Peer{Remote: "192.0.2.1:5"}, w.gate.enter(near))
		c := newClient(t, far).join("d", 60)
		for range 2 {
			synctest.Wait()
			all = nil
			c.write(&mqtt.Pingreq{})
			next[*mqtt.Pingresp](c)
			synctest.Wait()
			if len(all) != 2 || !all[0].After(time.Now()) || !all[1].IsZero() {
				t.Errorf("the deadlines were %v", all)
			}
		}
		go c.hungUp()
		w.close(t)
	})
}
