package trust

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"strings"
	"unicode"

	"github.com/hubgate/hubgate/hub"
)

const (
	certificateBlock = "CERTIFICATE"
	listBlock        = "X509 CRL"
)

// ParseCertificates reads certificates of PEM, or one of DER. Other blocks of
// PEM, such as a private key, are passed over. It fails with ArgumentInvalid
// when there is no certificate or one is damaged; the error holds nothing of
// what was read.
func ParseCertificates(text []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for _, der := range blocks(text, certificateBlock) {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, hub.Errorf(hub.ArgumentInvalid, "certificate %d is damaged: %w", len(certs)+1, err)
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, hub.Errorf(hub.ArgumentInvalid, "there is no certificate: it must be PEM with CERTIFICATE blocks, or DER")
	}
	return certs, nil
}

// ParseCertificate reads the one certificate that text holds: PEM, DER, or
// either of them in base64, as Azure's tools send it. It fails with
// ArgumentInvalid.
func ParseCertificate(text []byte) (*x509.Certificate, error) {
	if plain, ok := fromBase64(text); ok {
		text = plain
	}
	certs, err := ParseCertificates(text)
	if err != nil {
		return nil, err
	}
	if len(certs) != 1 {
		return nil, hub.Errorf(hub.ArgumentInvalid, "there are %d certificates, and one is expected", len(certs))
	}
	return certs[0], nil
}

// blocks returns the contents of the PEM blocks of a type; text that is no PEM
// is taken for DER.
func blocks(text []byte, kind string) [][]byte {
	if !bytes.Contains(text, []byte("-----BEGIN ")) {
		if len(text) == 0 {
			return nil
		}
		return [][]byte{text}
	}
	var all [][]byte
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == kind {
			all = append(all, block.Bytes)
		}
	}
	return all
}

// fromBase64 decodes text that is base64 and nothing else, lines or not.
func fromBase64(text []byte) ([]byte, bool) {
	line := strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, string(text))
	plain, err := base64.StdEncoding.DecodeString(line)
	return plain, err == nil && len(plain) > 0
}
