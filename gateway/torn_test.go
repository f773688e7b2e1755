package gateway

import (
	"crypto/tls"
	"errors"
	"io"
	"testing"
)

// A write that the end of its connection cuts off leaves a gap in the TLS
// stream. Nothing may follow it, or the client sees a forgery instead of an
// end, and some take that for a reason never to come again.
func TestNoFarewellBehindATornRecord(t *testing.T) {
	for name, version := range map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			w := newSocketWorld(t, true)
			w.roots.MaxVersion = version
			c, client := w.connect(t)
			got := make(chan error, 1)
			go func() {
				_, err := client.Read(make([]byte, 10))
				got <- err
			}()
			c.writing, c.out = true, pingresp
			c.stop(errReplaced) // while a writer is about to write
			c.flushSome()
			c.close()
			if err := <-got; !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("the client's connection ended by %v, want its end", err)
			}
		})
	}
}
