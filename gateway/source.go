package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/coder/websocket"
)

// source is the byte stream below a connection.
type source interface {
	net.Conn
	// fill waits for bytes and reads them into in, or, when in is nil, into an
	// inbox that it takes from pool only once there is something to read. It
	// returns the inbox, which is nil when in was and nothing was read.
	fill(in *inbox, pool *inboxes) (*inbox, error)
	// rested reports whether fill has had to wait for the peer since the last call;
	// false if that is not known.
	rested() bool
	// socket is what fill waits for, if nothing else; nil: that is not known.
	socket() *tcpSource
	// abort closes the stream without a farewell, which a peer that does not
	// read would delay.
	abort() error
}

// tcpSource reads a socket without holding a buffer while it waits.
type tcpSource struct {
	net.Conn
	raw  syscall.RawConn
	turn *turn // of the peer, until CONNECT is answered; then nil

	// Of the fill that is running. They are fields, not captured variables, so
	// that waiting allocates nothing.
	onReady func(fd uintptr) bool
	in      *inbox
	pool    *inboxes
	err     error

	waited bool // there was nothing to read

	watched bool        // nobody waits in fill: it returns errLater
	drained bool        // of a watched one: nothing is left to be read, until it is told of
	over    atomic.Bool // of a watched one: the peer has ended, so that the end is left

	writeBy atomic.Int64 // the deadline of writes, in Unix nanoseconds; 0: none
}

// SetDeadline implements net.Conn.
func (s *tcpSource) SetDeadline(t time.Time) error {
	s.noteWrites(t)
	return s.Conn.SetDeadline(t)
}

// SetWriteDeadline implements net.Conn.
func (s *tcpSource) SetWriteDeadline(t time.Time) error {
	s.noteWrites(t)
	return s.Conn.SetWriteDeadline(t)
}

func (s *tcpSource) noteWrites(by time.Time) {
	if by.IsZero() {
		s.writeBy.Store(0)
		return
	}
	s.writeBy.Store(by.UnixNano())
}

// errLater says that there is nothing to read now. To crypto/tls it is a failure that
// passes.
var errLater net.Error = later{}

type later struct{}

func (later) Error() string   { return "nothing to read now" }
func (later) Timeout() bool   { return false }
func (later) Temporary() bool { return true }

// newTCPSource returns a source of nc, which must be a socket of package net.
func newTCPSource(nc net.Conn) (*tcpSource, error) {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return nil, errNoSocket
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &tcpSource{Conn: nc, raw: raw}
	s.onReady = s.readReady
	return s, nil
}

func (s *tcpSource) fill(in *inbox, pool *inboxes) (*inbox, error) {
	if s.drained && !s.over.Load() {
		return in, errLater
	}
	s.in, s.pool, s.err = in, pool, nil
	err := s.raw.Read(s.onReady)
	in, s.in, s.pool = s.in, nil, nil
	if err == nil {
		err = s.err
	}
	return in, err
}

// watch has fill wait no more, because somebody else tells what comes, from before
// this call on.
func (s *tcpSource) watch() { s.watched, s.drained = true, true }

// stir says that there may be something to read.
func (s *tcpSource) stir() { s.drained = false }

// socket implements [source].
func (s *tcpSource) socket() *tcpSource { return s }

func (s *tcpSource) abort() error { return s.Conn.Close() }

func (s *tcpSource) rested() bool {
	waited := s.waited
	s.waited = false
	return waited
}

// settle says that CONNECT is being answered: the gate need not know any more
// for whom we wait.
func (s *tcpSource) settle() { s.turn = nil }

// CloseWrite tells the peer that nothing more comes.
func (s *tcpSource) CloseWrite() error {
	half, ok := s.Conn.(interface{ CloseWrite() error })
	if !ok {
		return errNoSocket
	}
	return half.CloseWrite()
}

// readReady is called whenever the socket may have bytes; false means wait.
func (s *tcpSource) readReady(fd uintptr) bool {
	in := s.in
	if in == nil {
		in = s.pool.get()
	}
	n, again, err := readSocket(fd, in.space())
	if again {
		if s.in == nil {
			s.pool.put(in)
		}
		if s.turn != nil {
			s.turn.waiting()
		}
		s.waited = true
		if s.watched {
			s.err = errLater
		}
		return s.watched
	}
	s.in = in
	if n > 0 {
		s.drained = s.watched && n < len(in.space())
		in.add(n)
		return true
	}
	s.err = err
	if err == nil {
		s.err = io.EOF
	}
	return true
}

// recordConn is a socket below crypto/tls that hands out at most one TLS
// record at a time and holds a buffer only between a read and its use. With
// it, a tls.Conn never keeps bytes of a record that was not asked for, so that
// an empty recordConn means that there is nothing to read without waiting.
type recordConn struct {
	*tcpSource
	buffers *inboxes
	have    *inbox // what was read and not handed out; nil when empty
	left    int    // bytes of the current record that are still to come
}

const (
	recordHeaderSize = 5 // type, version, length [RFC 8446, 5.1]
	answerTimeout    = 10 * time.Second
)

// wait returns when there is something to read.
func (c *recordConn) wait() error {
	if c.have != nil {
		return nil
	}
	return c.more()
}

func (c *recordConn) more() error {
	in, err := c.tcpSource.fill(c.have, c.buffers)
	c.have = in
	return err
}

// Read implements net.Conn for crypto/tls.
func (c *recordConn) Read(p []byte) (int, error) {
	if c.turn == nil {
		return c.read(p)
	}
	c.turn.give()
	n, err := c.read(p)
	if err == nil {
		err = c.turn.take()
	}
	return n, err
}

// Write implements net.Conn for crypto/tls.
func (c *recordConn) Write(p []byte) (int, error) {
	if c.turn != nil {
		c.turn.give() // a peer who does not read must not keep it
		c.turn.answering()
	}
	c.allow()
	return c.tcpSource.Write(p)
}

// allow moves on a deadline that has come since the last flush: crypto/tls answers a
// key update, or sends an alert, when it reads. One that has ended a connection stays.
func (c *recordConn) allow() {
	now := time.Now()
	if by := c.writeBy.Load(); by > longPast*int64(time.Second) && by <= now.UnixNano() {
		_ = c.SetWriteDeadline(now.Add(answerTimeout))
	}
}

func (c *recordConn) read(p []byte) (int, error) {
	if err := c.wait(); err != nil {
		return 0, err
	}
	if c.left == 0 {
		for len(c.have.unread()) < recordHeaderSize {
			if err := c.more(); err != nil {
				return 0, err
			}
		}
		h := c.have.unread()
		c.left = recordHeaderSize + int(h[3])<<8 + int(h[4])
	}
	u := c.have.unread()
	n := copy(p, u[:min(len(u), c.left)])
	c.left -= n
	c.have.next += n
	if n == len(u) {
		c.buffers.put(c.have)
		c.have = nil
	}
	return n, nil
}

// tlsSource is a TLS connection over a recordConn.
type tlsSource struct {
	*tls.Conn
	records *recordConn
	rest    bool // the last read filled its buffer, so there may be more
}

// newTLSSource returns the server side of a TLS connection over s. The
// handshake is still to be done.
func newTLSSource(s *tcpSource, buffers *inboxes, config *tls.Config) *tlsSource {
	records := &recordConn{tcpSource: s, buffers: buffers}
	return &tlsSource{Conn: tls.Server(records, config), records: records}
}

func (s *tlsSource) fill(in *inbox, pool *inboxes) (*inbox, error) {
	if !s.rest {
		if err := s.records.wait(); err != nil {
			return in, err
		}
	}
	return s.read(in, pool)
}

func (s *tlsSource) abort() error { return s.records.Close() }

func (s *tlsSource) socket() *tcpSource { return s.records.socket() }

func (s *tlsSource) rested() bool { return s.records.rested() }

func (s *tlsSource) settle() { s.records.settle() }

func (s *tlsSource) read(in *inbox, pool *inboxes) (*inbox, error) {
	if in == nil {
		in = pool.get()
	}
	n, err := s.Conn.Read(in.space())
	in.add(n)
	s.rest = in.full()
	if n > 0 {
		err = nil // an error comes again with the next read
	}
	return in, err
}

// webSocketSource carries MQTT in the binary messages of a WebSocket; a
// packet may span messages, and a message packets [MQTT3-6.0.0-2].
type webSocketSource struct {
	net.Conn
	ws       *websocket.Conn
	first    [64]byte // what a waiting connection reads into
	rest     bool
	deadline atomic.Int64 // of reads, in Unix nanoseconds; 0: none
}

func newWebSocketSource(ctx context.Context, ws *websocket.Conn) *webSocketSource {
	ws.SetReadLimit(-1) // the decoder bounds packets; a message may hold many
	return &webSocketSource{Conn: websocket.NetConn(ctx, ws, websocket.MessageBinary), ws: ws}
}

func (s *webSocketSource) abort() error { return s.ws.CloseNow() }

func (*webSocketSource) socket() *tcpSource { return nil }

func (*webSocketSource) rested() bool { return false } // what is below is hidden

// SetDeadline implements net.Conn.
func (s *webSocketSource) SetDeadline(t time.Time) error {
	return errors.Join(s.SetReadDeadline(t), s.Conn.SetWriteDeadline(t))
}

// SetReadDeadline implements net.Conn.
func (s *webSocketSource) SetReadDeadline(t time.Time) error {
	if t.IsZero() {
		s.deadline.Store(0)
	} else {
		s.deadline.Store(t.UnixNano())
	}
	return s.Conn.SetReadDeadline(t)
}

// readFailed makes the error of a read that ran out of time, which the library
// reports as a cancelled context, that of a socket.
func (s *webSocketSource) readFailed(err error) error {
	if !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if d := s.deadline.Load(); d != 0 && time.Now().UnixNano() >= d {
		return os.ErrDeadlineExceeded
	}
	return err
}

func (s *webSocketSource) fill(in *inbox, pool *inboxes) (*inbox, error) {
	if in != nil || s.rest {
		if in == nil {
			in = pool.get()
		}
		n, err := s.Conn.Read(in.space())
		in.add(n)
		s.rest = in.full()
		return in, s.readFailed(err)
	}
	n, err := s.Conn.Read(s.first[:])
	if n == 0 {
		return nil, s.readFailed(err)
	}
	in = pool.get()
	in.add(copy(in.space(), s.first[:n]))
	s.rest = n == len(s.first)
	return in, nil
}
