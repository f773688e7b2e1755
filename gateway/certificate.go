package gateway

import (
	"crypto/tls"
	"crypto/x509"
)

// certificatesOf returns what a client has shown in the handshake of its
// stream, or in that of the session which it has resumed.
func certificatesOf(stream source) []*x509.Certificate {
	t, ok := stream.(interface{ ConnectionState() tls.ConnectionState })
	if !ok {
		return nil
	}
	return t.ConnectionState().PeerCertificates
}

// expired is why a connection ends that has come to its time.
func (c *conn) expired() error {
	if h, ok := c.handler.(Expiring); ok {
		return h.Expired()
	}
	return errExpired
}
