package trust_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/trust"
	. "github.com/hubgate/hubgate/trust/trusttest"
)

const day = 24 * time.Hour

// pool trusts the authorities and has the lists, each DER.
func pool(t *testing.T, authorities []*Pair, lists ...[]byte) *trust.Pool {
	t.Helper()
	p := &trust.Pool{}
	p.SetFiles(files(t, authorities, lists...))
	return p
}

func files(t *testing.T, authorities []*Pair, lists ...[]byte) trust.Files {
	t.Helper()
	var f trust.Files
	for _, a := range authorities {
		file, err := trust.ParseFile("ca.pem", a.PEM())
		if err != nil {
			t.Fatal(err)
		}
		f.Authorities = append(f.Authorities, file)
	}
	for i, der := range lists {
		l, err := trust.ParseLists(fmt.Sprintf("list %d", i), der)
		if err != nil {
			t.Fatal(err)
		}
		f.Lists = append(f.Lists, l...)
	}
	return f
}

// wantRefused checks that err is a refusal that says all of words.
func wantRefused(t *testing.T, err error, words ...string) {
	t.Helper()
	if hub.CodeOf(err) != hub.Unauthorized {
		t.Fatalf("got %v, want a refusal", err)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q does not say %q", err, word)
		}
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	now := time.Now()
	root := Root(t, "root")
	middle := root.CA(t, "middle")
	leaf := middle.Leaf(t, "dev1")
	server := func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }
	anyUse := func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny} }
	noUse := func(c *x509.Certificate) { c.ExtKeyUsage, c.KeyUsage = nil, 0 }
	flat := root.CA(t, "flat", func(c *x509.Certificate) { c.MaxPathLenZero = true })
	named := root.CA(t, "named", func(c *x509.Certificate) {
		c.PermittedDNSDomains, c.PermittedDNSDomainsCritical = []string{"plant.example"}, true
	})
	sha1CA := root.CA(t, "old")
	unknown := Root(t, "other").CA(t, "unknown")
	nameless := Root(t, "", func(c *x509.Certificate) { c.Subject = pkix.Name{Organization: []string{"plant"}} })
	long := strings.Repeat("x", 96)
	impostor := Root(t, "root")
	deep := []*Pair{root.CA(t, "c0")}
	for i := range 11 {
		deep = append([]*Pair{deep[0].CA(t, fmt.Sprint("c", i+1))}, deep...)
	}
	for name, tc := range map[string]struct {
		chain []*x509.Certificate
		want  []string // of the refusal; none: let in
	}{
		"intermediate":               {leaf.Chain(middle), nil},
		"root sent too":              {leaf.Chain(middle, root), nil},
		"in any order":               {leaf.Chain(root, middle), nil},
		"directly":                   {root.Leaf(t, "dev1").Chain(), nil},
		"any use":                    {root.Leaf(t, "dev1", anyUse).Chain(), nil},
		"no use stated":              {root.Leaf(t, "dev1", noUse).Chain(), nil},
		"path length kept":           {flat.Leaf(t, "dev1").Chain(flat), nil},
		"name constraint kept":       {named.Leaf(t, "dev1", dns("a.plant.example")).Chain(named), nil},
		"name constraint, no name":   {named.Leaf(t, "dev1").Chain(named), nil},
		"as many as may come":        {leaf.Chain(middle, deep[0], deep[1], deep[2], deep[3], deep[4], deep[5], deep[6], deep[7]), nil},
		"one too many":               {leaf.Chain(middle, deep[0], deep[1], deep[2], deep[3], deep[4], deep[5], deep[6], deep[7], deep[8]), []string{"11 certificates came", "10 at most"}},
		"needless, and unknown":      {unknown.Leaf(t, "dev1").Chain(flat, unknown), []string{`the issuer "other" of the certificate "unknown"`}},
		"issuer without a name":      {nameless.Leaf(t, "dev1").Chain(), []string{`the issuer "O=plant" of the certificate "dev1"`}},
		"issuer without name, sent":  {below(t, nameless), []string{`the certificate "O=plant", at the end of the chain`}},
		"CA without key usage":       {below(t, Root(t, "plain", func(c *x509.Certificate) { c.KeyUsage = 0 })), []string{`"plain", at the end of the chain`}},
		"CA signs, but no others":    {below(t, root.CA(t, "mute", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature })), []string{`the CA "mute" may not issue`, "keyCertSign"}},
		"longest name":               {Root(t, long).Leaf(t, "dev1").Chain(), []string{`the issuer "` + long + `" of`}},
		"longer name":                {Root(t, long+"x").Leaf(t, "dev1").Chain(), []string{`the issuer "` + long + `…" of`}},
		"needless certificate":       {leaf.Chain(middle, flat, impostor), nil},
		"nothing":                    {nil, []string{"no certificate came"}},
		"no intermediate":            {leaf.Chain(), []string{`the issuer "middle" of the certificate "dev1"`, "intermediate", "authority add"}},
		"another CA":                 {Root(t, "other").Leaf(t, "dev1").Chain(), []string{`the issuer "other"`, "authority add"}},
		"another CA, sent":           {chainOf(t, "other"), []string{`"other", at the end of the chain`}},
		"a CA of the same name":      {impostor.Leaf(t, "dev1").Chain(), []string{`"dev1" names the CA "root"`, "not signed by it"}},
		"self-signed":                {SelfSigned(t, "dev1").Chain(), []string{`"dev1", at the end of the chain`}},
		"expired":                    {root.Leaf(t, "dev1", Valid(now.Add(-2*day), now.Add(-day))).Chain(), []string{`"dev1" expired at`}},
		"not yet valid":              {root.Leaf(t, "dev1", Valid(now.Add(day), now.Add(2*day))).Chain(), []string{`"dev1" is valid from`, "only"}},
		"intermediate expired":       {below(t, root.CA(t, "gone", Valid(now.Add(-2*day), now.Add(-day)))), []string{`"gone" expired at`}},
		"CA as device":               {root.CA(t, "dev1").Chain(), []string{`"dev1" is that of a CA`}},
		"registered CA as device":    {root.Chain(), []string{`"root" is that of a CA`}},
		"device as CA":               {below(t, root.Leaf(t, "dev2")), []string{`"dev2" has issued another one`}},
		"path too long":              {below(t, flat.CA(t, "deeper"), flat), []string{`below the CA "flat"`, "path length"}},
		"for servers only":           {root.Leaf(t, "dev1", server).Chain(), []string{`"dev1" is not for clients`, "clientAuth"}},
		"CA for servers only":        {below(t, root.CA(t, "web", server)), []string{"a CA above", "extended key usage"}},
		"may not sign":               {root.Leaf(t, "dev1", encrypts).Chain(), []string{"may not sign", "digitalSignature"}},
		"unknown use":                {root.Leaf(t, "dev1", unknownUse).Chain(), []string{"not for clients"}},
		"CA may not sign":            {below(t, root.CA(t, "mute", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign })), []string{`the CA "mute" may not issue`, "keyCertSign"}},
		"name constraint broken":     {named.Leaf(t, "dev1", dns("plant.elsewhere")).Chain(named), []string{`a CA above the certificate "dev1"`, "name constraints", "plant.elsewhere"}},
		"unknown critical extension": {root.Leaf(t, "dev1", critical).Chain(), []string{"critical extension", "not understood here"}},
		"signature of another":       {swapped(t, root), []string{`"dev1" names "twin"`, "came along", "not signed by it"}},
		"SHA-1":                      {forged(t, sha1CA), []string{"SHA1", "forged"}},
		"huge key":                   {huge(t, root, 8193), []string{"RSA key of 8193 bits, and 8192 is the most"}},
		"largest key":                {huge(t, root, 8192), nil},
		"too many":                   {deep[0].Leaf(t, "dev1").Chain(deep...), []string{"13 certificates came"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g, err := pool(t, []*Pair{root}).Verify(tc.chain, now)
			if tc.want != nil {
				wantRefused(t, err, tc.want...)
				return
			}
			if err != nil || g == nil {
				t.Fatalf("refused: %v", err)
			}
		})
	}
}

func dns(name string) Edit         { return func(c *x509.Certificate) { c.DNSNames = []string{name} } }
func encrypts(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }
func unknownUse(c *x509.Certificate) {
	c.ExtKeyUsage, c.UnknownExtKeyUsage = nil, []asn1.ObjectIdentifier{{1, 2, 3, 4}}
}

func critical(c *x509.Certificate) {
	c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}}
}

// below is the chain of a leaf that ca has issued.
func below(t *testing.T, ca *Pair, above ...*Pair) []*x509.Certificate {
	t.Helper()
	return ca.Leaf(t, "dev1").Chain(append([]*Pair{ca}, above...)...)
}

func chainOf(t *testing.T, root string) []*x509.Certificate {
	t.Helper()
	return below(t, Root(t, root))
}

// swapped is a leaf with another CA of its issuer's name.
func swapped(t *testing.T, root *Pair) []*x509.Certificate {
	t.Helper()
	return root.CA(t, "twin").Leaf(t, "dev1").Chain(root.CA(t, "twin"))
}

// huge is a chain with a key of so many bits, which may take long to compute with.
func huge(t *testing.T, root *Pair, bits uint) []*x509.Certificate {
	t.Helper()
	ca := *root.CA(t, "huge").Cert
	ca.PublicKey = &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), bits-1), E: 65537}
	return append(root.Leaf(t, "dev1").Chain(), &ca)
}

// forged is a leaf whose signature says that it is made with SHA-1.
func forged(t *testing.T, ca *Pair) []*x509.Certificate {
	t.Helper()
	chain := ca.Leaf(t, "dev1").Chain(ca)
	chain[0].SignatureAlgorithm = x509.ECDSAWithSHA1
	return chain
}

// A subject with two names is nobody's.
func TestCommonName(t *testing.T) {
	t.Parallel()
	cn := asn1.ObjectIdentifier{2, 5, 4, 3}
	for name, tc := range map[string]struct {
		subject pkix.Name
		want    string
		ok      bool
	}{
		"one":   {pkix.Name{CommonName: "dev1", Organization: []string{"o"}}, "dev1", true},
		"none":  {pkix.Name{Organization: []string{"o"}}, "", false},
		"empty": {pkix.Name{ExtraNames: []pkix.AttributeTypeAndValue{{Type: cn, Value: ""}}}, "", false},
		"two": {pkix.Name{ExtraNames: []pkix.AttributeTypeAndValue{
			{Type: cn, Value: "dev1"}, {Type: cn, Value: "dev2"},
		}}, "dev2", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cert := SelfSigned(t, "", func(c *x509.Certificate) { c.Subject = tc.subject }).Cert
			if got, ok := trust.CommonName(cert); got != tc.want || ok != tc.ok {
				t.Errorf("got %q, %t, want %q, %t", got, ok, tc.want, tc.ok)
			}
		})
	}
}

// Without an authority nobody is let in, least of all by those of the machine.
func TestNobodyIsTrusted(t *testing.T) {
	t.Parallel()
	leaf := Root(t, "root").Leaf(t, "dev1")
	for name, p := range map[string]*trust.Pool{"nil": nil, "zero": {}, "empty": pool(t, nil)} {
		_, err := p.Verify(leaf.Chain(), time.Now())
		t.Log(name)
		wantRefused(t, err, "the hub trusts no CA")
	}
}

func TestExpires(t *testing.T) {
	t.Parallel()
	now := time.Now().Truncate(time.Second)
	root := Root(t, "root", Valid(now.Add(-day), now.Add(3*day)))
	middle := root.CA(t, "middle", Valid(now.Add(-day), now.Add(day)))
	for name, tc := range map[string]struct {
		chain []*x509.Certificate
		want  time.Time
	}{
		"leaf":         {middle.Leaf(t, "d", Valid(now.Add(-day), now.Add(time.Hour))).Chain(middle), now.Add(time.Hour)},
		"intermediate": {middle.Leaf(t, "d", Valid(now.Add(-day), now.Add(9*day))).Chain(middle), now.Add(day)},
		"root":         {root.Leaf(t, "d", Valid(now.Add(-day), now.Add(9*day))).Chain(), now.Add(3 * day)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g, err := pool(t, []*Pair{root}).Verify(tc.chain, now)
			if err != nil || !g.Expires.Equal(tc.want) {
				t.Errorf("expires at %v, %v, want %v", g, err, tc.want)
			}
			if _, err := pool(t, []*Pair{root}).Verify(tc.chain, tc.want); err != nil {
				t.Errorf("at its last moment: %v", err)
			}
			_, err = pool(t, []*Pair{root}).Verify(tc.chain, tc.want.Add(time.Second))
			wantRefused(t, err, "expired at "+tc.want.UTC().Format(time.RFC3339))
		})
	}
}

func TestRevoked(t *testing.T) {
	t.Parallel()
	now := time.Now()
	root := Root(t, "root")
	middle := root.CA(t, "middle")
	leaf, other := middle.Leaf(t, "dev1"), middle.Leaf(t, "dev2")
	impostor := Root(t, "root") // with another key
	sameName := root.CA(t, "middle")
	mute := root.CA(t, "mute", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCertSign })
	later, earlier := now.Add(day), now.Add(-day)
	for name, tc := range map[string]struct {
		lists  [][]byte
		strict bool
		want   []string
	}{
		"no list":                           {nil, false, nil},
		"another one":                       {[][]byte{middle.Revoke(t, later, other)}, false, nil},
		"leaf":                              {[][]byte{middle.Revoke(t, later, other, leaf)}, false, []string{`the certificate "dev1" was revoked`, `"middle"`}},
		"intermediate":                      {[][]byte{root.Revoke(t, later, middle)}, false, []string{`the CA "middle" was revoked`, `"root"`}},
		"in one list of two":                {[][]byte{middle.Revoke(t, later), middle.Revoke(t, later, leaf)}, false, []string{"revoked"}},
		"the list is another CA's":          {[][]byte{impostor.Revoke(t, later, middle)}, false, nil},
		"another CA's of the same name":     {[][]byte{sameName.Revoke(t, later, leaf)}, false, nil},
		"a list of who may not issue lists": {[][]byte{forgedList(t, mute, later, leaf)}, false, nil},
		"expired":                           {[][]byte{middle.Revoke(t, earlier, leaf)}, false, []string{"revoked"}},
		"expired, of another":               {[][]byte{middle.Revoke(t, earlier, other)}, false, nil},
		"strict, no list":                   {nil, true, nil},
		"strict, current":                   {[][]byte{middle.Revoke(t, later), root.Revoke(t, later)}, true, nil},
		"strict, expired":                   {[][]byte{middle.Revoke(t, earlier)}, true, []string{"is revoked can't be said", "has expired"}},
		"strict, one is current":            {[][]byte{middle.Revoke(t, earlier), middle.Revoke(t, later)}, true, nil},
		"strict, the root's expired":        {[][]byte{root.Revoke(t, earlier), middle.Revoke(t, later)}, true, []string{`the CA "middle"`, "has expired"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// At once, and on a connection that there is.
			live := pool(t, []*Pair{root})
			g, err := live.Verify(leaf.Chain(middle), now)
			if err != nil {
				t.Fatal(err)
			}
			f := files(t, []*Pair{root}, tc.lists...)
			f.StrictLists = tc.strict
			live.SetFiles(f)
			_, again := live.Verify(leaf.Chain(middle), now)
			recheck := live.Recheck(g, now)
			if tc.want == nil {
				if again != nil || recheck != nil {
					t.Errorf("refused: %v, cut: %v", again, recheck)
				}
				return
			}
			wantRefused(t, again, tc.want...)
			wantRefused(t, recheck, strings.TrimPrefix(tc.want[0], `the certificate "dev1" `))
		})
	}
}

// forgedList is a list that its issuer may not sign.
func forgedList(t *testing.T, ca *Pair, until time.Time, revoked *Pair) []byte {
	t.Helper()
	may := *ca.Cert
	may.KeyUsage |= x509.KeyUsageCRLSign
	return (&Pair{Cert: &may, Key: ca.Key}).Revoke(t, until, revoked)
}

// A list that expires while a connection lives cuts it in the strict mode.
func TestRecheckLater(t *testing.T) {
	t.Parallel()
	now := time.Now()
	root := Root(t, "root")
	for _, strict := range []bool{false, true} {
		f := files(t, []*Pair{root}, root.Revoke(t, now.Add(time.Hour)))
		f.StrictLists = strict
		p := &trust.Pool{}
		p.SetFiles(f)
		g, err := p.Verify(root.Leaf(t, "dev1").Chain(), now)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Recheck(g, now); err != nil {
			t.Errorf("strict %v: %v", strict, err)
		}
		if err := p.Recheck(g, now.Add(2*time.Hour)); (err != nil) != strict {
			t.Errorf("strict %v, after the list has expired: %v", strict, err)
		}
	}
}

// An authority that was renewed with its key vouches as long as its newer
// certificate does, in whatever order they are trusted.
func TestTheLongestWay(t *testing.T) {
	t.Parallel()
	now := time.Now().Truncate(time.Second)
	old := Root(t, "root", Valid(now.Add(-day), now.Add(day)))
	renewed := *old.Cert
	renewed.NotAfter = now.Add(5 * day)
	der, err := x509.CreateCertificate(rand.Reader, &renewed, &renewed, old.Key.Public(), old.Key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	next := &Pair{Cert: cert, Key: old.Key}
	leaf := old.Leaf(t, "dev1", Valid(now.Add(-day), now.Add(9*day)))
	for _, authorities := range [][]*Pair{{old, next}, {next, old}} {
		g, err := pool(t, authorities).Verify(leaf.Chain(), now)
		if err != nil || !g.Expires.Equal(now.Add(5*day)) {
			t.Errorf("expires at %+v, %v, want %v", g, err, now.Add(5*day))
		}
	}
}

// What the registry would not take, and a store has all the same, vouches for nobody.
func TestRegisteredWithoutBeingACA(t *testing.T) {
	t.Parallel()
	self := SelfSigned(t, "dev1")
	p := &trust.Pool{}
	p.SetRegistered([]trust.Authority{{Name: "a", Certificate: self.Cert.Raw, Verified: true}})
	_, err := p.Verify(self.Chain(), time.Now())
	wantRefused(t, err, "the hub trusts no CA")
}

// What is taken away is refused from then on, and what it has let in is cut.
func TestRecheck(t *testing.T) {
	t.Parallel()
	now := time.Now()
	root, second := Root(t, "root"), Root(t, "second")
	leaf := root.Leaf(t, "dev1")
	p := pool(t, []*Pair{root})
	g, err := p.Verify(leaf.Chain(), now)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Recheck(g, now); err != nil {
		t.Errorf("unchanged: %v", err)
	}
	p.SetFiles(files(t, []*Pair{second, root}))
	if err := p.Recheck(g, now); err != nil {
		t.Errorf("another one more: %v", err)
	}
	p.SetRegistered([]trust.Authority{{Name: "r", Certificate: root.Cert.Raw, Verified: true}})
	p.SetFiles(files(t, []*Pair{second}))
	if err := p.Recheck(g, now); err != nil {
		t.Errorf("from the files to the registry: %v", err)
	}
	p.SetRegistered(nil)
	wantRefused(t, p.Recheck(g, now), `the CA "root"`, "no longer trusted")
	_, err = p.Verify(leaf.Chain(), now)
	wantRefused(t, err, `"root"`)
}

// An authority that is not verified vouches for nobody.
func TestUnverified(t *testing.T) {
	t.Parallel()
	now := time.Now()
	root := Root(t, "root")
	middle := root.CA(t, "middle")
	p := &trust.Pool{}
	a := trust.Authority{Name: "plant", Certificate: root.Cert.Raw}
	p.SetRegistered([]trust.Authority{a, {Name: "garbage", Certificate: []byte("x"), Verified: true}})
	for _, chain := range [][]*x509.Certificate{root.Leaf(t, "d").Chain(), middle.Leaf(t, "d").Chain(middle), root.Leaf(t, "d").Chain(root)} {
		_, err := p.Verify(chain, now)
		wantRefused(t, err, `"root", registered as "plant", is not verified`, "authority verify")
	}
	_, err := p.Verify(below(t, Root(t, "other")), now)
	wantRefused(t, err, "authority add") // of a CA that has nothing to do with it
	p.SetRegistered([]trust.Authority{{Name: "middle", Certificate: middle.Cert.Raw}})
	_, err = p.Verify(middle.Leaf(t, "d").Chain(middle), now)
	wantRefused(t, err, `"middle", registered as "middle", is not verified`)
	a.Verified = true
	p.SetRegistered([]trust.Authority{a})
	g, err := p.Verify(root.Leaf(t, "d").Chain(), now)
	if err != nil {
		t.Fatal(err)
	}
	a.Verified = false
	p.SetRegistered([]trust.Authority{a})
	wantRefused(t, p.Recheck(g, now), "no longer trusted")
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	now := time.Now()
	healthy := Valid(now.Add(-day), now.Add(365*day))
	root := Root(t, "root", healthy)
	for name, tc := range map[string]struct {
		authorities []*Pair
		lists       [][]byte
		want        string // empty: none
	}{
		"all is well":     {[]*Pair{root}, [][]byte{root.Revoke(t, now.Add(day))}, ""},
		"of a CA below":   {[]*Pair{root}, [][]byte{root.CA(t, "middle").Revoke(t, now.Add(day))}, ""},
		"list expired":    {[]*Pair{root}, [][]byte{root.Revoke(t, now.Add(-day))}, "the revocation list list 0 has expired"},
		"list of another": {[]*Pair{root}, [][]byte{Root(t, "root").Revoke(t, now.Add(day))}, "it revokes nothing"},
		"one of two's":    {[]*Pair{root, Root(t, "root", healthy)}, [][]byte{root.Revoke(t, now.Add(day))}, ""},
		"CA expires":      {[]*Pair{Root(t, "short", Valid(now.Add(-day), now.Add(day)))}, nil, `the CA "short" expires`},
		"CA expired":      {[]*Pair{Root(t, "gone", Valid(now.Add(-2*day), now.Add(-day)))}, nil, `the CA "gone" has expired`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for strict, then := range map[bool]string{false: "is let in", true: "all certificates of its issuer are refused"} {
				f := files(t, tc.authorities, tc.lists...)
				f.StrictLists = strict
				p := &trust.Pool{}
				p.SetFiles(f)
				got := strings.Join(p.Warnings(now), "\n")
				if (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) {
					t.Errorf("warnings %q, want %q", got, tc.want)
				}
				if name == "list expired" && !strings.Contains(got, then) {
					t.Errorf("strict %v: %q does not say that %s", strict, got, then)
				}
			}
		})
	}
}
