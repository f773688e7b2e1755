package iothub

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/hubgate/hubgate/gateway"
	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/sas"
	"github.com/hubgate/hubgate/telemetry"
)

// rename signs one resource as it stands, and has another one in the token.
func rename(sent, signed string, key []byte) string {
	const se = "4000000000"
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(signed + "\n" + se))
	sig := url.QueryEscape(base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	return "SharedAccessSignature sr=" + sent + "&sig=" + sig + "&se=" + se + "&skn=device"
}

// partly is a registry that can't be asked for some identities.
type partly struct {
	fleet

	away hub.Identity
}

func (p partly) Get(ctx context.Context, id hub.Identity) (identity.Record, error) {
	if id == p.away {
		return identity.Record{}, hub.Errorf(hub.ServiceUnavailable, "away")
	}
	return p.fleet.Get(ctx, id)
}

// Ids may hold percent signs, and SDKs encode them once, twice or not at all, so
// that one token can be read as that of several devices. It is good for the one
// that it was made for.
func TestPolicyTokenIsForOneDevice(t *testing.T) {
	once := sas.Sign(sas.Resource(host, hub.Identity{Device: "a%62"}), nil, time.Now(), "")
	_, once, _ = strings.Cut(once, "sr=")
	once, _, _ = strings.Cut(once, "&")
	const raw, decoded = host + "/devices/a%62", host + "/devices/ab"
	for name, tc := range map[string]struct {
		there, id    string
		sent, signed string
		away         string
		want         hub.Code
		says         string
	}{
		"for a%62":                         {"a%62 ab", "a%62", once, once, "", 0, ""},
		"for a%62, signed raw":             {"a%62 ab", "a%62", once, raw, "", 0, ""},
		"for a%62, and ab comes":           {"a%62 ab", "ab", once, once, "", hub.Unauthorized, "names a%62, which exists, and not ab"},
		"for ab, encoded twice":            {"ab", "ab", once, once, "", 0, ""},
		"for ab, and nobody knows of a%62": {"ab", "ab", once, once, "a%62", hub.ServiceUnavailable, "away"},
		"for ab, encoded by a%62":          {"a%62", "a%62", raw, decoded, "", hub.Unauthorized, "does not cover a%62 as it was signed"},
		"for another device":               {"a%62 ab", "ab", host + "/devices/dev1", host + "/devices/dev1", "", hub.Unauthorized, "does not cover ab"},
		"for all":                          {"a%62 ab", "ab", host, host, "", 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f, devices, _ := newFace()
			for id := range strings.FieldsSeq(tc.there) {
				devices[hub.Identity{Device: id}] = record(id, sas.NewKey(), sas.NewKey())
			}
			f.Devices = partly{devices, hub.Identity{Device: tc.away}}
			token := rename(tc.sent, tc.signed, policyKey(t, f, "device"))
			_, err := f.Admit(t.Context(), connectOf(tc.id, host+"/"+tc.id+"/", token), gateway.Peer{})
			if hub.CodeOf(err) != tc.want || err != nil && !strings.Contains(err.Error(), tc.says) {
				t.Errorf("Admit: %v, want the code %d and %q", err, tc.want, tc.says)
			}
		})
	}
}

// A device's key opens no resource but its own, though the device signs what it wants.
func TestOwnKeyForAnotherResource(t *testing.T) {
	f, devices, _ := newFace()
	for _, resource := range []string{host + "/devices/dev2", host + "/devices/dev1/modules/mod1", host + "/twins/dev1"} {
		token := sas.Sign(resource, devices.key(t, "dev1", 0), time.Now().Add(time.Hour), "")
		_, err := f.Admit(t.Context(), connectOf("dev1", host+"/dev1/", token), gateway.Peer{})
		if hub.CodeOf(err) != hub.Unauthorized || !strings.Contains(err.Error(), "does not cover dev1") {
			t.Errorf("Admit with a token for %s: %v", resource, err)
		}
	}
}

// What came in by a token may stay for as long as clocks may differ, and is asked
// before that for a new one; its messages say how it came in.
func TestAdmissionByToken(t *testing.T) {
	expiry := time.Now().Add(time.Hour).Truncate(time.Second)
	for name, tc := range map[string]struct{ id, policy, events, method string }{
		"device": {"dev1", "", "devices/dev1/messages/events/", telemetry.AuthMethodDevice},
		"module": {"dev1/mod1", "", "devices/dev1/modules/mod1/messages/events/", telemetry.AuthMethodModule},
		"policy": {"dev1", "device", "devices/dev1/messages/events/", telemetry.AuthMethodHub},
	} {
		t.Run(name, func(t *testing.T) {
			f, devices, s := newFace()
			key := devices.key(t, tc.id, 1)
			if tc.policy != "" {
				key = policyKey(t, f, tc.policy)
			}
			a, err := f.Admit(t.Context(), connectOf(tc.id, host+"/"+tc.id+"/", sas.Sign(host, key, expiry, tc.policy)), gateway.Peer{})
			if err != nil {
				t.Fatal(err)
			}
			if !a.Stale.Equal(expiry) || !a.Expires.Equal(expiry.Add(sas.ClockSkew)) {
				t.Errorf("stale at %v and over at %v, and the token expires at %v", a.Stale, a.Expires, expiry)
			}
			if err := a.Handler.Publish(&mqtt.Publish{Topic: []byte(tc.events)}, receipt{}, 0); err != nil {
				t.Fatal(err)
			}
			if got := s.headers[0][telemetry.HeaderAuthMethod]; len(got) != 1 || got[0] != tc.method {
				t.Errorf("the message came by %q, want %q", got, tc.method)
			}
		})
	}
}
