package main

import (
	"container/list"
	"net"
	"net/http"
	"sync"
)

// idleConns bounds the connections of the HTTPS listener that wait for their
// next request: when there are too many, the one goes that has waited longest.
// Those before their first request are in the gateway's gate, and those with a
// request are counted by [apiDoor].
type idleConns struct {
	limit int

	mu    sync.Mutex
	order list.List // of net.Conn, the longest first
	at    map[net.Conn]*list.Element
}

// state is for http.Server.ConnState.
func (i *idleConns) state(nc net.Conn, state http.ConnState) {
	if surplus := i.note(nc, state == http.StateIdle); surplus != nil {
		_ = surplus.Close()
	}
}

// note notes whether nc is idle, and returns who has to go for it.
func (i *idleConns) note(nc net.Conn, idle bool) net.Conn { //nolint:revive // both halves keep one list
	i.mu.Lock()
	defer i.mu.Unlock()
	i.remove(nc)
	if !idle {
		return nil
	}
	if i.at == nil {
		i.at = map[net.Conn]*list.Element{}
	}
	i.at[nc] = i.order.PushBack(nc)
	if i.order.Len() <= i.limit {
		return nil
	}
	oldest := i.order.Front().Value.(net.Conn) //nolint:forcetypeassert // nothing else is in it
	i.remove(oldest)
	return raw(oldest)
}

// remove forgets nc. i.mu is held.
func (i *idleConns) remove(nc net.Conn) {
	if e := i.at[nc]; e != nil {
		i.order.Remove(e)
		delete(i.at, nc)
	}
}

// raw is the socket below TLS: the farewell of TLS may have to wait for the peer.
func raw(nc net.Conn) net.Conn {
	if t, ok := nc.(interface{ NetConn() net.Conn }); ok {
		return t.NetConn()
	}
	return nc
}
