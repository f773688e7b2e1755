//go:build linux

package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// handshake is one way to connect, of which the cost is measured.
type handshake struct {
	row     string
	version uint16 // 0: plain TCP
	resumed bool
}

// handshakes are the ways measured.
func handshakes(quick bool) []handshake {
	all := []handshake{
		{row: "connect tls1.2", version: tls.VersionTLS12},
		{row: "connect tls1.2 resumed", version: tls.VersionTLS12, resumed: true},
		{row: "connect tls1.3", version: tls.VersionTLS13},
		{row: "connect tls1.3 resumed", version: tls.VersionTLS13, resumed: true},
		{row: "connect plain"},
	}
	if quick {
		return all[2:4]
	}
	return all
}

// connector makes one connection after another and remembers TLS sessions.
type connector struct {
	addr   netip.AddrPort
	config *tls.Config // nil: plain TCP
	server *server
}

func newConnector(s *server, h handshake) *connector {
	c := &connector{addr: s.plain, server: s}
	if h.version == 0 {
		return c
	}
	c.addr, c.config = s.secure, s.config.Clone()
	c.config.MinVersion, c.config.MaxVersion = h.version, h.version
	if h.resumed {
		c.config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	}
	return c
}

// once connects as device i up to the CONNACK, says DISCONNECT and waits until
// the server has closed. It reports whether the TLS session was resumed.
func (c *connector) once(i int) (resumed bool, err error) {
	conn, err := net.DialTimeout("tcp4", c.addr.String(), dialTimeout)
	if err != nil {
		return false, fmt.Errorf("dial: %w", err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(dialTimeout))
	if c.config == nil {
		return false, c.dialogue(conn, i)
	}
	secure := tls.Client(conn, c.config)
	if err := secure.Handshake(); err != nil {
		return false, fmt.Errorf("tls handshake: %w", err)
	}
	return secure.ConnectionState().DidResume, c.dialogue(secure, i)
}

func (c *connector) dialogue(conn io.ReadWriter, i int) error {
	if _, err := conn.Write(c.server.who(i).connect); err != nil {
		return fmt.Errorf("send CONNECT: %w", err)
	}
	answer := make([]byte, 4)
	if _, err := io.ReadFull(conn, answer); err != nil {
		return fmt.Errorf("read CONNACK: %w", err)
	}
	if err := checkConnack(answer); err != nil {
		return err
	}
	if _, err := conn.Write(appendDisconnect(nil)); err != nil {
		return fmt.Errorf("send DISCONNECT: %w", err)
	}
	_, _ = conn.Read(answer) // until the server closes, however it does
	return nil
}

// measureConnects makes the round's connections to s, several at a time, and
// records what one cost the server until all was quiet again.
func (b *bench) measureConnects(h handshake, s *server) error {
	workers := make([]*connector, dialers)
	for i := range workers {
		workers[i] = newConnector(s, h)
		if _, err := workers[i].once(i); err != nil {
			return err
		}
	}
	s.proc.settle()
	begin, cpu := time.Now(), cpuTime(s.proc.pid())
	resumed, err := connectMany(workers, b.connects)
	if err != nil {
		return err
	}
	elapsed := time.Since(begin)
	s.proc.settle()
	spent := cpuTime(s.proc.pid()) - cpu
	b.book.add(h.row, s.name, metricConnCPU, float64(spent.Nanoseconds())/1e3/float64(b.connects))
	b.book.add(h.row, s.name, metricConns, float64(b.connects)/elapsed.Seconds())
	if h.resumed && resumed < b.connects*9/10 {
		b.book.note(h.row, s.name, fmt.Sprintf("only %d of %d sessions resumed", resumed, b.connects))
	}
	return s.proc.fault()
}

func connectMany(workers []*connector, total int) (resumed int, err error) {
	errs := make([]error, len(workers))
	counts := make([]int, len(workers))
	var wg sync.WaitGroup
	for w, c := range workers {
		wg.Go(func() {
			for i := w; i < total && errs[w] == nil; i += len(workers) {
				did, err := c.once(i)
				errs[w] = err
				if did {
					counts[w]++
				}
			}
		})
	}
	wg.Wait()
	for _, n := range counts {
		resumed += n
	}
	return resumed, errors.Join(errs...)
}

// Idle rows.
const (
	rowIdlePlain  = "idle plain"
	rowIdleSecure = "idle tls1.3"
	idleSettle    = 1500 * time.Millisecond
	idleFirst     = 32 // connections before the base line: pools and tables are made by then
)

// measureIdle records the resident memory per idle connection of a server that
// has just been started.
func (b *bench) measureIdle(row string, s *server) error {
	c := cell{conns: idleFirst, secure: row == rowIdleSecure}
	first, err := dialAll(s, c)
	closeAll(first)
	if err != nil {
		return err
	}
	s.proc.rest(idleSettle) // as long as with the connections: what a start leaves behind is given back
	s.proc.settle()
	base := residentBytes(s.proc.pid())
	c.conns = b.idle
	clients, err := dialAll(s, c)
	defer closeAll(clients)
	if err != nil {
		return err
	}
	s.proc.rest(idleSettle)
	s.proc.settle()
	b.book.add(row, s.name, metricIdle, float64(residentBytes(s.proc.pid())-base)/float64(b.idle))
	return s.proc.fault()
}
