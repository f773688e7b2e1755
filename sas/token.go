package sas

import (
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// ClockSkew is how long after its expiry a token is still good, for devices'
// clocks drift (edgeHub's and the C# SDK's MaxClockSkew: 5 minutes).
const ClockSkew = 5 * time.Minute

const prefix = "SharedAccessSignature "

// maxSeconds is the end of the year 9999. Later expiries, some written in
// milliseconds by mistake, count as that: a time beyond it has no JSON and
// overflows sums.
const maxSeconds = 253402300799

// Token is a parsed shared access signature. That it was parsed says nothing
// about its signature; see [Token.SignedBy]. A Token is immutable.
type Token struct {
	Resource   string    // sr, exactly as received: SDKs encode it in five ways
	Signature  []byte    // sig, decoded: 32 bytes
	Expiry     time.Time // se
	ExpiryText string    // se as received, which is what is signed
	Policy     string    // skn decoded; empty: signed by an identity's own key
}

// Parse reads "SharedAccessSignature sr=…&sig=…&se=…[&skn=…]", its fields in
// any order; other fields are passed over, as edgeHub does: nothing signs them,
// so that they can't restrict anything. An empty skn is none (Java's
// provisioning client). It fails with Unauthorized, and the error never holds
// a part of the token.
func Parse(s string) (Token, error) {
	text, ok := strings.CutPrefix(s, prefix)
	if !ok {
		return Token{}, hub.Errorf(hub.Unauthorized, "the password is no SAS token: it does not begin with %q", prefix)
	}
	f, err := parseFields(text)
	if err != nil {
		return Token{}, err
	}
	expiry, err := parseExpiry(f.se)
	if err != nil {
		return Token{}, err
	}
	signature, err := parseSignature(f.sig)
	if err != nil {
		return Token{}, err
	}
	return Token{
		Resource: f.sr, Signature: signature, Expiry: expiry, ExpiryText: f.se, Policy: unescape(f.skn),
	}, nil
}

// fields are the values in a token, as received.
type fields struct{ sr, sig, se, skn string }

func parseFields(text string) (fields, error) {
	var f fields
	seen := make(map[string]bool, 4)
	for pair := range strings.SplitSeq(text, "&") {
		name, value, _ := strings.Cut(pair, "=")
		field := f.field(name)
		if field == nil {
			continue
		}
		if seen[name] {
			return fields{}, hub.Errorf(hub.Unauthorized, "the SAS token has the field %s twice", name)
		}
		seen[name] = true
		*field = value
	}
	for _, name := range [...]string{"sr", "sig", "se"} {
		if *f.field(name) == "" {
			return fields{}, hub.Errorf(hub.Unauthorized, "the SAS token has no %s", name)
		}
	}
	return f, nil
}

func (f *fields) field(name string) *string {
	switch name {
	case "sr":
		return &f.sr
	case "sig":
		return &f.sig
	case "se":
		return &f.se
	case "skn":
		return &f.skn
	default:
		return nil
	}
}

func parseExpiry(se string) (time.Time, error) {
	if strings.Trim(se, "0123456789") != "" {
		return time.Time{}, hub.Errorf(hub.Unauthorized, "the SAS token's expiry (se) is not a number of seconds since 1970")
	}
	seconds, err := strconv.ParseInt(se, 10, 64)
	if errors.Is(err, strconv.ErrRange) {
		seconds = maxSeconds
	}
	return time.Unix(min(seconds, maxSeconds), 0).UTC(), nil
}

// parseSignature decodes percent escapes, of which SDKs use different ones,
// and then base64 with or without padding. A + is a +: it is base64's own.
func parseSignature(sig string) ([]byte, error) {
	const size = 32 // HMAC-SHA256
	text := strings.TrimRight(unescape(sig), "=")
	signature, err := base64.RawStdEncoding.Strict().DecodeString(text)
	if err != nil || strings.ContainsAny(text, "\r\n") { // which the decoder passes over
		return nil, hub.Errorf(hub.Unauthorized, "the SAS token's signature (sig) is not base64")
	}
	if len(signature) != size {
		return nil, hub.Errorf(hub.Unauthorized, "the SAS token's signature (sig) has %d bytes: an HMAC-SHA256 has %d", len(signature), size)
	}
	return signature, nil
}

// ExpiredAt reports whether the token is no longer good at now: from
// [ClockSkew] after its expiry on. There is no limit to how far in the future
// the expiry is.
func (t Token) ExpiredAt(now time.Time) bool { return !now.Before(t.Expiry.Add(ClockSkew)) }
