package pki

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Load reads the certificate files of a production hub, each with its chain,
// and their keys, which correspond. It does not look at the clock.
func Load(certFiles, keyFiles []string) ([]tls.Certificate, error) {
	if err := checkCount(certFiles, keyFiles); err != nil {
		return nil, err
	}
	var certs []tls.Certificate
	for i, file := range certFiles {
		cert, err := loadPair(file, keyFiles[i])
		if err != nil {
			return nil, err
		}
		certs = append(certs, cert)
	}
	return certs, nil
}

func checkCount(certFiles, keyFiles []string) error {
	if len(certFiles) == 0 {
		return errors.New("no certificate file is given")
	}
	if len(certFiles) != len(keyFiles) {
		return fmt.Errorf("%d certificate files and %d key files are given; each certificate needs its key", len(certFiles), len(keyFiles))
	}
	return nil
}

func loadPair(certFile, keyFile string) (tls.Certificate, error) {
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return cert, fmt.Errorf("load the certificate %s with the key %s: %w", certFile, keyFile, err)
	}
	if err := checkChain(cert); err != nil {
		return cert, fmt.Errorf("load the certificate %s: %w", certFile, err)
	}
	return cert, nil
}

// checkChain holds that each certificate of a file was issued by the next one:
// some TLS stacks take a chain in this order only.
func checkChain(cert tls.Certificate) error {
	child := cert.Leaf
	for n, der := range cert.Certificate[1:] {
		parent, err := x509.ParseCertificate(der)
		if err != nil {
			return fmt.Errorf("certificate %d of the file is damaged: %w", n+2, err)
		}
		if err := child.CheckSignatureFrom(parent); err != nil {
			return fmt.Errorf("certificate %d of the file, %s, did not issue the one before it (%w); put the server's certificate first, and behind each its issuer",
				n+2, parent.Subject, err)
		}
		child = parent
	}
	return nil
}

// Reader reads certificate files again and again, and remembers what was last
// good of each. The zero value is ready; it is for one goroutine.
type Reader struct{ last []loaded }

// loaded is the certificate of a file.
type loaded struct {
	file string
	cert tls.Certificate
}

// Reading is what a Reader found.
type Reading struct {
	Certificates []tls.Certificate
	Warnings     []string
	Errors       []error // of files whose former certificate stays, or that have none
	// Again is when the first of those certificates is valid that were refused because
	// they are not valid yet. Zero: there is none.
	Again time.Time
}

// Read reads the files as [Load] does. A file that is bad, or whose certificate
// is not valid at now, does not displace one that is valid; a certificate that
// is not valid is shown, with a warning, where there is nothing better. As long as a
// file is bad that was never read before, certificates of files that are not named
// any more stay in its place: it may be their successor.
func (r *Reader) Read(certFiles, keyFiles []string, now time.Time) Reading {
	var found Reading
	if err := checkCount(certFiles, keyFiles); err != nil {
		found.Errors = append(found.Errors, err)
		return found
	}
	var next []loaded
	lacking := -1 // where the first one belongs of which there is no certificate
	for i, file := range certFiles {
		switch cert, ok := r.read(file, keyFiles[i], now, &found); {
		case ok:
			next = append(next, loaded{file, cert})
		case lacking < 0:
			lacking = len(next)
		}
	}
	if lacking >= 0 {
		next = slices.Insert(next, lacking, r.unnamed(certFiles)...)
	}
	for _, l := range next {
		found.Certificates = append(found.Certificates, l.cert)
	}
	r.last = next
	return found
}

// read returns what is to be shown of a file; not ok: there is nothing.
func (r *Reader) read(file, keyFile string, now time.Time, found *Reading) (cert tls.Certificate, ok bool) {
	before, known := r.before(file)
	cert, err := loadPair(file, keyFile)
	if err == nil && known && invalid(cert.Leaf, now) != "" && invalid(before.Leaf, now) == "" {
		err = fmt.Errorf("%s %s", file, invalid(cert.Leaf, now))
		found.wait(cert.Leaf.NotBefore, now)
	}
	switch {
	case err != nil && known:
		cert = before
		found.Errors = append(found.Errors, fmt.Errorf("%w; the certificate that was read before stays", err))
	case err != nil:
		found.Errors = append(found.Errors, err)
		return cert, false
	}
	if why := invalid(cert.Leaf, now); why != "" {
		found.Warnings = append(found.Warnings, fmt.Sprintf("%s %s: devices will refuse it", file, why))
	}
	return cert, true
}

// wait notes when a certificate begins, if that is yet to come.
func (f *Reading) wait(begin, now time.Time) {
	if begin.After(now) && (f.Again.IsZero() || begin.Before(f.Again)) {
		f.Again = begin
	}
}

// before is the certificate that was last good of a file.
func (r *Reader) before(file string) (cert tls.Certificate, known bool) {
	for _, l := range r.last {
		if l.file == file {
			return l.cert, true
		}
	}
	return cert, false
}

// unnamed are the certificates of other files than these.
func (r *Reader) unnamed(files []string) []loaded {
	return slices.DeleteFunc(slices.Clone(r.last), func(l loaded) bool { return slices.Contains(files, l.file) })
}

// invalid says why a certificate is not valid at now, or "".
func invalid(cert *x509.Certificate, now time.Time) string {
	switch {
	case now.After(cert.NotAfter):
		return "has expired on " + cert.NotAfter.UTC().Format(time.RFC3339)
	case now.Before(cert.NotBefore):
		return "is not valid before " + cert.NotBefore.UTC().Format(time.RFC3339) + ", or the clock of this machine is wrong"
	}
	return ""
}

// Same reports whether two lists hold the same certificates.
func Same(a, b []tls.Certificate) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if len(a[i].Certificate) != len(b[i].Certificate) {
			return false
		}
		for j := range a[i].Certificate {
			if !bytes.Equal(a[i].Certificate[j], b[i].Certificate[j]) {
				return false
			}
		}
	}
	return true
}

// Covers reports whether a client that asks for name gets a certificate that
// has it.
func Covers(certs []tls.Certificate, name string) bool {
	for i := range certs {
		if certs[i].Leaf.VerifyHostname(name) == nil {
			return true
		}
	}
	return false
}
