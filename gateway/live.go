package gateway

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hubgate/hubgate/hub"
)

// live is the table of this node's connections, one per identity.
type live struct {
	mu      sync.RWMutex
	devices map[string]device
	count   int
	closed  bool
	serving sync.WaitGroup // connections that were put and have not ended
	running atomic.Int64   // how many
}

// device is the connections of a device and of its modules.
type device struct {
	own     *conn
	modules []*conn
}

// put enters c, and returns the older connection of its identity that has to
// go. It fails when a newer one is there already, or the table is closed.
func (l *live) put(c *conn) (older *conn, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errShutdown
	}
	older = l.find(c.session.ID)
	if older != nil && older.session.Epoch > c.session.Epoch {
		return nil, errReplaced
	}
	l.remove(older)
	l.add(c)
	l.serving.Add(1)
	l.running.Add(1)
	return older, nil
}

// done says that a connection that was put has ended.
func (l *live) done() {
	l.running.Add(-1)
	l.serving.Done()
}

// wait returns when all have, after close.
func (l *live) wait() { l.serving.Wait() }

// drop removes c, unless another connection has taken its place.
func (l *live) drop(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.find(c.session.ID) == c {
		l.remove(c)
	}
}

// get returns the connection of id, or nil.
func (l *live) get(id hub.Identity) *conn {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.find(id)
}

// of returns the connections of a device and of its modules.
func (l *live) of(name string) []*conn {
	l.mu.RLock()
	defer l.mu.RUnlock()
	d := l.devices[name]
	conns := append([]*conn(nil), d.modules...)
	if d.own != nil {
		conns = append(conns, d.own)
	}
	return conns
}

// close refuses newcomers from now on.
func (l *live) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
}

// all returns everybody who is here.
func (l *live) all() []*conn {
	l.mu.RLock()
	defer l.mu.RUnlock()
	conns := make([]*conn, 0, l.count)
	for _, d := range l.devices {
		conns = append(conns, d.modules...)
		if d.own != nil {
			conns = append(conns, d.own)
		}
	}
	return conns
}

// len is the number of connections.
func (l *live) len() int {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.count
}

func (l *live) find(id hub.Identity) *conn {
	d := l.devices[id.Device]
	if !id.IsModule() {
		return d.own
	}
	for _, c := range d.modules {
		if c.session.ID == id {
			return c
		}
	}
	return nil
}

func (l *live) add(c *conn) {
	if l.devices == nil {
		l.devices = make(map[string]device)
	}
	id := c.session.ID
	d := l.devices[id.Device]
	if id.IsModule() {
		d.modules = append(d.modules, c)
	} else {
		d.own = c
	}
	l.devices[id.Device] = d
	l.count++
}

func (l *live) remove(c *conn) {
	if c == nil {
		return
	}
	id := c.session.ID
	d := l.devices[id.Device]
	if d.own == c {
		d.own = nil
	}
	d.modules = slices.DeleteFunc(d.modules, func(m *conn) bool { return m == c })
	l.count--
	if d.own == nil && len(d.modules) == 0 {
		delete(l.devices, id.Device)
		return
	}
	l.devices[id.Device] = d
}
