package pki

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha1" // for thumbprints, which IoT Hub takes in both kinds
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net"
	"strings"
	"time"
)

// Description is what people want to know of a certificate.
type Description struct {
	Subject   string    `json:"subject"`
	Issuer    string    `json:"issuer"`
	Serial    string    `json:"serial"`
	Names     []string  `json:"names"` // DNS names and IP addresses
	Authority bool      `json:"authority"`
	NotBefore time.Time `json:"notBefore"`
	NotAfter  time.Time `json:"notAfter"`
	DaysLeft  int       `json:"daysLeft"` // negative: since so many days not any more
	Key       string    `json:"key"`
	Signature string    `json:"signature"`
	SHA1      string    `json:"sha1"` // thumbprints as IoT Hub takes them
	SHA256    string    `json:"sha256"`
}

// Describe describes a certificate at a time.
func Describe(cert *x509.Certificate, now time.Time) Description {
	one, two := sha1.Sum(cert.Raw), sha256.Sum256(cert.Raw)
	return Description{
		Subject: cert.Subject.String(), Issuer: cert.Issuer.String(), Serial: hex.EncodeToString(cert.SerialNumber.Bytes()),
		Names: append([]string{}, NamesOf(cert)...), Authority: cert.IsCA,
		NotBefore: cert.NotBefore.UTC(), NotAfter: cert.NotAfter.UTC(), DaysLeft: DaysLeft(cert.NotAfter, now),
		Key: keyText(cert), Signature: cert.SignatureAlgorithm.String(),
		SHA1: strings.ToUpper(hex.EncodeToString(one[:])), SHA256: strings.ToUpper(hex.EncodeToString(two[:])),
	}
}

// DaysLeft is how many whole days there are until the end.
func DaysLeft(end, now time.Time) int {
	days := end.Sub(now) / (24 * time.Hour)
	if end.Before(now) {
		days--
	}
	return int(days)
}

// keyText says what kind of key a certificate has.
func keyText(cert *x509.Certificate) string {
	switch key := cert.PublicKey.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA, %d bits", key.N.BitLen())
	case *ecdsa.PublicKey:
		return "ECDSA, " + key.Params().Name
	}
	return cert.PublicKeyAlgorithm.String()
}

// Finding is what somebody would say of a certificate.
type Finding struct {
	Level string `json:"level"` // error: does not connect; warning: some may not; note: good to know
	Who   string `json:"who"`
	Text  string `json:"text"`
}

// Levels of findings.
const (
	isError   = "error"
	isWarning = "warning"
	isNote    = "note"
)

// everySDK is said of what is wrong with every device SDK.
const everySDK = "every SDK"

// InspectServer says what the device SDKs would make of a server that shows a
// chain, when they dial host; an empty host is not looked at.
func InspectServer(chain []*x509.Certificate, host string, now time.Time) []Finding {
	leaf := chain[0]
	findings := append([]Finding{}, validity(chain, now)...)
	findings = append(findings, hostFindings(leaf, host)...)
	findings = append(findings, keyFindings(chain)...)
	findings = append(findings, useFindings(leaf)...)
	return append(findings, chainFindings(chain)...)
}

// InspectDevice says what a hub would make of the certificate of a device.
func InspectDevice(chain []*x509.Certificate, now time.Time) []Finding {
	findings := append([]Finding{}, validity(chain, now)...)
	if chain[0].Subject.CommonName == "" {
		findings = append(findings, Finding{isError, "the hub", "there is no common name, which must be the device's id (DEVICE/MODULE for a module) if an authority vouches for it"})
	}
	return append(findings, keyFindings(chain)...)
}

// IsDevice reports whether a certificate is for clients only.
func IsDevice(cert *x509.Certificate) bool {
	if cert.IsCA || len(NamesOf(cert)) > 0 {
		return false
	}
	for _, use := range cert.ExtKeyUsage {
		if use == x509.ExtKeyUsageServerAuth || use == x509.ExtKeyUsageAny {
			return false
		}
	}
	return true
}

func validity(chain []*x509.Certificate, now time.Time) []Finding {
	var findings []Finding
	for n, cert := range chain {
		if why := invalid(cert, now); why != "" {
			findings = append(findings, Finding{isError, everySDK, fmt.Sprintf("certificate %d %s", n+1, why)})
		}
	}
	return findings
}

func hostFindings(leaf *x509.Certificate, host string) []Finding {
	var findings []Finding
	if len(NamesOf(leaf)) == 0 {
		findings = append(findings, Finding{isError, everySDK, "there are no names (SAN) in it; the common name is looked at by nobody any more"})
	}
	if host == "" {
		return findings
	}
	if leaf.VerifyHostname(host) != nil && len(NamesOf(leaf)) > 0 {
		findings = append(findings, Finding{isError, everySDK, fmt.Sprintf("the name %s is not in it: it has %s", host, strings.Join(NamesOf(leaf), ", "))})
	}
	if !strings.Contains(host, ".") {
		findings = append(findings, Finding{isError, "C", fmt.Sprintf("the name %s has no dot, and the SDK refuses such a HostName", host)})
	}
	if ip := net.ParseIP(host); ip != nil && ip.To4() == nil {
		findings = append(findings, Finding{isError, everySDK, "an IPv6 address can't be a HostName"})
	}
	return findings
}

func keyFindings(chain []*x509.Certificate) []Finding {
	var findings []Finding
	for n, cert := range chain {
		if key, ok := cert.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() < 2048 {
			findings = append(findings, Finding{isError, "Node, Python, C with OpenSSL", fmt.Sprintf("the RSA key of certificate %d has %d bits, and OpenSSL wants 2048", n+1, key.N.BitLen())})
		}
		switch cert.SignatureAlgorithm {
		case x509.SHA1WithRSA, x509.ECDSAWithSHA1, x509.DSAWithSHA1, x509.MD5WithRSA, x509.MD2WithRSA:
			if !isRootName(cert) {
				findings = append(findings, Finding{isError, everySDK, fmt.Sprintf("certificate %d is signed with %s, which can be forged", n+1, cert.SignatureAlgorithm)})
			}
		default:
		}
	}
	if _, ok := chain[0].PublicKey.(*ecdsa.PublicKey); ok && !chain[0].IsCA && !IsDevice(chain[0]) {
		findings = append(findings, Finding{isWarning, "C on old TLS stacks", "the key is ECDSA: show an RSA certificate for the same name beside it, if there are such devices"})
	}
	return findings
}

// isRootName is isRoot for signatures that are too weak to be checked.
func isRootName(cert *x509.Certificate) bool {
	return string(cert.RawIssuer) == string(cert.RawSubject)
}

func useFindings(leaf *x509.Certificate) []Finding {
	if leaf.IsCA {
		return []Finding{{isWarning, everySDK, "this is the certificate of an authority, and not one that a server should show"}}
	}
	if len(leaf.ExtKeyUsage) == 0 {
		return nil
	}
	for _, use := range leaf.ExtKeyUsage {
		if use == x509.ExtKeyUsageServerAuth || use == x509.ExtKeyUsageAny {
			return nil
		}
	}
	return []Finding{{isError, everySDK, "its extended key usage is not that of a server (serverAuth)"}}
}

func chainFindings(chain []*x509.Certificate) []Finding {
	for n, cert := range chain[:len(chain)-1] {
		if cert.CheckSignatureFrom(chain[n+1]) != nil {
			return []Finding{{isError, "C, Java, and whoever takes a chain as it comes", fmt.Sprintf("certificate %d was not issued by the one behind it", n+1)}}
		}
	}
	last := chain[len(chain)-1]
	if isRootName(last) {
		return nil
	}
	if len(chain) > 1 {
		return []Finding{{isNote, everySDK, fmt.Sprintf("devices must trust the root %s", last.Issuer)}}
	}
	text := fmt.Sprintf("devices must trust %s themselves: if that is an intermediate authority and not a root, its certificate is missing in the chain", last.Issuer)
	return []Finding{{isWarning, everySDK, text}}
}
