package sas

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"iter"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// Resource is what a token of id is for, not encoded:
// {host}/devices/{device}[/modules/{module}].
func Resource(host string, id hub.Identity) string {
	r := host + "/devices/" + id.Device
	if id.IsModule() {
		r += "/modules/" + id.Module
	}
	return r
}

// Sign returns a token as the Node SDK writes it: the fields sr, sig, skn, se,
// with resource percent-encoded whole (common/core/src/authorization.ts).
// resource is not encoded yet, see [Resource]; a hub-wide token has the bare
// host name. policy is empty for a key of a device or module. Fractions of a
// second of expiry are dropped.
func Sign(resource string, key []byte, expiry time.Time, policy string) string {
	sr, se := escape(resource), strconv.FormatInt(expiry.Unix(), 10)
	sig := base64.StdEncoding.EncodeToString(hmacOf(sr, se, key))
	var b strings.Builder
	b.WriteString(prefix)
	b.WriteString("sr=" + sr + "&sig=" + escape(sig))
	if policy != "" {
		b.WriteString("&skn=" + escape(policy))
	}
	b.WriteString("&se=" + se)
	return b.String()
}

// SignedBy reports whether key signed the token. Signed is what stands in sr,
// as it stands there; but the C SDK's HTTP edge module sends sr encoded and
// signs it raw, so the decoded forms are tried too. Each comparison takes the
// same time whatever the key.
func (t Token) SignedBy(key []byte) bool {
	for resource := range spellings(t.Resource) {
		if t.isSignature(resource, key) {
			return true
		}
	}
	return false
}

func (t Token) isSignature(resource string, key []byte) bool {
	return hmac.Equal(hmacOf(resource, t.ExpiryText, key), t.Signature)
}

func hmacOf(resource, expiry string, key []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(resource + "\n" + expiry))
	return mac.Sum(nil)
}

// spellings yields s as it is, and decoded once and twice as long as that
// changes it: the C# SDK encodes an id twice.
func spellings(s string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for range 3 {
			if !yield(s) {
				return
			}
			decoded := unescape(s)
			if decoded == s {
				return
			}
			s = decoded
		}
	}
}

// escape percent-encodes everything but letters, digits and - _ . ~, as
// encodeURIComponent does that has learned of !'()*.
func escape(s string) string {
	// QueryEscape differs in the space alone; it writes a plus as %2B.
	return strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
}

// unescape decodes percent escapes; a + stays. Text with a bad escape was not
// encoded, but holds a % of its own: it is returned as it is.
func unescape(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	if t, err := url.PathUnescape(s); err == nil {
		return t
	}
	return s
}
