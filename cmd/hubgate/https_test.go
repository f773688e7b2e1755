package main

import (
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
	"github.com/hubgate/hubgate/gateway/rest"
)

func TestAboutPeer(t *testing.T) {
	for line, want := range map[string][2]string{
		"http: TLS handshake error from 192.0.2.7:40112: EOF":                                                          {"192.0.2.7:40112", "the TLS handshake failed: EOF"},
		"http: TLS handshake error from [2001:db8::1]:5: tls: no cipher suite supported":                               {"[2001:db8::1]:5", "the TLS handshake failed: tls: no cipher suite supported"},
		"http: TLS handshake error from 192.0.2.7:5: read tcp 192.0.2.1:443->192.0.2.7:5: i/o timeout":                 {"192.0.2.7:5", "the TLS handshake was not finished in time"},
		"http: TLS handshake error from 192.0.2.7:5: read tcp 192.0.2.1:443->192.0.2.7:5: read: connection reset by x": {"192.0.2.7:5", "the TLS handshake failed"},
		"http: panic serving 192.0.2.7:5: boo":                                                                         {},
		"http: Accept error: too many open files; retrying in 5ms":                                                     {},
		"http: TLS handshake error from somebody: EOF":                                                                 {},
		"": {},
	} {
		remote, reason, ok := aboutPeer(line)
		if got := [2]string{remote, reason}; got != want || ok != (want[0] != "") {
			t.Errorf("%q is about %q, %v, want %q", line, got, ok, want)
		}
	}
}

// oneConn is a listener to which one client comes.
type oneConn chan net.Conn

func (l oneConn) Accept() (net.Conn, error) {
	nc, ok := <-l
	if !ok {
		return nil, net.ErrClosed
	}
	return nc, nil
}

func (oneConn) Addr() net.Addr { return &net.TCPAddr{} }
func (l oneConn) Close() error {
	close(l)
	return nil
}

// TestPageThatNobodyReads: who asks for a page, which needs no credentials, and reads
// nothing of it does not keep his connection.
func TestPageThatNobodyReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		l := make(oneConn, 1)
		l <- near
		web := &http.Server{Handler: &front{pages: pages(nil, &config.Config{})}, ReadTimeout: time.Second}
		defer web.Close()
		go func() { _ = web.Serve(l) }()
		if _, err := io.WriteString(far, "GET "+rest.DocumentPath+" HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Hour)
		synctest.Wait()
		if n, err := far.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("after an hour there is %d byte to read, %v: the connection is kept", n, err)
		}
	})
}
