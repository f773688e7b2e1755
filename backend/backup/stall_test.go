package backup

import (
	"context"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// stalling passes bytes on, and holds those from the server back once, for a time,
// after a number of them.
func stalling(t *testing.T, to string, armed *atomic.Bool, after int64, long time.Duration) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s, err := net.Dial("tcp", to)
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(s, c); _ = s.Close() }()
			go func() {
				defer c.Close()
				buf, passed := make([]byte, 4096), int64(0)
				for {
					n, err := s.Read(buf)
					if armed.Load() {
						if passed += int64(n); passed > after {
							armed.Store(false)
							<-time.After(long)
						}
					}
					if _, werr := c.Write(buf[:n]); err != nil || werr != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

// TestStall: what the server has sent, and the network holds back, is in the backup.
func TestStall(t *testing.T) {
	opts := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true}
	s := run(t, opts)
	direct := Account{Conn: connect(t, s)}
	kv := bucketOf(t, direct, jetstream.KeyValueConfig{Bucket: "hub_devices", Storage: jetstream.FileStorage})
	const keys = 400
	for i := range keys {
		if _, err := kv.Put(t.Context(), fmt.Sprint("k", i), make([]byte, 500)); err != nil {
			t.Fatal(err)
		}
	}
	var armed atomic.Bool
	nc, err := nats.Connect("nats://" + stalling(t, s.Addr().String(), &armed, 60_000, quiet+time.Second))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	armed.Store(true)
	dir := filepath.Join(t.TempDir(), "b")
	m, err := Account{Conn: nc}.Write(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range m.Assets {
		if a.Messages != keys {
			t.Errorf("%s has %d of %d keys, and the backup counts as whole", a.Stream, a.Messages, keys)
		}
	}
}

// TestChunkBeforeItsTaker: in a cluster the answer to STREAM.RESTORE may come before the
// interest of the server that takes the chunks.
func TestChunkBeforeItsTaker(t *testing.T) {
	t.Parallel()
	s := run(t, &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true})
	a, taker := Account{Conn: connect(t, s)}, connect(t, s)
	sent := make(chan error, 1)
	go func() { sent <- a.send(t.Context(), "S", "chunks", []byte("x")) }()
	until(t, "the first try", func(context.Context) bool { return a.Conn.Stats().InMsgs > 0 })
	if _, err := taker.Subscribe("chunks", func(m *nats.Msg) { _ = m.Respond(nil) }); err != nil {
		t.Fatal(err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}
