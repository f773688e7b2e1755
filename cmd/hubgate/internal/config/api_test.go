package config_test

import (
	"strings"
	"testing"

	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
	"github.com/hubgate/hubgate/sas"
)

func TestAPI(t *testing.T) {
	t.Parallel()
	good := []string{"auth.oidc.issuer=https://id.example", "auth.oidc.audiences=hub", "auth.oidc.jwks_url=https://id.example/keys"}
	for name, tc := range map[string]struct {
		set  []string
		want string
	}{
		"requests":         {[]string{"api.max_requests=0"}, "api.max_requests: 0 is not from 1 to 65536"},
		"idle":             {[]string{"api.max_idle=70000"}, "70000 is not from 0 to 65536"},
		"no idle":          {[]string{"api.max_idle=0"}, ""},
		"idle timeout":     {[]string{"api.idle_timeout=2h"}, "2h is not from 1s to 1h"},
		"oidc":             {good, ""},
		"no audience":      {[]string{good[0], good[2]}, "another service|without an audience"},
		"no issuer":        {good[1:], "without auth.oidc.issuer"},
		"no keys":          {good[:2], "give one of them"},
		"both keys":        {append(good[:3:3], "auth.oidc.jwks_file=/x"), "give one of them"},
		"plain http":       {append(good[:2:2], "auth.oidc.jwks_url=http://id.example/keys"), "by https alone"},
		"this machine":     {append(good[:2:2], "auth.oidc.jwks_url=http://127.0.0.1:1/keys"), ""},
		"no url":           {append(good[:2:2], "auth.oidc.jwks_url=keys"), "is not a URL"},
		"password in url":  {append(good[:2:2], "auth.oidc.jwks_url=https://u:s3cret@id.example/"), "is not a URL"},
		"refresh":          {append(good[:3:3], "auth.oidc.refresh=10s"), "is not from 1m to 7d"},
		"roles":            {append(good[:3:3], "auth.oidc.roles=Platform Admins=registryReadWrite+serviceConnect"), ""},
		"role of nothing":  {append(good[:3:3], "auth.oidc.roles=ops"), "is not NAME="},
		"unknown right":    {append(good[:3:3], "auth.oidc.roles=ops=everything"), `no permission "everything"`},
		"role of no right": {append(good[:3:3], "auth.oidc.roles=ops="), "no permission"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var settings []config.Setting
			for _, text := range tc.set {
				path, value, _ := strings.Cut(text, "=")
				settings = append(settings, flag(path, value))
			}
			c, err := config.Load(config.Source{Settings: settings})
			if err == nil {
				err = c.Complete(config.Dev)
			}
			if tc.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !containsAny(err.Error(), tc.want) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%v, want %q", err, tc.want)
			}
		})
	}
}

func containsAny(s, parts string) bool {
	for part := range strings.SplitSeq(parts, "|") {
		if strings.Contains(s, part) {
			return true
		}
	}
	return false
}

func TestRoles(t *testing.T) {
	t.Parallel()
	got, err := config.OIDC{Roles: []string{"a b=registryRead", "a b=serviceConnect", "c = RegistryWrite + ServiceConnect"}}.Permissions()
	if err != nil || len(got) != 2 || got["a b"] != sas.RegistryRead|sas.ServiceConnect || got["c"] != sas.RegistryWrite|sas.ServiceConnect {
		t.Errorf("roles are %v, %v", got, err)
	}
	// Names of groups in a directory have an = themselves.
	const group = "CN=ops,OU=iot,DC=example"
	if got, err := (config.OIDC{Roles: []string{group + "=registryRead+serviceConnect"}}).Permissions(); err != nil || got[group] != sas.RegistryRead|sas.ServiceConnect {
		t.Errorf("the role of a group is %v, %v", got, err)
	}
	if got, err := (config.OIDC{}).Permissions(); got != nil || err != nil {
		t.Errorf("no roles are %v, %v", got, err)
	}
}

// An audience that is empty, as a template leaves one behind, is not made good by
// another one beside it.
func TestEmptyAudience(t *testing.T) {
	t.Parallel()
	for list, ok := range map[string]bool{`[hub]`: true, `[""]`: false, `["", hub]`: false} {
		path := file(t, "auth:\n  oidc: {issuer: 'https://id.example', jwks_url: 'https://id.example/keys', audiences: "+list+"}\n")
		c, err := config.Load(config.Source{File: path})
		if err == nil {
			err = c.Complete(config.Dev)
		}
		if ok != (err == nil) || err != nil && !strings.Contains(err.Error(), "auth.oidc.audiences") {
			t.Errorf("%s: %v", list, err)
		}
	}
}
