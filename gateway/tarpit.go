package gateway

import (
	"io"
	"sync/atomic"
	"time"
)

// tarpit holds sockets that are turned away for a moment, unread, before they
// are closed. Who tries one connection after another is slowed down, and the
// good devices at his address find some of the few places that are left to
// them. When it is full, sockets are closed at once.
type tarpit struct {
	places int64
	held   atomic.Int64
}

const (
	tarpitTime   = 500 * time.Millisecond
	tarpitPlaces = 256
	tarpitShare  = 4 // of the places for handshakes, at most one in so many
)

// close closes nc, now or a moment later.
func (p *tarpit) close(nc io.Closer) {
	if p.held.Add(1) > p.places {
		p.held.Add(-1)
		_ = nc.Close()
		return
	}
	time.AfterFunc(tarpitTime, func() {
		_ = nc.Close()
		p.held.Add(-1)
	})
}
