package attack

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/sas"
)

// denied makes a request with a token of any kind, from an address of its own:
// whatever is wrong with it, the answer is one and the same, and changes nothing.
func (g *target) denied(t *testing.T, token, verb, path string) answer {
	t.Helper()
	<-pace
	o := g.operator(t, "")
	o.token = token
	defer o.web.CloseIdleConnections()
	a := o.do(t, verb, path, `{"deviceId":"victim","status":"disabled"}`, "If-Match", "*")
	a.refused(t, hub.AccessDenied)
	return a
}

// TestRESTTokens is about SAS tokens: of another host, path, key or time, or
// pieced together. The answer never says what was wrong, the log does.
func TestRESTTokens(t *testing.T) {
	t.Parallel()
	g := start(t)
	victim := g.create(t, "victim")
	n := innocent(t, g)
	h, key := url.QueryEscape(g.Ready.HostName), g.policies["iothubowner"]
	ago := func(d time.Duration) string { return strconv.FormatInt(time.Now().Add(-d).Unix(), 10) }
	const owner = "iothubowner"
	good := g.serviceToken(owner)
	for name, token := range map[string]string{
		"nothing":                      "",
		"a scheme and nothing":         "SharedAccessSignature ",
		"another scheme":               "Basic aW90aHVib3duZXI6eA==",
		"a connection string":          "HostName=" + h + ";SharedAccessKeyName=iothubowner;SharedAccessKey=AAAA",
		"the scheme in lower case":     strings.Replace(good, "SharedAccessSignature", "sharedaccesssignature", 1),
		"another host":                 forge("other.example", inAnHour(), key, owner),
		"a host behind the host":       forge(h+".evil.example", inAnHour(), key, owner),
		"a part of the host":           forge(h[:len(h)-1], inAnHour(), key, owner),
		"no host":                      forge("%2Fdevices%2Fvictim", inAnHour(), key, owner),
		"the path of another one":      forge(h+"%2Fdevices%2Fvic", inAnHour(), key, owner),
		"the path of a module":         forge(h+"%2Fdevices%2Fvictim%2Fmodules%2Fm", inAnHour(), key, owner),
		"a path that goes up":          forge(h+"%2Fdevices%2Fx%2F..%2Fvictim", inAnHour(), key, owner),
		"a wildcard":                   forge(h+"%2Fdevices%2F*", inAnHour(), key, owner),
		"telemetry's path":             forge(h+"%2Fmessages%2Fevents", inAnHour(), key, owner),
		"expired":                      forge(h, ago(time.Hour), key, owner),
		"expired, and not":             forge(h, ago(time.Hour), key, owner) + "&se=" + inAnHour(),
		"an expiry of minus one":       forge(h, "-1", key, owner),
		"an expiry that is none":       forge(h, "never", key, owner),
		"an expiry with a fraction":    forge(h, inAnHour()+".5", key, owner),
		"no expiry":                    "SharedAccessSignature sr=" + h + "&sig=" + sign(h, "", key) + "&skn=iothubowner",
		"a later expiry than signed":   strings.Replace(good, "se=1", "se=2", 1),
		"another key":                  forge(h, inAnHour(), make([]byte, 32), owner),
		"a key of nothing":             forge(h, inAnHour(), nil, owner),
		"another policy's key":         forge(h, inAnHour(), g.policies["device"], owner),
		"a policy that there is not":   forge(h, inAnHour(), nil, "nobody"),
		"no policy":                    forge(h, inAnHour(), key, ""),
		"a policy with a wildcard":     forge(h, inAnHour(), key, "*"),
		"a policy that is a path":      forge(h, inAnHour(), key, "..%2Fiothubowner"),
		"two policies":                 forge(h, inAnHour(), g.policies["device"], "device") + "&skn=iothubowner",
		"a device's own token":         victim.token(),
		"a device's key as a policy's": forge(h, inAnHour(), victim.primary, owner),
		"a device's key without skn":   forge(victim.sr(), inAnHour(), victim.primary, ""),
		"a signature cut off":          strings.Replace(good, "sig=", "sig=A", 1),
		"no signature":                 "SharedAccessSignature sr=" + h + "&se=" + inAnHour() + "&skn=iothubowner&sig=",
		"bearer of nothing":            "Bearer ",
		"bearer of a SAS token":        "Bearer " + good,
	} {
		t.Run(name, func(t *testing.T) {
			for _, verb := range []string{"GET", "PUT"} {
				a := g.denied(t, token, verb, "/devices/victim"+version)
				if text := string(a.body); !strings.Contains(text, "Unauthorized") || strings.Contains(text, "xpired") || strings.Contains(text, "key") {
					t.Errorf("the answer says what was wrong: %s", text)
				}
			}
		})
	}
	if strings.Contains(g.Log.String(), strings.Split(good, "sig=")[1][:20]) {
		t.Error("the log holds a signature")
	}
	n.finish(t)
}

// TestRESTRights has every policy try what it has no right to.
func TestRESTRights(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.create(t, "victim")
	n := innocent(t, g)
	for _, c := range []struct{ policy, verb, path string }{
		{"registryRead", "PUT", "/devices/victim"},
		{"registryRead", "DELETE", "/devices/victim"},
		{"registryRead", "POST", "/devices"},
		{"registryRead", "POST", "/devices/keys/regenerate"},
		{"registryRead", "GET", "/twins/victim"},
		{"registryRead", "PATCH", "/twins/victim"},
		{"registryReadWrite", "GET", "/twins/victim"},
		{"registryReadWrite", "PUT", "/twins/victim"},
		{"registryReadWrite", "POST", "/twins/victim/methods"},
		{"registryReadWrite", "POST", "/devices/query"},
		{"registryReadWrite", "DELETE", "/devices/victim/commands"},
		{"registryReadWrite", "POST", "/devices/victim/messages/deviceBound"},
		{"registryReadWrite", "PUT", "/jobs/v2/j"},
		{"registryReadWrite", "PATCH", "/digitaltwins/victim"},
		{"service", "GET", "/devices/victim"},
		{"service", "PUT", "/devices/victim"},
		{"service", "DELETE", "/devices/victim"},
		{"service", "GET", "/devices"},
		{"service", "GET", "/statistics/devices"},
		{"device", "GET", "/devices/victim"},
		{"device", "GET", "/twins/victim"},
		{"device", "POST", "/devices/query"},
		{"device", "PUT", "/configurations/c"},
		{"device", "GET", "/messages/serviceBound/feedback"},
	} {
		t.Run(c.policy+" "+c.verb+" "+c.path, func(t *testing.T) {
			g.denied(t, g.serviceToken(c.policy), c.verb, c.path+version)
		})
	}
	n.finish(t)
}

// TestRESTReplay replays tokens that were good, when the policy has other keys:
// a key that was replaced opens nothing, the other one does until it goes too.
func TestRESTReplay(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.create(t, "victim")
	n := innocent(t, g)
	const path = "/devices/victim" + version
	kv, err := g.JS.KeyValue(t.Context(), "hub_policies")
	if err != nil {
		t.Fatal(err)
	}
	rotate := func(p sas.Policy) {
		t.Helper()
		text, err := json.Marshal(p)
		if err == nil {
			_, err = kv.Put(t.Context(), p.Name, text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	first, second, third := sas.NewKey(), sas.NewKey(), sas.NewKey()
	token := func(key string) string {
		return forge(url.QueryEscape(g.Ready.HostName), inAnHour(), decodeKey(t, key), "registryRead")
	}
	old := g.operator(t, "registryRead")
	old.do(t, "GET", path, "").ok(t, 200)
	rotate(sas.Policy{Name: "registryRead", PrimaryKey: first, SecondaryKey: second, Permissions: sas.RegistryRead})
	g.await(t, "end of the old key", func() bool { return old.do(t, "GET", path, "").status == 401 }) // on a connection that it had opened
	both := g.operator(t, "")
	for _, key := range []string{first, second} {
		both.token = token(key)
		both.do(t, "GET", path, "").ok(t, 200)
	}
	rotate(sas.Policy{Name: "registryRead", PrimaryKey: third, SecondaryKey: first, Permissions: sas.RegistryRead})
	g.await(t, "end of the second key", func() bool { return both.do(t, "GET", path, "").status == 401 })
	both = g.operator(t, "")
	both.token = token(first)
	both.do(t, "GET", path, "").ok(t, 200)
	rotate(sas.Policy{Name: "registryRead", PrimaryKey: third, SecondaryKey: first, Permissions: sas.DeviceConnect})
	g.await(t, "end of the right", func() bool { return both.do(t, "GET", path, "").status == 401 })
	n.before = g.snapshot(t) // the policy is another one
	g.denied(t, token(second), "DELETE", path)
	n.finish(t)
}

// issuer makes bearer tokens.
type issuer struct {
	key *rsa.PrivateKey
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func part(v any) string {
	b, _ := json.Marshal(v)
	return encode(b)
}

// keySet writes the issuer's public key to a file.
func (i *issuer) keySet(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "jwks.json")
	text := fmt.Sprintf(`{"keys":[{"kty":"RSA","use":"sig","alg":"RS256","kid":"k1","n":%q,"e":%q}]}`,
		encode(i.key.N.Bytes()), encode(big.NewInt(int64(i.key.E)).Bytes()))
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// token signs by RS256, whatever the header says.
func (i *issuer) token(header, claims map[string]any) string {
	text := part(header) + "." + part(claims)
	sum := sha256.Sum256([]byte(text))
	sig, _ := rsa.SignPKCS1v15(rand.Reader, i.key, crypto.SHA256, sum[:])
	return "Bearer " + text + "." + encode(sig)
}

// hmacToken signs by HS256 with bytes that everybody knows.
func hmacToken(claims map[string]any, key []byte) string {
	text := part(map[string]any{"alg": "HS256", "typ": "JWT", "kid": "k1"}) + "." + part(claims)
	mac := hmac.New(sha256.New, key)
	_, _ = mac.Write([]byte(text))
	return "Bearer " + text + "." + encode(mac.Sum(nil))
}

const (
	issuerName = "https://issuer.example"
	audience   = "https://iothubs.azure.net"
)

// claims are good ones, with changes.
func claims(changes map[string]any) map[string]any {
	c := map[string]any{
		"iss": issuerName, "aud": audience, "sub": "ops", "exp": time.Now().Add(time.Hour).Unix(), "roles": []string{"IoT Hub Data Contributor"},
	}
	for name, v := range changes {
		if c[name] = v; v == nil {
			delete(c, name)
		}
	}
	return c
}

// TestRESTBearer forges JWTs: without a signature, with one that anybody can
// make, of other keys, issuers, audiences and times.
func TestRESTBearer(t *testing.T) {
	t.Parallel()
	own, other := newIssuer(t), newIssuer(t)
	g := start(t, "--set", "auth.oidc.issuer="+issuerName, "--set", "auth.oidc.audiences="+audience, "--set", "auth.oidc.jwks_file="+own.keySet(t))
	g.create(t, "victim")
	n := innocent(t, g)
	head := func(changes map[string]any) map[string]any {
		h := map[string]any{"alg": "RS256", "typ": "JWT", "kid": "k1"}
		maps.Copy(h, changes)
		return h
	}
	unsigned := func(alg string) string {
		return "Bearer " + part(map[string]any{"alg": alg, "typ": "JWT"}) + "." + part(claims(nil)) + "."
	}
	with := func(changes map[string]any) string { return own.token(head(nil), claims(changes)) }
	good := with(nil)
	der, err := x509.MarshalPKIXPublicKey(&own.key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	honest := g.operator(t, "")
	honest.token = good
	g.await(t, "bearer token that is taken", func() bool { return honest.do(t, "GET", "/devices/victim"+version, "").status == 200 })
	hour := time.Now().Add(time.Hour).Unix()
	for name, token := range map[string]string{
		"alg none":                        unsigned("none"),
		"alg None":                        unsigned("None"),
		"alg nOnE, with a signature":      strings.Replace(good, strings.Split(good, ".")[0], "Bearer "+part(map[string]any{"alg": "nOnE"}), 1),
		"no alg":                          unsigned(""),
		"no signature":                    good[:strings.LastIndexByte(good, '.')+1],
		"two parts":                       good[:strings.LastIndexByte(good, '.')],
		"four parts":                      good + "." + encode([]byte("x")),
		"the public key as a secret":      hmacToken(claims(nil), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})),
		"the public key's DER":            hmacToken(claims(nil), der),
		"the modulus as a secret":         hmacToken(claims(nil), own.key.N.Bytes()),
		"the modulus, encoded":            hmacToken(claims(nil), []byte(encode(own.key.N.Bytes()))),
		"a secret of nothing":             hmacToken(claims(nil), nil),
		"a policy's key as a secret":      hmacToken(claims(nil), g.policies["iothubowner"]),
		"another key":                     other.token(head(nil), claims(nil)),
		"another key with another kid":    other.token(head(map[string]any{"kid": "k2"}), claims(nil)),
		"a kid that is a path":            other.token(head(map[string]any{"kid": "../../../../dev/null"}), claims(nil)),
		"its own key in the header":       other.token(head(map[string]any{"jwk": map[string]any{"kty": "RSA", "kid": "k1", "n": encode(other.key.N.Bytes()), "e": "AQAB"}}), claims(nil)),
		"a URL of keys in the header":     other.token(head(map[string]any{"jku": "http://127.0.0.1:1/keys", "x5u": "http://127.0.0.1:1/c"}), claims(nil)),
		"critical extensions":             own.token(head(map[string]any{"crit": []string{"exp"}}), claims(nil)),
		"another algorithm in the header": own.token(head(map[string]any{"alg": "PS256"}), claims(nil)),
		"claims that were changed":        strings.Replace(good, strings.Split(good, ".")[1], part(claims(map[string]any{"sub": "root"})), 1),
		"another issuer":                  with(map[string]any{"iss": "https://evil.example"}),
		"an issuer with a slash":          with(map[string]any{"iss": issuerName + "/"}),
		"no issuer":                       with(map[string]any{"iss": nil}),
		"another audience":                with(map[string]any{"aud": "https://graph.example"}),
		"an audience that begins so":      with(map[string]any{"aud": audience + ".evil.example"}),
		"no audience":                     with(map[string]any{"aud": nil}),
		"expired":                         with(map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}),
		"no expiry":                       with(map[string]any{"exp": nil}),
		"an expiry that is a word":        with(map[string]any{"exp": "never"}),
		"not valid yet":                   with(map[string]any{"nbf": hour}),
		"no roles":                        with(map[string]any{"roles": nil}),
		"roles of nobody":                 with(map[string]any{"roles": []string{"Owner", "iothubowner", "*"}}),
		"roles that are no list":          with(map[string]any{"roles": map[string]any{"IoT Hub Data Contributor": true}}),
		"a role to read, for a write":     with(map[string]any{"roles": []string{"IoT Hub Data Reader"}}),
		"no JSON":                         "Bearer " + encode([]byte("{")) + "." + encode([]byte("{")) + "." + encode([]byte("x")),
		"deep JSON":                       "Bearer " + encode([]byte(strings.Repeat(`{"a":`, 2000))) + ".e30.eA",
		"24 KiB":                          "Bearer " + strings.Repeat("A", 8<<10) + "." + strings.Repeat("A", 8<<10) + "." + strings.Repeat("A", 8<<10),
	} {
		t.Run(name, func(t *testing.T) { g.denied(t, token, "PUT", "/devices/victim"+version) })
	}
	honest.do(t, "GET", "/devices/victim"+version, "").ok(t, 200)
	n.finish(t)
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return &issuer{key}
}
