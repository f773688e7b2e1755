package hub

import (
	"errors"
	"testing"
)

// A sentence inside a sentence has no code of its own.
func TestErrorfOfAnError(t *testing.T) {
	cause := errors.New("cause")
	inner := Errorf(ArgumentInvalid, "the key is bad: %w", cause)
	outer := Errorf(Unauthorized, "the policy p: %w", inner)
	if want := "401003 IotHubUnauthorized: the policy p: the key is bad: cause"; outer.Error() != want {
		t.Errorf("Error() = %q, want %q", outer.Error(), want)
	}
	if CodeOf(outer) != Unauthorized || !errors.Is(outer, inner) || !errors.Is(outer, cause) {
		t.Errorf("%v has code %d, or has lost what it wraps", outer, CodeOf(outer))
	}
}

func TestIdentityIsModule(t *testing.T) {
	for id, want := range map[Identity]bool{
		{}: false, {Device: "d"}: false, {Device: "d", Module: "m"}: true,
	} {
		if got := id.IsModule(); got != want {
			t.Errorf("%q is a module: %v, want %v", id, got, want)
		}
	}
}
