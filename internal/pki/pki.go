package pki

import (
	"crypto"
	"crypto/tls"
	"encoding/pem"
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

// DevelopmentFiles are the names of the files that [Open] keeps.
func DevelopmentFiles() []string {
	return []string{"ca.pem", "ca.key", "server.pem", "server.key", "server-rsa.pem", "server-rsa.key"}
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
		{certFile: in("server-rsa.pem"), keyFile: in("server-rsa.key"), newKey: func() (crypto.Signer, error) { return newRSA(leafBits) }},
	} {
		if err := ca.ensureLeaf(p, names, now); err != nil {
			return nil, err
		}
		d.Certificates = append(d.Certificates, p.forTLS())
	}
	return d, nil
}
