package backend

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/hubgate/hubgate/trust"
	"github.com/hubgate/hubgate/trust/trusttest"
)

// authoritiesOn serves the authorities and returns a back-end app's connection.
func authoritiesOn(t *testing.T) (*Backbone, *nats.Conn) {
	t.Helper()
	s := serve(t, "", 0)
	b := open(t, s, Config{})
	service, err := b.ServeAuthorities(&trust.Registry{Store: b.Authorities()})
	if err != nil {
		t.Fatalf("ServeAuthorities: %v", err)
	}
	t.Cleanup(func() { _ = service.Stop() })
	nc, err := nats.Connect(s.URL(), nats.UserCredentials(s.HubCreds()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return b, nc
}

func TestAuthorityService(t *testing.T) {
	t.Parallel()
	_, nc := authoritiesOn(t)
	root := trusttest.Root(t, "root")
	resource := func(p *trusttest.Pair, more string) string {
		text, _ := json.Marshal(string(p.PEM()))
		return `{"properties":{"certificate":` + string(text) + more + `}}`
	}
	proofOf := func(code string) string {
		return `{"certificate":"` + base64.StdEncoding.EncodeToString(root.Leaf(t, code).Cert.Raw) + `"}`
	}
	code := ""
	for _, s := range []struct {
		name, subject, ifMatch string
		body                   func() string
		code                   string   // of the error
		words                  []string // of the answer or the error
	}{
		{"list of none", "hub.authority.list", "", nil, "", []string{`{"value":[]}`}},
		{"put", "hub.authority.put.plant=2E1", "", func() string { return resource(root, "") }, "", []string{`"name":"plant.1"`, `"isVerified":false`, `"subject":"CN=root"`, `"etag":"`}},
		{"put again", "hub.authority.put.plant=2E1", "", func() string { return resource(root, "") }, "412001", []string{"exists already"}},
		{"put by another name", "hub.authority.put.a", "", func() string { return `{"name":"b","properties":{}}` }, "400004", []string{`"b"`}},
		{"put nothing", "hub.authority.put.a", "", func() string { return `{}` }, "400004", []string{"missing"}},
		{"put garbage", "hub.authority.put.a", "", func() string { return `{"properties":{"certificate":"x"}}` }, "400004", nil},
		{"put a leaf", "hub.authority.put.a", "", func() string { return resource(root.Leaf(t, "dev1"), "") }, "400004", []string{"not that of a CA"}},
		{"put verified", "hub.authority.put.known", "", func() string { return resource(root, `,"isVerified":true`) }, "", []string{`"isVerified":true`}},
		{"get", "hub.authority.get.plant=2E1", "", nil, "", []string{`"thumbprint":"` + trust.Thumbprint(root.Cert) + `"`}},
		{"get missing", "hub.authority.get.nobody", "", nil, "404008", []string{"nobody"}},
		{"get with an option", "hub.authority.get.plant=2E1", "", func() string { return `{"keys":true}` }, "400004", nil},
		{"verify without a code", "hub.authority.verify.plant=2E1", "", func() string { return proofOf("x") }, "400004", []string{"no verification code"}},
		{"code", "hub.authority.code.plant=2E1", "", nil, "", []string{`"verificationCode":"`}},
		{"verify by another", "hub.authority.verify.plant=2E1", "", func() string { return proofOf("x") }, "400004", []string{"must be for the verification code"}},
		{"verify", "hub.authority.verify.plant=2E1", "", func() string { return proofOf(code) }, "", []string{`"isVerified":true`}},
		{"list", "hub.authority.list", "", nil, "", []string{`"known"`, `"plant.1"`}},
		{"delete stale", "hub.authority.delete.known", "MA==", nil, "412001", nil},
		{"delete", "hub.authority.delete.known", "", nil, "", []string{"{}"}},
		{"delete again", "hub.authority.delete.known", "*", nil, "404008", nil},
	} {
		body := ""
		if s.body != nil {
			body = s.body()
		}
		answer, failed, text := ask(t, nc, s.subject, s.ifMatch, body)
		if failed != s.code || !hasAll(answer+text, s.words...) {
			t.Errorf("%s: answer %s, code %q, %q; want code %q, words %q", s.name, answer, failed, text, s.code, s.words)
		}
		if s.name == "code" {
			var a trust.Authority
			if err := json.Unmarshal([]byte(answer), &a); err != nil {
				t.Fatal(err)
			}
			code = a.VerificationCode
		}
	}
}

// Every node hears of a change, and a node that starts knows what there is. A
// damaged record vouches for nobody and hides nothing.
func TestAuthoritiesAreFollowed(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	a, b := open(t, s, Config{}), open(t, s, Config{})
	ctx := testContext(t)
	r := &trust.Registry{Store: a.Authorities()}
	root := trusttest.Root(t, "root")
	if _, err := r.Put(ctx, trust.Authority{Name: "one", Certificate: root.Cert.Raw, Verified: true}, ""); err != nil {
		t.Fatal(err)
	}
	names := func(x *Backbone) string {
		var all []string
		for _, authority := range x.Authorities().All() {
			all = append(all, authority.Name)
		}
		return strings.Join(all, " ")
	}
	until(t, "the other node has it", func() bool { return names(b) == "one" })
	if _, err := a.Authorities().mirror.bucket.kv.Put(ctx, "bad", []byte("garbage")); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Authorities().mirror.bucket.kv.Put(ctx, "stolen", []byte(mustJSON(t, a.Authorities().All()[0]))); err != nil {
		t.Fatal(err)
	}
	if got := names(open(t, s, Config{})); got != "one" {
		t.Errorf("a new node has %q", got)
	}
	if err := r.Delete(ctx, "one", "*"); err != nil {
		t.Fatal(err)
	}
	until(t, "both have lost it", func() bool { return names(a)+names(b) == "" })
	select {
	case <-b.Authorities().Changed():
	default:
		t.Error("nothing says that something has changed")
	}
}
