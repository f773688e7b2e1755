package pki

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// ParseCertificates reads all certificates of a PEM file, or the one of a DER
// file.
func ParseCertificates(text []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != certBlock {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d is damaged: %w", len(certs)+1, err)
		}
		certs = append(certs, cert)
	}
	if len(certs) > 0 {
		return certs, nil
	}
	if cert, err := x509.ParseCertificate(text); err == nil {
		return []*x509.Certificate{cert}, nil
	}
	return nil, errors.New("it holds no certificate, in PEM or DER form")
}

// ParseLists reads all revocation lists of a PEM file, or the one of a DER
// file; there may be none.
func ParseLists(text []byte) []*x509.RevocationList {
	var lists []*x509.RevocationList
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if list, err := x509.ParseRevocationList(block.Bytes); err == nil && block.Type == "X509 CRL" {
			lists = append(lists, list)
		}
	}
	if list, err := x509.ParseRevocationList(text); err == nil {
		lists = append(lists, list)
	}
	return lists
}
