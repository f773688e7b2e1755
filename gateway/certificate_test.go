package gateway

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/trust/trusttest"
)

// witness is a face that tells which certificates each client has shown.
type witness struct {
	*fakeFace
	saw chan []*x509.Certificate
}

func (w *witness) Admit(ctx context.Context, c *mqtt.Connect, p Peer) (Admission, error) {
	w.saw <- p.Certificates
	return w.fakeFace.Admit(ctx, c, p)
}

// watching makes w's face a witness.
func watching(w *world) *witness {
	f := &witness{w.face, make(chan []*x509.Certificate, 10)}
	w.Face = f
	return f
}

// The face sees the chain as it came, and no certificate is needed, in both
// versions of TLS, in new sessions and in resumed ones.
func TestFaceSeesCertificates(t *testing.T) {
	server, roots := selfSigned(t)
	server.ClientAuth = tls.RequestClientCert
	var f *witness
	w := newWorld(t, func(w *world) {
		w.TLS = server
		f = watching(w)
	})
	addr := listenTLS(t, w)
	root := trusttest.Root(t, "root")
	line := root.CA(t, "line")
	leaf := line.Leaf(t, "d")
	for version, number := range map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13} {
		for shown, chain := range map[string][]tls.Certificate{"chain": {leaf.TLS(line)}, "none": nil} {
			t.Run(version+" "+shown, func(t *testing.T) {
				config := roots.Clone()
				config.MaxVersion, config.Certificates, config.ClientSessionCache = number, chain, tls.NewLRUClientSessionCache(1)
				for try, resumed := range []bool{false, true} {
					nc, err := tls.Dial("tcp", addr, config)
					if err != nil {
						t.Fatal(err)
					}
					newClient(t, nc).join("d", 0)
					if got := nc.ConnectionState().DidResume; got != resumed {
						t.Errorf("connection %d: resumed %t, want %t", try, got, resumed)
					}
					got := <-f.saw
					if len(got) != 2*len(chain) || len(got) > 0 && (!got[0].Equal(leaf.Cert) || !got[1].Equal(line.Cert)) {
						t.Errorf("connection %d: the face saw %d certificates", try, len(got))
					}
					_ = nc.Close()
				}
			})
		}
	}
}

func TestFaceSeesCertificatesOfWebSockets(t *testing.T) {
	server, roots := selfSigned(t)
	server.ClientAuth = tls.RequestClientCert
	var f *witness
	w := newWorld(t, func(w *world) { f = watching(w) })
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	hs := &http.Server{Handler: w.WebSocket(), ConnState: ConnState, ReadHeaderTimeout: patience}
	go func() { _ = hs.Serve(tls.NewListener(w.GateListener(ln), server)) }()
	t.Cleanup(func() { _ = hs.Close() })
	leaf := trusttest.SelfSigned(t, "d")
	for query, chain := range map[string][]tls.Certificate{"": {leaf.TLS()}, "?iothub-no-client-cert=true": nil} {
		config := roots.Clone()
		config.Certificates = chain
		ws, _, err := websocket.Dial(t.Context(), "wss://"+ln.Addr().String()+WebSocketPath+query, &websocket.DialOptions{
			Subprotocols: []string{"mqtt"}, HTTPClient: &http.Client{Transport: &http.Transport{TLSClientConfig: config}},
		})
		if err != nil {
			t.Fatal(err)
		}
		c := newClient(t, websocket.NetConn(t.Context(), ws, websocket.MessageBinary))
		c.write(&mqtt.Connect{ClientID: []byte("d")})
		c.connack()
		if got := <-f.saw; len(got) != len(chain) || len(got) > 0 && !got[0].Equal(leaf.Cert) {
			t.Errorf("the face saw %d certificates, want %d", len(got), len(chain))
		}
	}
}

// A client that shows a certificate must have its key.
func TestCertificateWithoutItsKey(t *testing.T) {
	server, roots := selfSigned(t)
	server.ClientAuth = tls.RequestClientCert
	for version, number := range map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13} {
		t.Run(version, func(t *testing.T) {
			var f *witness
			w := newWorld(t, func(w *world) {
				w.TLS = server
				f = watching(w)
			})
			config := roots.Clone()
			stolen := trusttest.SelfSigned(t, "d").TLS()
			stolen.PrivateKey = trusttest.SelfSigned(t, "thief").Key
			config.MaxVersion = number
			config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &stolen, nil }
			nc, err := tls.Dial("tcp", listenTLS(t, w), config)
			if err == nil { // in TLS 1.3 the client learns it later
				_ = nc.SetDeadline(time.Now().Add(patience))
				if n, err := nc.Read(make([]byte, 1)); err == nil {
					t.Errorf("read %d bytes", n)
				}
				_ = nc.Close()
			}
			select {
			case <-f.saw:
				t.Error("the face was asked")
			default:
			}
			for limit := time.After(patience); w.log.String() == ""; { // the client may know first
				select {
				case <-limit:
					t.Fatal("nobody was refused")
				case <-time.After(time.Millisecond):
				}
			}
			if w.Refused() != 1 || !strings.Contains(w.log.String(), "TLS handshake failed") {
				t.Errorf("%d refused:\n%s", w.Refused(), w.log)
			}
		})
	}
}

// mortal is a handler that knows why its connection ends in time.
type mortal struct{ *fakeHandler }

func (mortal) Expired() error { return hub.Errorf(hub.Unauthorized, "the certificate is over") }

type mortalFace struct{ *fakeFace }

func (f mortalFace) Admit(ctx context.Context, c *mqtt.Connect, p Peer) (Admission, error) {
	a, err := f.fakeFace.Admit(ctx, c, p)
	a.Handler = mortal{f.handler}
	return a, err
}

func TestHandlerSaysWhyItExpires(t *testing.T) {
	w := newWorld(t, func(w *world) {
		w.face.expires = time.Now().Add(300 * time.Millisecond)
		w.Face = mortalFace{w.face}
	})
	c := w.connect(t, "d")
	w.event(t)
	c.closed()
	if e := w.event(t); e.Reason != "the certificate is over" || e.Code != hub.Unauthorized {
		t.Errorf("event %+v", e)
	}
}
