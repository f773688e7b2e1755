//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

const (
	readSize  = 128 << 10        // one read takes all that a socket has
	maxEvents = 1024             // of one turn of the poller
	drainTime = 20 * time.Second // how long the last acknowledgements may take
	idleWait  = 50               // ms: how long the poller sleeps when nothing is due
	spinBelow = 1500 * time.Microsecond

	// maxScheduled bounds what an open-loop connection has in flight: beyond it
	// the message waits in the generator, and its latency counts all the same.
	maxScheduled = 1024
	// greedyWindow is more than a connection needs to be the only limit of its rate.
	greedyWindow = 256
)

// load is what a cell asks for: a window per connection (closed loop), or a
// rate over all connections (open loop).
type load struct {
	window int // messages in flight per connection; 0 with a rate
	rate   int // messages per second of all connections; 0 with a window
	// greedy is how many connections, the last ones, have greedyWindow messages in
	// flight all the time beside those that keep to the rate.
	greedy int

	warm, measure time.Duration
	probe         func() usage // called when the measured time begins and ends
}

// outcome is what a cell gave.
type outcome struct {
	Sent, Acked uint64 // of the whole cell
	Counted     uint64 // acknowledged within the measured time
	Elapsed     time.Duration
	Used        usage // within the measured time
	Disorder    int   // PUBACKs that came out of order
	Dropped     int   // connections that the server ended
	Refused     int   // requests that were answered with an error
	Refusal     string
	Latency     []time.Duration
}

// engine drives the connections of one cell from one goroutine.
type engine struct {
	poll    int
	clients []*client
	paced   uint64 // how many of them, from the first, keep to the rate
	load    load

	start, from, until, now time.Time
	stopping                bool
	due                     uint64 // open loop: messages whose time has come
	out                     outcome
	rbuf, wbuf, sbuf        []byte
	events                  [maxEvents]unix.EpollEvent
}

// run drives clients until the load is over and every message is acknowledged,
// or was not for too long. The clients stay open.
func run(clients []*client, l load) (outcome, error) {
	e, err := newEngine(clients, l)
	if err != nil {
		return outcome{}, err
	}
	defer e.close()
	e.loop()
	return e.out, nil
}

// newEngine takes clients over, until close.
func newEngine(clients []*client, l load) (*engine, error) {
	poll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create poller: %w", err)
	}
	e := &engine{poll: poll, clients: clients, paced: uint64(len(clients) - l.greedy), load: l, rbuf: make([]byte, readSize)}
	e.out.Latency = make([]time.Duration, 0, int(l.measure.Seconds()+1)*l.rate)
	for i, c := range clients {
		c.index = i
		ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)}
		err := errors.Join(unix.SetNonblock(c.fd, true), unix.EpollCtl(poll, unix.EPOLL_CTL_ADD, c.fd, &ev))
		if err != nil {
			e.close()
			return nil, fmt.Errorf("watch socket: %w", err)
		}
	}
	return e, nil
}

func (e *engine) close() { unix.Close(e.poll) }

func (e *engine) loop() {
	e.now = time.Now()
	e.start = e.now
	e.from = e.start.Add(e.load.warm)
	e.until = e.from.Add(e.load.measure)
	for _, c := range e.clients {
		e.send(c, e.windowOf(c))
	}
	before, marked := usage{}, time.Time{}
	for e.now = time.Now(); marked.IsZero() || e.now.Before(e.until); e.now = time.Now() {
		if marked.IsZero() && !e.now.Before(e.from) {
			marked, before = e.now, e.load.probe()
			e.out.Counted = 0
		}
		e.sendDue(e.now)
		e.turn(e.wait())
	}
	e.sendDue(e.until) // a generator that was held up at the end owes them
	e.out.Elapsed = time.Since(marked)
	e.out.Used = e.load.probe().since(before)
	counted := e.out.Counted
	e.stopping = true
	e.drain()
	e.out.Counted = counted
}

// windowOf is how many messages c has in flight all the time; 0: it keeps to the
// rate.
func (e *engine) windowOf(c *client) int {
	if uint64(c.index) >= e.paced {
		return greedyWindow
	}
	return e.load.window
}

// drain waits until every sent message is acknowledged.
func (e *engine) drain() {
	for deadline := e.now.Add(drainTime); e.pending() > 0 && time.Now().Before(deadline); {
		e.turn(idleWait)
	}
}

func (e *engine) pending() int {
	n := 0
	for _, c := range e.clients {
		if !c.closed && c.acked < c.sent {
			n++
		}
	}
	return n
}

// wait is how long the poller may sleep, in ms: not at all when a scheduled
// message is near, because a timer wakes up too late to measure with.
func (e *engine) wait() int {
	if e.load.rate == 0 {
		return idleWait
	}
	left := e.dueAt(e.due).Sub(e.now)
	if left < spinBelow {
		return 0
	}
	return int(left/time.Millisecond) - 1
}

// dueAt is when message n of the open loop is to be sent.
func (e *engine) dueAt(n uint64) time.Time {
	return e.start.Add(time.Duration(n) * time.Second / time.Duration(e.load.rate))
}

// sendDue sends the messages that were due before a time, device after device.
func (e *engine) sendDue(before time.Time) {
	if e.load.rate == 0 {
		return
	}
	for ; e.dueAt(e.due).Before(before); e.due++ {
		e.catchUp(int(e.due%e.paced), e.due)
	}
}

// catchUp sends what connection i owes by message number due, unless too much
// of it is in flight.
func (e *engine) catchUp(i int, due uint64) {
	c := e.clients[i]
	owed := due/e.paced + 1
	for c.sent < owed && c.sent-c.acked < maxScheduled && !c.closed {
		e.send(c, 1)
	}
}

// turn lets the poller wait and handles what came.
func (e *engine) turn(wait int) {
	n, err := unix.EpollWait(e.poll, e.events[:], wait)
	if err != nil {
		return // EINTR: the loop comes back
	}
	e.now = time.Now()
	for _, ev := range e.events[:n] {
		c := e.clients[ev.Fd]
		if ev.Events&unix.EPOLLOUT != 0 {
			e.flush(c)
		}
		if ev.Events&(unix.EPOLLIN|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
			e.receive(c)
		}
	}
}

// receive reads acknowledgements of client c and, in a closed loop, sends as
// many messages as were acknowledged.
func (e *engine) receive(c *client) {
	if c.closed {
		return
	}
	n, err := unix.Read(c.fd, e.rbuf)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		return
	}
	if err != nil || n == 0 {
		e.drop(c)
		return
	}
	acks, err := e.take(c, e.rbuf[:n])
	if err != nil {
		e.drop(c)
		return
	}
	e.out.Acked += uint64(acks)
	e.out.Counted += uint64(acks)
	if len(c.reply) > 0 {
		e.transmit(c, c.reply)
		c.reply = c.reply[:0]
	}
	if e.windowOf(c) > 0 && !e.stopping {
		e.send(c, acks)
	}
}

// take counts the PUBACKs, answers and deliveries in what was read from client
// c, and keeps the start of a packet that has not come whole.
func (e *engine) take(c *client, data []byte) (acks int, err error) {
	if data, err = c.opened(data); err != nil {
		return 0, err
	}
	if len(c.rx) > 0 {
		c.rx = append(c.rx, data...)
		data = c.rx
	}
	for {
		size, err := frame(data)
		if err != nil {
			return acks, err
		}
		if size == 0 {
			c.rx = append(c.rx[:0], data...)
			return acks, nil
		}
		switch data[0] {
		case typePuback:
			e.acknowledged(c, binary.BigEndian.Uint16(data[2:]))
			acks++
		case typePublishQ0:
			e.answered(c, data[:size])
			acks++
		case typePublishQ1, typePublishQ1 | flagDup:
			if err := e.delivered(c, data[:size]); err != nil {
				return acks, err
			}
			acks++
		case typeSuback, typePingresp:
		default:
			return acks, fmt.Errorf("unexpected packet %x", data[:size])
		}
		data = data[size:]
	}
}

func (e *engine) acknowledged(c *client, id uint16) {
	if id != packetID(c.acked) {
		e.out.Disorder++
	}
	if e.load.rate > 0 && uint64(c.index) < e.paced {
		due := e.dueAt(c.acked*e.paced + uint64(c.index))
		if !due.Before(e.from) && due.Before(e.until) {
			e.out.Latency = append(e.out.Latency, e.now.Sub(due))
		}
	}
	c.acked++
}

// send writes the next n messages of c in one call.
func (e *engine) send(c *client, n int) {
	if n == 0 || c.closed {
		return
	}
	e.wbuf = e.wbuf[:0]
	for range n {
		e.wbuf = c.next(e.wbuf)
		c.sent++
	}
	e.out.Sent += uint64(n)
	e.transmit(c, e.wbuf)
}

// transmit sends data behind what the socket has not taken yet.
func (e *engine) transmit(c *client, data []byte) {
	if c.secure != nil {
		e.sbuf = c.secure.seal(e.sbuf[:0], data)
		data = e.sbuf
	}
	if len(c.tx) > 0 {
		c.tx = append(c.tx, data...)
		return
	}
	e.write(c, data)
}

// write sends data, and leaves to the poller what the socket does not take.
func (e *engine) write(c *client, data []byte) {
	n, err := unix.Write(c.fd, data)
	if err != nil && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
		e.drop(c)
		return
	}
	if rest := data[max(n, 0):]; len(rest) > 0 {
		c.tx = append(c.tx, rest...)
		e.watch(c, unix.EPOLLIN|unix.EPOLLOUT)
	}
}

// flush writes what the socket did not take before.
func (e *engine) flush(c *client) {
	data := c.tx
	c.tx = nil
	e.watch(c, unix.EPOLLIN)
	e.write(c, data)
}

func (e *engine) watch(c *client, events uint32) {
	ev := unix.EpollEvent{Events: events, Fd: int32(c.index)}
	if err := unix.EpollCtl(e.poll, unix.EPOLL_CTL_MOD, c.fd, &ev); err != nil {
		e.drop(c)
	}
}

// drop forgets a connection that the server ended.
func (e *engine) drop(c *client) {
	if c.closed {
		return
	}
	c.closed = true
	e.out.Dropped++
	_ = unix.EpollCtl(e.poll, unix.EPOLL_CTL_DEL, c.fd, nil)
}
