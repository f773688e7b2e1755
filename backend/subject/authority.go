package subject

import (
	"strings"

	"github.com/hubgate/hubgate/hub"
)

// The verbs of the service of certificate authorities, beside those of the
// registry.
const (
	Code  Verb = "code"
	Prove Verb = "verify"
)

// AuthorityName is the name of the service of certificate authorities as nats
// micro shows it.
func (n Names) AuthorityName() string { return n.prefix() + "-authority" }

// Authority is the subject of one operation on a certificate authority:
// hub.authority.{verb}.{name}, the name encoded as ids are.
func (n Names) Authority(v Verb, name string) string {
	return n.AuthorityVerb(v) + "." + EncodeToken(name)
}

// AuthorityVerb is the subject of an operation without a name,
// hub.authority.{verb}: listing the authorities.
func (n Names) AuthorityVerb(v Verb) string { return n.prefix() + ".authority." + string(v) }

// AuthorityAll matches the subjects of all authorities: hub.authority.{verb}.*.
func (n Names) AuthorityAll(v Verb) string { return n.AuthorityVerb(v) + ".*" }

// ParseAuthority returns the name of the authority that a subject of the verb
// ends with. It fails with [hub.ArgumentInvalid].
func (n Names) ParseAuthority(v Verb, s string) (string, error) {
	token, ok := strings.CutPrefix(s, n.AuthorityVerb(v)+".")
	if !ok {
		return "", hub.Errorf(hub.ArgumentInvalid, "%q does not begin with %s.", s, n.AuthorityVerb(v))
	}
	return DecodeToken(token)
}
