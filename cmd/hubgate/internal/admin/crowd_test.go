package admin

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// TestCrowd opens many more connections than may wait, each with half a header:
// a probe is answered all the same, and those who wait longest are gone.
func TestCrowd(t *testing.T) {
	l := serve(t, AccessFiles{})
	l.Started(started(""))
	addr := strings.TrimPrefix(l.url, "http://")
	var conns []net.Conn
	for range 4 * maxWaiting {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = nc.Close() })
		_, _ = io.WriteString(nc, "GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
		conns = append(conns, nc)
		if len(conns)%32 == 0 {
			if got := l.get(t, "/readyz", nil); got.status != 200 {
				t.Fatalf("with %d slow connections: %v", len(conns), got)
			}
		}
	}
	for i, nc := range conns[:2*maxWaiting] {
		_ = nc.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := nc.Read(make([]byte, 1)); err == nil || isTimeout(err) {
			t.Fatalf("connection %d is still there: %v", i, err)
		}
	}
	last := conns[len(conns)-1]
	fmt.Fprint(last, "x\r\n\r\n")
	_ = last.SetReadDeadline(time.Now().Add(20 * time.Second))
	b := make([]byte, 12)
	if _, err := io.ReadFull(last, b); err != nil || string(b) != "HTTP/1.1 200" {
		t.Errorf("the last one, which has finished its header: %q, %v", b, err)
	}
	l.crowd.mu.Lock()
	defer l.crowd.mu.Unlock()
	if n := l.crowd.order.Len(); n > maxWaiting || n != len(l.crowd.at) {
		t.Errorf("%d wait, and %d are known", n, len(l.crowd.at))
	}
}

func isTimeout(err error) bool {
	ne, ok := errors.AsType[net.Error](err)
	return ok && ne.Timeout()
}
