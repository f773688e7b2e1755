package gateway

import "github.com/hubgate/hubgate/gateway/mqtt"

// reserve enters a PUBLISH into the ring. It fails with errHalted while the window is
// full: the reader stops there, and with it the client. Any other error is why the
// connection has ended.
func (c *conn) reserve(p *mqtt.Publish, size int) (tag uint64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause != nil {
		return 0, c.cause
	}
	if !c.hasRoom(size) {
		c.halt.wanted = size
		return 0, errHalted
	}
	tag = c.pending.push(p.ID, size)
	e := c.pending.at(tag)
	e.came, e.timed = c.came, p.ID != 0 && !isRequest(p)
	return tag, nil
}

// hasRoom reports whether the window takes a packet of size bytes; a single
// packet always fits.
func (c *conn) hasRoom(size int) bool {
	l := &c.srv.Limits
	n := c.pending.len()
	return n == 0 || (!c.srv.memory.tight() && n < l.Window && c.pending.bytes+size <= l.WindowBytes && c.withinShare(n))
}

// roomShare is the part of the store's free places that one connection may take.
// With N connections that send as much as they can, each of them gets 1/(N+64) of
// all places: there is always room for somebody new, and who has to wait waits
// before his packet is taken, not in the store's queue (Choudhury and Hahne,
// "Dynamic Queue Length Thresholds", 1998).
const roomShare = 64

// withinShare reports whether a connection of which n packets are pending may
// have one more, as full as the store is.
func (c *conn) withinShare(n int) bool {
	return c.srv.Room == nil || n < c.srv.Room(c.session.ID)/roomShare
}

// forget takes back the packet that reserve has just entered.
func (c *conn) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending.drop()
}

// lose notes that a message could not be stored.
func (c *conn) lose() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lost = true
	c.changed.Broadcast()
}

// Stored implements [Receipt]: the message of tag is stored, so that its
// PUBACK may go out, after those of all earlier messages. A message that could
// not be stored ends the connection without PUBACK, and nothing after it is
// acknowledged: the client sends all of it again.
func (c *conn) Stored(tag uint64, err error) {
	if err != nil {
		c.lose()
		c.stop(err)
		c.failTrace(tag, err)
		return
	}
	c.mu.Lock()
	if c.out == nil {
		c.out = c.srv.outputs.get()
	}
	oldest := c.pending.head
	c.out = c.pending.stored(tag, c.out)
	c.acknowledged(oldest)
	spans, late := c.untrace(tag)
	if len(c.out) == 0 {
		c.srv.outputs.put(c.out)
		c.out = nil
	}
	if c.cause != nil {
		c.changed.Broadcast()
	}
	c.roomMade()
	start, grown := c.startWriting(), c.outputGrown()
	c.mu.Unlock()
	c.hold(grown)
	if start {
		c.srv.writes.add(c)
	}
	if late {
		endLate(spans)
	} else {
		end(spans, nil)
	}
}
