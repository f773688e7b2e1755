package sas

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// ClockSkew is how long after its expiry a token is still good: devices'
// clocks drift (MaxClockSkew of edgeHub and of the C# SDK).
const ClockSkew = 5 * time.Minute

const prefix = "SharedAccessSignature "

// Token is a parsed shared access signature. Its signature has not been
// verified.
type Token struct {
	Resource   string    // sr, exactly as received
	Signature  []byte    // sig, decoded
	Expiry     time.Time // se
	ExpiryText string    // se as received, which is what is signed
	Policy     string    // skn; empty for a token of a device's or module's own key
}

// Parse reads "SharedAccessSignature sr=…&sig=…&se=…[&skn=…]" with its fields
// in any order. It fails with Unauthorized and says what is wrong.
func Parse(s string) (Token, error) {
	fields, ok := strings.CutPrefix(s, prefix)
	if !ok {
		return Token{}, hub.Errorf(hub.Unauthorized, "the password does not begin with %q", prefix)
	}
	var p parser
	for field := range strings.SplitSeq(fields, "&") {
		name, value, _ := strings.Cut(field, "=")
		if err := p.add(name, value); err != nil {
			return Token{}, err
		}
	}
	return p.token()
}

// parser collects the fields of a token.
type parser struct {
	sr, sig, se, skn *string
}

func (p *parser) add(name, value string) error {
	var field **string
	switch name {
	case "sr":
		field = &p.sr
	case "sig":
		field = &p.sig
	case "se":
		field = &p.se
	case "skn":
		field = &p.skn
	default:
		return nil // nobody's business, as in the real hub
	}
	if *field != nil {
		return hub.Errorf(hub.Unauthorized, "the SAS token has %s twice", name)
	}
	*field = &value
	return nil
}

func (p *parser) token() (Token, error) {
	for _, f := range []struct {
		name  string
		value *string
	}{{"sr", p.sr}, {"sig", p.sig}, {"se", p.se}} {
		if f.value == nil || *f.value == "" {
			return Token{}, hub.Errorf(hub.Unauthorized, "the SAS token has no %s", f.name)
		}
	}
	seconds, err := strconv.ParseInt(*p.se, 10, 64)
	if err != nil || seconds < 0 {
		return Token{}, hub.Errorf(hub.Unauthorized, "the SAS token's se is not a time in seconds since 1970")
	}
	sig, err := decodeSignature(*p.sig)
	if err != nil {
		return Token{}, err
	}
	t := Token{Resource: *p.sr, Signature: sig, Expiry: time.Unix(min(seconds, maxSeconds), 0), ExpiryText: *p.se}
	if p.skn != nil {
		t.Policy = unescape(*p.skn)
	}
	return t, nil
}

// maxSeconds is the end of the year 9999, beyond which time.Time is no longer
// good for arithmetic that we do.
const maxSeconds = 253402300799

// decodeSignature takes url-encoded base64, of which SDKs leave different
// characters unescaped; a + is a +.
func decodeSignature(s string) ([]byte, error) {
	text := strings.TrimRight(unescape(s), "=")
	sig, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return nil, hub.Errorf(hub.Unauthorized, "the SAS token's sig is not base64")
	}
	return sig, nil
}

// SignedBy reports, in constant time, whether key signed the token. The
// signature is over sr as received; some SDKs sign another spelling of it
// than they send, so its decoded forms are tried too.
func (t Token) SignedBy(key []byte) bool {
	sr := t.Resource
	for range 3 {
		if hmac.Equal(signature(sr, t.ExpiryText, key), t.Signature) {
			return true
		}
		decoded := unescape(sr)
		if decoded == sr {
			return false
		}
		sr = decoded
	}
	return false
}

func signature(resource, expiry string, key []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(resource))
	mac.Write([]byte{'\n'})
	mac.Write([]byte(expiry))
	return mac.Sum(nil)
}

// Host is the host name, with a port if it has one, that the token is for.
func (t Token) Host() string {
	host, _, _ := strings.Cut(t.path(), "/")
	return host
}

// Covers reports whether the token's resource is {host}/devices/{device}
// [/modules/{module}], a whole-segment prefix of it, or that with segments
// added (VS Code adds api-version=…). Host is compared without regard to case,
// ids exactly. A device's resource does not cover its modules.
func (t Token) Covers(host string, id hub.Identity) bool {
	return covers(t.path(), host, id) || covers(strings.ReplaceAll(t.path(), "+", " "), host, id)
}

func covers(path, host string, id hub.Identity) bool {
	got := strings.Split(path, "/")
	want := strings.Split(Resource(host, id), "/")
	if !strings.EqualFold(got[0], want[0]) {
		return false
	}
	n := min(len(got), len(want))
	for i := 1; i < n; i++ {
		if got[i] != want[i] {
			return false
		}
	}
	return !id.IsModule() || len(got) < 3 || len(got) >= len(want)
}

// path is the resource decoded, twice at most, without slashes at the end.
func (t Token) path() string {
	return strings.TrimRight(unescape(unescape(t.Resource)), "/")
}

// ExpiredAt reports whether the token is no longer good at now.
func (t Token) ExpiredAt(now time.Time) bool { return !now.Before(t.Expiry.Add(ClockSkew)) }

// Resource is the unencoded resource of an identity.
func Resource(host string, id hub.Identity) string {
	r := host + "/devices/" + id.Device
	if id.IsModule() {
		r += "/modules/" + id.Module
	}
	return r
}

// Sign returns a token for resource, unencoded, as the Node SDK writes it.
// policy is empty for a key of a device or module.
func Sign(resource string, key []byte, expiry time.Time, policy string) string {
	sr := escape(resource)
	se := strconv.FormatInt(expiry.Unix(), 10)
	sig := base64.StdEncoding.EncodeToString(signature(sr, se, key))
	token := prefix + "sr=" + sr + "&sig=" + escape(sig)
	if policy != "" {
		token += "&skn=" + escape(policy)
	}
	return token + "&se=" + se
}

// escape percent-encodes everything but letters, digits and -_.~
func escape(s string) string {
	return strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
}

// unescape decodes percent escapes; text with a bad one is left as it is.
func unescape(s string) string {
	if t, err := url.PathUnescape(s); err == nil {
		return t
	}
	return s
}
