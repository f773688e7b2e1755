package identity

import (
	"encoding/hex"
	"strings"
	"unicode/utf8"

	"github.com/hubgate/hubgate/hub"
)

// maxReason is the longest statusReason, in characters.
const maxReason = 128

// idForm is the rule of [hub.ValidID] in words.
const idForm = "1 to 128 characters of A-Z a-z 0-9 and -:.+%_#*?!(),=@;$'"

func checkID(id hub.Identity) error {
	if !hub.ValidID(id.Device) {
		return hub.Errorf(hub.ArgumentInvalid, "%q is not a device id: use %s", clip(id.Device), idForm)
	}
	if id.IsModule() && !hub.ValidID(id.Module) {
		return hub.Errorf(hub.ArgumentInvalid, "%q is not a module id: use %s", clip(id.Module), idForm)
	}
	return nil
}

// checkNewID refuses an id that nobody may choose: modules that begin with $
// belong to edge devices.
func checkNewID(id hub.Identity) error {
	if isHubs(id) {
		return hub.Errorf(hub.ArgumentInvalid, "a module id does not begin with $: such modules are the hub's own, and come and go with their edge device")
	}
	return checkID(id)
}

// complete fills in what r leaves open and refuses what breaks a rule.
func complete(r *Record) error {
	if err := completeStatus(r); err != nil {
		return err
	}
	if err := completeType(r); err != nil {
		return err
	}
	a := &r.Authentication
	for _, s := range [...]string{a.X509Thumbprint.PrimaryThumbprint, a.X509Thumbprint.SecondaryThumbprint} {
		if s != "" && !isThumbprint(s) {
			return hub.Errorf(hub.ArgumentInvalid, "a thumbprint is 40 (SHA-1) or 64 (SHA-256) hexadecimal digits without separators")
		}
	}
	return completeKeys(a)
}

// completeStatus blanks what a device, or a module, does not have.
func completeStatus(r *Record) error {
	if r.ID.IsModule() {
		r.Status, r.StatusReason, r.Edge, r.Scope, r.ParentScopes = "", "", false, "", nil
		return nil
	}
	r.ManagedBy = ""
	r.Status = known(r.Status, StatusEnabled, StatusDisabled)
	switch r.Status {
	case "":
		r.Status = StatusEnabled
	case StatusEnabled, StatusDisabled:
	default:
		return hub.Errorf(hub.ArgumentInvalid, "there is no status %q: use enabled or disabled", clip(string(r.Status)))
	}
	if n := utf8.RuneCountInString(r.StatusReason); n > maxReason {
		return hub.Errorf(hub.ArgumentInvalid, "the status reason has %d characters: the most is %d", n, maxReason)
	}
	return nil
}

// known is a word in the case in which it is stored: IoT Hub takes its words in any,
// and Java's service SDK writes "Enabled".
func known[T ~string](word T, words ...T) T {
	for _, w := range words {
		if strings.EqualFold(string(word), string(w)) {
			return w
		}
	}
	return word
}

func completeType(r *Record) error {
	a := &r.Authentication
	a.Type = known(a.Type, AuthSAS, AuthSelfSigned, AuthCA, AuthNone)
	switch a.Type {
	case "":
		a.Type = typeOf(*a)
	case AuthSAS, AuthSelfSigned, AuthCA:
	case AuthNone:
		if !r.ID.IsModule() {
			return hub.Errorf(hub.ArgumentInvalid, "a device can't have the authentication type none")
		}
		a.Type = AuthSAS // as the real hub does
	default:
		return hub.Errorf(hub.ArgumentInvalid, "there is no authentication type %q: use sas, selfSigned or certificateAuthority", clip(string(a.Type)))
	}
	return nil
}

// typeOf is what IoT Hub takes for the type that a does not name: clients from
// before there were types send thumbprints, or keys, or nothing.
func typeOf(a Authentication) AuthType {
	if a.X509Thumbprint != (Thumbprints{}) && a.SymmetricKey == (SymmetricKey{}) {
		return AuthSelfSigned
	}
	return AuthSAS
}

// completeKeys makes the keys of an identity that needs them and has none.
// One that authenticates by certificate has none.
func completeKeys(a *Authentication) error {
	k := &a.SymmetricKey
	switch {
	case a.Type != AuthSAS:
		*k = SymmetricKey{}
		return nil
	case *k == SymmetricKey{}:
		*k = SymmetricKey{hub.NewKey(), hub.NewKey()}
		return nil
	case k.PrimaryKey == "" || k.SecondaryKey == "":
		return hub.Errorf(hub.ArgumentInvalid, "give both keys, or none to have them made")
	}
	if _, err := hub.DecodeKey(k.PrimaryKey); err != nil {
		return hub.Errorf(hub.ArgumentInvalid, "the primary key: %w", err)
	}
	if _, err := hub.DecodeKey(k.SecondaryKey); err != nil {
		return hub.Errorf(hub.ArgumentInvalid, "the secondary key: %w", err)
	}
	return nil
}

func isThumbprint(s string) bool {
	_, err := hex.DecodeString(s)
	return err == nil && (len(s) == 40 || len(s) == 64)
}

// matches fails with PreconditionFailed unless ifMatch lets r be changed: *,
// or its etag with or without quotes.
func matches(r Record, ifMatch string) error {
	switch etag := unquoted(ifMatch); etag {
	case "*", r.ETag:
		return nil
	case "":
		return hub.Errorf(hub.PreconditionFailed, "the etag is missing: give the etag of %s, or *", r.ID)
	default:
		return hub.Errorf(hub.PreconditionFailed, "%s was changed meanwhile: its etag is %s, not %s", r.ID, r.ETag, clip(etag))
	}
}

// unquoted takes quotes off that stand on both sides. What has one only is no
// etag, and least of all *.
func unquoted(etag string) string {
	if len(etag) > 1 && strings.HasPrefix(etag, `"`) && strings.HasSuffix(etag, `"`) {
		return etag[1 : len(etag)-1]
	}
	return etag
}

// clip shortens what a caller sent for a message.
func clip(s string) string {
	const shown = 32
	if len(s) > shown {
		return s[:shown] + "…"
	}
	return s
}
