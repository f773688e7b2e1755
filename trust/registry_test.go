package trust_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/trust"
	. "github.com/hubgate/hubgate/trust/trusttest"
)

// shelf is a trust.Store in memory. Before each write, race, if set, is called
// once.
type shelf struct {
	all      map[string]trust.Authority
	revision uint64
	race     func()
}

func (s *shelf) Get(_ context.Context, name string) (trust.Authority, error) {
	a, ok := s.all[name]
	if !ok {
		return a, trust.NotFound(name)
	}
	return a, nil
}

func (s *shelf) List(context.Context) ([]trust.Authority, error) {
	var all []trust.Authority
	for _, a := range s.all {
		all = append(all, a)
	}
	slices.SortFunc(all, func(a, b trust.Authority) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

func (s *shelf) Write(_ context.Context, a trust.Authority) (uint64, error) {
	if race := s.race; race != nil {
		s.race = nil
		race()
	}
	if s.all[a.Name].Revision != a.Revision {
		return 0, hub.Errorf(hub.PreconditionFailed, "stale")
	}
	s.revision++
	a.Revision = s.revision
	s.all[a.Name] = a
	return s.revision, nil
}

func (s *shelf) Delete(_ context.Context, a trust.Authority) error {
	if s.all[a.Name].Revision != a.Revision {
		return hub.Errorf(hub.PreconditionFailed, "stale")
	}
	delete(s.all, a.Name)
	return nil
}

func newRegistry() (*trust.Registry, *shelf) {
	s := &shelf{all: map[string]trust.Authority{}}
	return &trust.Registry{Store: s}, s
}

func put(t *testing.T, r *trust.Registry, name string, p *Pair) trust.Authority {
	t.Helper()
	a, err := r.Put(t.Context(), trust.Authority{Name: name, Certificate: p.Cert.Raw}, "")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestPut(t *testing.T) {
	t.Parallel()
	root := Root(t, "root")
	now := time.Now()
	for name, tc := range map[string]struct {
		name string
		cert []byte
		want hub.Code
		says string
	}{
		"a CA":           {"plant-1.a_b", root.Cert.Raw, 0, ""},
		"intermediate":   {"a", root.CA(t, "m").Cert.Raw, 0, ""},
		"no certificate": {"a", nil, hub.ArgumentInvalid, "missing"},
		"garbage":        {"a", []byte("x"), hub.ArgumentInvalid, "damaged"},
		"no CA":          {"a", root.Leaf(t, "dev1").Cert.Raw, hub.ArgumentInvalid, `"dev1" is not that of a CA`},
		"expired":        {"a", Root(t, "old", Valid(now.Add(-2*day), now.Add(-day))).Cert.Raw, hub.ArgumentInvalid, "has expired"},
		"may not sign":   {"a", Root(t, "mute", encrypts).Cert.Raw, hub.ArgumentInvalid, "keyCertSign"},
		"no key usage":   {"a", Root(t, "plain", func(c *x509.Certificate) { c.KeyUsage = 0 }).Cert.Raw, 0, ""},
		"signs no CA":    {"a", Root(t, "mute", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature }).Cert.Raw, hub.ArgumentInvalid, "keyCertSign"},
		"large":          {"a", Root(t, "large", padded(15<<10)).Cert.Raw, 0, ""},
		"too large":      {"a", Root(t, "large", padded(17<<10)).Cert.Raw, hub.ArgumentInvalid, "and 16384 is the most"},
		"longest name":   {strings.Repeat("a", 64), root.Cert.Raw, 0, ""},
		"all that is":    {"azAZ09-._", root.Cert.Raw, 0, ""},
		"beside a":       {"`", root.Cert.Raw, hub.ArgumentInvalid, "not the name"},
		"beside z":       {"{", root.Cert.Raw, hub.ArgumentInvalid, "not the name"},
		"beside A":       {"@", root.Cert.Raw, hub.ArgumentInvalid, "not the name"},
		"beside Z":       {"[", root.Cert.Raw, hub.ArgumentInvalid, "not the name"},
		"beside 0":       {"/", root.Cert.Raw, hub.ArgumentInvalid, "not the name"},
		"beside 9":       {":", root.Cert.Raw, hub.ArgumentInvalid, "not the name"},
		"no name":        {"", root.Cert.Raw, hub.ArgumentInvalid, "not the name"},
		"name in words":  {"a b", root.Cert.Raw, hub.ArgumentInvalid, "not the name"},
		"long name":      {strings.Repeat("a", 65), root.Cert.Raw, hub.ArgumentInvalid, "not the name"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, s := newRegistry()
			a, err := r.Put(t.Context(), trust.Authority{Name: tc.name, Certificate: tc.cert, VerificationCode: "mine"}, "")
			if hub.CodeOf(err) != tc.want || err != nil && !strings.Contains(err.Error(), tc.says) {
				t.Fatalf("Put: %v, want %d, %q", err, tc.want, tc.says)
			}
			if err == nil && (a.Verified || a.VerificationCode != "" || a.ETag() != s.all[tc.name].ETag()) {
				t.Errorf("registered as %+v", a)
			}
		})
	}
}

// padded makes a certificate larger by so many bytes.
func padded(n int) Edit {
	return func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Value: make([]byte, n)}}
	}
}

// A hub has many authorities, up to a bound, and names are asked before the store is.
func TestManyAuthorities(t *testing.T) {
	t.Parallel()
	r, s := newRegistry()
	root := Root(t, "root")
	for i := range trust.MaxAuthorities - 1 {
		name := fmt.Sprint("a", i)
		s.revision++
		s.all[name] = trust.Authority{Name: name, Certificate: root.Cert.Raw, Revision: s.revision}
	}
	put(t, r, "last", root)
	if _, err := r.Put(t.Context(), trust.Authority{Name: "more", Certificate: root.Cert.Raw}, ""); hub.CodeOf(err) != hub.QuotaExceeded {
		t.Errorf("one too many: %v", err)
	}
	if all, err := r.List(t.Context()); err != nil || len(all) != trust.MaxAuthorities {
		t.Errorf("%d are listed, %v", len(all), err)
	}
	if _, err := r.Get(t.Context(), "a b"); hub.CodeOf(err) != hub.ArgumentInvalid {
		t.Errorf("a name that none has: %v", err)
	}
}

// What replaces a certificate is verified if an operator says so, or if it is the
// same one, and was.
func TestReplaceAndVerified(t *testing.T) {
	t.Parallel()
	root, next := Root(t, "root"), Root(t, "next")
	for name, tc := range map[string]struct {
		was, says bool
		by        *Pair
		want      bool
	}{
		"by itself, not verified":     {false, false, root, false},
		"by itself, was verified":     {true, false, root, true},
		"by itself, now verified":     {false, true, root, true},
		"by another, was verified":    {true, false, next, false},
		"by another, now verified":    {false, true, next, true},
		"by another, verified before": {true, true, next, true},
	} {
		r, s := newRegistry()
		a := put(t, r, "plant", root)
		a.Verified, a.VerificationCode = tc.was, "ABC"
		s.all["plant"] = a
		got, err := r.Put(t.Context(), trust.Authority{Name: "plant", Certificate: tc.by.Cert.Raw, Verified: tc.says}, "*")
		if err != nil || got.Verified != tc.want || got.VerificationCode != "" || string(s.all["plant"].Certificate) != string(tc.by.Cert.Raw) {
			t.Errorf("%s: verified %v, want %v; code %q; %v", name, got.Verified, tc.want, got.VerificationCode, err)
		}
	}
}

func TestReplace(t *testing.T) {
	t.Parallel()
	r, s := newRegistry()
	root, next := Root(t, "root"), Root(t, "next")
	a := put(t, r, "plant", root)
	a.Verified = true
	s.all["plant"] = a
	if _, err := r.Put(t.Context(), a, ""); hub.CodeOf(err) != hub.PreconditionFailed || !strings.Contains(err.Error(), "exists already") {
		t.Errorf("registered twice: %v", err)
	}
	if _, err := r.Put(t.Context(), a, "stale"); hub.CodeOf(err) != hub.PreconditionFailed {
		t.Errorf("with a stale etag: %v", err)
	}
	same, err := r.Put(t.Context(), trust.Authority{Name: "plant", Certificate: root.Cert.Raw}, `"`+a.ETag()+`"`)
	if err != nil || !same.Verified || same.ETag() == a.ETag() {
		t.Errorf("by itself: %+v, %v, want verified still", same, err)
	}
	other, err := r.Put(t.Context(), trust.Authority{Name: "plant", Certificate: next.Cert.Raw}, "*")
	if err != nil || other.Verified {
		t.Errorf("by another: %+v, %v, want not verified", other, err)
	}
	if _, err := r.Put(t.Context(), trust.Authority{Name: "nobody", Certificate: root.Cert.Raw}, "*"); hub.CodeOf(err) != hub.CertificateNotFound {
		t.Errorf("nothing replaced: %v", err)
	}
}

// Only who can sign with the authority's key, for the code, proves anything.
func TestProof(t *testing.T) {
	t.Parallel()
	now := time.Now()
	root := Root(t, "root")
	for name, tc := range map[string]struct {
		proof func(code string) *Pair
		says  string // of the refusal; empty: none
	}{
		"signed for the code":   {func(code string) *Pair { return root.Leaf(t, code) }, ""},
		"in lower case":         {func(code string) *Pair { return root.Leaf(t, strings.ToLower(code)) }, ""},
		"for another code":      {func(string) *Pair { return root.Leaf(t, "ABC") }, "must be for the verification code"},
		"by another":            {func(code string) *Pair { return Root(t, "root").Leaf(t, code) }, "is not signed by"},
		"for two names":         {func(code string) *Pair { return root.Leaf(t, "", twoNames("x", code)) }, "must be for the verification code"},
		"by one below":          {func(code string) *Pair { return root.CA(t, "m").Leaf(t, code) }, "is not signed by"},
		"by itself":             {func(code string) *Pair { return SelfSigned(t, code) }, "is not signed by"},
		"by the authority, old": {func(code string) *Pair { return root.Leaf(t, code, Valid(now.Add(-2*day), now.Add(-day))) }, "expired"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, s := newRegistry()
			put(t, r, "plant", root)
			a, err := r.Code(t.Context(), "plant", "")
			if err != nil || len(a.VerificationCode) != 48 {
				t.Fatalf("code %q, %v", a.VerificationCode, err)
			}
			_, err = r.Verify(t.Context(), "plant", tc.proof(a.VerificationCode).PEM(), "*")
			if tc.says != "" {
				if hub.CodeOf(err) != hub.ArgumentInvalid || !strings.Contains(err.Error(), tc.says) || s.all["plant"].Verified {
					t.Errorf("Verify: %v, want %q", err, tc.says)
				}
				return
			}
			if got := s.all["plant"]; err != nil || !got.Verified || got.VerificationCode != "" {
				t.Errorf("verified: %+v, %v", got, err)
			}
		})
	}
}

// twoNames gives a certificate two common names.
func twoNames(first, second string) Edit {
	cn := asn1.ObjectIdentifier{2, 5, 4, 3}
	return func(c *x509.Certificate) {
		c.Subject = pkix.Name{ExtraNames: []pkix.AttributeTypeAndValue{{Type: cn, Value: first}, {Type: cn, Value: second}}}
	}
}

func TestProofThatIsNoCertificate(t *testing.T) {
	t.Parallel()
	r, s := newRegistry()
	put(t, r, "plant", Root(t, "root"))
	if _, err := r.Verify(t.Context(), "plant", []byte("x"), "*"); hub.CodeOf(err) != hub.ArgumentInvalid || s.all["plant"].Verified {
		t.Errorf("Verify: %v", err)
	}
}

func TestProofWithoutACode(t *testing.T) {
	t.Parallel()
	r, _ := newRegistry()
	root := Root(t, "root")
	put(t, r, "plant", root)
	if _, err := r.Verify(t.Context(), "plant", root.Leaf(t, "").PEM(), ""); hub.CodeOf(err) != hub.ArgumentInvalid || !strings.Contains(err.Error(), "no verification code") {
		t.Errorf("Verify: %v", err)
	}
	first, _ := r.Code(t.Context(), "plant", "")
	second, _ := r.Code(t.Context(), "plant", "")
	if _, err := r.Verify(t.Context(), "plant", root.Leaf(t, first.VerificationCode).PEM(), ""); hub.CodeOf(err) != hub.ArgumentInvalid {
		t.Errorf("with a code that was replaced: %v", err)
	}
	if first.VerificationCode == second.VerificationCode {
		t.Error("the codes are the same")
	}
}

// A change is tried ten times, and says when it was made.
func TestRegistryGivesUp(t *testing.T) {
	t.Parallel()
	r, s := newRegistry()
	put(t, r, "plant", Root(t, "root"))
	for races, want := range map[int]hub.Code{9: 0, 10: hub.PreconditionFailed} {
		at := time.Date(2026, 1, 2, 3, 4, 5, races, time.FixedZone("", 3600))
		r.Now = func() time.Time { return at }
		left := races
		var race func()
		race = func() {
			s.revision++
			b := s.all["plant"]
			b.Revision = s.revision
			s.all["plant"] = b
			if left--; left > 0 {
				s.race = race
			}
		}
		s.race = race
		a, err := r.Code(t.Context(), "plant", "*")
		if hub.CodeOf(err) != want || left != 0 {
			t.Errorf("%d others are faster: %v, want %d; %d are left", races, err, want, left)
		}
		if err == nil && (!a.Updated.Equal(at) || a.Updated.Location() != time.UTC || !s.all["plant"].Updated.Equal(at)) {
			t.Errorf("it was changed at %v, want %v", a.Updated, at)
		}
	}
}

func TestRegistryRaces(t *testing.T) {
	t.Parallel()
	r, s := newRegistry()
	a := put(t, r, "plant", Root(t, "root"))
	touch := func() {
		s.revision++
		b := s.all["plant"]
		b.Revision = s.revision
		s.all["plant"] = b
	}
	s.race = touch
	if _, err := r.Code(t.Context(), "plant", ""); err != nil {
		t.Errorf("a change while another is made: %v", err)
	}
	if _, err := r.Code(t.Context(), "plant", a.ETag()); hub.CodeOf(err) != hub.PreconditionFailed {
		t.Errorf("with the etag from before: %v", err)
	}
	if err := r.Delete(t.Context(), "plant", a.ETag()); hub.CodeOf(err) != hub.PreconditionFailed {
		t.Errorf("deleted with the etag from before: %v", err)
	}
	if err := r.Delete(t.Context(), "plant", "*"); err != nil || len(s.all) != 0 {
		t.Errorf("delete: %v", err)
	}
	if err := r.Delete(t.Context(), "plant", "*"); hub.CodeOf(err) != hub.CertificateNotFound {
		t.Errorf("deleted again: %v", err)
	}
}

func TestAuthorityJSON(t *testing.T) {
	t.Parallel()
	root := Root(t, "root")
	at := time.Date(2026, 10, 31, 20, 42, 57, 0, time.UTC)
	a := trust.Authority{
		Name: "plant", Certificate: root.Cert.Raw, Verified: true, VerificationCode: "ABC",
		Created: at, Updated: at.Add(time.Hour), Revision: 18446744073709551615,
	}
	text, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"name":"plant","etag":"` + base64.StdEncoding.EncodeToString([]byte("18446744073709551615")) + `"`, `"subject":"CN=root"`, `"isVerified":true`, `"thumbprint":"` + trust.Thumbprint(root.Cert) + `"`,
		`"created":"Sat, 31 Oct 2026 20:42:57 GMT","updated":"Sat, 31 Oct 2026 21:42:57 GMT"`, `"verificationCode":"ABC"`, `"expiry":"`,
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s has no %s", text, want)
		}
	}
	var back trust.Authority
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if back.ETag() != a.ETag() || string(back.Certificate) != string(a.Certificate) || back.Name != a.Name || !back.Created.Equal(a.Created) || !back.Verified || back.VerificationCode != "ABC" {
		t.Errorf("came back as %+v", back)
	}
}

// What is sent has less than what is answered, and may have what nobody understands.
func TestAuthorityJSONAsSent(t *testing.T) {
	t.Parallel()
	quoted, err := json.Marshal(string(Root(t, "root").PEM()))
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		text string
		ok   bool
		want trust.Authority
	}{
		"no certificate": {`{"name":"a"}`, true, trust.Authority{Name: "a"}},
		"strange values": {
			`{"name":"a","etag":"%","properties":{"created":"yesterday","updated":""}}`, true, trust.Authority{Name: "a"},
		},
		"etag of others": {`{"name":"a","etag":"` + base64.StdEncoding.EncodeToString([]byte("x7")) + `"}`, true, trust.Authority{Name: "a"}},
		"no JSON":        {`{"name":7}`, false, trust.Authority{}},
		"damaged":        {`{"name":"a","properties":{"certificate":"x"}}`, false, trust.Authority{}},
		"two":            {`{"name":"a","properties":{"certificate":` + string(quoted[:len(quoted)-1]) + string(quoted[1:]) + `}}`, false, trust.Authority{}},
	} {
		var got trust.Authority
		err := json.Unmarshal([]byte(tc.text), &got)
		if (err == nil) != tc.ok || err != nil && hub.CodeOf(err) != hub.ArgumentInvalid {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil && (got.Name != tc.want.Name || got.Revision != 0 || len(got.Certificate) != 0 || !got.Created.IsZero() || !got.Updated.IsZero()) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	damaged, err := json.Marshal(trust.Authority{Name: "a", Certificate: []byte("x")})
	if want := `{"name":"a","etag":"MA==","properties":{"isVerified":false,"certificate":"eA=="}}`; err != nil || string(damaged) != want {
		t.Errorf("a damaged one is %s, %v, want %s", damaged, err, want)
	}
}

func TestParseFile(t *testing.T) {
	t.Parallel()
	root := Root(t, "root")
	damaged := bytes.Replace(root.PEM(), []byte("\nMII"), []byte("\nAII"), 1)
	for name, tc := range map[string]struct {
		text []byte
		n    int
		says string // of the refusal; empty: none
	}{
		"two":            {Root(t, "a").PEM(root), 2, ""},
		"nothing":        {nil, 0, "there is no certificate"},
		"a key":          {root.KeyPEM(t), 0, "there is no certificate"},
		"one is no CA":   {root.PEM(root.Leaf(t, "dev1")), 0, `"dev1" is not that of a CA`},
		"one is damaged": {append(root.PEM(), damaged...), 0, "certificate 2 is damaged"},
	} {
		f, err := trust.ParseFile("ca.pem", tc.text)
		if tc.says == "" {
			if err != nil || len(f.Certificates) != tc.n || f.Origin != "ca.pem" {
				t.Errorf("%s: %d of %s, %v", name, len(f.Certificates), f.Origin, err)
			}
			continue
		}
		if hub.CodeOf(err) != hub.ArgumentInvalid || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v, want %q", name, err, tc.says)
		}
	}
}

func TestParseCertificate(t *testing.T) {
	t.Parallel()
	root := Root(t, "root")
	der, text := root.Cert.Raw, root.PEM()
	for name, tc := range map[string]struct {
		text []byte
		ok   bool
	}{
		"PEM": {text, true}, "DER": {der, true},
		"base64 of DER":  {[]byte(base64.StdEncoding.EncodeToString(der)), true},
		"base64 of PEM":  {[]byte(base64.StdEncoding.EncodeToString(text) + "\n"), true},
		"behind its key": {append(root.KeyPEM(t), text...), true},
		"two":            {append(text, text...), false},
		"a key":          {root.KeyPEM(t), false},
		"nothing":        {nil, false},
		"text":           {[]byte("hello"), false},
		"cut":            {der[:len(der)-1], false},
		"with a tail":    {append(slices.Clone(der), 0), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cert, err := trust.ParseCertificate(tc.text)
			if (err == nil) != tc.ok || err == nil && !cert.Equal(root.Cert) {
				t.Errorf("got %v", err)
			}
			if err != nil && hub.CodeOf(err) != hub.ArgumentInvalid {
				t.Errorf("code of %v", err)
			}
		})
	}
}

func TestParseListsRefuses(t *testing.T) {
	t.Parallel()
	root := Root(t, "root")
	for name, text := range map[string][]byte{"nothing": nil, "text": []byte("x"), "a certificate": root.PEM(), "DER of a certificate": root.Cert.Raw} {
		if _, err := trust.ParseLists("f", text); hub.CodeOf(err) != hub.ArgumentInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What a list leaves out, or says of others' certificates, would be understood wrongly.
func TestParseListsOfOtherKinds(t *testing.T) {
	t.Parallel()
	root := Root(t, "root")
	until := time.Now().Add(day)
	critical := func(id int) []pkix.Extension {
		return []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, id}, Critical: true, Value: []byte{0x30, 0}}}
	}
	for name, tc := range map[string]struct {
		list  x509.RevocationList
		entry x509.RevocationListEntry
		says  string // of the refusal; empty: none
	}{
		"plain":    {x509.RevocationList{}, x509.RevocationListEntry{}, ""},
		"reason":   {x509.RevocationList{}, x509.RevocationListEntry{ReasonCode: 1}, ""},
		"delta":    {x509.RevocationList{ExtraExtensions: critical(27)}, x509.RevocationListEntry{}, "delta list"},
		"indirect": {x509.RevocationList{}, x509.RevocationListEntry{ExtraExtensions: critical(29)}, "indirect list"},
	} {
		tc.entry.SerialNumber, tc.entry.RevocationTime = big.NewInt(7), until.Add(-day)
		tc.list.Number, tc.list.ThisUpdate, tc.list.NextUpdate = big.NewInt(1), until.Add(-day), until
		tc.list.RevokedCertificateEntries = []x509.RevocationListEntry{tc.entry}
		der, err := x509.CreateRevocationList(rand.Reader, &tc.list, root.Cert, root.Key)
		if err != nil {
			t.Fatal(err)
		}
		lists, err := trust.ParseLists("f", der)
		if tc.says == "" && (err != nil || len(lists) != 1) || tc.says != "" && (hub.CodeOf(err) != hub.ArgumentInvalid || !strings.Contains(err.Error(), tc.says)) {
			t.Errorf("%s: %v, want %q", name, err, tc.says)
		}
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: root.Revoke(t, until)})
	if lists, err := trust.ParseLists("f", append(text, text...)); err != nil || len(lists) != 2 {
		t.Errorf("two in PEM: %d, %v", len(lists), err)
	}
	text = append(text, pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: []byte("x")})...)
	if _, err := trust.ParseLists("f", text); hub.CodeOf(err) != hub.ArgumentInvalid || !strings.Contains(err.Error(), "list 2 is damaged") {
		t.Errorf("one of two is damaged: %v", err)
	}
}

// FuzzVerify feeds what a stranger sends in TLS, and files, to all that reads
// it.
func FuzzVerify(f *testing.F) {
	root := Root(f, "root")
	middle := root.CA(f, "middle")
	leaf := middle.Leaf(f, "dev1")
	until := time.Now().Add(day)
	f.Add(leaf.Cert.Raw, middle.Cert.Raw)
	f.Add(leaf.PEM(middle), root.PEM())
	f.Add(root.Revoke(f, until, middle), middle.Revoke(f, until, leaf))
	f.Add([]byte(base64.StdEncoding.EncodeToString(leaf.Cert.Raw)), []byte("-----BEGIN CERTIFICATE-----"))
	var pool trust.Pool
	file, err := trust.ParseFile("f", root.PEM())
	if err != nil {
		f.Fatal(err)
	}
	lists, err := trust.ParseLists("f", root.Revoke(f, until))
	if err != nil {
		f.Fatal(err)
	}
	pool.SetFiles(trust.Files{Authorities: []trust.File{file}, Lists: lists})
	f.Fuzz(func(t *testing.T, a, b []byte) {
		if cert, err := trust.ParseCertificate(a); err == nil {
			trust.CommonName(cert)
			trust.Describe(cert)
		}
		_, _ = trust.ParseLists("f", b)
		chain, err := trust.ParseCertificates(a)
		if err != nil {
			return
		}
		above, _ := trust.ParseCertificates(b)
		if g, err := pool.Verify(append(chain, above...), time.Now()); err == nil {
			if err := chain[0].CheckSignatureFrom(middle.Cert); err != nil {
				t.Errorf("a certificate is let in that the CA has not issued: %v", err)
			}
			if err := pool.Recheck(g, time.Now()); err != nil {
				t.Errorf("let in and cut: %v", err)
			}
		} else if hub.CodeOf(err) != hub.Unauthorized {
			t.Errorf("refused by %v", err)
		}
	})
}
