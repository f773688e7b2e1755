package identity_test

import (
	"strings"
	"testing"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
)

// The thumbprint of a new certificate takes the place of the one that is not in
// use, and the one in use stays.
func TestAddThumbprint(t *testing.T) {
	t.Parallel()
	a, b, c := strings.Repeat("A1", 20), strings.Repeat("b2", 32), strings.Repeat("C3", 32)
	for name, tc := range map[string]struct {
		before, after identity.Thumbprints
		inUse         string
		code          hub.Code
	}{
		"no secondary":     {identity.Thumbprints{PrimaryThumbprint: a}, identity.Thumbprints{PrimaryThumbprint: a, SecondaryThumbprint: c}, a, 0},
		"primary in use":   {identity.Thumbprints{PrimaryThumbprint: a, SecondaryThumbprint: b}, identity.Thumbprints{PrimaryThumbprint: a, SecondaryThumbprint: c}, a, 0},
		"secondary in use": {identity.Thumbprints{PrimaryThumbprint: a, SecondaryThumbprint: b}, identity.Thumbprints{PrimaryThumbprint: c, SecondaryThumbprint: b}, b, 0},
		"there already":    {identity.Thumbprints{PrimaryThumbprint: strings.ToLower(c), SecondaryThumbprint: b}, identity.Thumbprints{PrimaryThumbprint: strings.ToLower(c), SecondaryThumbprint: b}, b, 0},
		"there as second":  {identity.Thumbprints{PrimaryThumbprint: a, SecondaryThumbprint: c}, identity.Thumbprints{PrimaryThumbprint: a, SecondaryThumbprint: c}, c, 0},
		"neither in use":   {identity.Thumbprints{PrimaryThumbprint: a, SecondaryThumbprint: b}, identity.Thumbprints{PrimaryThumbprint: a, SecondaryThumbprint: b}, "x", hub.PreconditionFailed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reg, _ := newRegistry()
			r, err := reg.Create(t.Context(), identity.Record{ID: hub.Identity{Device: "d"}, Authentication: identity.Authentication{Type: identity.AuthSelfSigned, X509Thumbprint: tc.before}})
			if err != nil {
				t.Fatal(err)
			}
			err = reg.AddThumbprint(t.Context(), r.ID, r.GenerationID, func(s string) bool { return s == tc.inUse }, c)
			if hub.CodeOf(err) != tc.code {
				t.Errorf("got %v, want %d", err, tc.code)
			}
			got, err := reg.Get(t.Context(), r.ID)
			if err != nil || got.Authentication.X509Thumbprint != tc.after {
				t.Errorf("%+v, %v", got.Authentication.X509Thumbprint, err)
			}
		})
	}
}

func TestAddThumbprintRefuses(t *testing.T) {
	t.Parallel()
	reg, _ := newRegistry()
	yes := func(string) bool { return true }
	next := strings.Repeat("C3", 32)
	ca, err := reg.Create(t.Context(), identity.Record{ID: hub.Identity{Device: "ca"}, Authentication: identity.Authentication{Type: identity.AuthCA}})
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		id         hub.Identity
		generation string
		code       hub.Code
	}{
		"by CA":              {ca.ID, ca.GenerationID, hub.CredentialUnready},
		"another generation": {ca.ID, "1", hub.PreconditionFailed},
		"nobody":             {hub.Identity{Device: "nobody"}, "1", hub.DeviceNotFound},
	} {
		if err := reg.AddThumbprint(t.Context(), tc.id, tc.generation, yes, next); hub.CodeOf(err) != tc.code {
			t.Errorf("%s: %v, want %d", name, err, tc.code)
		}
	}
}
