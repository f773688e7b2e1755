package credential

import (
	"crypto"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/hubgate/hubgate/hub"
)

func wantRefusal(t *testing.T, err error, code hub.Code, reason Reason, words ...string) *Refusal {
	t.Helper()
	r, ok := errors.AsType[*Refusal](err)
	if !ok || hub.CodeOf(err) != code || r.Reason != reason {
		t.Fatalf("got %v, want %d %s", err, code, reason)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q does not say %q", err, word)
		}
	}
	return r
}

// Every kind of key that is good enough gets a certificate for the identity
// alone, whatever else the request asks for.
func TestIssue(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]crypto.Signer{
		"P-256": ecKey(t, elliptic.P256()), "P-384": ecKey(t, elliptic.P384()), "RSA 2048": rsaKey(t, 2048), "Ed25519": ed,
	} {
		t.Run(name, func(t *testing.T) {
			o := newOffice(t)
			csr := csrOf(t, "dev1", key, func(c *x509.CertificateRequest) {
				c.Subject.Organization = []string{"Contoso"}
				c.DNSNames = []string{"hub.example"}
			})
			op := o.serve(t, "rid-1", bodyOf("dev1", csr, ""))
			cert, err := op.Certificate()
			if err != nil {
				t.Fatal(err)
			}
			if cert.Subject.String() != "CN=dev1" || len(cert.DNSNames) > 0 || cert.IsCA || len(cert.Extensions) > 6 {
				t.Errorf("issued for %s, %q, CA %t", cert.Subject, cert.DNSNames, cert.IsCA)
			}
			if len(cert.ExtKeyUsage) != 1 || cert.ExtKeyUsage[0] != x509.ExtKeyUsageClientAuth {
				t.Errorf("it may be used for %v", cert.ExtKeyUsage)
			}
			if life := cert.NotAfter.Sub(o.clock); life > 90*time.Hour || life < 89*time.Hour {
				t.Errorf("it lives for %v", life)
			}
			if same, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !same.Equal(cert.PublicKey) {
				t.Error("it is for another key")
			}
			if len(op.Certificates) != 2 {
				t.Fatalf("%d certificates, want the device's and the issuer's, without the root", len(op.Certificates))
			}
			above, roots := x509.NewCertPool(), x509.NewCertPool()
			issuer, err := x509.ParseCertificate(op.Certificates[1])
			if err != nil {
				t.Fatal(err)
			}
			above.AddCert(issuer)
			roots.AddCert(o.root)
			if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, Intermediates: above, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
				t.Error(err)
			}
		})
	}
}

// Nobody gets two certificates for one request, and none that is not stored.
func TestIssueIsOnce(t *testing.T) {
	o := newOffice(t)
	op, err := o.accept("r", bodyOf("dev1", csrOf(t, "dev1", ecKey(t, elliptic.P256())), ""))
	if err != nil {
		t.Fatal(err)
	}
	for name, fail := range map[string]func(){
		"the store is away":  func() { o.store.fail = func(Operation) error { return hub.Errorf(hub.ServiceUnavailable, "away") } },
		"the issuer is over": func() { o.clock = o.clock.Add(600 * time.Hour) },
	} {
		clock := o.clock
		fail()
		if _, made, err := o.Issue(t.Context(), op); err == nil || made {
			t.Errorf("%s: made %t, %v", name, made, err)
		}
		o.store.fail, o.clock = nil, clock
		if stored := o.store.ops[op.ID]; len(stored.Certificates) > 0 || stored.Revision != op.Revision {
			t.Errorf("%s, and %d certificates are stored", name, len(stored.Certificates))
		}
	}
	first, made, err := o.Issue(t.Context(), op)
	if err != nil || !made || len(first.CSR) > 0 {
		t.Fatalf("made %t, %v; %d bytes of the csr are kept", made, err, len(first.CSR))
	}
	for name, again := range map[string]Operation{"as it was accepted": op, "as it was issued": first} {
		got, made, err := o.Issue(t.Context(), again)
		if err != nil || made || len(got.Certificates) != len(first.Certificates) || string(got.Certificates[0]) != string(first.Certificates[0]) {
			t.Errorf("%s: made %t, %v", name, made, err)
		}
	}
}

func TestModule(t *testing.T) {
	o := newOffice(t)
	id := hub.Identity{Device: "dev1", Module: "cam"}
	key := ecKey(t, elliptic.P256())
	op, err := o.Accept(t.Context(), id, "g", "rid-1", bodyOf("dev1/cam", csrOf(t, "dev1/cam", key), ""))
	if err != nil {
		t.Fatal(err)
	}
	op, made, err := o.Issue(t.Context(), op)
	cert, parse := op.Certificate()
	if err != nil || parse != nil || !made || cert.Subject.CommonName != "dev1/cam" {
		t.Fatalf("%v, %v, made %t", err, parse, made)
	}
	_, err = o.Accept(t.Context(), id, "g", "rid-2", bodyOf("dev1/cam", csrOf(t, "dev1", key), "*"))
	wantRefusal(t, err, hub.CredentialFailed, SubjectMismatch, "dev1/cam")
}

func TestBadRequests(t *testing.T) {
	o := newOffice(t)
	key := ecKey(t, elliptic.P256())
	good := csrOf(t, "dev1", key)
	forged := append([]byte(nil), good...)
	forged[len(forged)-3] ^= 1
	twoNames := csrOf(t, "", key, func(c *x509.CertificateRequest) {
		cn := []int{2, 5, 4, 3}
		c.Subject.ExtraNames = []pkix.AttributeTypeAndValue{{Type: cn, Value: "dev1"}, {Type: cn, Value: "dev1"}}
	})
	pemText, _ := json.Marshal(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: good})))
	for name, tc := range map[string]struct {
		rid    string
		body   []byte
		reason Reason
		says   string
	}{
		"no JSON":        {"r", []byte("{"), BadRequest, "not JSON"},
		"empty":          {"r", nil, BadRequest, "not JSON"},
		"a list":         {"r", []byte("[]"), BadRequest, "not JSON"},
		"null":           {"r", []byte("null"), BadRequest, "no id"},
		"no id":          {"r", []byte(`{"csr":"AA=="}`), BadRequest, "no id"},
		"other id":       {"r", bodyOf("dev2", good, ""), SubjectMismatch, "another one than dev1"},
		"no csr":         {"r", []byte(`{"id":"dev1"}`), BadRequest, "no csr"},
		"csr null":       {"r", []byte(`{"id":"dev1","csr":null}`), BadRequest, "no csr"},
		"csr a number":   {"r", []byte(`{"id":"dev1","csr":7}`), BadRequest, "not JSON"},
		"no base64":      {"r", []byte(`{"id":"dev1","csr":"!"}`), UndecodableCSR, "not base64"},
		"PEM":            {"r", []byte(`{"id":"dev1","csr":` + string(pemText) + `}`), UndecodableCSR, "PEM"},
		"no CSR":         {"r", bodyOf("dev1", []byte("hello"), ""), UndecodableCSR, "PKCS #10"},
		"cut":            {"r", bodyOf("dev1", good[:len(good)-1], ""), UndecodableCSR, "PKCS #10"},
		"trailing":       {"r", bodyOf("dev1", append(append([]byte(nil), good...), 0), ""), UndecodableCSR, "PKCS #10"},
		"huge csr":       {"r", bodyOf("dev1", make([]byte, maxCSR+1), ""), UndecodableCSR, "most"},
		"huge body":      {"r", make([]byte, MaxBody+1), BadRequest, "most"},
		"forged":         {"r", bodyOf("dev1", forged, ""), BadSignature, "own key"},
		"other CN":       {"r", bodyOf("dev1", csrOf(t, "dev2", key), ""), SubjectMismatch, "CN"},
		"CN in capitals": {"r", bodyOf("dev1", csrOf(t, "DEV1", key), ""), SubjectMismatch, "CN"},
		"two CNs":        {"r", bodyOf("dev1", twoNames, ""), SubjectMismatch, "once"},
		"no CN":          {"r", bodyOf("dev1", csrOf(t, "", key), ""), SubjectMismatch, "CN"},
		"RSA 1024":       {"r", bodyOf("dev1", csrOf(t, "dev1", rsaKey(t, 1024)), ""), BadKey, "1024"},
		"P-224":          {"r", bodyOf("dev1", csrOf(t, "dev1", ecKey(t, elliptic.P224())), ""), BadKey, "P-224"},
		"P-521":          {"r", bodyOf("dev1", csrOf(t, "dev1", ecKey(t, elliptic.P521())), ""), BadKey, "P-521"},
		"rid too long":   {strings.Repeat("r", MaxRID+1), bodyOf("dev1", good, ""), BadRequest, "129"},
		"rid of a slash": {"a/b", bodyOf("dev1", good, ""), BadRequest, "character"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := o.accept(tc.rid, tc.body)
			wantRefusal(t, err, hub.CredentialFailed, tc.reason, tc.says)
		})
	}
	if len(o.store.ops) > 0 {
		t.Error("something is stored of them")
	}
}

// One request is in flight; the same again is the same operation, before and
// after its end.
func TestOneInFlight(t *testing.T) {
	o := newOffice(t)
	key := ecKey(t, elliptic.P256())
	first := bodyOf("dev1", csrOf(t, "dev1", key), "")
	op, err := o.accept("first", first)
	if err != nil {
		t.Fatal(err)
	}
	other := bodyOf("dev1", csrOf(t, "dev1", key), "")
	_, err = o.accept("other", other)
	r := wantRefusal(t, err, hub.CredentialActive, "", "first")
	if r.Active.CorrelationID != op.CorrelationID {
		t.Errorf("it names %+v", r.Active)
	}
	_, err = o.accept("first", other) // the same id, and another question
	wantRefusal(t, err, hub.CredentialActive, "")
	_, err = o.accept("other", bodyOf("dev1", csrOf(t, "dev1", key), "stranger"))
	wantRefusal(t, err, hub.PreconditionFailed, "")
	again, err := o.accept("first", first)
	if err != nil || again.CorrelationID != op.CorrelationID {
		t.Fatalf("the same again: %v, %+v", err, again)
	}
	op, made, err := o.Issue(t.Context(), op)
	if err != nil || !made {
		t.Fatal(made, err)
	}
	raced, made, err := o.Issue(t.Context(), again) // as if another gateway was slower
	if err != nil || made || string(raced.Certificates[0]) != string(op.Certificates[0]) {
		t.Errorf("issued twice: made %t, %v", made, err)
	}
	if err := o.Close(t.Context(), op); err != nil {
		t.Fatal(err)
	}
	late, err := o.accept("first", first)
	if err != nil || string(late.Certificates[0]) != string(op.Certificates[0]) {
		t.Errorf("the same after its end: %v", err)
	}
	if _, err := o.accept("other", other); err != nil {
		t.Errorf("another one after the end: %v", err)
	}
}

// replace takes the place of what is in flight, and that one learns of it.
func TestReplace(t *testing.T) {
	for _, replace := range []string{"*", "first"} {
		o := newOffice(t)
		key := ecKey(t, elliptic.P256())
		old, err := o.accept("first", bodyOf("dev1", csrOf(t, "dev1", key), "*")) // nothing is there to be replaced
		if err != nil {
			t.Fatal(err)
		}
		next, err := o.accept("second", bodyOf("dev1", csrOf(t, "dev1", key), replace))
		if err != nil {
			t.Fatalf("replace %s: %v", replace, err)
		}
		_, _, err = o.Issue(t.Context(), old)
		r := wantRefusal(t, err, hub.CredentialActive, "", "second")
		if r.Active.RID != "second" {
			t.Errorf("it names %+v", r.Active)
		}
		if _, made, err := o.Issue(t.Context(), next); err != nil || !made {
			t.Errorf("made %t, %v", made, err)
		}
	}
}

// A request whose time is over can't be replaced, nor one of another identity that had
// the name before.
func TestReplaceOfWhatIsOver(t *testing.T) {
	for name, tc := range map[string]struct {
		generation string
		after      time.Duration
		code       hub.Code
	}{
		"active":             {"g", Lifetime - time.Second, 0},
		"over":               {"g", Lifetime, hub.PreconditionFailed},
		"another generation": {"h", 0, hub.PreconditionFailed},
	} {
		o := newOffice(t)
		body := csrOf(t, "dev1", ecKey(t, elliptic.P256()))
		if _, err := o.accept("first", bodyOf("dev1", body, "")); err != nil {
			t.Fatal(err)
		}
		o.clock = o.clock.Add(tc.after)
		_, err := o.Accept(t.Context(), device(), tc.generation, "second", bodyOf("dev1", body, "first"))
		if hub.CodeOf(err) != tc.code || err != nil && !strings.Contains(err.Error(), "is not an active one of dev1") {
			t.Errorf("%s: %v, want the code %d", name, err, tc.code)
		}
	}
}

// Keys are neither too weak nor so large that a check of them is work.
func TestKeySizes(t *testing.T) {
	for bits, good := range map[uint]bool{1024: false, 2047: false, 2048: true, 4096: true, 8192: true, 8193: false, 16384: false} {
		key := &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), bits-1), E: 65537}
		if err := checkKey(key); (err == nil) != good {
			t.Errorf("an RSA key of %d bits: %v", bits, err)
		}
	}
}

// What waits is found by the next connection, for as long as was said, and by
// nobody who has only the same name.
func TestWaiting(t *testing.T) {
	o := newOffice(t)
	body := bodyOf("dev1", csrOf(t, "dev1", ecKey(t, elliptic.P256())), "")
	if _, ok, err := o.Waiting(t.Context(), device(), "g"); ok || err != nil {
		t.Fatal(ok, err)
	}
	op, err := o.accept("r-1", body)
	if err != nil {
		t.Fatal(err)
	}
	got, ok, err := o.Waiting(t.Context(), device(), "g")
	if !ok || err != nil || got.CorrelationID != op.CorrelationID {
		t.Errorf("%t, %v", ok, err)
	}
	if _, ok, _ := o.Waiting(t.Context(), device(), "another generation"); ok {
		t.Error("it waits for a stranger")
	}
	o.clock = o.clock.Add(Lifetime)
	if _, ok, _ := o.Waiting(t.Context(), device(), "g"); ok {
		t.Error("it waits for ever")
	}
	fresh, err := o.accept("r-1", body)
	if err != nil || fresh.CorrelationID == op.CorrelationID {
		t.Errorf("the same after its time: %v", err)
	}
}

func TestThrottle(t *testing.T) {
	o := newOffice(t)
	key := ecKey(t, elliptic.P256())
	for _, rid := range []string{"a", "b", "c", "d", "e"} {
		o.serve(t, rid, bodyOf("dev1", csrOf(t, "dev1", key), "*"))
	}
	body := bodyOf("dev1", csrOf(t, "dev1", key), "*")
	_, err := o.accept("f", body)
	if r := wantRefusal(t, err, hub.CredentialThrottled, ""); r.RetryAfter != while {
		t.Errorf("try again after %v", r.RetryAfter)
	}
	o.clock = o.clock.Add(while)
	if _, err := o.accept("f", body); err != nil {
		t.Error(err)
	}
}

// Whoever loses a race tries again, and does not lose what the other wrote.
func TestRaces(t *testing.T) {
	o := newOffice(t)
	body := bodyOf("dev1", csrOf(t, "dev1", ecKey(t, elliptic.P256())), "")
	lost := 0
	o.store.fail = func(Operation) error {
		if lost++; lost < races {
			return hub.Errorf(hub.PreconditionFailed, "revision")
		}
		return nil
	}
	if _, err := o.accept("r", body); err != nil {
		t.Errorf("after %d lost races: %v", lost, err)
	}
	o.store.fail = func(Operation) error { return hub.Errorf(hub.PreconditionFailed, "revision") }
	if _, err := o.accept("s", bodyOf("dev1", csrOf(t, "dev1", ecKey(t, elliptic.P256())), "*")); hub.CodeOf(err) != hub.ServiceUnavailable {
		t.Errorf("lost for ever: %v", err)
	}
}

func TestNoIssuer(t *testing.T) {
	var none *Desk
	for name, d := range map[string]*Desk{"no desk": none, "no issuer": {}} {
		if _, err := d.Accept(t.Context(), device(), "g", "r", nil); hub.CodeOf(err) != hub.CredentialUnready {
			t.Errorf("%s: %v", name, err)
		}
	}
	o := newOffice(t)
	o.clock = o.clock.Add(501 * time.Hour)
	if _, err := o.accept("r", nil); hub.CodeOf(err) != hub.CredentialUnready || !strings.Contains(err.Error(), "issuer") {
		t.Errorf("expired: %v", err)
	}
}

// A certificate never outlives its issuer.
func TestLifeEndsWithTheIssuers(t *testing.T) {
	o := newOffice(t)
	o.clock = o.clock.Add(490 * time.Hour)
	op := o.serve(t, "r", bodyOf("dev1", csrOf(t, "dev1", ecKey(t, elliptic.P256())), ""))
	cert, err := op.Certificate()
	if err != nil || !cert.NotAfter.Equal(o.Issuer.Authority().NotAfter) {
		t.Errorf("%v, %v", err, cert.NotAfter)
	}
}

func TestNewIssuerRefuses(t *testing.T) {
	ca, caKey := authorityOf(t, "ca", time.Now().Add(time.Hour), nil, nil)
	other := ecKey(t, elliptic.P256())
	certText, keyText := pemOf(t, caKey, ca)
	_, otherKey := pemOf(t, other, ca)
	leafDER, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}, ca, other.Public(), caKey)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(leafDER)
	if err != nil {
		t.Fatal(err)
	}
	leafText, leafKey := pemOf(t, other, leaf)
	for name, tc := range map[string]struct {
		cert, key []byte
		says      string
	}{
		"garbage":     {[]byte("x"), keyText, "issuing authority"},
		"another key": {certText, otherKey, "issuing authority"},
		"no CA":       {leafText, leafKey, "CA:TRUE"},
	} {
		if _, err := NewIssuer(tc.cert, tc.key, time.Hour); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What the SDKs read out of the answers.
func TestAnswers(t *testing.T) {
	at := time.Date(2026, 6, 9, 17, 31, 31, 426_574_675, time.UTC)
	op := Operation{RID: "r-1", CorrelationID: "c", Expires: at, Certificates: [][]byte{{1}, {2}}}
	for name, tc := range map[string]struct{ got, want string }{
		"accepted": {string(AcceptedBody(op)), `{"correlationId":"c","operationExpires":"2026-06-09T17:31:31.426Z"}`},
		"issued":   {string(IssuedBody(op)), `{"correlationId":"c","certificates":["AQ==","Ag=="]}`},
	} {
		if tc.got != tc.want {
			t.Errorf("%s: %s", name, tc.got)
		}
	}
	for name, tc := range map[string]struct {
		err  error
		want string
	}{
		"failed": {
			refuse(UndecodableCSR, "the csr is not base64"),
			`{"errorCode":400040,"message":"the csr is not base64","timestampUtc":"2026-06-09T17:31:31.426Z","info":{"credentialError":"FailedToDecodeCsr","credentialMessage":"the csr is not base64"}}`,
		},
		"active": {
			&Refusal{Active: &op, Cause: hub.Errorf(hub.CredentialActive, "busy")},
			`{"errorCode":409005,"message":"busy","timestampUtc":"2026-06-09T17:31:31.426Z","info":{"correlationId":"c","requestId":"r-1","operationExpires":"2026-06-09T17:31:31.426Z"}}`,
		},
		"throttled": {
			&Refusal{RetryAfter: 90 * time.Second, Cause: hub.Errorf(hub.CredentialThrottled, "slow")},
			`{"errorCode":429002,"message":"slow","timestampUtc":"2026-06-09T17:31:31.426Z","retryAfter":91}`,
		},
		"away": {
			hub.Errorf(hub.ServiceUnavailable, "NATS"),
			`{"errorCode":503001,"message":"NATS","timestampUtc":"2026-06-09T17:31:31.426Z","retryAfter":5}`,
		},
		"late": {
			hub.Errorf(hub.GatewayTimeout, "NATS"),
			`{"errorCode":504101,"message":"NATS","timestampUtc":"2026-06-09T17:31:31.426Z","retryAfter":5}`,
		},
		"a fault": {
			errors.New("secret"),
			`{"errorCode":500001,"message":"` + hub.ServerError.Hint() + `","timestampUtc":"2026-06-09T17:31:31.426Z","retryAfter":300}`,
		},
	} {
		var m map[string]any
		if err := json.Unmarshal(ErrorBody(tc.err, at), &m); err != nil {
			t.Fatal(err)
		}
		if m["trackingId"] == "" {
			t.Errorf("%s: no trackingId", name)
		}
		delete(m, "trackingId")
		var want map[string]any
		if err := json.Unmarshal([]byte(tc.want), &want); err != nil {
			t.Fatal(err)
		}
		got, _ := json.Marshal(m)
		expected, _ := json.Marshal(want)
		if string(got) != string(expected) {
			t.Errorf("%s:\n got %s\nwant %s", name, got, expected)
		}
	}
}

// FuzzRequest: whatever comes is a request for the identity, or is refused with
// a reason; and what is accepted can be issued.
func FuzzRequest(f *testing.F) {
	key := ecKey(f, elliptic.P256())
	good := csrOf(f, "dev1", key, func(c *x509.CertificateRequest) { c.DNSNames = []string{"a.example"} })
	f.Add("rid-1", bodyOf("dev1", good, "*"), good)
	f.Add("", []byte(`{"id":"dev1","csr":"AA==","replace":null}`), csrOf(f, "dev2", key))
	f.Add("r", []byte(`{"csr":[]}`), []byte{0x30, 0x80})
	o := newOffice(f)
	f.Fuzz(func(t *testing.T, rid string, body, der []byte) {
		for _, b := range [][]byte{body, bodyOf("dev1", der, "")} {
			r, err := parseRequest(device(), rid, b)
			if err != nil {
				if refusal, ok := errors.AsType[*Refusal](err); !ok || refusal.Reason == "" {
					t.Fatalf("%v is no refusal with a reason", err)
				}
				continue
			}
			csr, err := checkCSR(r.csr, device())
			if err != nil {
				t.Fatalf("it was accepted, and is refused: %v", err)
			}
			if _, err := o.Issuer.issue(csr, device(), o.clock); err != nil {
				t.Fatalf("it was accepted, and can't be issued: %v", err)
			}
		}
	})
}
