package sas

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hubgate/hubgate/hub"
)

// secret is base64 c2VjcmV0, the key of the golden vectors: too short for a
// real one.
func secret() []byte { return []byte("secret") }

// vectorHost is the host of the golden vectors.
const vectorHost = "myhub.azure-devices.net"

// Each SDK writes and signs another spelling of the same resource, here of
// device d(1)+x, expiring at 1700000000.
func TestGoldenVectors(t *testing.T) {
	const (
		encodedSig = "ICrj4+86g1iqQmYE/+4KLh4BvJJ1jg4i2AawnRSFghg="
		rawSig     = "yKWMzv4h/M4uEV2bxvfWohy/sJjGlvXwvy0OcqtZH7E="
		hostSig    = "1QpKj6n+ljICAX13esLFnYBGWC4SYVHaZhBx1aDhTOI="
	)
	for name, tc := range map[string]struct{ sr, sig, skn string }{
		"Node, Python, embedded C":   {vectorHost + "%2Fdevices%2Fd%281%29%2Bx", encodedSig, ""},
		"C":                          {vectorHost + "/devices/d(1)+x", rawSig, ""},
		"C, edge: signed unescaped":  {vectorHost + "%2fdevices%2fd(1)%2bx", rawSig, ""},
		"C#: id escaped twice":       {vectorHost + "%2Fdevices%2Fd(1)%252Bx", "IwAJa3Bf5tXcd6oIGgs7mL65wpCmpSLr/CfKqas6Tgk=", ""},
		"Java: segments escaped":     {vectorHost + "/devices/d%281%29%2Bx", "o+/1ja6/6kXSztxw7oX2HTQXvu6xqhxfbg0DtXjhLWM=", ""},
		"policy":                     {vectorHost, hostSig, "iothubowner"},
		"Go, amenzhinsky: host only": {vectorHost, hostSig, ""},
		"twice escaped, signed once": {vectorHost + "%252Fdevices%252Fd%25281%2529%252Bx", encodedSig, ""},
		"twice escaped, signed raw":  {vectorHost + "%252Fdevices%252Fd(1)%252Bx", rawSig, ""},
	} {
		for form, sig := range map[string]string{
			"escaped": url.QueryEscape(tc.sig), "lower-case escapes": lowerEscapes(tc.sig),
			"raw": tc.sig, "slashes raw (Python)": strings.ReplaceAll(url.QueryEscape(tc.sig), "%2F", "/"),
			"no padding": strings.TrimRight(tc.sig, "="),
		} {
			t.Run(name+"/"+form, func(t *testing.T) {
				token, err := Parse("SharedAccessSignature sr=" + tc.sr + "&sig=" + sig + "&se=1700000000&skn=" + tc.skn)
				if err != nil {
					t.Fatal(err)
				}
				if !token.SignedBy(secret()) {
					t.Error("SignedBy = false")
				}
				if token.SignedBy([]byte("Secret")) {
					t.Error("SignedBy = true for another key")
				}
				if !token.Covers(vectorHost, hub.Identity{Device: "d(1)+x"}) {
					t.Error("Covers = false")
				}
				if token.Host() != vectorHost {
					t.Errorf("Host = %q, want %q", token.Host(), vectorHost)
				}
			})
		}
	}
}

// lowerEscapes escapes as the C SDK does: %2b, not %2B.
func lowerEscapes(s string) string {
	return strings.NewReplacer("+", "%2b", "/", "%2f", "=", "%3d").Replace(s)
}

func TestSignIsNodes(t *testing.T) {
	expiry := time.Unix(1700000000, 999)
	for name, tc := range map[string]struct{ got, want string }{
		"device": {
			Sign(Resource(vectorHost, hub.Identity{Device: "d(1)+x"}), secret(), expiry, ""),
			"SharedAccessSignature sr=" + vectorHost + "%2Fdevices%2Fd%281%29%2Bx&sig=ICrj4%2B86g1iqQmYE%2F%2B4KLh4BvJJ1jg4i2AawnRSFghg%3D&se=1700000000",
		},
		"policy": {
			Sign(vectorHost, secret(), expiry, "iothubowner"),
			"SharedAccessSignature sr=" + vectorHost + "&sig=1QpKj6n%2BljICAX13esLFnYBGWC4SYVHaZhBx1aDhTOI%3D&skn=iothubowner&se=1700000000",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.got != tc.want {
				t.Errorf("Sign =\n%s, want\n%s", tc.got, tc.want)
			}
		})
	}
	if got, want := escape("AZaz09-_.~!'()* +%/:"), "AZaz09-_.~%21%27%28%29%2A%20%2B%25%2F%3A"; got != want {
		t.Errorf("escape = %s, want %s", got, want)
	}
}

func TestResource(t *testing.T) {
	for want, id := range map[string]hub.Identity{
		"h/devices/d%1":             {Device: "d%1"},
		"h/devices/d/modules/$edge": {Device: "d", Module: "$edge"},
	} {
		if got := Resource("h", id); got != want {
			t.Errorf("Resource = %q, want %q", got, want)
		}
	}
}

func TestSignatureIsOverResourceAndExpiry(t *testing.T) {
	key := []byte("0123456789abcdef")
	good := Sign("h.x/devices/d", key, time.Unix(1700000000, 0), "")
	for name, token := range map[string]string{
		"later expiry":       strings.Replace(good, "1700000000", "1800000000", 1),
		"same time, padded":  strings.Replace(good, "1700000000", "01700000000", 1),
		"another device":     strings.Replace(good, "devices%2Fd", "devices%2Fe", 1),
		"other case of host": strings.Replace(good, "h.x", "H.x", 1),
		"other spelling":     strings.Replace(good, "%2F", "%2f", 1),
	} {
		t.Run(name, func(t *testing.T) {
			parsed, err := Parse(token)
			if err != nil {
				t.Fatal(err)
			}
			if token == good || parsed.SignedBy(key) {
				t.Error("a changed token still verifies")
			}
		})
	}
}

// What Sign makes, Parse reads, covers its identity and verifies with its key
// only, for any id.
func TestSignParseRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ids := rapid.StringMatching(`[A-Za-z0-9\-:.+%_#*?!(),=@;$']{1,20}`)
		id := hub.Identity{Device: ids.Draw(t, "device")}
		if rapid.Bool().Draw(t, "is module") {
			id.Module = ids.Draw(t, "module")
		}
		key := rapid.SliceOfN(rapid.Byte(), 16, 64).Draw(t, "key")
		expiry := time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "se"), 0)
		policy := rapid.SampledFrom([]string{"", "p@1"}).Draw(t, "policy")
		token, err := Parse(Sign(Resource("h.x", id), key, expiry, policy))
		if err != nil {
			t.Fatal(err)
		}
		if !token.SignedBy(key) || !token.Covers("H.X", id) || !token.Expiry.Equal(expiry) || token.Policy != policy {
			t.Fatalf("token %+v", token)
		}
		key[0] ^= 1
		if token.SignedBy(key) {
			t.Fatal("another key verifies")
		}
	})
}
