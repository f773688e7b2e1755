package trust

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
)

// digest tells certificates apart.
type digest [sha256.Size]byte

func digestOf(cert *x509.Certificate) digest { return sha256.Sum256(cert.Raw) }

// Thumbprint is the SHA-1 digest of a certificate as IoT Hub prints it.
func Thumbprint(cert *x509.Certificate) string {
	sum := sha1.Sum(cert.Raw)
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}

// CommonName returns the one CN of a certificate's subject. There is none when
// there are several, for nobody could say which of them is meant.
func CommonName(cert *x509.Certificate) (string, bool) {
	count := 0
	for _, attribute := range cert.Subject.Names {
		if attribute.Type.Equal(asn1.ObjectIdentifier{2, 5, 4, 3}) {
			count++
		}
	}
	return cert.Subject.CommonName, count == 1 && cert.Subject.CommonName != ""
}

// Describe names a certificate in a sentence, by its common name or else its
// subject, quoted and cut short: it may be a stranger's.
func Describe(cert *x509.Certificate) string {
	name := cert.Subject.CommonName
	if name == "" {
		name = cert.Subject.String()
	}
	return quote(name)
}

// quote makes a stranger's text fit for a sentence.
func quote(name string) string {
	const most = 96
	if len(name) > most {
		name = name[:most] + "…"
	}
	return strconv.Quote(strings.ToValidUTF8(name, "?"))
}

func timeText(t time.Time) string { return t.UTC().Format(time.RFC3339) }
