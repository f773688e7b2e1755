//go:build linux

package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// dialTimeout bounds every step of a connection's start and end.
const dialTimeout = 20 * time.Second

// login is who a simulated device is: its CONNECT and its message.
type login struct {
	connect []byte
	clean   []byte // CONNECT without a session that stays; nil: connect is one
	message publish
}

// client is one simulated device on a raw socket. It belongs to the engine
// once it is connected.
type client struct {
	fd      int
	index   int // in the engine's list
	message publish
	asks    *request // what it sends instead of message; nil: message
	secure  *records // nil on a plain connection

	sent, acked uint64
	raw         []byte // the part of a TLS record that has come
	rx          []byte // the part of a packet that has come
	tx          []byte // what the socket did not take
	reply       []byte // PUBACKs that are due
	closed      bool   // the server ended it
}

// dialClient connects a device and waits for its CONNACK. With a TLS
// configuration the connection is TLS 1.3.
func dialClient(addr netip.AddrPort, secure *tls.Config, who login) (*client, error) {
	fd, err := dialSocket(addr)
	if err != nil {
		return nil, err
	}
	c := &client{fd: fd, message: who.message}
	if err := c.start(secure, who.connect); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return c, nil
}

func (c *client) start(secure *tls.Config, connect []byte) error {
	if secure != nil {
		if err := c.handshake(secure); err != nil {
			return fmt.Errorf("tls handshake: %w", err)
		}
	}
	answer, err := c.ask(connect)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	return checkConnack(answer)
}

func (c *client) handshake(config *tls.Config) error {
	var keyLog bytes.Buffer
	config = config.Clone()
	config.MinVersion, config.KeyLogWriter = tls.VersionTLS13, &keyLog
	t := tls.Client(&recordConn{fd: c.fd}, config)
	if err := t.Handshake(); err != nil {
		return err
	}
	var err error
	c.secure, err = newRecords(t.ConnectionState().CipherSuite, keyLog.Bytes())
	return err
}

// ask writes a packet on the still blocking socket and returns the next packet
// that the server sends.
func (c *client) ask(packet []byte) ([]byte, error) {
	if err := writeAll(c.fd, c.sealed(packet)); err != nil {
		return nil, err
	}
	buf := make([]byte, 4096)
	var got []byte
	for {
		if size, err := frame(got); err != nil || size > 0 {
			return got[:size], err
		}
		n, err := readSome(c.fd, buf)
		if err != nil {
			return nil, err
		}
		data, err := c.opened(buf[:n])
		if err != nil {
			return nil, err
		}
		got = append(got, data...)
	}
}

func (c *client) sealed(data []byte) []byte {
	if c.secure == nil {
		return data
	}
	return c.secure.seal(nil, data)
}

// opened returns the application data in what was read, with what was left
// over before; the result is valid until the next read.
func (c *client) opened(data []byte) ([]byte, error) {
	if c.secure == nil {
		return data, nil
	}
	c.raw = append(c.raw, data...)
	plain, used, err := c.secure.open(c.raw)
	if err != nil {
		return nil, err
	}
	c.raw = append(c.raw[:0], c.raw[used:]...)
	return plain, nil
}

// close says DISCONNECT and closes the socket.
func (c *client) close() {
	if !c.closed {
		_, _ = unix.Write(c.fd, c.sealed(appendDisconnect(nil)))
	}
	c.closed = true
	unix.Close(c.fd)
}

// dialSocket opens a blocking socket to a loopback address.
func dialSocket(addr netip.AddrPort) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open socket: %w", err)
	}
	limit := unix.NsecToTimeval(int64(dialTimeout))
	err = errors.Join(
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit),
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1),
		connectSocket(fd, addr),
	)
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("dial %s: %w", addr, err)
	}
	return fd, nil
}

// connectSocket waits until fd is connected. A signal only ends the waiting: to call
// connect again is to go on with it.
func connectSocket(fd int, addr netip.AddrPort) error {
	for {
		err := unix.Connect(fd, &unix.SockaddrInet4{Addr: addr.Addr().As4(), Port: int(addr.Port())})
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EISCONN):
			return nil
		}
		return err
	}
}

func readSome(fd int, b []byte) (int, error) {
	for {
		n, err := unix.Read(fd, b)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return 0, os.ErrDeadlineExceeded
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		}
		return n, nil
	}
}

func writeAll(fd int, b []byte) error {
	for len(b) > 0 {
		n, err := unix.Write(fd, b)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// recordConn is the net.Conn of a handshake. It never reads past the record
// that crypto/tls is about, so that nothing is left in its buffer afterwards:
// the records that follow are opened by [records].
type recordConn struct {
	fd     int
	header []byte // of the current record, as far as it has come
	left   int    // bytes of the current record after its header
}

func (r *recordConn) Read(b []byte) (int, error) {
	if r.left > 0 {
		n, err := readSome(r.fd, b[:min(len(b), r.left)])
		r.left -= n
		return n, err
	}
	n, err := readSome(r.fd, b[:min(len(b), recordHeader-len(r.header))])
	r.header = append(r.header, b[:n]...)
	if len(r.header) == recordHeader {
		r.left = int(r.header[3])<<8 | int(r.header[4])
		r.header = r.header[:0]
	}
	return n, err
}

func (r *recordConn) Write(b []byte) (int, error) {
	if err := writeAll(r.fd, b); err != nil {
		return 0, err
	}
	return len(b), nil
}

func (r *recordConn) Close() error                     { return nil }
func (r *recordConn) LocalAddr() net.Addr              { return nil }
func (r *recordConn) RemoteAddr() net.Addr             { return nil }
func (r *recordConn) SetDeadline(time.Time) error      { return nil }
func (r *recordConn) SetReadDeadline(time.Time) error  { return nil }
func (r *recordConn) SetWriteDeadline(time.Time) error { return nil }
