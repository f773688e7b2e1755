package pki

import (
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Development is what a development hub shows the world. It does not change.
type Development struct {
	// CAFile is where devices find the authority's certificate.
	CAFile string
	// CA is the content of CAFile.
	CA []byte
	// Certificates are the ECDSA and the RSA certificate of the server.
	Certificates []tls.Certificate
}

// Open reads the certificates in dir and makes those that are missing. The
// server's are made again when they have less than 30 days to live or other
// names than names, which are those of [Names]. A file that is damaged is an
// error that names it and says what to do.
func Open(dir string, names []string, now time.Time) (*Development, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of certificates: %w; make room for it, or choose another data directory with --data-dir", err)
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	ca, err := openAuthority(in("ca.pem"), in("ca.key"), now)
	if err != nil {
		return nil, err
	}
	d := &Development{
		CAFile: in("ca.pem"),
		CA:     pem.EncodeToMemory(&pem.Block{Type: certBlock, Bytes: ca.cert.Raw}),
	}
	for _, p := range []*pair{
		{certFile: in("server.pem"), keyFile: in("server.key"), newKey: newECDSA},
		{certFile: in("server-rsa.pem"), keyFile: in("server-rsa.key"), newKey: newRSA},
	} {
		if err := ca.ensureLeaf(p, names, now); err != nil {
			return nil, err
		}
		d.Certificates = append(d.Certificates, p.forTLS())
	}
	return d, nil
}

// Load reads the certificate files of a production hub, each with its chain,
// and their keys. certFiles and keyFiles correspond; the first certificate
// that a client can verify is the one it gets.
func Load(certFiles, keyFiles []string) ([]tls.Certificate, error) {
	if len(certFiles) == 0 {
		return nil, errors.New("no certificate file is given")
	}
	if len(certFiles) != len(keyFiles) {
		return nil, fmt.Errorf("%d certificate files and %d key files are given; each certificate needs its key", len(certFiles), len(keyFiles))
	}
	var certs []tls.Certificate
	for i, file := range certFiles {
		cert, err := tls.LoadX509KeyPair(file, keyFiles[i])
		if err != nil {
			return nil, fmt.Errorf("load the certificate %s with the key %s: %w", file, keyFiles[i], err)
		}
		certs = append(certs, cert)
	}
	return certs, nil
}

// Config returns the TLS settings of a listener: versions 1.2 and 1.3, because
// the Python SDK speaks 1.2 only, and the first of certs that the client
// understands. A client certificate is asked for and not needed: what came is
// judged when the client has said who it is, where a refusal can be answered.
func Config(certs []tls.Certificate) *tls.Config {
	return &tls.Config{Certificates: certs, MinVersion: tls.VersionTLS12, ClientAuth: tls.RequestClientCert}
}
