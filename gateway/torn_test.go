package gateway

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// A write that the end of its connection cuts off leaves a gap in the TLS
// stream. Nothing may follow it, or the client sees a forgery instead of an
// end, and some take that for a reason never to come again.
func TestNoFarewellBehindATornRecord(t *testing.T) {
	server, roots := selfSigned(t)
	for name, version := range map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			srv := new(Server)
			srv.init()
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			got := make(chan error, 1)
			go func() {
				config := roots.Clone()
				config.MaxVersion = version
				nc, err := tls.Dial("tcp", ln.Addr().String(), config)
				if err == nil {
					defer nc.Close()
					_ = nc.SetReadDeadline(time.Now().Add(patience))
					_, err = nc.Read(make([]byte, 10))
				}
				got <- err
			}()
			nc, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			tcp, err := newTCPSource(nc)
			if err != nil {
				t.Fatal(err)
			}
			src := newTLSSource(tcp, &srv.inboxes, server)
			if err := src.Handshake(); err != nil {
				t.Fatal(err)
			}
			c := &conn{srv: srv, src: src, greeted: true, writing: true, out: pingresp}
			c.changed.L = &c.mu
			c.stop(errReplaced) // while a writer is about to write
			c.flush()
			c.close()
			if err := <-got; !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("the client's connection ended by %v, want its end", err)
			}
		})
	}
}
