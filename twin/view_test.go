package twin

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/hubgate/hubgate/hub"
)

// What a hub printed, with other names: Azure.IoT.Hub.Service,
// DevicesClient_TwinLifecycle and ModulesClient_DeviceTwinLifecycle.
const (
	recordedDevice = `{"deviceId":"dev1","etag":"AAAAAAAAAAE=","deviceEtag":"NjQ1MTQxOTM4","status":"enabled",` +
		`"statusUpdateTime":"0001-01-01T00:00:00Z","connectionState":"Disconnected","lastActivityTime":"0001-01-01T00:00:00Z",` +
		`"cloudToDeviceMessageCount":0,"authenticationType":"sas","x509Thumbprint":{"primaryThumbprint":null,"secondaryThumbprint":null},` +
		`"modelId":"","version":2,"properties":{"desired":{"$metadata":{"$lastUpdated":"2026-11-21T08:00:00.1234567Z"},"$version":1},` +
		`"reported":{"$metadata":{"$lastUpdated":"2026-11-21T08:00:00.1234567Z"},"$version":1}},"capabilities":{"iotEdge":false}}`
	recordedModule = `{"deviceId":"dev1","moduleId":"cam","etag":"AAAAAAAAAAE=","deviceEtag":"OTY2Mjc2NTM2","status":"enabled",` +
		`"statusUpdateTime":"0001-01-01T00:00:00Z","connectionState":"Connected","lastActivityTime":"2026-11-21T08:01:00.1234567Z",` +
		`"cloudToDeviceMessageCount":0,"authenticationType":"none","x509Thumbprint":{"primaryThumbprint":null,"secondaryThumbprint":null},` +
		`"modelId":"","version":2,"properties":{"desired":{"$metadata":{"$lastUpdated":"0001-01-01T00:00:00Z"},"$version":1},` +
		`"reported":{"$metadata":{"$lastUpdated":"0001-01-01T00:00:00Z"},"$version":1}}}`
)

func TestViewOfADevice(t *testing.T) {
	t.Parallel()
	v := View{Twin: fresh(), DeviceETag: "NjQ1MTQxOTM4", Status: "enabled", AuthenticationType: "sas"}
	if got := string(v.AppendJSON(nil)); got != recordedDevice {
		t.Errorf("got  %s\nwant %s", got, recordedDevice)
	}
}

// A module has a status though the registry keeps none, and no capabilities.
func TestViewOfAModule(t *testing.T) {
	t.Parallel()
	v := View{
		Twin: New(mod, "1", time.Time{}), DeviceETag: "OTY2Mjc2NTM2", AuthenticationType: "none",
		Connected: true, LastActivity: later,
	}
	if got := string(v.AppendJSON(nil)); got != recordedModule {
		t.Errorf("got  %s\nwant %s", got, recordedModule)
	}
}

// whole is a view that has everything.
func whole(t *testing.T) View {
	t.Helper()
	tw, _, err := fresh().Patch(mustUpdate(t, `{"tags":{"a":1}}`), "", later)
	if err != nil {
		t.Fatal(err)
	}
	return View{
		Twin: tw, DeviceETag: "MQ==", Status: "disabled", StatusReason: `lost "it"`, StatusUpdated: later.Add(time.Second),
		Connected: true, LastActivity: later, Messages: 7,
		AuthenticationType: "selfSigned", PrimaryThumbprint: "AB", SecondaryThumbprint: "cd",
		ModelID: "dtmi:com:example:Thermostat;1", Edge: true, Scope: "ms-azure-iot-edge://dev1-1", ParentScopes: []string{"p", "q"},
		Configurations: []ConfigurationStatus{{"b", "Applied"}, {"a", "Targeted"}},
	}
}

func TestViewOfEverything(t *testing.T) {
	t.Parallel()
	const before = `{"deviceId":"dev1","etag":"AAAAAAAAAAI=","deviceEtag":"MQ==","status":"disabled","statusReason":"lost \"it\"",` +
		`"statusUpdateTime":"2026-11-21T08:01:01.1234567Z","connectionState":"Connected","lastActivityTime":"2026-11-21T08:01:00.1234567Z",` +
		`"cloudToDeviceMessageCount":7,"authenticationType":"selfSigned","x509Thumbprint":{"primaryThumbprint":"AB","secondaryThumbprint":"cd"},` +
		`"modelId":"dtmi:com:example:Thermostat;1","version":3,"tags":{"a":1},"properties":{`
	const behind = `},"capabilities":{"iotEdge":true},"configurations":{"b":{"status":"Applied"},"a":{"status":"Targeted"}},` +
		`"deviceScope":"ms-azure-iot-edge://dev1-1","parentScopes":["p","q"]}`
	got := string(whole(t).AppendJSON(nil))
	if !strings.HasPrefix(got, before) || !strings.HasSuffix(got, behind) {
		t.Errorf("got  %s\nwant %s … %s", got, before, behind)
	}
}

// RootOrder has every member, where it is printed.
func TestRootOrder(t *testing.T) {
	t.Parallel()
	v := whole(t)
	v.ID = mod
	for name, text := range map[string][]byte{"device": whole(t).AppendJSON(nil), "module": v.AppendJSON(nil)} {
		want := RootOrder()
		for _, printed := range rootMembers(t, text) {
			for len(want) > 0 && want[0] != printed {
				if other := map[string]string{"device": "moduleId", "module": "capabilities"}[name]; want[0] != other {
					t.Errorf("%s: %s is not printed in front of %s", name, want[0], printed)
				}
				want = want[1:]
			}
			if len(want) == 0 {
				t.Fatalf("%s: %s is not in the order", name, printed)
			}
			want = want[1:]
		}
		if len(want) > 0 {
			t.Errorf("%s: %v is not printed", name, want)
		}
	}
}

func rootMembers(t *testing.T, text []byte) []string {
	t.Helper()
	d := jsontext.NewDecoder(strings.NewReader(string(text)))
	if _, err := d.ReadToken(); err != nil {
		t.Fatal(err)
	}
	var names []string
	for d.PeekKind() == '"' {
		token, err := d.ReadToken()
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, token.String())
		if err := d.SkipValue(); err != nil {
			t.Fatal(err)
		}
	}
	return names
}

// A view is JSON whatever is in it, and the twin can be read out of it again.
func TestViewHoldsItsTwin(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		id := hub.Identity{Device: "d", Module: rapid.SampledFrom([]string{"", "m"}).Draw(t, "module")}
		tw := New(id, "1", created)
		body, err := json.Marshal(map[string]any{
			"tags": anyObject(2).Draw(t, "tags"), "properties": map[string]any{"desired": anyObject(2).Draw(t, "desired")},
		})
		if err != nil {
			t.Fatal(err)
		}
		p, err := ParseUpdate(body)
		if err != nil {
			t.Skip("not a patch")
		}
		if tw, _, err = tw.Patch(p, "", later); err != nil {
			t.Fatal(err)
		}
		text := func(name string) string { return rapid.String().Draw(t, name) }
		v := View{
			Twin: tw, DeviceETag: text("etag"), Status: text("status"), StatusReason: text("reason"),
			ModelID: text("model"), PrimaryThumbprint: text("primary"), Scope: text("scope"),
			ParentScopes:   rapid.SliceOfN(rapid.String(), 0, 3).Draw(t, "scopes"),
			Configurations: []ConfigurationStatus{{text("configuration"), text("applied")}},
		}
		got := v.AppendJSON([]byte("x"))[1:]
		back, err := Parse(got)
		if err != nil {
			t.Fatalf("%v: %s", err, got)
		}
		if diff := cmp.Diff(string(tw.AppendJSON(nil)), string(back.AppendJSON(nil))); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
		if marshalled, err := json.Marshal(v); err != nil || !json.Valid(marshalled) {
			t.Errorf("%v: %s", err, marshalled)
		}
	})
}
