package sas

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/hubgate/hubgate/hub"
)

func TestDefaultPolicies(t *testing.T) {
	want := []struct{ name, permissions string }{
		{"iothubowner", `["RegistryRead","RegistryWrite","ServiceConnect","DeviceConnect"]`},
		{"service", `["ServiceConnect"]`},
		{"device", `["DeviceConnect"]`},
		{"registryRead", `["RegistryRead"]`},
		{"registryReadWrite", `["RegistryRead","RegistryWrite"]`},
	}
	policies := DefaultPolicies()
	if len(policies) != len(want) {
		t.Fatalf("%d policies, want %d", len(policies), len(want))
	}
	keys := map[string]bool{}
	for i, p := range policies {
		b, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		text := `{"name":"` + want[i].name + `","primaryKey":"` + p.PrimaryKey + `","secondaryKey":"` + p.SecondaryKey + `","permissions":` + want[i].permissions + `}`
		if string(b) != text {
			t.Errorf("policy %d is %s, want %s", i, b, text)
		}
		if err := p.Validate(); err != nil {
			t.Error(err)
		}
		keys[p.PrimaryKey], keys[p.SecondaryKey] = true, true
	}
	if len(keys) != 2*len(want) {
		t.Errorf("%d different keys, want %d", len(keys), 2*len(want))
	}
}

func TestPermissions(t *testing.T) {
	for name, tc := range map[string]struct {
		p     Permission
		value uint8 // AccessRights of the C# SDK
		text  string
		has   []Permission
		not   []Permission
	}{
		"none":            {0, 0, "", nil, []Permission{RegistryRead, RegistryWrite, ServiceConnect, DeviceConnect}},
		"RegistryRead":    {RegistryRead, 1, "RegistryRead", []Permission{0, RegistryRead}, []Permission{RegistryWrite, ServiceConnect, DeviceConnect}},
		"RegistryWrite":   {RegistryWrite, 3, "RegistryRead, RegistryWrite", []Permission{RegistryRead, RegistryWrite}, []Permission{ServiceConnect, DeviceConnect}},
		"ServiceConnect":  {ServiceConnect, 4, "ServiceConnect", []Permission{ServiceConnect}, []Permission{RegistryRead, DeviceConnect}},
		"DeviceConnect":   {DeviceConnect, 8, "DeviceConnect", []Permission{DeviceConnect}, []Permission{RegistryRead, ServiceConnect}},
		"the second bit":  {2, 2, "", nil, []Permission{RegistryRead, RegistryWrite}},
		"service, device": {ServiceConnect | DeviceConnect, 12, "ServiceConnect, DeviceConnect", []Permission{ServiceConnect | DeviceConnect}, []Permission{DeviceConnect | RegistryRead}},
	} {
		t.Run(name, func(t *testing.T) {
			if uint8(tc.p) != tc.value || tc.p.String() != tc.text {
				t.Errorf("%d %q, want %d %q", tc.p, tc.p, tc.value, tc.text)
			}
			for _, q := range tc.has {
				if !tc.p.Has(q) {
					t.Errorf("has no %s", q)
				}
			}
			for _, q := range tc.not {
				if tc.p.Has(q) {
					t.Errorf("has %s", q)
				}
			}
		})
	}
}

func TestPermissionJSON(t *testing.T) {
	for text, want := range map[string]Permission{
		`[]`: 0, `null`: 0, `["RegistryWrite"]`: 3, `["DeviceConnect","RegistryRead","DeviceConnect"]`: 9,
	} {
		got := Permission(4)
		if err := json.Unmarshal([]byte(text), &got); err != nil || got != want {
			t.Errorf("%s = %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{`["Everything"]`, `["deviceConnect"]`, `"DeviceConnect"`, `[1]`, `8`} {
		got := DeviceConnect
		if err := json.Unmarshal([]byte(text), &got); hub.CodeOf(err) != hub.ArgumentInvalid || got != DeviceConnect {
			t.Errorf("%s = %v, %v, want ArgumentInvalid", text, got, err)
		}
	}
	if b, err := json.Marshal(Permission(0)); err != nil || string(b) != "[]" {
		t.Errorf("nothing is %s, %v, want []", b, err)
	}
}

func TestPolicyValidate(t *testing.T) {
	good := Policy{Name: "my-Policy_1@x.y", PrimaryKey: NewKey(), SecondaryKey: NewKey(), Permissions: DeviceConnect}
	good.SecondaryKey = good.PrimaryKey // allowed
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Policy){
		"no name":         func(p *Policy) { p.Name = "" },
		"65 characters":   func(p *Policy) { p.Name = strings.Repeat("a", 65) },
		"space":           func(p *Policy) { p.Name = "a b" },
		"newline":         func(p *Policy) { p.Name = "a\n" },
		"umlaut":          func(p *Policy) { p.Name = "ä" },
		"no key":          func(p *Policy) { p.PrimaryKey = "" },
		"no second key":   func(p *Policy) { p.SecondaryKey = "" },
		"short key":       func(p *Policy) { p.SecondaryKey = "YQ==" },
		"key not base64":  func(p *Policy) { p.PrimaryKey = "s3cret!" },
		"no permission":   func(p *Policy) { p.Permissions = 0 },
		"unknown bit too": func(p *Policy) { p.Permissions = DeviceConnect | 128 },
	} {
		t.Run(name, func(t *testing.T) {
			p := good
			spoil(&p)
			err := p.Validate()
			if hub.CodeOf(err) != hub.ArgumentInvalid {
				t.Fatalf("Validate: %v, want ArgumentInvalid", err)
			}
			if strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), good.PrimaryKey) {
				t.Errorf("the error %q holds a key", err)
			}
		})
	}
	long := good
	long.Name = strings.Repeat("a", 64)
	if err := long.Validate(); err != nil {
		t.Errorf("a name of 64 characters: %v", err)
	}
}

// The first and the last of letters and digits are allowed, and what is beside
// them in ASCII is not.
func TestPolicyNames(t *testing.T) {
	if name := "azAZ09_-@."; !IsPolicyName(name) {
		t.Errorf("%s is no name of a policy", name)
	}
	for _, c := range "`{[/:^,+?" {
		if name := "a" + string(c); IsPolicyName(name) {
			t.Errorf("%s is the name of a policy", name)
		}
	}
}
