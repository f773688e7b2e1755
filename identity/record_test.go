package identity_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
)

// The order of the keys, the nulls and type at the end are the real hub's.
func TestRecordJSON(t *testing.T) {
	created := time.Date(2021, 7, 7, 20, 45, 24, 64_871_700, time.UTC)
	for name, tc := range map[string]struct {
		record identity.Record
		want   string
	}{
		"device": {
			identity.Record{
				ID: hub.Identity{Device: "d1"}, GenerationID: "637612875240648717", ETag: "NzI3ODk0ODYz",
				Status: identity.StatusEnabled, CreatedTime: created,
				Authentication: identity.Authentication{SymmetricKey: identity.SymmetricKey{PrimaryKey: "YQ==", SecondaryKey: "Yg=="}, Type: identity.AuthSAS},
			},
			`{"deviceId":"d1","generationId":"637612875240648717","etag":"NzI3ODk0ODYz","status":"enabled","statusReason":null,` +
				`"statusUpdatedTime":"0001-01-01T00:00:00Z","authentication":{"symmetricKey":{"primaryKey":"YQ==","secondaryKey":"Yg=="},` +
				`"x509Thumbprint":{"primaryThumbprint":null,"secondaryThumbprint":null},"type":"sas"},"capabilities":{"iotEdge":false}}`,
		},
		"edge device, disabled": {
			identity.Record{
				ID: hub.Identity{Device: "d1"}, GenerationID: "637612875240648717", ETag: "MQ==", CreatedTime: created,
				Status: identity.StatusDisabled, StatusReason: "lost", StatusUpdatedTime: time.Date(2026, 1, 2, 3, 4, 5, 600, time.UTC),
				Authentication: identity.Authentication{X509Thumbprint: identity.Thumbprints{PrimaryThumbprint: "AB", SecondaryThumbprint: "CD"}, Type: identity.AuthSelfSigned},
				Edge:           true,
			},
			`{"deviceId":"d1","generationId":"637612875240648717","etag":"MQ==","status":"disabled","statusReason":"lost",` +
				`"statusUpdatedTime":"2026-01-02T03:04:05.0000006Z","authentication":{"symmetricKey":{"primaryKey":null,"secondaryKey":null},` +
				`"x509Thumbprint":{"primaryThumbprint":"AB","secondaryThumbprint":"CD"},"type":"selfSigned"},"capabilities":{"iotEdge":true}}`,
		},
		"module": {
			identity.Record{
				ID: hub.Identity{Device: "d1", Module: "m1"}, GenerationID: "637612875240648717", ETag: "MQ==", CreatedTime: created,
				Authentication: identity.Authentication{Type: identity.AuthCA},
			},
			`{"moduleId":"m1","managedBy":null,"deviceId":"d1","generationId":"637612875240648717","etag":"MQ==",` +
				`"authentication":{"symmetricKey":{"primaryKey":null,"secondaryKey":null},` +
				`"x509Thumbprint":{"primaryThumbprint":null,"secondaryThumbprint":null},"type":"certificateAuthority"}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			tc.record.Revision = 7
			b, err := json.Marshal(tc.record)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, string(b)); diff != "" {
				t.Errorf("JSON (-want +got):\n%s", diff)
			}
			var back identity.Record
			if err := json.Unmarshal(b, &back); err != nil {
				t.Fatal(err)
			}
			tc.record.Revision = 0
			if diff := cmp.Diff(tc.record, back); diff != "" {
				t.Errorf("read back (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRecordFromJSON(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		want identity.Record
	}{
		"Node: empty keys, what the hub sent before": {
			`{"deviceId":"d1","etag":null,"connectionState":"Disconnected","statusReason":null,"cloudToDeviceMessageCount":0,` +
				`"statusUpdatedTime":"0001-01-01T00:00:00","authentication":{"symmetricKey":{"primaryKey":"","secondaryKey":null},"x509Thumbprint":null,"type":"sas"},"capabilities":{"iotEdge":true}}`,
			identity.Record{ID: hub.Identity{Device: "d1"}, Authentication: identity.Authentication{Type: identity.AuthSAS}, Edge: true},
		},
		"the least": {`{"deviceId":"d1"}`, identity.Record{ID: hub.Identity{Device: "d1"}}},
		"nulls":     {`{"deviceId":"d1","moduleId":null,"authentication":null,"capabilities":null,"statusUpdatedTime":null}`, identity.Record{ID: hub.Identity{Device: "d1"}}},
		"a generation that is no time": {
			`{"deviceId":"d1","moduleId":"m","generationId":"x","managedBy":"iotEdge"}`,
			identity.Record{ID: hub.Identity{Device: "d1", Module: "m"}, GenerationID: "x", ManagedBy: "iotEdge"},
		},
		"a time with a zone": {
			`{"statusUpdatedTime":"2026-01-02T04:04:05+01:00"}`,
			identity.Record{StatusUpdatedTime: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := identity.Record{Revision: 7, ManagedBy: "before"}
			if err := json.Unmarshal([]byte(tc.text), &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestRecordFromBadJSON(t *testing.T) {
	for name, text := range map[string]string{
		"an array": `[]`, "a number as the id": `{"deviceId":7}`, "a number as the status": `{"status":1}`,
		"a key of another type": `{"authentication":{"symmetricKey":{"primaryKey":["s3cret"]}}}`,
		"keys as text":          `{"authentication":{"symmetricKey":"s3cret"}}`,
		"authentication":        `{"authentication":"s3cret"}`, "a time as a number": `{"statusUpdatedTime":5}`,
	} {
		var r identity.Record
		err := r.UnmarshalJSON([]byte(text))
		if hub.CodeOf(err) != hub.ArgumentInvalid {
			t.Fatalf("%s: %v, want ArgumentInvalid", name, err)
		}
		if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: the error %q holds a key", name, err)
		}
	}
	if err := (&identity.Record{}).UnmarshalJSON([]byte(`{"a":s3cret}`)); hub.CodeOf(err) != hub.ArgumentInvalid {
		t.Errorf("no JSON: %v, want ArgumentInvalid", err)
	}
}

func TestKeys(t *testing.T) {
	a, b := hub.NewKey(), hub.NewKey()
	with := func(t identity.AuthType, primary, secondary string) identity.Record {
		return identity.Record{Authentication: identity.Authentication{Type: t, SymmetricKey: identity.SymmetricKey{PrimaryKey: primary, SecondaryKey: secondary}}}
	}
	for name, tc := range map[string]struct {
		record identity.Record
		count  int
		code   hub.Code
	}{
		"both":             {with(identity.AuthSAS, a, b), 2, 0},
		"by certificate":   {with(identity.AuthCA, a, b), 0, 0},
		"no type":          {with("", a, b), 0, 0},
		"none":             {with(identity.AuthSAS, "", ""), 0, hub.ServerError},
		"second one empty": {with(identity.AuthSAS, a, ""), 0, hub.ServerError},
		"damaged":          {with(identity.AuthSAS, "s3cret", b), 0, hub.ServerError},
	} {
		t.Run(name, func(t *testing.T) {
			keys, err := tc.record.Keys()
			if hub.CodeOf(err) != tc.code || len(keys) != tc.count {
				t.Fatalf("%d keys, %v, want %d and code %d", len(keys), err, tc.count, tc.code)
			}
			if err != nil && strings.Contains(err.Error(), "s3cret") {
				t.Errorf("the error %q holds a key", err)
			}
			for i, key := range keys {
				want, err := hub.DecodeKey([]string{a, b}[i])
				if err != nil || string(key) != string(want) {
					t.Errorf("key %d is another one", i)
				}
			}
		})
	}
}

func TestWithoutKeys(t *testing.T) {
	r := identity.Record{ID: hub.Identity{Device: "d"}, Authentication: identity.Authentication{
		Type: identity.AuthSAS, SymmetricKey: identity.SymmetricKey{PrimaryKey: "a", SecondaryKey: "b"},
	}}
	want := identity.Record{ID: r.ID, Authentication: identity.Authentication{Type: identity.AuthSAS}}
	if diff := cmp.Diff(want, r.WithoutKeys()); diff != "" {
		t.Errorf("WithoutKeys (-want +got):\n%s", diff)
	}
	if r.Authentication.SymmetricKey.PrimaryKey != "a" {
		t.Error("WithoutKeys took the keys from the original")
	}
}

// What the client hears names its JSON, and nothing of Go.
func TestRecordSaysWhatIsWrong(t *testing.T) {
	const head = "this is not the JSON of a device or module: "
	for text, want := range map[string]string{
		`{"generationId":5}`: `"generationId" can't be a number`,
		`{"authentication":{"symmetricKey":{"primaryKey":[]}}}`: `"authentication.symmetricKey.primaryKey" can't be an array`,
		`{"moduleId":true}`: `"moduleId" can't be a boolean`,
		`[]`:                `it is an array`,
	} {
		var r identity.Record
		if err := r.UnmarshalJSON([]byte(text)); err == nil || !strings.HasSuffix(err.Error(), head+want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}
