package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hubgate/hubgate/backend"
	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
	"github.com/hubgate/hubgate/internal/pki"
)

// soon is how long before its end a certificate is worth a warning.
const soon = 30 * 24 * time.Hour

// certFiles are those that the node shows. A development hub has made its own.
func (k *checkup) certFiles() (certs, keys []string) {
	if k.role != config.Dev {
		return k.cfg.TLS.CertFiles, k.cfg.TLS.KeyFiles
	}
	dir := filepath.Join(k.cfg.DataDir, "certs")
	if _, err := os.Stat(filepath.Join(dir, "server.pem")); err != nil {
		return nil, nil
	}
	return []string{filepath.Join(dir, "server.pem"), filepath.Join(dir, "server-rsa.pem")},
		[]string{filepath.Join(dir, "server.key"), filepath.Join(dir, "server-rsa.key")}
}

// certificates checks what the node shows, as the SDKs of devices look at it.
func (k *checkup) certificates() {
	certs, keys := k.certFiles()
	if len(certs) == 0 || len(certs) != len(keys) {
		if k.role == config.Dev {
			k.good("certificates", "made at the first start")
		}
		return // said already
	}
	var leaves []*x509.Certificate
	for i, file := range certs {
		if leaf := k.certificate(file, keys[i]); leaf != nil {
			leaves = append(leaves, leaf)
		}
	}
	if len(leaves) == 0 {
		return
	}
	for _, name := range append([]string{k.cfg.Hub.Host}, k.cfg.Hub.Aliases...) {
		k.name(leaves, name)
	}
	if !slices.ContainsFunc(leaves, func(c *x509.Certificate) bool { return c.PublicKeyAlgorithm == x509.RSA }) {
		k.warn("certificates", "all keys are ECDSA: the C SDK on old TLS stacks needs RSA", "show an RSA certificate for the same names beside, if there are such devices")
	}
}

// certificate checks one file with its key and returns what a client sees first.
func (k *checkup) certificate(file, key string) *x509.Certificate {
	what := "certificate " + filepath.Base(file)
	pair, err := tls.LoadX509KeyPair(file, key)
	if err != nil {
		k.bad(what, fmt.Sprintf("%s with the key %s: %v", file, key, err), "put a PEM certificate with its chain, and the key that it was made for, into these files")
		return nil
	}
	chain, err := x509.ParseCertificates(slices.Concat(pair.Certificate...))
	if err != nil {
		k.bad(what, fmt.Sprintf("%s is damaged: %v", file, err), "have it issued again")
		return nil
	}
	now := time.Now()
	fine := k.judge(what, chain, now)
	end := chain[0].NotAfter
	for _, cert := range chain {
		if cert.NotAfter.Before(end) {
			end = cert.NotAfter
		}
	}
	switch {
	case end.Before(now): // said already
	case end.Before(now.Add(soon)):
		k.warn(what, fmt.Sprintf("valid for %d days only", pki.DaysLeft(end, now)), "renew it; a running node takes the new one by 'hubgate reload'")
	case fine:
		k.good(what, "valid until %s, for %s", end.Format(time.DateOnly), strings.Join(pki.NamesOf(chain[0]), ", "))
	}
	return chain[0]
}

// judge says what the SDKs make of a chain; true: nothing is wrong.
func (k *checkup) judge(what string, chain []*x509.Certificate, now time.Time) bool {
	fine := true
	for _, f := range pki.InspectServer(chain, "", now) {
		if f.Who == oldStacks || f.Level == "note" || k.role == config.Dev && f.Level != "error" {
			continue // looked at for all certificates together, or devices are given the authority
		}
		fine = false
		level := backend.Warn
		if f.Level == "error" {
			level = backend.Bad
		}
		k.found = append(k.found, backend.Finding{Level: level, What: what, Text: f.Who + ": " + f.Text, Remedy: "have it issued anew, and put its chain behind it: leaf first, then each issuer but the root"})
	}
	return fine
}

// oldStacks is whom an ECDSA key without an RSA key beside it may keep out.
const oldStacks = "C on old TLS stacks"

func (k *checkup) name(leaves []*x509.Certificate, name string) {
	if name == "" {
		return
	}
	if !strings.Contains(name, ".") {
		k.warn("name "+name, "it has no dot: the C SDK refuses a connection string with it", "use a full DNS name, such as hub.example.com")
	}
	for _, leaf := range leaves {
		if leaf.VerifyHostname(name) == nil {
			k.good("name "+name, "in a certificate")
			return
		}
	}
	remedy := "have a certificate issued with it as a subject alternative name"
	if name == k.cfg.Hub.Host {
		k.bad("name "+name, "no certificate has it: no SDK connects", remedy)
		return
	}
	k.warn("name "+name, "no certificate has it: devices that dial it do not connect, and those that use it with GatewayHostName do", remedy)
}

// isOurs reports whether an address is one of the hub that runs with the data
// directory, or of one that shows the certificate of this node. Asking for that
// leaves an entry in its timeline of strangers.
func (k *checkup) isOurs(where string) bool {
	certs, _ := k.certFiles()
	host, port, _ := net.SplitHostPort(where)
	if n, err := strconv.Atoi(port); k.hub != nil && err == nil && (n == k.hub.Ports.MQTT || n == k.hub.Ports.HTTPS) {
		return true
	}
	if host == "" {
		host = "127.0.0.1"
	}
	d := &net.Dialer{Timeout: probeTimeout}
	conn, err := tls.DialWithDialer(d, "tcp", net.JoinHostPort(host, port), &tls.Config{ServerName: k.cfg.Hub.Host, InsecureSkipVerify: true}) //nolint:gosec,noctx // the certificate is compared with our own; nothing is sent
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }()
	shown := conn.ConnectionState().PeerCertificates
	for _, file := range certs {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		own, err := pki.ParseCertificates(text)
		if err == nil && len(shown) > 0 && own[0].Equal(shown[0]) {
			return true
		}
	}
	return false
}

// secretFiles are those that nobody but the user of the hub should read.
func (k *checkup) secretFiles() []string {
	_, keys := k.certFiles()
	n := k.cfg.NATS
	files := append(slices.Clone(keys), n.Creds, n.NKey, n.Key, n.Leaf.Creds,
		k.cfg.TLS.IssuerKeyFile, k.cfg.Admin.KeyFile, k.cfg.Admin.TokenFile)
	for _, p := range k.cfg.Policies {
		files = append(files, p.Primary.File, p.Secondary.File)
	}
	for _, where := range []string{n.EncryptionKey, k.cfg.Tracing.Headers} {
		if !strings.HasPrefix(where, "env:") && !strings.HasPrefix(where, "credential:") {
			files = append(files, where)
		}
	}
	if n.Embedded {
		for _, pattern := range []string{"nats/*.nk", "nats/*.creds", "nats/encryption", "certs/*.key"} {
			more, _ := filepath.Glob(filepath.Join(k.cfg.DataDir, pattern))
			files = append(files, more...)
		}
	}
	files = slices.DeleteFunc(files, func(f string) bool { return f == "" })
	slices.Sort(files)
	return slices.Compact(files)
}

// permissions checks who may read secrets.
func (k *checkup) permissions() {
	if runtime.GOOS == "windows" {
		return // no such modes there
	}
	files, fine := k.secretFiles(), 0
	for _, file := range files {
		if k.isPrivate(file) {
			fine++
		}
	}
	if info, err := os.Stat(k.cfg.DataDir); k.cfg.NATS.Embedded && err == nil && info.Mode().Perm()&0o077 != 0 {
		k.warn("file "+k.cfg.DataDir, fmt.Sprintf("others may look into the data directory (mode %04o)", info.Mode().Perm()), "chmod 700 "+quote(k.cfg.DataDir))
	}
	if fine == len(files) && fine > 0 {
		k.good("secret files", "%s, for their owner only", strconv.Itoa(fine)+" files")
	}
}

// isPrivate says who else may use a file.
func (k *checkup) isPrivate(file string) bool {
	what := "file " + file
	switch info, err := os.Stat(file); {
	case errors.Is(err, fs.ErrNotExist):
		k.bad(what, "it is not there", "put it there, or correct the configuration")
	case err != nil:
		k.bad(what, err.Error(), "let the user of the hub read it")
	case info.Mode().Perm()&0o007 != 0:
		k.bad(what, fmt.Sprintf("everybody on this machine may use it (mode %04o)", info.Mode().Perm()), "chmod 600 "+quote(file)+", and replace the secret if others have accounts here")
	case info.Mode().Perm()&0o070 != 0:
		k.warn(what, fmt.Sprintf("its group may use it (mode %04o)", info.Mode().Perm()), "chmod 600 "+quote(file)+", unless the group is meant to")
	default:
		return true
	}
	return false
}

// hostPort is the host and port of a NATS URL.
func hostPort(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil {
		return "", errors.New("not a URL")
	}
	return u.Host, nil
}
