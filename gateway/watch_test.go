package gateway

import (
	"crypto/tls"
	"net"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
)

// TestWatch: whoever notices something has it read, by one reader at a time.
func TestWatch(t *testing.T) {
	const noticers, each = 4, 5000
	var w watch
	var there, seen, readers atomic.Int64
	read := func() {
		if n := readers.Add(1); n != 1 {
			t.Errorf("%d read at the same time", n)
		}
		for {
			seen.Store(there.Load())
			readers.Add(-1)
			if w.rest() {
				return
			}
			readers.Add(1)
		}
	}
	read() // as a connection begins
	var done sync.WaitGroup
	for range noticers {
		done.Go(func() {
			for range each {
				there.Add(1)
				if w.notice() {
					done.Go(read)
				}
			}
		})
	}
	done.Wait()
	if seen.Load() != noticers*each {
		t.Errorf("%d of %d were seen", seen.Load(), noticers*each)
	}
}

// dialSecure connects a device by TLS.
func dialSecure(t *testing.T, addr string, config *tls.Config, id string) *client {
	t.Helper()
	nc, err := tls.Dial("tcp", addr, config)
	if err != nil {
		t.Fatal(err)
	}
	return newClient(t, nc).join(id, 60)
}

// eventually waits for what nobody tells of.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// dribble hands bytes on one at a time, each when the one before has been read.
type dribble struct {
	net.Conn
	t    *testing.T
	read func() bool
}

func (d dribble) Write(p []byte) (int, error) {
	for i := range p {
		if _, err := d.Conn.Write(p[i : i+1]); err != nil {
			return i, err
		}
		eventually(d.t, "the byte to be read", d.read)
	}
	return len(p), nil
}

// TestByteByByte: packets and TLS records may come in pieces, between which nobody reads.
func TestByteByByte(t *testing.T) {
	server, roots := selfSigned(t)
	roots.ServerName = "127.0.0.1"
	w := newWorld(t, func(w *world) { w.TLS = server })
	addr := listenTLS(t, w)
	for name, version := range map[string]uint16{"plain": 0, "TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			id := "d" + strconv.Itoa(int(version))
			through := new(switched)
			var err error
			if version == 0 {
				through.Conn, err = net.Dial("tcp", w.addr)
			} else {
				through.Conn, err = net.Dial("tcp", addr)
			}
			if err != nil {
				t.Fatal(err)
			}
			nc := net.Conn(through)
			if version != 0 {
				config := roots.Clone()
				config.MaxVersion = version
				nc = tls.Client(through, config)
			}
			c := newClient(t, nc).join(id, 60)
			conn := w.live.get(hub.Identity{Device: id})
			through.Conn = dribble{through.Conn, t, func() bool { return conn.ended() != nil || conn.idles() }}
			for i := range uint16(3) {
				c.publish(i+1, "message")
				if a := next[*mqtt.Puback](c); a.ID != i+1 {
					t.Errorf("PUBACK %d, want %d", a.ID, i+1)
				}
				<-w.handler.came
			}
		})
	}
}

// switched is a connection that another one takes the place of.
type switched struct{ net.Conn }

// idles reports whether nobody reads c and nothing is there to be read.
func (c *conn) idles() bool { return c.watch.alarm == nil || c.watch.state.Load() == waiting }

// TestLastWords: who sends something and closes at once is heard, and is seen to have
// gone.
func TestLastWords(t *testing.T) {
	server, roots := selfSigned(t)
	roots.ServerName = "127.0.0.1"
	w := newWorld(t, func(w *world) { w.TLS = server })
	addr := listenTLS(t, w)
	for range 200 {
		c := w.connect(t, "d1")
		w.event(t)
		c.publish(0, "farewell")
		if err := c.nc.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		<-w.handler.came
		if e := w.event(t); e.Code != hub.ConnectionLost {
			t.Fatalf("event %+v, want ConnectionLost", e)
		}
	}
	for range 50 {
		c := dialSecure(t, addr, roots, "d2")
		w.event(t)
		c.publish(0, "farewell")
		if err := c.nc.(*tls.Conn).NetConn().(*net.TCPConn).CloseWrite(); err != nil { // without close_notify
			t.Fatal(err)
		}
		<-w.handler.came
		if e := w.event(t); e.Code != hub.ConnectionLost {
			t.Fatalf("event %+v, want ConnectionLost", e)
		}
	}
}
