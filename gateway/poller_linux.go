//go:build !nopoller

package gateway

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
)

// poller watches the sockets of connections that have no goroutine. It is an epoll
// instance, which the runtime's own poller watches in turn.
type poller struct {
	file *os.File
	raw  syscall.RawConn // of file

	mu    sync.Mutex
	conns []*conn // by place; nil: the place is free
	free  []int32
}

// pollerEvents is how many sockets are asked about at once.
const pollerEvents = 256

func openPoller() (*poller, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	if err := syscall.SetNonblock(fd, true); err != nil { // or the runtime does not watch it
		_ = syscall.Close(fd)
		return nil, fmt.Errorf("make epoll non-blocking: %w", err)
	}
	p := &poller{file: os.NewFile(uintptr(fd), "epoll")}
	if p.raw, err = p.file.SyscallConn(); err != nil {
		_ = p.file.Close()
		return nil, err
	}
	return p, nil
}

// add watches the socket of c. What is there already is told too.
func (p *poller) add(c *conn) error {
	p.mu.Lock()
	if n := len(p.free); n > 0 {
		c.watch.place, p.free = p.free[n-1], p.free[:n-1]
		p.conns[c.watch.place] = c
	} else {
		c.watch.place = int32(len(p.conns)) //nolint:gosec // as many as there are descriptors
		p.conns = append(p.conns, c)
	}
	p.mu.Unlock()
	err := p.register(c.src.socket(), c.watch.place)
	if err != nil {
		p.remove(c)
	}
	return err
}

// edgeTriggered is EPOLLET, which package syscall has as a negative number.
const edgeTriggered = 1 << 31

// register has the kernel tell of a socket under its place.
func (p *poller) register(s *tcpSource, place int32) error {
	event := syscall.EpollEvent{Events: syscall.EPOLLIN | syscall.EPOLLRDHUP | edgeTriggered, Fd: place}
	var its, err error
	ours := p.raw.Control(func(epoll uintptr) {
		its = s.raw.Control(func(fd uintptr) {
			err = syscall.EpollCtl(int(epoll), syscall.EPOLL_CTL_ADD, int(fd), &event)
		})
	})
	return cmp.Or(ours, its, err)
}

// remove forgets c. The kernel forgets a socket that is closed; of what it has told
// before, somebody else may get to hear, to whom it does no harm.
func (p *poller) remove(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c.watch.place] = nil
	p.free = append(p.free, c.watch.place)
}

// run has connections read by l when there is something to read, until close.
func (p *poller) run(l *line) {
	var events [pollerEvents]syscall.EpollEvent
	var n int
	ask := func(epoll uintptr) bool {
		for {
			var err error
			if n, err = syscall.EpollWait(int(epoll), events[:], 0); !errors.Is(err, syscall.EINTR) {
				return n > 0 // or the runtime waits for more
			}
		}
	}
	var conns []*conn
	for p.raw.Read(ask) == nil {
		conns = p.noticed(events[:n], conns[:0])
		l.add(conns...)
	}
}

// noticed appends the connections that events are about and that nobody reads.
func (p *poller) noticed(events []syscall.EpollEvent, conns []*conn) []*conn {
	const last = syscall.EPOLLRDHUP | syscall.EPOLLHUP | syscall.EPOLLERR
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range events {
		c := p.conns[e.Fd]
		if c == nil {
			continue
		}
		if e.Events&last != 0 {
			c.src.socket().over.Store(true)
		}
		if c.noticed() {
			conns = append(conns, c)
		}
	}
	return conns
}

func (p *poller) close() { _ = p.file.Close() }
