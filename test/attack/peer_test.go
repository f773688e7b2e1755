package attack

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/hubgate/hubgate/gateway/mqtt"
)

// peer is one end of a connection to a gateway.
type peer struct {
	net.Conn
	dec mqtt.Decoder
	in  []byte // received, not decoded yet
}

func newPeer(t *testing.T, nc net.Conn) *peer {
	t.Helper()
	t.Cleanup(func() { _ = nc.Close() })
	return &peer{Conn: nc, dec: mqtt.Decoder{Version: mqtt.V311, From: mqtt.FromServer, LenientTopics: true}}
}

// dialFrom opens a socket from an address.
func dialFrom(ctx context.Context, from net.IP, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: from}}
	return d.DialContext(ctx, "tcp", addr)
}

// pace keeps attacks below what the gateway logs in a second, so that each has
// its lines there.
var pace = time.Tick(50 * time.Millisecond)

// dialPlain opens a socket from an address of its own.
func dialPlain(t *testing.T, g *target, port int) *peer {
	t.Helper()
	<-pace
	nc, err := dialFrom(t.Context(), anAddress(), g.address(port))
	if err != nil {
		t.Fatal(err)
	}
	return newPeer(t, nc)
}

// dialTLS is dialPlain with a TLS handshake on top.
func dialTLS(t *testing.T, g *target, port int) *peer {
	t.Helper()
	nc := dialPlain(t, g, port).Conn
	secure := tls.Client(nc, g.tls)
	if err := secure.HandshakeContext(t.Context()); err != nil {
		t.Fatalf("TLS handshake: %v", err)
	}
	return newPeer(t, secure)
}

func (p *peer) write(b []byte) error {
	_ = p.SetWriteDeadline(time.Now().Add(patience))
	_, err := p.Write(b)
	return err
}

func (p *peer) send(packet mqtt.Packet) error {
	b, err := packet.Append(nil, mqtt.V311)
	if err != nil {
		return err
	}
	return p.write(b)
}

// receive returns the next packet, which is valid until the next call.
func (p *peer) receive() (mqtt.Packet, error) {
	_ = p.SetReadDeadline(time.Now().Add(patience))
	for {
		size, err := p.dec.Frame(p.in)
		if err != nil {
			return nil, err
		}
		if size > 0 && size <= len(p.in) {
			packet := p.in[:size]
			p.in = p.in[size:]
			return p.dec.Decode(packet)
		}
		buf := make([]byte, 4096)
		n, err := p.Read(buf)
		p.in = append(p.in, buf[:n]...)
		if n == 0 && err != nil {
			return nil, err
		}
	}
}

// ask sends CONNECT and returns the code of the CONNACK.
func (p *peer) ask(hello *mqtt.Connect) (byte, error) {
	if err := p.send(hello); err != nil {
		return 0, err
	}
	packet, err := p.receive()
	if err != nil {
		return 0, err
	}
	k, ok := packet.(*mqtt.Connack)
	if !ok {
		return 0, fmt.Errorf("the answer to CONNECT was %s", packet.Type())
	}
	return k.Code, nil
}

// welcomed is ask where the gateway has to let the client in.
func (p *peer) welcomed(t *testing.T, hello *mqtt.Connect) {
	t.Helper()
	if code, err := p.ask(hello); err != nil || code != 0 {
		t.Fatalf("connect %s: CONNACK %d, %v", hello.ClientID, code, err)
	}
}

// publish sends a QoS 1 message and waits for its PUBACK.
func (p *peer) publish(topic, body string) error {
	const id = 7
	if err := p.send(&mqtt.Publish{QoS: 1, ID: id, Topic: []byte(topic), Payload: []byte(body)}); err != nil {
		return err
	}
	packet, err := p.receive()
	if err != nil {
		return err
	}
	if ack, ok := packet.(*mqtt.Puback); !ok || ack.ID != id {
		return fmt.Errorf("the answer to PUBLISH was %s %+v", packet.Type(), packet)
	}
	return nil
}

// subscribe returns the code that each filter gets.
func (p *peer) subscribe(filters ...string) ([]byte, error) {
	s := &mqtt.Subscribe{ID: 1}
	for _, f := range filters {
		s.Filters = append(s.Filters, mqtt.Filter{Topic: []byte(f), QoS: 1})
	}
	if err := p.send(s); err != nil {
		return nil, err
	}
	packet, err := p.receive()
	if err != nil {
		return nil, err
	}
	ack, ok := packet.(*mqtt.Suback)
	if !ok {
		return nil, fmt.Errorf("the answer to SUBSCRIBE was %s", packet.Type())
	}
	return ack.Codes, nil
}

// closed waits until the gateway closes, and returns what it has sent before.
func (p *peer) closed(t *testing.T) []byte {
	t.Helper()
	_ = p.SetReadDeadline(time.Now().Add(patience))
	got, err := io.ReadAll(io.LimitReader(p.Conn, 1<<20))
	if errors.Is(err, os.ErrDeadlineExceeded) || len(got) == 1<<20 {
		t.Fatalf("the gateway has not closed the connection: %v after % .64x", err, got)
	}
	return append(p.in, got...)
}

// isClosed reports whether err is how a connection looks that the other side
// has closed.
func isClosed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
