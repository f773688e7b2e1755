package rest

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/sas"
)

// issuer is an OpenID Connect issuer with one key.
type issuer struct {
	key    crypto.Signer
	method jwt.SigningMethod
	kid    string
}

func newIssuer(t *testing.T, kid string) issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return issuer{key, jwt.SigningMethodES256, kid}
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// jwk is the public key as the issuer publishes it.
func (i issuer) jwk() map[string]string {
	switch k := i.key.Public().(type) {
	case *ecdsa.PublicKey:
		point, _ := k.Bytes()
		return map[string]string{"kty": "EC", "crv": "P-256", "kid": i.kid, "alg": "ES256", "use": "sig", "x": b64(point[1:33]), "y": b64(point[33:])}
	case *rsa.PublicKey:
		return map[string]string{"kty": "RSA", "kid": i.kid, "n": b64(k.N.Bytes()), "e": "AQAB"}
	case ed25519.PublicKey:
		return map[string]string{"kty": "OKP", "crv": "Ed25519", "kid": i.kid, "x": b64(k)}
	}
	return nil
}

func keySetOf(all ...issuer) string {
	keys := make([]map[string]string, 0, len(all))
	for _, i := range all {
		keys = append(keys, i.jwk())
	}
	text, _ := json.Marshal(map[string]any{"keys": keys})
	return string(text)
}

func (i issuer) sign(t *testing.T, claims jwt.MapClaims) string {
	t.Helper()
	token := jwt.NewWithClaims(i.method, claims)
	if i.kid != "" {
		token.Header["kid"] = i.kid
	}
	text, err := token.SignedString(i.key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// claims are good ones, with edits: a nil value removes a claim.
func claims(edits ...any) jwt.MapClaims {
	c := jwt.MapClaims{
		"iss": "https://id.example", "aud": []string{"other", "https://iothubs.azure.net"}, "sub": "ops",
		"exp": time.Now().Add(time.Hour).Unix(), "roles": []string{"IoT Hub Data Reader"},
	}
	for i := 0; i < len(edits); i += 2 {
		name, _ := edits[i].(string)
		if c[name] = edits[i+1]; edits[i+1] == nil {
			delete(c, name)
		}
	}
	return c
}

// bearerOf trusts the keys of some issuers.
func bearerOf(t *testing.T, all ...issuer) *Bearer {
	t.Helper()
	file := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(file, []byte(keySetOf(all...)), 0o600); err != nil {
		t.Fatal(err)
	}
	keys := &KeySet{File: file, Log: zerolog.Nop()}
	if err := keys.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	return &Bearer{Issuer: "https://id.example", Audiences: []string{"https://iothubs.azure.net"}, Keys: keys}
}

func TestBearer(t *testing.T) {
	ec := newIssuer(t, "ec")
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	rs, pss, eddsa := issuer{rsaKey, jwt.SigningMethodRS256, "rsa"}, issuer{rsaKey, jwt.SigningMethodPS256, "rsa"}, issuer{ed, jwt.SigningMethodEdDSA, "ed"}
	s, web := newTestServer(t)
	s.Bearer = bearerOf(t, ec, rs, eddsa)

	unsigned, err := jwt.NewWithClaims(jwt.SigningMethodNone, claims()).SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		t.Fatal(err)
	}
	good := ec.sign(t, claims())
	stranger := newIssuer(t, "ec")
	now := time.Now()
	for name, tc := range map[string]struct {
		token string
		code  hub.Code // 0: let in
	}{
		"good":                 {good, 0},
		"RSA":                  {rs.sign(t, claims()), 0},
		"RSA-PSS":              {pss.sign(t, claims()), 0},
		"EdDSA":                {eddsa.sign(t, claims()), 0},
		"one audience":         {ec.sign(t, claims("aud", "https://iothubs.azure.net")), 0},
		"expired within skew":  {ec.sign(t, claims("exp", now.Add(-4*time.Minute).Unix())), 0},
		"expired":              {ec.sign(t, claims("exp", now.Add(-6*time.Minute).Unix())), hub.AccessDenied},
		"without expiry":       {ec.sign(t, claims("exp", nil)), hub.AccessDenied},
		"not yet":              {ec.sign(t, claims("nbf", now.Add(6*time.Minute).Unix())), hub.AccessDenied},
		"another issuer":       {ec.sign(t, claims("iss", "https://id.example/")), hub.AccessDenied},
		"no issuer":            {ec.sign(t, claims("iss", nil)), hub.AccessDenied},
		"another audience":     {ec.sign(t, claims("aud", "https://iothubs.azure.net/x")), hub.AccessDenied},
		"no audience":          {ec.sign(t, claims("aud", nil)), hub.AccessDenied},
		"another's key":        {stranger.sign(t, claims()), hub.AccessDenied},
		"unknown key":          {newIssuer(t, "x").sign(t, claims()), hub.AccessDenied},
		"unsigned":             {unsigned, hub.AccessDenied},
		"signed by the public": {signedByPublic(t, rs), hub.AccessDenied},
		"without signature":    {good[:strings.LastIndexByte(good, '.')+1], hub.AccessDenied},
		"other claims":         {swapped(t, good, claims("roles", []string{"IoT Hub Data Contributor"})), hub.AccessDenied},
		"no token":             {"", hub.AccessDenied},
		"two dots":             {"..", hub.AccessDenied},
		"much too long":        {strings.Repeat("x", maxToken+1), hub.AccessDenied},
		"no role":              {ec.sign(t, claims("roles", nil)), hub.AccessDenied},
		"another role":         {ec.sign(t, claims("roles", []string{"IoT Hub Twin Contributor"})), hub.AccessDenied},
		"roles are a number":   {ec.sign(t, claims("roles", 7)), hub.AccessDenied},
		"scope":                {ec.sign(t, claims("roles", nil, "scope", "openid RegistryRead")), 0},
		"scp":                  {ec.sign(t, claims("roles", nil, "scp", []any{"x", 7, "RegistryWrite"})), 0},
		"a role with blanks":   {ec.sign(t, claims("roles", "IoT Hub Data Reader")), 0},
	} {
		t.Run(name, func(t *testing.T) {
			res, body := do(t, s, web, "GET", "/devices"+version, "", "Authorization", "Bearer "+tc.token)
			if tc.code == 0 {
				if res.StatusCode != 200 || !strings.Contains(body, `"by":"bearer ops"`) {
					t.Errorf("%d %s", res.StatusCode, body)
				}
				return
			}
			checkRefusal(t, res, body, tc.code, "")
			if tc.token != "" && len(tc.token) > 10 && strings.Contains(body, tc.token[:10]) {
				t.Errorf("%s shows the token", body)
			}
		})
	}
	// What a role may do is what it may do.
	res, body := do(t, s, web, "PUT", "/devices/d"+version, "{}", "Authorization", "bearer "+good)
	checkRefusal(t, res, body, hub.AccessDenied, "RegistryWrite")
	s.Bearer.Roles = map[string]sas.Permission{"boss": sas.RegistryWrite}
	s.Bearer.Claims = []string{"groups"}
	if res, body := do(t, s, web, "PUT", "/devices/d"+version, "{}", "Authorization", "Bearer "+ec.sign(t, claims("groups", []string{"boss"}))); res.StatusCode != 200 {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	res, body = do(t, s, web, "GET", "/devices"+version, "", "Authorization", "Bearer "+good)
	checkRefusal(t, res, body, hub.AccessDenied, "RegistryRead")
}

// TestDefaultRoles: what a role of Azure's may do is no more than what it says.
func TestDefaultRoles(t *testing.T) {
	const read, write, service = sas.RegistryRead, sas.RegistryWrite, sas.ServiceConnect
	want := map[string]sas.Permission{
		"IoT Hub Data Contributor": write | service, "IoT Hub Data Reader": read, "IoT Hub Registry Contributor": write,
		"IoT Hub Twin Contributor": service, "RegistryRead": read, "RegistryWrite": write, "ServiceConnect": service,
	}
	if got := DefaultRoles(); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestSizeOfBearer: what is too long is not parsed.
func TestSizeOfBearer(t *testing.T) {
	b := bearerOf(t, newIssuer(t, "ec"))
	for size, want := range map[int]string{maxToken: "it is no JWT", maxToken + 1: "16385 bytes: the most is 16384"} {
		if _, err := b.identify(t.Context(), strings.Repeat("x", size), time.Now()); hub.CodeOf(err) != hub.Unauthorized || !strings.Contains(err.Error(), want) {
			t.Errorf("%d bytes: %v, want %q", size, err, want)
		}
	}
}

// TestBearerWithCriticalExtensions: what a token says to be critical has to be known to
// whoever takes it, by RFC 7515; here nothing of it is.
func TestBearerWithCriticalExtensions(t *testing.T) {
	i := newIssuer(t, "ec")
	b := bearerOf(t, i)
	for name, critical := range map[string]any{"an extension": []string{"urn:example:only-here"}, "of exp": []string{"exp"}, "nothing": []string{}, "null": nil} {
		t.Run(name, func(t *testing.T) {
			token := jwt.NewWithClaims(i.method, claims())
			token.Header["kid"], token.Header["crit"], token.Header["urn:example:only-here"] = i.kid, critical, true
			text, err := token.SignedString(i.key)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := b.identify(t.Context(), text, time.Now()); hub.CodeOf(err) != hub.Unauthorized || !strings.Contains(err.Error(), "critical") {
				t.Errorf("it is let in, or refused for something else: %v", err)
			}
		})
	}
}

// signedByPublic is the trick with the algorithm: the text of the public key as
// the key of an HMAC.
func signedByPublic(t *testing.T, i issuer) string {
	t.Helper()
	payload, _ := json.Marshal(claims())
	text := b64([]byte(`{"alg":"HS256","kid":"`+i.kid+`"}`)) + "." + b64(payload)
	public, _ := json.Marshal(i.jwk())
	mac := hmac.New(sha256.New, public)
	mac.Write([]byte(text))
	return text + "." + b64(mac.Sum(nil))
}

// swapped has other claims under the same signature.
func swapped(t *testing.T, token string, c jwt.MapClaims) string {
	t.Helper()
	parts := strings.Split(token, ".")
	payload, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return parts[0] + "." + b64(payload) + "." + parts[2]
}

// Without the keys nobody can be told from anybody; that is no bad credential.
func TestBearerWithoutKeys(t *testing.T) {
	s, web := newTestServer(t)
	o := &offenders{}
	s.Peers, s.Bearer = o, &Bearer{Issuer: "https://id.example", Audiences: []string{"https://iothubs.azure.net"}, Keys: &KeySet{File: "/nothing/there", Log: zerolog.Nop()}}
	res, body := do(t, s, web, "GET", "/devices"+version, "", "Authorization", "Bearer "+newIssuer(t, "x").sign(t, claims()))
	checkRefusal(t, res, body, hub.ServiceUnavailable, "not there yet")
	if len(o.failed) > 0 {
		t.Errorf("counted was %v", o.failed)
	}
}

// publisher is where an issuer publishes keys.
type publisher struct {
	text  atomic.Pointer[string]
	asked atomic.Int32
}

func (p *publisher) RoundTrip(*http.Request) (*http.Response, error) {
	p.asked.Add(1)
	text := p.text.Load()
	if text == nil {
		return &http.Response{StatusCode: 500, Status: "500 Oh", Body: io.NopCloser(strings.NewReader(""))}, nil
	}
	return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(*text))}, nil
}

func (p *publisher) publish(text string) { p.text.Store(&text) }

// TestKeySetWithOtherKinds has, beside a good key, what no signature of ours is made
// with: RFC 7517 has such keys passed over.
func TestKeySetWithOtherKinds(t *testing.T) {
	ec := newIssuer(t, "ec")
	good, err := json.Marshal(ec.jwk())
	if err != nil {
		t.Fatal(err)
	}
	for name, other := range map[string]string{
		"another type":   `{"kty":"AKP","alg":"ML-DSA-65","kid":"x","pub":"AAAA"}`,
		"another curve":  `{"kty":"EC","crv":"secp256k1","kid":"x","x":"AAAA","y":"AAAA"}`,
		"Ed448":          `{"kty":"OKP","crv":"Ed448","kid":"x","x":"AAAA"}`,
		"half a key":     `{"kty":"RSA","kid":"x","e":"AQAB"}`,
		"a key of a MAC": `{"kty":"oct","kid":"x"}`,
		"no object":      `7`,
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "keys.json")
			if err := os.WriteFile(file, []byte(`{"keys":[`+other+`,`+string(good)+`,`+other+`]}`), 0o600); err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			b := &Bearer{Issuer: "https://id.example", Audiences: []string{"https://iothubs.azure.net"}, Keys: &KeySet{File: file, Log: zerolog.New(&log)}}
			if err := b.Keys.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := b.identify(t.Context(), ec.sign(t, claims()), time.Now()); err != nil {
				t.Error(err)
			}
			if text := log.String(); !strings.Contains(text, `"passed_over":2,"keys":1`) {
				t.Errorf("the log has %q", text)
			}
		})
	}
}

// TestKeySetIsAsItShouldBe: what is no good answer gives no keys, and says why.
func TestKeySetIsAsItShouldBe(t *testing.T) {
	ec := newIssuer(t, "ec")
	one, err := json.Marshal(ec.jwk())
	if err != nil {
		t.Fatal(err)
	}
	keys := func(n int) string {
		return `{"keys":[` + strings.Repeat(string(one)+",", n-1) + string(one) + `]}`
	}
	padded := func(size int) string { return keys(1) + strings.Repeat(" ", size-len(keys(1))) }
	for name, tc := range map[string]struct {
		status int
		text   string
		says   string // of the error; empty: none
	}{
		"one":            {200, keys(1), ""},
		"most":           {200, keys(mostKeys), ""},
		"too many":       {200, keys(mostKeys + 1), "no JSON Web Key Set of 1 to 1000 keys"},
		"none":           {200, `{"keys":[]}`, "no JSON Web Key Set of 1 to 1000 keys"},
		"largest":        {200, padded(maxKeySet), ""},
		"too large":      {200, padded(maxKeySet + 1), "more than 1048576 bytes"},
		"not found":      {404, keys(1), "answers 404 Oh"},
		"another answer": {202, keys(1), "answers 202 Oh"},
	} {
		t.Run(name, func(t *testing.T) {
			p := &answerer{status: tc.status, text: tc.text}
			k := &KeySet{URL: "https://id.example/keys", Client: &http.Client{Transport: p}, Log: zerolog.Nop()}
			err := k.Load(t.Context())
			if (err == nil) != (tc.says == "") || err != nil && !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %v, want %q", err, tc.says)
			}
			if (k.keys.Load() != nil) != (tc.says == "") || !p.closed {
				t.Errorf("has keys: %v, the answer is closed: %v", k.keys.Load() != nil, p.closed)
			}
		})
	}
}

// answerer gives one answer.
type answerer struct {
	io.Reader
	status int
	text   string
	closed bool
}

func (p *answerer) RoundTrip(req *http.Request) (*http.Response, error) {
	p.Reader = strings.NewReader(p.text)
	return &http.Response{StatusCode: p.status, Status: strconv.Itoa(p.status) + " Oh", Body: p, Request: req}, nil
}

func (p *answerer) Close() error {
	p.closed = true
	return nil
}

func TestRefreshOfKeySet(t *testing.T) {
	for set, want := range map[time.Duration]time.Duration{
		-1: time.Hour, 0: time.Hour, 1: time.Minute, time.Minute - 1: time.Minute, time.Minute: time.Minute, 2 * time.Hour: 2 * time.Hour,
	} {
		k := &KeySet{Refresh: set}
		if k.init(); k.Refresh != want {
			t.Errorf("%v makes %v, want %v", set, k.Refresh, want)
		}
	}
}

// TestLogOfKeySet: each reading that fails has a line, which says whether anybody can
// come in; the end of the node is none.
func TestLogOfKeySet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p publisher
		var log bytes.Buffer
		k := &KeySet{URL: "https://id.example/keys", Client: &http.Client{Transport: &p}, Log: zerolog.New(&log)}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			k.Run(ctx)
			close(ended)
		}()
		synctest.Wait()
		if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, `"has_keys":false`) || !strings.Contains(text, "answers 500 Oh") {
			t.Errorf("without keys the log has %q", text)
		}
		log.Reset()
		p.publish(keySetOf(newIssuer(t, "1")))
		<-time.After(2 * fetchTimeout)
		synctest.Wait()
		if text := log.String(); text != "" {
			t.Errorf("with keys the log has %q", text)
		}
		p.text.Store(nil)
		<-time.After(defaultRefresh)
		synctest.Wait()
		if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, `"has_keys":true`) {
			t.Errorf("with keys that can't be read again the log has %q", text)
		}
		log.Reset()
		cancel()
		<-ended
		over := &KeySet{URL: k.URL, Client: &http.Client{Transport: &slowPublisher{}}, Log: k.Log}
		over.Run(ctx)
		if text := log.String(); text != "" {
			t.Errorf("in the end the log has %q", text)
		}
	})
}

// redirector sends whoever asks by https to other URLs, one after another, and gives
// the keys to whoever has none to go to.
type redirector struct {
	to   []string
	text string
}

func (p *redirector) RoundTrip(req *http.Request) (*http.Response, error) {
	if len(p.to) == 0 {
		return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(p.text)), Request: req}, nil
	}
	h := http.Header{"Location": {p.to[0]}}
	p.to = p.to[1:]
	return &http.Response{StatusCode: 302, Header: h, Body: io.NopCloser(strings.NewReader("")), Request: req}, nil
}

// TestKeySetRedirected: keys that begin with https come by https all the way, whoever
// redirects: on another way anybody could give his own.
func TestKeySetRedirected(t *testing.T) {
	const https, plain = "https://login.example/keys", "http://login.example/keys"
	many := slices.Repeat([]string{https}, 20)
	for name, tc := range map[string]struct {
		url  string
		to   []string
		good bool
	}{
		"https":                {https, []string{"https://keys.example/"}, true},
		"http":                 {https, []string{plain}, false},
		"http, and https":      {https, []string{plain, https}, false},
		"on the machine":       {"http://127.0.0.1/keys", []string{"http://127.0.0.1/more"}, true},
		"from it to elsewhere": {"http://127.0.0.1/keys", []string{plain}, false},
		"as often as may be":   {https, many[:mostRedirects], true},
		"once more":            {https, many[:mostRedirects+1], false},
		"without an end":       {https, many, false},
	} {
		t.Run(name, func(t *testing.T) {
			k := &KeySet{URL: tc.url, Client: &http.Client{Transport: &redirector{tc.to, keySetOf(newIssuer(t, "1"))}}, Log: zerolog.Nop()}
			if err := k.Load(t.Context()); (err == nil) != tc.good {
				t.Errorf("the keys are read: %v", err)
			}
		})
	}
}

// TestKeySet follows keys that change, and an issuer that is away.
func TestKeySet(t *testing.T) {
	first, second := newIssuer(t, "1"), newIssuer(t, "2")
	synctest.Test(t, func(t *testing.T) {
		var p publisher
		k := &KeySet{URL: "https://id.example/keys", Client: &http.Client{Transport: &p}, Log: zerolog.Nop()}
		b := &Bearer{Issuer: "https://id.example", Audiences: []string{"https://iothubs.azure.net"}, Keys: k}
		isIn := func(i issuer) bool {
			_, err := b.identify(t.Context(), i.sign(t, claims()), time.Now())
			return err == nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go k.Run(ctx)
		wait := func(d time.Duration) {
			<-time.After(d)
			synctest.Wait()
		}
		wait(0)
		if isIn(first) {
			t.Error("let in without keys")
		}
		p.publish(keySetOf(first))
		wait(2 * fetchTimeout)
		if !isIn(first) || isIn(second) {
			t.Error("the keys that were published do not count")
		}
		// A key that is not known is looked for, but not for each that comes.
		before := p.asked.Load()
		p.publish(keySetOf(first, second))
		for range 100 {
			isIn(newIssuer(t, "invented"))
		}
		wait(minRefresh + time.Second)
		if n := p.asked.Load() - before; n != 1 {
			t.Errorf("the keys were read %d times, want once", n)
		}
		if !isIn(second) {
			t.Error("the new key does not count")
		}
		// What is bad does not displace what is good.
		for _, bad := range []string{"", "{}", `{"keys":[]}`, `{"keys":7}`, "x", `{"keys":[{"kty":"EC"}]}`, strings.Repeat(" ", maxKeySet+1)} {
			p.publish(bad)
			if err := k.Load(ctx); err == nil {
				t.Errorf("%.20q was taken", bad)
			}
		}
		p.text.Store(nil)
		wait(2 * defaultRefresh)
		if !isIn(first) || !isIn(second) {
			t.Error("the old keys do not count any more")
		}
		// What is gone is gone.
		p.publish(keySetOf(second))
		wait(2 * defaultRefresh)
		if isIn(first) || !isIn(second) {
			t.Error("a key that was taken back still counts")
		}
	})
}

// slowPublisher lets whoever asks wait until it is told to answer.
type slowPublisher struct {
	publisher
	answer chan bool
}

func (p *slowPublisher) RoundTrip(req *http.Request) (*http.Response, error) {
	select {
	case <-p.answer:
		return p.publisher.RoundTrip(req)
	case <-req.Context().Done():
		return nil, req.Context().Err()
	}
}

// TestKeyThatIsNew: a token of a key that the issuer has published since the keys were
// read is let in at once, for it is a good one, and many wait for one reading. Who has
// invented his key is not let wait for long.
func TestKeyThatIsNew(t *testing.T) {
	first, second := newIssuer(t, "1"), newIssuer(t, "2")
	synctest.Test(t, func(t *testing.T) {
		p := slowPublisher{answer: make(chan bool, 10)}
		k := &KeySet{URL: "https://id.example/keys", Client: &http.Client{Transport: &p}, Log: zerolog.Nop()}
		b := &Bearer{Issuer: "https://id.example", Audiences: []string{"https://iothubs.azure.net"}, Keys: k}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		p.publish(keySetOf(first))
		p.answer <- true
		go k.Run(ctx)
		<-time.After(2 * minRefresh)
		p.publish(keySetOf(first, second))
		token := second.sign(t, claims())
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if _, err := b.identify(t.Context(), token, time.Now()); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait() // for all of them to wait
		p.answer <- true
		wg.Wait()
		if n := p.asked.Load(); n != 2 {
			t.Errorf("the keys were read %d times, want twice", n)
		}
		begin, invented := time.Now(), newIssuer(t, "3").sign(t, claims())
		if _, err := b.identify(t.Context(), invented, time.Now()); hub.CodeOf(err) != hub.Unauthorized || time.Since(begin) > 0 {
			t.Errorf("just after they were read: %v after %v", err, time.Since(begin))
		}
		<-time.After(2 * minRefresh) // the issuer does not answer any more
		begin = time.Now()
		if _, err := b.identify(t.Context(), invented, time.Now()); hub.CodeOf(err) != hub.Unauthorized || time.Since(begin) > keyWait {
			t.Errorf("of an issuer who is silent: %v after %v", err, time.Since(begin))
		}
		if _, err := b.identify(t.Context(), token, time.Now()); err != nil {
			t.Error(err)
		}
		// Only of a key that is not known another reading tells more.
		begin = time.Now()
		for name, text := range map[string]string{
			"expired":         first.sign(t, claims("exp", begin.Add(-time.Hour).Unix())),
			"a stranger's":    newIssuer(t, "1").sign(t, claims()),
			"without a claim": second.sign(t, claims("iss", nil)),
		} {
			if _, err := b.identify(t.Context(), text, time.Now()); hub.CodeOf(err) != hub.Unauthorized || time.Since(begin) > 0 {
				t.Errorf("%s: %v after %v", name, err, time.Since(begin))
			}
		}
	})
}

// TestKeyWithoutName follows an issuer with one key, which then needs no kid, who makes
// another one: a token does not say which key it needs, and the reading tells.
func TestKeyWithoutName(t *testing.T) {
	first, second, stranger := newIssuer(t, ""), newIssuer(t, ""), newIssuer(t, "")
	synctest.Test(t, func(t *testing.T) {
		var p publisher
		k := &KeySet{URL: "https://id.example/keys", Client: &http.Client{Transport: &p}, Log: zerolog.Nop()}
		b := &Bearer{Issuer: "https://id.example", Audiences: []string{"https://iothubs.azure.net"}, Keys: k}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		p.publish(keySetOf(first))
		go k.Run(ctx)
		<-time.After(2 * minRefresh)
		for step, i := range []issuer{first, second} {
			p.publish(keySetOf(i))
			if _, err := b.identify(t.Context(), i.sign(t, claims()), time.Now()); err != nil || p.asked.Load() != int32(step)+1 {
				t.Errorf("step %d: %v; the keys were read %d times", step, err, p.asked.Load())
			}
		}
		<-time.After(2 * minRefresh)
		if _, err := b.identify(t.Context(), stranger.sign(t, claims()), time.Now()); hub.CodeOf(err) != hub.Unauthorized {
			t.Errorf("a stranger: %v", err)
		}
	})
}
