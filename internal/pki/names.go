package pki

import (
	"net/netip"
	"slices"
	"strings"
)

// Names returns the names that the certificates of a hub carry: its host name,
// the aliases and the ways to reach a machine from itself and from a container
// on it. machine is the machine's own name and may be empty. The result is
// sorted, lower case and without duplicates.
func Names(host string, aliases []string, machine string) []string {
	names := append([]string{host, machine, "localhost", "127.0.0.1", "::1", "host.docker.internal"}, aliases...)
	for i, name := range names {
		names[i] = strings.ToLower(name)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return !ValidName(name) })
	slices.Sort(names)
	return slices.Compact(names)
}

// ValidName reports whether s can be in a certificate: an IP address without
// zone, or a DNS name of letters, digits, hyphens and underscores, which may
// begin with the label "*".
func ValidName(s string) bool {
	if addr, err := netip.ParseAddr(s); err == nil {
		return addr.Zone() == ""
	}
	s = strings.TrimPrefix(s, "*.")
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if !validLabel(label) {
			return false
		}
	}
	return true
}

func validLabel(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}
