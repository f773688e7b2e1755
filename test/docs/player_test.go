package docs

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pb33f/libopenapi-validator/errors"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/sas"
	"github.com/hubgate/hubgate/test/hubtest"
)

func newPlayer(t *testing.T, c *contract, g *hubtest.Gateway) *player {
	t.Helper()
	pem, err := os.ReadFile(g.Ready.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	p := &player{
		contract: c, hub: g, keys: map[string][]byte{}, devices: map[string]*device{},
		saved:  map[string]string{"${tomorrow}": time.Now().Add(24 * time.Hour).UTC().Format(time.RFC3339)},
		called: map[string]bool{}, seen: map[string]bool{},
		web: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}},
	}
	t.Cleanup(p.web.CloseIdleConnections)
	kv, err := g.JS.KeyValue(t.Context(), "hub_policies")
	if err != nil {
		t.Fatal(err)
	}
	for _, policy := range sas.DefaultPolicies() {
		entry, err := kv.Get(t.Context(), policy.Name)
		if err == nil {
			err = json.Unmarshal(entry.Value(), &policy)
		}
		if err == nil {
			p.keys[policy.Name], err = sas.DecodeKey(policy.PrimaryKey)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func (p *player) address() string {
	return net.JoinHostPort(p.hub.Ready.HostName, strconv.Itoa(p.hub.Ready.Ports.HTTPS))
}

// token is what somebody shows.
func (p *player) token(t *testing.T, as string) string {
	t.Helper()
	expiry := time.Now().Add(time.Hour)
	switch as {
	case "nobody":
		return ""
	case "forger":
		return sas.Sign(p.hub.Ready.HostName, make([]byte, 32), expiry, "iothubowner")
	}
	if p.keys[as] == nil {
		t.Fatalf("there is no policy %s", as)
	}
	return sas.Sign(p.hub.Ready.HostName, p.keys[as], expiry, as)
}

// step has something happen that is no request: connect ID, report ID JSON,
// receive ID TEXT.
func (p *player) step(t *testing.T, first string) {
	t.Helper()
	words := strings.SplitN(first, " ", 3)
	switch words[0] {
	case "":
	case "connect":
		p.devices[words[1]] = connect(t, p.hub, p.connectionString(t, words[1]))
	case "report":
		p.devices[words[1]].report(words[2])
	case "receive":
		p.devices[words[1]].receive(words[2])
	default:
		t.Fatalf("there is no step %q", first)
	}
}

// connectionString makes that of an identity, by its key in the registry.
func (p *player) connectionString(t *testing.T, id string) string {
	t.Helper()
	who, err := hub.ParseIdentity(id)
	if err != nil {
		t.Fatal(err)
	}
	return (&backEnd{t: t, hub: p.hub}).connectionString(who)
}

// reasons are what a validator has to say, without its advice.
func reasons(wrong []*errors.ValidationError) []string {
	var all []string
	for _, w := range wrong {
		text := w.Message + ": " + w.Reason
		for _, s := range w.SchemaValidationErrors {
			text += "; " + s.FieldPath + " " + s.Reason
		}
		all = append(all, text)
	}
	return all
}
