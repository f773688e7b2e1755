//go:build linux

package main

import (
	"bytes"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
)

// testTLS is the server's side of a TLS listener with a fresh certificate.
func testTLS(t *testing.T) (net.Listener, certificate) {
	t.Helper()
	c, err := newCertificate(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp4", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, c
}

func addrOf(t *testing.T, l net.Listener) netip.AddrPort {
	t.Helper()
	addr, err := netip.ParseAddrPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// echo accepts one connection, answers what it reads first with a CONNACK and
// then sends everything back.
func echo(l net.Listener) {
	conn, err := l.Accept()
	if err != nil {
		return
	}
	defer conn.Close()
	if _, err := conn.Read(make([]byte, 4096)); err != nil {
		return
	}
	if _, err := conn.Write([]byte{typeConnack, 2, 0, 0}); err != nil {
		return
	}
	_, _ = io.Copy(conn, conn)
}

func TestRecordsAgainstCryptoTLS(t *testing.T) {
	l, cert := testTLS(t)
	go echo(l)
	c, err := dialClient(addrOf(t, l), cert.client(), login{connect: connect{ClientID: "a"}.append(nil)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	sent := bytes.Repeat([]byte("0123456789"), 5000) // several records
	go func() { _ = writeAll(c.fd, c.sealed(sent)) }()
	var got []byte
	buf := make([]byte, 1000) // cuts records apart
	for len(got) < len(sent) {
		n, err := readSome(c.fd, buf)
		if err != nil {
			t.Fatal(err)
		}
		data, err := c.opened(buf[:n])
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, data...)
	}
	if !bytes.Equal(got, sent) {
		t.Error("what came back is not what was sent")
	}
}

func TestOpenRefusesForgedRecord(t *testing.T) {
	secret := "CLIENT_TRAFFIC_SECRET_0 00 " + hex.EncodeToString(make([]byte, 32)) + "\n" +
		"SERVER_TRAFFIC_SECRET_0 00 " + hex.EncodeToString(make([]byte, 32)) + "\n"
	sender, err := newRecords(tls.TLS_AES_128_GCM_SHA256, []byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	receiver, err := newRecords(tls.TLS_AES_128_GCM_SHA256, []byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	good := sender.seal(nil, []byte("one"))
	bad := sender.seal(nil, []byte("two"))
	bad[len(bad)-1] ^= 1
	data, used, err := receiver.open(append(good, bad...))
	if err == nil {
		t.Errorf("forged record opened: %q, %d", data, used)
	}
}

func TestNewRecordsNeeds13(t *testing.T) {
	if _, err := newRecords(tls.TLS_AES_128_GCM_SHA256, []byte("CLIENT_RANDOM 00 00\n")); err == nil {
		t.Error("a TLS 1.2 key log was accepted")
	}
	if _, err := newRecords(tls.TLS_CHACHA20_POLY1305_SHA256, nil); err == nil {
		t.Error("an unknown cipher suite was accepted")
	}
}

func TestDialClientRefused(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err == nil {
			conn.Close()
		}
	}()
	_, err = dialClient(addrOf(t, l), nil, login{connect: connect{ClientID: "a"}.append(nil)})
	if !errors.Is(err, io.EOF) && err == nil {
		t.Errorf("got %v, want an error", err)
	}
}
