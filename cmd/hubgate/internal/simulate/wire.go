package simulate

import (
	"net"
	"sync/atomic"
	"time"
)

// wire is the TCP connection below a device's TLS. It can be cut as a network
// cuts it, or go silent while it stays open.
type wire struct {
	*net.TCPConn

	silent atomic.Bool
}

// Close implements [net.Conn]; a silent wire stays open.
func (w *wire) Close() error {
	if w.silent.Load() {
		return nil
	}
	return w.TCPConn.Close()
}

// Write implements [net.Conn]; a silent wire takes nothing.
func (w *wire) Write(b []byte) (int, error) {
	if w.silent.Load() {
		return 0, net.ErrClosed
	}
	return w.TCPConn.Write(b)
}

// cut ends the connection without a word: the other side gets a reset.
func (w *wire) cut() {
	_ = w.SetLinger(0)
	_ = w.TCPConn.Close()
}

// hush makes whoever reads go, and leaves the connection half open for a while.
func (w *wire) hush(d time.Duration) {
	w.silent.Store(true)
	_ = w.SetReadDeadline(time.Unix(1, 0))
	time.AfterFunc(d, w.cut)
}
