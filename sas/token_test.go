package sas

import (
	"strings"
	"testing"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// sig is a well-formed signature that no key made.
const sig = "c2lnbmF0dXJlIHNpZ25hdHVyZSBzaWduYXR1cmUgISE="

func TestParse(t *testing.T) {
	const prefix = "SharedAccessSignature "
	for name, tc := range map[string]struct{ token, resource, policy, expiry string }{
		"Node, Python, C, C#":        {prefix + "sr=h%2Fdevices%2Fd&sig=" + sig + "&se=1700000000", "h%2Fdevices%2Fd", "", "2023-11-14T22:13:20Z"},
		"Java: sig, se, sr":          {prefix + "sig=" + sig + "&se=1700000000&sr=h/devices/d", "h/devices/d", "", "2023-11-14T22:13:20Z"},
		"az: sig, se, skn, sr":       {prefix + "sig=" + sig + "&se=1700000000&skn=device&sr=h", "h", "device", "2023-11-14T22:13:20Z"},
		"Java DPS: skn is empty":     {prefix + "sr=h&sig=" + sig + "&se=1700000000&skn=", "h", "", "2023-11-14T22:13:20Z"},
		"skn escaped":                {prefix + "sr=h&sig=" + sig + "&se=1&skn=me%40x", "h", "me@x", "1970-01-01T00:00:01Z"},
		"VS Code's tail":             {prefix + "sr=h%2Fdevices%2Fd1%2Fapi-version%3D2016-11-14&sig=" + sig + "&se=1", "h%2Fdevices%2Fd1%2Fapi-version%3D2016-11-14", "", "1970-01-01T00:00:01Z"},
		"= in sr":                    {prefix + "sr=h/a=b&sig=" + sig + "&se=1", "h/a=b", "", "1970-01-01T00:00:01Z"},
		"sig without padding":        {prefix + "sr=h&sig=" + strings.TrimRight(sig, "=") + "&se=1", "h", "", "1970-01-01T00:00:01Z"},
		"sig with lower-case escape": {prefix + "sr=h&sig=" + strings.ReplaceAll(sig, "=", "%3d") + "&se=1", "h", "", "1970-01-01T00:00:01Z"},
		"unknown fields, also twice": {prefix + "a=1&sr=h&a=2&&b&sig=" + sig + "&se=1", "h", "", "1970-01-01T00:00:01Z"},
		"se in milliseconds":         {prefix + "sr=h&sig=" + sig + "&se=1700000000000", "h", "", "9999-12-31T23:59:59Z"},
		"se beyond 64 bits":          {prefix + "sr=h&sig=" + sig + "&se=99999999999999999999999", "h", "", "9999-12-31T23:59:59Z"},
		"se with zeros in front":     {prefix + "sr=h&sig=" + sig + "&se=0000000001", "h", "", "1970-01-01T00:00:01Z"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Parse(tc.token)
			if err != nil {
				t.Fatal(err)
			}
			if got.Resource != tc.resource || got.Policy != tc.policy {
				t.Errorf("resource %q policy %q, want %q %q", got.Resource, got.Policy, tc.resource, tc.policy)
			}
			if expiry := got.Expiry.Format(time.RFC3339); expiry != tc.expiry {
				t.Errorf("expiry %s, want %s", expiry, tc.expiry)
			}
			if want := "signature signature signature !!"; string(got.Signature) != want {
				t.Errorf("signature %q, want %q", got.Signature, want)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	const prefix = "SharedAccessSignature "
	for name, tc := range map[string]struct{ token, says string }{
		"empty":               {"", "does not begin with"},
		"bearer":              {"Bearer abc", "does not begin with"},
		"no space":            {"SharedAccessSignaturesr=h&sig=" + sig + "&se=1", "does not begin with"},
		"lower-case prefix":   {"sharedaccesssignature sr=h&sig=" + sig + "&se=1", "does not begin with"},
		"prefix twice":        {prefix + prefix + "sr=h&sig=" + sig + "&se=1", "no sr"},
		"a bare key":          {"c2VjcmV0c2VjcmV0", "does not begin with"},
		"nothing behind":      {prefix, "no sr"},
		"no sr":               {prefix + "sig=" + sig + "&se=1", "no sr"},
		"empty sr":            {prefix + "sr=&sig=" + sig + "&se=1", "no sr"},
		"no sig":              {prefix + "sr=h&se=1", "no sig"},
		"empty sig":           {prefix + "sr=h&sig=&se=1", "no sig"},
		"no se":               {prefix + "sr=h&sig=" + sig, "no se"},
		"empty se":            {prefix + "sr=h&se=&sig=" + sig, "no se"},
		"field names in caps": {prefix + "SR=h&SIG=" + sig + "&SE=1", "no sr"},
		"se in words":         {prefix + "sr=h&se=tomorrow&sig=" + sig, "not a number of seconds"},
		"se negative":         {prefix + "sr=h&se=-1&sig=" + sig, "not a number of seconds"},
		"se with a plus":      {prefix + "sr=h&se=+1&sig=" + sig, "not a number of seconds"},
		"se with a fraction":  {prefix + "sr=h&se=1.5&sig=" + sig, "not a number of seconds"},
		"se with a space":     {prefix + "sr=h&se=1 &sig=" + sig, "not a number of seconds"},
		"sig is not base64":   {prefix + "sr=h&se=1&sig=s3cr*t", "not base64"},
		"sig url-safe":        {prefix + "sr=h&se=1&sig=" + strings.Repeat("_", 43), "not base64"},
		"sig with line break": {prefix + "sr=h&se=1&sig=" + sig[:20] + "%0A" + sig[20:], "not base64"},
		"sig with bits over":  {prefix + "sr=h&se=1&sig=" + strings.Replace(sig, "E=", "F=", 1), "not base64"},
		"sig too short":       {prefix + "sr=h&se=1&sig=czNjcipk", "has 6 bytes"},
		"sr twice":            {prefix + "sr=h&sr=h&se=1&sig=" + sig, "sr twice"},
		"sr twice, once bare": {prefix + "sr=&sr=h&se=1&sig=" + sig, "sr twice"},
		"sig twice":           {prefix + "sr=h&se=1&sig=" + sig + "&sig=" + sig, "sig twice"},
		"se twice":            {prefix + "sr=h&se=1&se=2&sig=" + sig, "se twice"},
		"skn twice":           {prefix + "sr=h&se=1&skn=&skn=a&sig=" + sig, "skn twice"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse(tc.token)
			if hub.CodeOf(err) != hub.Unauthorized || !strings.Contains(err.Error(), tc.says) {
				t.Fatalf("Parse: %v, want Unauthorized that says %q", err, tc.says)
			}
			for _, secret := range []string{sig[:20], "s3cr", "czNj", "c2Vj"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error %q holds a part of the token", err)
				}
			}
		})
	}
}

func TestExpiredAt(t *testing.T) {
	token := Token{Expiry: time.Unix(1000, 0)}
	end := time.Unix(1000, 0).Add(5 * time.Minute)
	for name, tc := range map[string]struct {
		now  time.Time
		want bool
	}{
		"long before":        {time.Unix(0, 0), false},
		"expired, within 5m": {time.Unix(1001, 0), false},
		"the last instant":   {end.Add(-1), false},
		"5 minutes over":     {end, true},
		"long after":         {time.Unix(1<<40, 0), true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := token.ExpiredAt(tc.now); got != tc.want {
				t.Errorf("ExpiredAt = %v, want %v", got, tc.want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add("SharedAccessSignature sr=h%2Fdevices%2Fd&sig=" + sig + "&se=1&skn=p")
	f.Add("SharedAccessSignature sig=" + sig + "&se=1700000000000&sr=h/devices/d%281%29%252Bx&skn=")
	f.Add(Sign("h/devices/d", []byte("k"), time.Unix(5, 0), ""))
	f.Fuzz(func(t *testing.T, s string) {
		token, err := Parse(s)
		if err != nil {
			if hub.CodeOf(err) != hub.Unauthorized {
				t.Errorf("code of %v", err)
			}
			return
		}
		if !strings.Contains(s, "sr="+token.Resource) || !strings.Contains(s, "se="+token.ExpiryText) {
			t.Errorf("what is signed was changed: %+v", token)
		}
		if strings.Contains(token.Host(), "/") {
			t.Errorf("host %q", token.Host())
		}
		if _, err := token.Expiry.MarshalJSON(); err != nil {
			t.Error(err)
		}
		_ = token.Covers("h", hub.Identity{Device: "d", Module: "m"})
		if token.SignedBy([]byte("no key of anybody")) {
			t.Errorf("Parse(%q) verifies", s)
		}
	})
}
