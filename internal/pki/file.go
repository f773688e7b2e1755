package pki

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	certBlock = "CERTIFICATE"
	keyBlock  = "PRIVATE KEY" // PKCS #8

	certMode = 0o644
	keyMode  = 0o600
)

// pair is a certificate and its key with the files they live in. After load,
// a file that does not exist has left its half nil.
type pair struct {
	certFile, keyFile string
	newKey            func() (crypto.Signer, error)
	cert              *x509.Certificate
	key               crypto.Signer
}

// load reads both files.
func (p *pair) load() error {
	if err := read(p.certFile, &p.cert, parseCertificate); err != nil {
		return err
	}
	if err := read(p.keyFile, &p.key, parseKey); err != nil {
		return err
	}
	if p.cert != nil && p.key != nil && !samePublicKey(p.cert.PublicKey, p.key.Public()) {
		return fmt.Errorf("%s is not the key of %s", p.keyFile, p.certFile)
	}
	return nil
}

// read fills to from a file, if there is one.
func read[T any](path string, to *T, parse func([]byte) (T, error)) error {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read certificates: %w", err)
	}
	if *to, err = parse(text); err != nil {
		return fmt.Errorf("%s is damaged: %w", path, err)
	}
	return nil
}

// ensureKey makes the key if there is none. It comes before the certificate:
// a crash in between leaves a key, for which the next start makes one.
func (p *pair) ensureKey() error {
	if p.key != nil {
		return nil
	}
	var err error
	if p.key, err = p.newKey(); err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(p.key)
	if err != nil {
		return fmt.Errorf("encode %s: %w", p.keyFile, err)
	}
	return writeFile(p.keyFile, &pem.Block{Type: keyBlock, Bytes: der}, keyMode)
}

func (p *pair) saveCert() error {
	return writeFile(p.certFile, &pem.Block{Type: certBlock, Bytes: p.cert.Raw}, certMode)
}

// forTLS returns the pair as crypto/tls wants it.
func (p *pair) forTLS() tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{p.cert.Raw}, PrivateKey: p.key, Leaf: p.cert}
}

func parseCertificate(text []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != certBlock {
		return nil, errors.New("it holds no certificate in PEM form")
	}
	return x509.ParseCertificate(block.Bytes)
}

func parseKey(text []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != keyBlock {
		return nil, errors.New("it holds no private key in PEM form")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("its key cannot sign")
	}
	return signer, nil
}

func samePublicKey(a, b crypto.PublicKey) bool {
	k, ok := a.(interface {
		Equal(other crypto.PublicKey) bool
	})
	return ok && k.Equal(b)
}

// writeFile writes a PEM file whole or not at all.
func writeFile(path string, block *pem.Block, mode fs.FileMode) error {
	var text bytes.Buffer
	if err := pem.Encode(&text, block); err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write(text.Bytes())
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
