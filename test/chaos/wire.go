//go:build linux

package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/hubgate/hubgate/gateway/mqtt"
)

// The patience of a device, which is less than that of an SDK, so that many
// faults have room in a schedule.
const (
	connectPatience = 5 * time.Second
	pingEvery       = 4 * time.Second
	silence         = 8 * time.Second // without a packet the connection counts as dead
	keepAlive       = 30              // seconds, that the gateway waits for
)

// wire is the device's end of an MQTT 3.1.1 connection.
type wire struct {
	nc      net.Conn
	dec     mqtt.Decoder
	in      []byte // received, not decoded yet
	began   time.Time
	packets chan packet // closed at the end of the connection
	err     error       // how it ended, once packets is closed
	left    chan struct{}
}

// packet is what a device looks at of a packet.
type packet struct {
	kind    mqtt.Type
	id      uint16
	qos     byte
	topic   string
	payload []byte
	codes   []byte
}

func dialWire(addr string, trusted *tls.Config) (*wire, error) {
	d := &net.Dialer{Timeout: connectPatience}
	nc, err := d.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	if trusted != nil {
		secure := tls.Client(nc, trusted)
		_ = secure.SetDeadline(time.Now().Add(connectPatience))
		if err := secure.Handshake(); err != nil {
			_ = nc.Close()
			return nil, err
		}
		nc = secure
	}
	return &wire{
		nc: nc, dec: mqtt.Decoder{Version: mqtt.V311, From: mqtt.FromServer, LenientTopics: true}, began: time.Now(),
		packets: make(chan packet, 64), left: make(chan struct{}),
	}, nil
}

func (w *wire) send(p mqtt.Packet) error {
	b, err := p.Append(nil, mqtt.V311)
	if err != nil {
		return err
	}
	_ = w.nc.SetWriteDeadline(time.Now().Add(silence))
	_, err = w.nc.Write(b)
	return err
}

// handshake sends CONNECT and returns its answer.
func (w *wire) handshake(hello *mqtt.Connect) (*mqtt.Connack, error) {
	if err := w.send(hello); err != nil {
		return nil, err
	}
	p, err := w.receive(connectPatience)
	if err != nil {
		return nil, err
	}
	k, ok := p.(*mqtt.Connack)
	if !ok {
		return nil, fmt.Errorf("the answer to CONNECT was %s", p.Type())
	}
	return k, nil
}

// receive returns the next packet, which is valid until the next call.
func (w *wire) receive(limit time.Duration) (mqtt.Packet, error) {
	_ = w.nc.SetReadDeadline(time.Now().Add(limit))
	for {
		n, err := w.dec.Frame(w.in)
		if err != nil {
			return nil, err
		}
		if n > 0 && n <= len(w.in) {
			whole := w.in[:n]
			w.in = w.in[n:]
			return w.dec.Decode(whole)
		}
		buf := make([]byte, 2048)
		n, err = w.nc.Read(buf)
		w.in = append(w.in, buf[:n]...)
		if n == 0 && err != nil {
			return nil, err
		}
	}
}

// read gives every packet to packets until the connection ends.
func (w *wire) read() {
	defer close(w.packets)
	for {
		p, err := w.receive(silence)
		if err != nil {
			w.err = err
			return
		}
		select {
		case w.packets <- copyOf(p):
		case <-w.left:
			return
		}
	}
}

func copyOf(p mqtt.Packet) packet {
	out := packet{kind: p.Type()}
	switch p := p.(type) {
	case *mqtt.Publish:
		out.id, out.qos, out.topic, out.payload = p.ID, p.QoS, string(p.Topic), append([]byte(nil), p.Payload...)
	case *mqtt.Puback:
		out.id = p.ID
	case *mqtt.Suback:
		out.id, out.codes = p.ID, append([]byte(nil), p.Codes...)
	}
	return out
}

// ends reports whether the other side has closed a connection that is not read
// any more, or does within the limit.
func (w *wire) ends(limit time.Duration) bool {
	end := time.Now().Add(limit)
	_ = w.nc.SetReadDeadline(end)
	_, err := io.Copy(io.Discard, w.nc)
	return err == nil || !errors.Is(err, os.ErrDeadlineExceeded)
}

// leave closes the connection.
func (w *wire) leave() {
	close(w.left)
	_ = w.nc.Close()
}
