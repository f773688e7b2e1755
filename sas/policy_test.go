package sas

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/hubgate/hubgate/hub"
)

func TestDefaultPolicies(t *testing.T) {
	want := map[string]string{
		"iothubowner":       "RegistryWrite, ServiceConnect, DeviceConnect",
		"service":           "ServiceConnect",
		"device":            "DeviceConnect",
		"registryRead":      "RegistryRead",
		"registryReadWrite": "RegistryWrite",
	}
	keys := map[string]bool{}
	for _, p := range DefaultPolicies() {
		if got := p.Permissions.String(); got != want[p.Name] {
			t.Errorf("%s has %q, want %q", p.Name, got, want[p.Name])
		}
		if err := p.Validate(); err != nil {
			t.Error(err)
		}
		keys[p.PrimaryKey], keys[p.SecondaryKey] = true, true
		delete(want, p.Name)
	}
	if len(want) != 0 || len(keys) != 10 {
		t.Errorf("missing %v, %d different keys", want, len(keys))
	}
}

func TestPermissions(t *testing.T) {
	if !RegistryWrite.Has(RegistryRead) {
		t.Error("RegistryWrite does not hold RegistryRead")
	}
	if RegistryRead.Has(RegistryWrite) || ServiceConnect.Has(DeviceConnect) {
		t.Error("a right holds another one")
	}
	for p := range Permission(16) {
		b, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var back Permission
		if err := json.Unmarshal(b, &back); err != nil {
			t.Fatal(err)
		}
		if want := p & (RegistryWrite | ServiceConnect | DeviceConnect); p&2 == 0 && back != want {
			t.Errorf("%d came back as %d by %s", p, back, b)
		}
	}
	var p Permission
	for _, text := range []string{`["Everything"]`, `"DeviceConnect"`, `[1]`} {
		if err := json.Unmarshal([]byte(text), &p); hub.CodeOf(err) != hub.ArgumentInvalid {
			t.Errorf("%s: %v, want ArgumentInvalid", text, err)
		}
	}
}

func TestPolicyValidate(t *testing.T) {
	good := Policy{Name: "my-Policy_1@x.y", PrimaryKey: NewKey(), SecondaryKey: NewKey(), Permissions: DeviceConnect}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Policy){
		"empty name":     func(p *Policy) { p.Name = "" },
		"65 characters":  func(p *Policy) { p.Name = strings.Repeat("a", 65) },
		"space":          func(p *Policy) { p.Name = "a b" },
		"newline":        func(p *Policy) { p.Name = "a\n" },
		"no key":         func(p *Policy) { p.PrimaryKey = "" },
		"bad second key": func(p *Policy) { p.SecondaryKey = "YQ==" },
		"no permission":  func(p *Policy) { p.Permissions = 0 },
	} {
		t.Run(name, func(t *testing.T) {
			p := good
			spoil(&p)
			if err := p.Validate(); hub.CodeOf(err) != hub.ArgumentInvalid {
				t.Errorf("Validate: %v, want ArgumentInvalid", err)
			}
		})
	}
}
