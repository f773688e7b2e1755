package sas

import (
	"slices"
	"strings"

	"github.com/hubgate/hubgate/hub"
)

// Host is the host name in the token's resource, decoded, with its port if it
// has one (Node takes that over from the connection string). Whether it is the
// hub's or an alias is for the caller to say.
func (t Token) Host() string {
	decoded := ""
	for decoded = range spellings(t.Resource) {
	}
	host, _, _ := strings.Cut(decoded, "/")
	return host
}

// Covers reports whether the token is for id at host. Its resource, segment by
// segment and in one of its decoded forms, has to be
//
//   - {host} or {host}/devices, which is hub-wide: policies' tokens, and those
//     of the Go client of amenzhinsky, which a device's own key signs;
//   - {host}/devices/{device}[/modules/{module}], which names id itself: a
//     device's resource does not cover its modules, nor the reverse;
//   - the latter with segments behind it, as VS Code's api-version=2016-11-14.
//
// The host is compared without regard to case. Ids are compared exactly, unless
// the token is signed by the identity's own key: old samples lower-case the
// whole resource, and such a key opens nothing else.
func (t Token) Covers(host string, id hub.Identity) bool {
	for resource := range spellings(t.Resource) {
		if t.covers(strings.Split(resource, "/"), host, id) {
			return true
		}
	}
	return false
}

func (t Token) covers(got []string, host string, id hub.Identity) bool {
	if !strings.EqualFold(got[0], host) {
		return false
	}
	got = got[1:]
	if isHubWide(got) {
		return true
	}
	want := []string{"devices", id.Device}
	if id.IsModule() {
		want = append(want, "modules", id.Module)
	}
	if len(got) < len(want) {
		return false
	}
	for i, segment := range want {
		if !t.isSame(got[i], segment) {
			return false
		}
	}
	extra := got[len(want):]
	return id.IsModule() || len(extra) == 0 || !t.isSame(extra[0], "modules")
}

// Named returns whom the resource of a policy's token names at host, the
// likeliest first: what key has signed as it stands, then decoded. An id may
// have percent signs of its own, so that one token can name several identities,
// and it is for who asked for it: the first that exists. hubWide tells that it
// names nobody because it is good for all. Both are zero when key has not signed
// the token.
func (t Token) Named(key []byte, host string) (ids []hub.Identity, hubWide bool) {
	signed := false
	for resource := range spellings(t.Resource) {
		signed = signed || t.isSignature(resource, key)
		got := strings.Split(resource, "/")
		if !signed || !strings.EqualFold(got[0], host) {
			continue
		}
		if isHubWide(got[1:]) {
			return nil, true
		}
		if id, ok := named(got[1:]); ok && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids, false
}

// named is the identity in the path behind a host.
func named(path []string) (id hub.Identity, ok bool) {
	if len(path) < 2 || path[0] != "devices" {
		return hub.Identity{}, false
	}
	id.Device = path[1]
	if len(path) > 3 && path[2] == "modules" {
		id.Module = path[3]
	}
	return id, hub.ValidID(id.Device) && (!id.IsModule() || hub.ValidID(id.Module))
}

// isHubWide reports whether the path behind the host names no identity.
func isHubWide(path []string) bool {
	for len(path) > 0 && path[len(path)-1] == "" { // slashes at the end
		path = path[:len(path)-1]
	}
	return len(path) == 0 || (len(path) == 1 && path[0] == "devices")
}

func (t Token) isSame(got, want string) bool {
	if t.Policy == "" {
		return strings.EqualFold(got, want)
	}
	return got == want
}

// CoversPath reports whether a path, decoded and in segments, lies below the
// token's resource, whichever host that names. It goes by whole segments, and
// their case counts. The resource is decoded once, as service SDKs encode it, and
// once more when the host does not stand alone after that: whoever has a token
// can encode what was signed again, and must not win by it.
func (t Token) CoversPath(path []string) bool {
	resource := unescape(t.Resource)
	if head, _, _ := strings.Cut(resource, "/"); head != t.Host() {
		resource = unescape(resource)
	}
	got := strings.Split(strings.TrimRight(resource, "/"), "/")[1:]
	return len(got) <= len(path) && slices.Equal(got, path[:len(got)])
}
