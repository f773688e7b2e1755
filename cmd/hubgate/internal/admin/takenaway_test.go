package admin

import (
	"crypto/tls"
	"io"
	"net/http"
	"testing"
)

// TestAuthorityTakenAway: whose authority is gone may no longer ask, on a connection that is
// there or in a resumed TLS session.
func TestAuthorityTakenAway(t *testing.T) {
	ca, next := newAuthority(t), newAuthority(t)
	cert, key := ca.issue(t, "127.0.0.1")
	for name, alive := range map[string]bool{"kept alive": true, "resumed": false} {
		t.Run(name, func(t *testing.T) {
			l := serve(t, AccessFiles{Cert: cert, Key: key, ClientCAs: []string{ca.file}})
			l.Started(started(""))
			client := &http.Client{Transport: &http.Transport{
				TLSClientConfig: &tls.Config{
					RootCAs: ca.pool(), Certificates: []tls.Certificate{ca.pair(t, "prometheus")}, ClientSessionCache: tls.NewLRUClientSessionCache(4),
				}, DisableKeepAlives: !alive,
			}}
			ask := func() int {
				resp, err := client.Get(l.url + "/metrics")
				if err != nil {
					t.Log(err)
					return 0
				}
				defer resp.Body.Close()
				_, _ = io.Copy(io.Discard, resp.Body)
				return resp.StatusCode
			}
			if got := ask(); got != 200 {
				t.Fatal(got)
			}
			a, err := ReadAccess(AccessFiles{Cert: cert, Key: key, ClientCAs: []string{next.file}})
			if err != nil {
				t.Fatal(err)
			}
			l.Allow(a, false)
			if got := ask(); got == 200 {
				t.Error("who was let in by an authority that is gone is still let in")
			}
		})
	}
}
