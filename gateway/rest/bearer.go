package rest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/sas"
)

// Bearer checks JWTs that an OpenID Connect issuer makes for operators. Set the
// fields before use.
type Bearer struct {
	Issuer    string   // iss, exactly
	Audiences []string // aud: one of them
	Keys      *KeySet  // with what the issuer signs
	// Claims are the names of the claims that hold roles or scopes: a list of
	// strings, or one with spaces. None: roles, scope, scp.
	Claims []string
	// Roles is what each role or scope may do; nil: [DefaultRoles].
	Roles map[string]sas.Permission
}

// DefaultRoles are the roles of Azure's access control for IoT Hub, and the
// names of permissions.
func DefaultRoles() map[string]sas.Permission {
	return map[string]sas.Permission{
		"IoT Hub Data Contributor":     sas.RegistryWrite | sas.ServiceConnect,
		"IoT Hub Data Reader":          sas.RegistryRead,
		"IoT Hub Registry Contributor": sas.RegistryWrite,
		"IoT Hub Twin Contributor":     sas.ServiceConnect,
		"RegistryRead":                 sas.RegistryRead,
		"RegistryWrite":                sas.RegistryWrite,
		"ServiceConnect":               sas.ServiceConnect,
	}
}

// signingMethods are the signatures that are taken: those of which the hub knows only
// the public half. "none" and the HMACs are not among them.
func signingMethods() []string {
	return []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
}

// maxToken bounds what is parsed.
const maxToken = 16 << 10

// identify checks a token, against keys that are read again if its own is not among
// them. Its errors are Unauthorized and never hold a part of the token that its issuer
// has not signed.
func (b *Bearer) identify(ctx context.Context, text string, now time.Time) (caller, error) {
	next := b.Keys.upcoming() // before the look at those that there are
	who, err := b.check(text, now)
	if errors.Is(err, errUnknownKey) && isOver(ctx, next) {
		return b.check(text, now)
	}
	return who, err
}

func (b *Bearer) check(text string, now time.Time) (caller, error) {
	if len(text) > maxToken {
		return caller{}, hub.Errorf(hub.Unauthorized, "the bearer token has %d bytes: the most is %d", len(text), maxToken)
	}
	p := jwt.NewParser(
		jwt.WithValidMethods(signingMethods()), jwt.WithIssuer(b.Issuer), jwt.WithAudience(b.Audiences...),
		jwt.WithExpirationRequired(), jwt.WithLeeway(sas.ClockSkew), jwt.WithTimeFunc(func() time.Time { return now }), jwt.WithStrictDecoding(),
	)
	claims, isNameless := jwt.MapClaims{}, false
	key := func(token *jwt.Token) (any, error) {
		_, named := token.Header["kid"]
		isNameless = !named
		return b.Keys.key(token)
	}
	_, err := p.ParseWithClaims(text, claims, key)
	if isNameless && errors.Is(err, jwt.ErrTokenSignatureInvalid) { // of a newer key, perhaps
		b.Keys.want()
		err = errors.Join(err, errUnknownKey)
	}
	if err != nil {
		return caller{}, refusalOf(err)
	}
	subject, _ := claims.GetSubject() // optional
	who := caller{name: "bearer " + clip(subject)}
	roles := b.Roles
	if roles == nil {
		roles = DefaultRoles()
	}
	for _, role := range b.rolesIn(claims) {
		who.holds |= roles[role]
	}
	return who, nil
}

// refusalOf is what is told of an error of package jwt, which itself holds what the peer
// has sent.
func refusalOf(err error) error {
	if errors.Is(err, errNoKeys) {
		return hub.Errorf(hub.ServiceUnavailable, "the keys of the issuer of bearer tokens are not there yet; try again later")
	}
	refused := hub.Errorf(hub.Unauthorized, "the bearer token is refused: %s", whyRefused(err))
	if errors.Is(err, errUnknownKey) {
		refused.Err = errUnknownKey
	}
	return refused
}

// rolesIn lists the roles and scopes of a token.
func (b *Bearer) rolesIn(claims jwt.MapClaims) (all []string) {
	names := b.Claims
	if len(names) == 0 {
		names = []string{"roles", "scope", "scp"}
	}
	for _, name := range names {
		switch v := claims[name].(type) {
		case string:
			all = append(all, v)
			all = append(all, strings.Fields(v)...)
		case []any:
			for _, one := range v {
				if s, ok := one.(string); ok {
					all = append(all, s)
				}
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// whyRefused says in words of ours what is wrong: the library's would hold what
// the peer has sent.
func whyRefused(err error) string {
	for _, known := range []struct {
		err error
		why string
	}{
		{jwt.ErrTokenExpired, "it has expired"},
		{jwt.ErrTokenNotValidYet, "it is not valid yet"},
		{jwt.ErrTokenInvalidIssuer, "it is of another issuer"},
		{jwt.ErrTokenInvalidAudience, "it is for another audience"},
		{jwt.ErrTokenRequiredClaimMissing, "a claim is missing: it needs iss, aud and exp"},
		{jwt.ErrTokenMalformed, "it is no JWT"},
		{errCritical, "it has critical extensions, of which none is known here"},
		{jwt.ErrTokenUnverifiable, "the issuer has no key of its kid"},
		{jwt.ErrTokenSignatureInvalid, "its signature is not of a key of the issuer, or of a kind that is not taken"},
	} {
		if errors.Is(err, known.err) {
			return known.why
		}
	}
	return fmt.Sprintf("it is no JWT that can be used (%T)", err)
}
