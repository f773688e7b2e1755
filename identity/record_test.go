package identity

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hubgate/hubgate/hub"
)

// The C# SDK needs type behind the keys, and all of authentication printed.
func TestDeviceJSON(t *testing.T) {
	r := Record{
		ID: hub.Identity{Device: "d1"}, GenerationID: "637612875240648717", ETag: "NzI3ODk0ODYz",
		Status: StatusEnabled, CreatedTime: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Authentication: Authentication{SymmetricKey: SymmetricKey{"YQ==", "Yg=="}, Type: AuthSAS}, Revision: 7,
	}
	const want = `{"deviceId":"d1","generationId":"637612875240648717","etag":"NzI3ODk0ODYz","status":"enabled","statusReason":"",` +
		`"createdTime":"2026-01-02T03:04:05Z","authentication":{"symmetricKey":{"primaryKey":"YQ==","secondaryKey":"Yg=="},` +
		`"x509Thumbprint":{"primaryThumbprint":null,"secondaryThumbprint":null},"type":"sas"},"capabilities":{"iotEdge":false}}`
	check(t, r, want)
}

func TestModuleJSON(t *testing.T) {
	r := Record{
		ID: hub.Identity{Device: "d1", Module: "m1"}, GenerationID: "1", ETag: "MQ==", ManagedBy: "iotEdge",
		Authentication: Authentication{X509Thumbprint: Thumbprints{PrimaryThumbprint: "AB"}, Type: AuthSelfSigned},
	}
	const want = `{"deviceId":"d1","moduleId":"m1","managedBy":"iotEdge","generationId":"1","etag":"MQ==",` +
		`"authentication":{"symmetricKey":{"primaryKey":null,"secondaryKey":null},` +
		`"x509Thumbprint":{"primaryThumbprint":"AB","secondaryThumbprint":null},"type":"selfSigned"}}`
	check(t, r, want)
}

func check(t *testing.T, r Record, want string) {
	t.Helper()
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(b)); diff != "" {
		t.Errorf("JSON (-want +got):\n%s", diff)
	}
	var back Record
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	back.Revision = r.Revision
	if diff := cmp.Diff(r, back); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
}

// What SDKs send to create a device: nulls, empty keys, fields of the hub's.
func TestUnmarshalWhatSDKsSend(t *testing.T) {
	var r Record
	const in = `{"deviceId":"d1","etag":null,"connectionState":"Disconnected","statusReason":null,"cloudToDeviceMessageCount":0,
		"authentication":{"symmetricKey":{"primaryKey":"","secondaryKey":null},"x509Thumbprint":null,"type":"sas"},"capabilities":{"iotEdge":true}}`
	if err := json.Unmarshal([]byte(in), &r); err != nil {
		t.Fatal(err)
	}
	want := Record{ID: hub.Identity{Device: "d1"}, Authentication: Authentication{Type: AuthSAS}, Edge: true}
	if diff := cmp.Diff(want, r); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := json.Unmarshal([]byte(`{"deviceId":7}`), &r); err == nil {
		t.Error("a number passed as a device id")
	}
}

func TestKeysAndWithoutKeys(t *testing.T) {
	r := Record{Authentication: Authentication{SymmetricKey: SymmetricKey{"YQ==", "Yg=="}}}
	keys, err := r.Keys()
	if err != nil || len(keys) != 2 || string(keys[0]) != "a" || string(keys[1]) != "b" {
		t.Errorf("Keys() = %q, %v", keys, err)
	}
	if bare := r.WithoutKeys(); bare.Authentication.SymmetricKey != (SymmetricKey{}) || r.Authentication.SymmetricKey.PrimaryKey == "" {
		t.Error("WithoutKeys keeps keys, or takes them from the original")
	}
	r.Authentication.SymmetricKey.PrimaryKey = "?"
	if _, err := r.Keys(); hub.CodeOf(err) != hub.ServerError {
		t.Errorf("Keys() of a broken record: %v", err)
	}
}
