package admin

import (
	"container/list"
	"net"
	"net/http"
	"sync"
)

// maxWaiting is how many connections may let the node wait for a request. A
// probe is through in a moment; who sends a header byte by byte is not.
const maxWaiting = 64

// crowd bounds the connections that are not being answered: when there are too
// many, the one goes that lets us wait longest.
type crowd struct {
	mu    sync.Mutex
	order list.List // of net.Conn, the longest first
	at    map[net.Conn]*list.Element
}

// state is for http.Server.ConnState.
func (c *crowd) state(nc net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew, http.StateIdle:
		c.wait(nc)
	case http.StateClosed, http.StateHijacked:
		c.leave(nc)
	case http.StateActive: // a request has begun to come, and may take its time
	}
}

// wait says that the node waits for nc, and sends one away if there are too many.
func (c *crowd) wait(nc net.Conn) {
	c.mu.Lock()
	if c.at == nil {
		c.at = map[net.Conn]*list.Element{}
	}
	if c.at[nc] == nil {
		c.at[nc] = c.order.PushBack(nc)
	}
	var late net.Conn
	if c.order.Len() > maxWaiting {
		late = c.order.Remove(c.order.Front()).(net.Conn) //nolint:forcetypeassert // nothing else is in it
		delete(c.at, late)
	}
	c.mu.Unlock()
	if late != nil {
		_ = raw(late).Close()
	}
}

// leave says that nc is being answered, or gone.
func (c *crowd) leave(nc net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.at[nc]; e != nil {
		c.order.Remove(e)
		delete(c.at, nc)
	}
}

// raw is the socket below TLS: the farewell of TLS may have to wait for the peer.
func raw(nc net.Conn) net.Conn {
	if t, ok := nc.(interface{ NetConn() net.Conn }); ok {
		return t.NetConn()
	}
	return nc
}
