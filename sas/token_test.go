package sas

import (
	"encoding/base64"
	"net/url"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hubgate/hubgate/hub"
)

// secret is base64 of "secret": too short for a real key, and that of the
// published vectors.
func secret() []byte { return []byte("secret") }

// Each SDK signs and sends another spelling of the same resource, here of
// device d(1)+x on myhub.azure-devices.net, expiring at 1700000000.
func TestSDKSpellings(t *testing.T) {
	const host = "myhub.azure-devices.net"
	id := hub.Identity{Device: "d(1)+x"}
	for name, tc := range map[string]struct{ sr, sig, skn string }{
		"Node, Python, embedded C":                           {host + "%2Fdevices%2Fd%281%29%2Bx", "ICrj4+86g1iqQmYE/+4KLh4BvJJ1jg4i2AawnRSFghg=", ""},
		"lower-case escapes, signed decoded (C behind edge)": {host + "%2fdevices%2fd(1)%2bx", "yKWMzv4h/M4uEV2bxvfWohy/sJjGlvXwvy0OcqtZH7E=", ""},
		"C, raw":     {host + "/devices/d(1)+x", "yKWMzv4h/M4uEV2bxvfWohy/sJjGlvXwvy0OcqtZH7E=", ""},
		"C#, twice":  {host + "%2Fdevices%2Fd(1)%252Bx", "IwAJa3Bf5tXcd6oIGgs7mL65wpCmpSLr/CfKqas6Tgk=", ""},
		"Java, half": {host + "/devices/d%281%29%2Bx", "o+/1ja6/6kXSztxw7oX2HTQXvu6xqhxfbg0DtXjhLWM=", ""},
		"policy":     {host, "1QpKj6n+ljICAX13esLFnYBGWC4SYVHaZhBx1aDhTOI=", "iothubowner"},
		"empty skn":  {host, "1QpKj6n+ljICAX13esLFnYBGWC4SYVHaZhBx1aDhTOI=", ""},
		"signed once-decoded, sent twice-encoded": {host + "%252Fdevices%252Fd%25281%2529%252Bx", "ICrj4+86g1iqQmYE/+4KLh4BvJJ1jg4i2AawnRSFghg=", ""},
	} {
		for spelling, sig := range map[string]string{
			"escaped": url.QueryEscape(tc.sig), "lower-case escapes": lowerEscapes(tc.sig), "raw": tc.sig,
			"without padding": strings.TrimRight(tc.sig, "="),
		} {
			t.Run(name+"/"+spelling, func(t *testing.T) {
				token, err := Parse("SharedAccessSignature sig=" + sig + "&se=1700000000&skn=" + tc.skn + "&sr=" + tc.sr)
				if err != nil {
					t.Fatal(err)
				}
				if !token.SignedBy(secret()) {
					t.Error("SignedBy = false")
				}
				if token.SignedBy([]byte("Secret")) {
					t.Error("SignedBy = true for another key")
				}
				if !token.Covers(host, id) {
					t.Error("Covers = false")
				}
				if token.Host() != host || token.Policy != tc.skn || token.Expiry.Unix() != 1700000000 {
					t.Errorf("token %+v", token)
				}
			})
		}
	}
}

// lowerEscapes escapes as the C SDK does: %2b, not %2B.
func lowerEscapes(s string) string {
	return strings.NewReplacer("+", "%2b", "/", "%2f", "=", "%3d").Replace(s)
}

func TestSignatureCoversExpiryAndResource(t *testing.T) {
	key := []byte("0123456789abcdef")
	good := Sign("h.x/devices/d", key, time.Unix(1700000000, 0), "")
	for name, token := range map[string]string{
		"later expiry":     strings.Replace(good, "1700000000", "1800000000", 1),
		"same time, other": strings.Replace(good, "1700000000", "01700000000", 1),
		"another resource": strings.Replace(good, "devices%2Fd", "devices%2Fe", 1),
	} {
		t.Run(name, func(t *testing.T) {
			parsed, err := Parse(token)
			if err != nil {
				t.Fatal(err)
			}
			if parsed.SignedBy(key) {
				t.Error("a changed token still verifies")
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for name, tc := range map[string]struct{ token, says string }{
		"empty":         {"", "does not begin"},
		"bearer":        {"Bearer abc", "does not begin"},
		"prefix only":   {"SharedAccessSignature ", "no sr"},
		"no sr":         {"SharedAccessSignature sig=YQ==&se=1", "no sr"},
		"no sig":        {"SharedAccessSignature sr=h&se=1", "no sig"},
		"empty sig":     {"SharedAccessSignature sr=h&sig=&se=1", "no sig"},
		"no se":         {"SharedAccessSignature sr=h&sig=YQ==", "no se"},
		"se in words":   {"SharedAccessSignature sr=h&sig=YQ==&se=tomorrow", "not a time"},
		"se negative":   {"SharedAccessSignature sr=h&sig=YQ==&se=-1", "not a time"},
		"se too large":  {"SharedAccessSignature sr=h&sig=YQ==&se=99999999999999999999", "not a time"},
		"sig no base64": {"SharedAccessSignature sr=h&sig=s3cr*t&se=1", "not base64"},
		"sr twice":      {"SharedAccessSignature sr=h&sr=i&sig=YQ==&se=1", "sr twice"},
		"sig twice":     {"SharedAccessSignature sr=h&sig=YQ==&sig=YQ==&se=1", "sig twice"},
		"se twice":      {"SharedAccessSignature sr=h&sig=YQ==&se=1&se=2", "se twice"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse(tc.token)
			if hub.CodeOf(err) != hub.Unauthorized || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("Parse: %v, want Unauthorized that says %q", err, tc.says)
			}
			if strings.Contains(err.Error(), "s3cr") {
				t.Error("the error holds the signature")
			}
		})
	}
}

func TestCovers(t *testing.T) {
	dev := hub.Identity{Device: "d1"}
	mod := hub.Identity{Device: "d1", Module: "m1"}
	for sr, want := range map[string][2]bool{ // the device, its module
		"h.x":                       {true, true}, // the whole hub
		"H.X":                       {true, true},
		"h.x/":                      {true, true},
		"h.x/devices":               {true, true},
		"h.x/devices/d1":            {true, false},
		"h.x%2Fdevices%2Fd1":        {true, false},
		"h.x%252Fdevices%252Fd1":    {true, false},
		"h.x/devices/d1/":           {true, false},
		"h.x/devices/d1/modules/m1": {true, true}, // longer than the device's: VS Code's tail looks like it
		"h.x%2Fdevices%2Fd1%2Fapi-version%3D2016-11-14": {true, false},
		"h.x/devices/d2":            {false, false},
		"h.x/devices/d":             {false, false},
		"h.x/devices/d11":           {false, false},
		"h.x/devices/D1":            {false, false},
		"h.x/devices/d1/modules":    {true, false},
		"h.x/devices/d1/modules/m2": {true, false},
		"h.x/messages/events":       {false, false},
		"i.x/devices/d1":            {false, false},
		"h.x.evil/devices/d1":       {false, false},
	} {
		t.Run(sr, func(t *testing.T) {
			token := Token{Resource: sr}
			for i, id := range []hub.Identity{dev, mod} {
				if got := token.Covers("h.x", id); got != want[i] {
					t.Errorf("Covers(%s) = %v, want %v", id, got, want[i])
				}
			}
		})
	}
}

func TestExpiredAt(t *testing.T) {
	token := Token{Expiry: time.Unix(1000, 0)}
	last := time.Unix(1000, 0).Add(ClockSkew)
	if token.ExpiredAt(last.Add(-time.Nanosecond)) {
		t.Error("expired before the skew is over")
	}
	if !token.ExpiredAt(last) {
		t.Error("not expired at the end of the skew")
	}
	far, err := Parse("SharedAccessSignature sr=h&sig=YQ==&se=9223372036854775807")
	if err != nil || far.ExpiredAt(time.Now()) {
		t.Errorf("a token that never expires: %v, expired %v", err, far.ExpiredAt(time.Now()))
	}
}

// What Sign makes, Parse reads, and only its key verifies, for any id.
func TestSignParseRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		idChar := rapid.StringMatching(`[A-Za-z0-9\-:.+%_#*?!(),=@;$']{1,20}`)
		id := hub.Identity{Device: idChar.Draw(t, "device")}
		if rapid.Bool().Draw(t, "module") {
			id.Module = idChar.Draw(t, "module id")
		}
		key := rapid.SliceOfN(rapid.Byte(), 16, 64).Draw(t, "key")
		expiry := time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "se"), 0)
		token, err := Parse(Sign(Resource("h.x", id), key, expiry, "p@1"))
		if err != nil {
			t.Fatal(err)
		}
		if !token.SignedBy(key) || !token.Expiry.Equal(expiry) || token.Policy != "p@1" {
			t.Fatalf("token %+v", token)
		}
		key[0] ^= 1
		if token.SignedBy(key) {
			t.Fatal("another key verifies")
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add("SharedAccessSignature sr=h%2Fdevices%2Fd&sig=YQ%3D%3D&se=1&skn=p")
	f.Add(Sign("h/devices/d", []byte("k"), time.Unix(5, 0), ""))
	f.Fuzz(func(t *testing.T, s string) {
		token, err := Parse(s)
		if err != nil {
			if hub.CodeOf(err) != hub.Unauthorized {
				t.Errorf("code of %v", err)
			}
			return
		}
		_ = token.Host()
		_ = token.Covers("h", hub.Identity{Device: "d"})
		if token.SignedBy([]byte("no key of anybody")) {
			t.Errorf("Parse(%q) verifies", s)
		}
	})
}

func TestKeys(t *testing.T) {
	a, b := NewKey(), NewKey()
	if a == b {
		t.Error("two new keys are the same")
	}
	if key, err := DecodeKey(a); err != nil || len(key) != 32 {
		t.Errorf("DecodeKey(NewKey()) = %d bytes, %v", len(key), err)
	}
	for name, n := range map[string]int{"15 bytes": 15, "65 bytes": 65, "none": 0} {
		if _, err := DecodeKey(base64.StdEncoding.EncodeToString(make([]byte, n))); hub.CodeOf(err) != hub.ArgumentInvalid {
			t.Errorf("%s: %v, want ArgumentInvalid", name, err)
		}
	}
	for _, n := range []int{16, 64} {
		if _, err := DecodeKey(base64.StdEncoding.EncodeToString(make([]byte, n))); err != nil {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	if _, err := DecodeKey("not base64!"); hub.CodeOf(err) != hub.ArgumentInvalid {
		t.Errorf("no base64: %v", err)
	}
}
