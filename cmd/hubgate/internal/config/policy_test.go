package config_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
	"github.com/hubgate/hubgate/sas"
)

const (
	keyA = "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="
	keyB = "QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI="
)

func TestPolicies(t *testing.T) {
	t.Parallel()
	env := map[string]string{"BACKEND_KEY": keyB}
	tests := map[string]struct {
		yaml string
		want []sas.Policy
		err  string
	}{
		"none": {"hub: {host: a.b}\n", nil, ""},
		"inline": {
			"policies:\n  p: {permissions: [registryRead, ServiceConnect], primary_key: " + keyA + "}\n",
			[]sas.Policy{{Name: "p", PrimaryKey: keyA, SecondaryKey: keyA, Permissions: sas.RegistryRead | sas.ServiceConnect}},
			"",
		},
		"environment": {
			"policies:\n  p.q@r:\n    permissions: registryReadWrite\n    primary_key: " + keyA + "\n    secondary_key_env: BACKEND_KEY\n",
			[]sas.Policy{{Name: "p.q@r", PrimaryKey: keyA, SecondaryKey: keyB, Permissions: sas.RegistryWrite}},
			"",
		},
		"variable not set": {
			"policies:\n  p: {permissions: [deviceConnect], primary_key_env: NOBODY}\n", nil,
			":2: policies.p: primary_key_env: the environment variable NOBODY is not set",
		},
		"no such file": {
			"policies:\n  p: {permissions: [deviceConnect], primary_key_file: /nowhere.key}\n", nil,
			":2: policies.p: primary_key_file: open /nowhere.key",
		},
		"short key": {
			"policies:\n  p: {permissions: [deviceConnect], primary_key: QUFB}\n", nil,
			":2: policies.p: primary_key: it is not a key, which is 16 to 64 bytes in base64",
		},
		"no key":              {"policies:\n  p: {permissions: [deviceConnect]}\n", nil, ":2: policies.p: a policy needs a key"},
		"no permission":       {"policies:\n  p: {primary_key: " + keyA + "}\n", nil, ":2: policies.p: a policy needs permissions"},
		"unknown permission":  {"policies:\n  p: {permissions: [all], primary_key: " + keyA + "}\n", nil, `there is no permission "all": use registryRead,`},
		"two sources":         {"policies:\n  p: {permissions: [deviceConnect], primary_key: " + keyA + ", primary_key_env: X}\n", nil, "primary_key is given more than once"},
		"unknown key":         {"policies:\n  p:\n    permission: [deviceConnect]\n    primary_key: " + keyA + "\n", nil, ":3: unknown key policies.p.permission: a policy has"},
		"twice":               {"policies:\n  p: {permissions: [deviceConnect], primary_key: " + keyA + "}\n  p: {}\n", nil, ":3: policies.p is set twice"},
		"key twice":           {"policies:\n  p: {permissions: [deviceConnect], primary_key: " + keyA + ", primary_key: " + keyA + "}\n", nil, "policies.p.primary_key is set twice"},
		"bad name":            {"policies:\n  'a b': {permissions: [deviceConnect], primary_key: " + keyA + "}\n", nil, "the name of a policy is 1 to 64 characters"},
		"a list":              {"policies:\n  - p\n", nil, ":2: policies must hold names of policies"},
		"no mapping":          {"policies:\n  p: " + keyA + "\n", nil, ":2: policies.p must hold permissions and"},
		"key in place of one": {"policies:\n  " + keyA + ": {permissions: [deviceConnect]}\n", nil, "policies.(what stands there is not shown)"},
		"misspelled":          {"polices:\n  p: {}\n", nil, ":1: unknown key polices; did you mean policies?"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := config.Load(config.Source{File: file(t, tt.yaml)})
			var got []sas.Policy
			if err == nil {
				got, err = c.Resolve(func(name string) string { return env[name] })
			}
			if fmt.Sprint(got) != fmt.Sprint(tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("got %v, want %q", err, tt.err)
			}
			for _, key := range []string{keyA, keyB, "QUFB}"} {
				if err != nil && strings.Contains(err.Error(), key) {
					t.Errorf("the error holds a key: %v", err)
				}
			}
		})
	}
}

// TestPolicyFaults: each line of what is wrong says where it stands.
func TestPolicyFaults(t *testing.T) {
	t.Parallel()
	_, err := config.Load(config.Source{File: file(t, "policies:\n  p: {}\n")})
	if err == nil {
		t.Fatal("a policy of nothing is taken")
	}
	lines := strings.Split(err.Error(), "\n")
	for _, line := range lines {
		if !strings.Contains(line, ":2: policies.p: a policy needs ") {
			t.Errorf("got the line %q", line)
		}
	}
	if len(lines) != 2 {
		t.Errorf("got %d lines, want 2", len(lines))
	}
}

func TestDifferences(t *testing.T) {
	t.Parallel()
	load := func(yaml string) *config.Config {
		c, err := config.Load(config.Source{File: file(t, yaml)})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	one := load("log: {level: info}\npolicies:\n  p: {permissions: [deviceConnect], primary_key: " + keyA + "}\n")
	moved := load("# moved\npolicies:\n  p: {permissions: [deviceConnect], primary_key: " + keyA + "}\n")
	if got := one.Differences(moved); len(got) > 0 {
		t.Errorf("nothing has changed: got %q", got)
	}
	other := load("log: {level: warn}\nhub: {aliases: [a.b]}\npolicies:\n  p: {permissions: [deviceConnect], primary_key: " + keyB + "}\n")
	if got := strings.Join(one.Differences(other), " "); got != "hub.aliases log.level policies" {
		t.Errorf("got %q", got)
	}
	if text := fmt.Sprintf("%v %+v %#v", one.Policies, one.Policies, one.Policies); strings.Contains(text, keyA) {
		t.Errorf("a policy prints its key: %s", text)
	}
}
