//go:build linux

package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"
)

// responder is a client with one subscription, which answers at once what it is
// sent. Unlike a [client] it has a goroutine that reads, as the NATS clients have
// that it is compared with.
type responder struct {
	conn net.Conn
	// reply appends the answer to a packet to b; nothing when there is none.
	reply func(b, packet []byte) []byte

	done chan struct{}
	err  error // why it has ended; valid once done is closed
}

// dialResponder connects and subscribes with QoS 1.
func dialResponder(addr netip.AddrPort, connect []byte, filter string, reply func(b, packet []byte) []byte) (*responder, error) {
	conn, err := net.DialTimeout("tcp4", addr.String(), dialTimeout)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	r := &responder{conn: conn, reply: reply, done: make(chan struct{})}
	in := bufio.NewReaderSize(conn, readSize)
	if err := r.start(in, connect, filter); err != nil {
		conn.Close()
		return nil, fmt.Errorf("connect and subscribe: %w", err)
	}
	go func() {
		defer close(r.done)
		r.err = r.answer(in)
	}()
	return r, nil
}

func (r *responder) start(in *bufio.Reader, connect []byte, filter string) error {
	_ = r.conn.SetDeadline(time.Now().Add(dialTimeout))
	packet, err := r.ask(in, connect)
	if err == nil {
		err = checkConnack(packet)
	}
	if err == nil {
		packet, err = r.ask(in, appendSubscribe(nil, 1, filter))
	}
	if err == nil {
		err = checkSuback(packet)
	}
	if err != nil {
		return err
	}
	return r.conn.SetDeadline(time.Time{})
}

func (r *responder) ask(in *bufio.Reader, packet []byte) ([]byte, error) {
	if _, err := r.conn.Write(packet); err != nil {
		return nil, err
	}
	return readPacket(in, nil)
}

// answer works until the connection ends. What comes together is answered
// together.
func (r *responder) answer(in *bufio.Reader) error {
	var packet, out []byte
	for {
		var err error
		if packet, err = readPacket(in, packet); err != nil {
			return err
		}
		out = r.reply(out, packet)
		if in.Buffered() > 0 {
			continue
		}
		if _, err := r.conn.Write(out); err != nil {
			return err
		}
		out = out[:0]
	}
}

// fault says why the server has ended the connection, or nil while it is there.
func (r *responder) fault() error {
	select {
	case <-r.done:
		return fmt.Errorf("the subscriber's connection ended: %w", r.err)
	default:
		return nil
	}
}

func (r *responder) close() {
	_, _ = r.conn.Write(appendDisconnect(nil))
	r.conn.Close()
	<-r.done
}

// readPacket reads a packet into buf, which it may replace.
func readPacket(in *bufio.Reader, buf []byte) ([]byte, error) {
	buf = buf[:0]
	for {
		c, err := in.ReadByte()
		if err != nil {
			return nil, err
		}
		buf = append(buf, c)
		if len(buf) > 1 && c < 0x80 {
			break
		}
		if len(buf) == 5 {
			return nil, errFrame
		}
	}
	length := 0
	for i, c := range buf[1:] {
		length |= int(c&0x7F) << (7 * i)
	}
	head := len(buf)
	buf = append(buf, make([]byte, length)...)
	_, err := io.ReadFull(in, buf[head:])
	return buf, err
}
