package conformance

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// recorder stands between an SDK and the gateway on an address of its own, with
// the standard ports, ends TLS on both sides, and notes every packet.
type recorder struct {
	t        *testing.T
	host     string
	caFile   string
	upstream *tls.Config
	gateway  string // host name of the gateway behind
	conns    sync.WaitGroup
	mute     atomic.Bool // acknowledgements of the SDK are kept back

	mu     sync.Mutex
	dialog []string
}

// record starts a recorder on an address that the gateway has as an alias.
func record(t *testing.T, g *gateway, host string) *recorder {
	t.Helper()
	r := &recorder{t: t, host: host, gateway: g.Ready.HostName, upstream: trusting(t, g)}
	server := r.certificate()
	raw, err := tls.Listen("tcp", net.JoinHostPort(host, "8883"), server)
	if err != nil {
		t.Fatal(err)
	}
	web, err := tls.Listen("tcp", net.JoinHostPort(host, "443"), server)
	if err != nil {
		t.Fatal(err)
	}
	go r.acceptLoop(raw)
	srv := &http.Server{
		Handler:           http.HandlerFunc(r.upgrade),
		ReadHeaderTimeout: patience,
		ErrorLog:          log.New(io.Discard, "", 0),
	}
	go func() { _ = srv.Serve(web) }()
	t.Cleanup(func() {
		_ = raw.Close()
		_ = srv.Close()
	})
	return r
}

// trusting is a client's TLS configuration with the gateway's CA.
func trusting(t *testing.T, g *gateway) *tls.Config {
	t.Helper()
	data, err := os.ReadFile(g.Ready.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(data) {
		t.Fatalf("%s holds no certificate", g.Ready.CAFile)
	}
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12, ServerName: g.Ready.HostName}
}

// certificate makes a self-signed one for the recorder's address.
func (r *recorder) certificate() *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		r.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "recorder"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.ParseIP(r.host)}, BasicConstraintsValid: true, IsCA: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		r.t.Fatal(err)
	}
	r.caFile = filepath.Join(r.t.TempDir(), "recorder.pem")
	data := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(r.caFile, data, 0o600); err != nil {
		r.t.Fatal(err)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		MinVersion:   tls.VersionTLS12,
	}
}

func (r *recorder) acceptLoop(l net.Listener) {
	for {
		down, err := l.Accept()
		if err != nil {
			return
		}
		r.conns.Go(func() {
			up, err := tls.Dial("tcp", net.JoinHostPort(r.gateway, "8883"), r.upstream)
			if err != nil {
				r.note(fmt.Sprintf("! the gateway does not answer: %v", err))
				_ = down.Close()
				return
			}
			r.pass(down, up)
		})
	}
}

// upgrade passes a WebSocket on as a stream of bytes.
func (r *recorder) upgrade(w http.ResponseWriter, req *http.Request) {
	r.conns.Add(1)
	defer r.conns.Done()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	offered := strings.FieldsFunc(req.Header.Get("Sec-WebSocket-Protocol"), func(c rune) bool { return c == ',' || c == ' ' })
	r.note(fmt.Sprintf("> GET target=%q subprotocol=%q", req.RequestURI, strings.Join(offered, ",")))
	target := &url.URL{Scheme: "wss", Host: r.gateway, Path: req.URL.Path, RawQuery: req.URL.RawQuery}
	up, _, err := websocket.Dial(ctx, target.String(), &websocket.DialOptions{
		Subprotocols: offered,
		HTTPClient:   &http.Client{Transport: &http.Transport{TLSClientConfig: r.upstream}},
	})
	if err != nil {
		r.note(fmt.Sprintf("! the gateway does not upgrade: %v", err))
		http.Error(w, "no upgrade", http.StatusBadGateway)
		return
	}
	r.note(fmt.Sprintf("< 101 subprotocol=%q", up.Subprotocol()))
	down, err := websocket.Accept(w, req, &websocket.AcceptOptions{Subprotocols: offered, InsecureSkipVerify: true})
	if err != nil {
		r.note(fmt.Sprintf("! the client does not upgrade: %v", err))
		return
	}
	up.SetReadLimit(-1)
	down.SetReadLimit(-1)
	r.pass(websocket.NetConn(ctx, down, websocket.MessageBinary), websocket.NetConn(ctx, up, websocket.MessageBinary))
}

// pass copies packets both ways until either side ends.
func (r *recorder) pass(down, up net.Conn) {
	var both sync.WaitGroup
	both.Go(func() { r.copy("> ", up, down) })
	both.Go(func() { r.copy("< ", down, up) })
	both.Wait()
}

const typePuback = 4

// copy notes each packet before it passes it on, so that the order of the notes is
// that of cause and effect.
func (r *recorder) copy(direction string, to, from net.Conn) {
	defer func() {
		_ = to.Close()
		_ = from.Close()
	}()
	br := bufio.NewReader(from)
	for {
		raw, err := readPacket(br)
		if err != nil {
			return
		}
		if r.mute.Load() && direction == "> " && raw[0]>>4 == typePuback {
			continue
		}
		r.note(direction + decode(raw).String())
		if _, err := to.Write(raw); err != nil {
			return
		}
	}
}

func (r *recorder) note(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dialog = append(r.dialog, line)
}

// take waits until every connection has ended and returns what was noted since the
// last call.
func (r *recorder) take() []string {
	r.t.Helper()
	ended := make(chan struct{})
	go func() {
		r.conns.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(patience):
		r.t.Fatalf("a connection is still open %v after its end", patience)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	lines := slices.Clone(r.dialog)
	r.dialog = nil
	return lines
}
