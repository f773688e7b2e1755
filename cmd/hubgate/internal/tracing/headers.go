package tracing

import (
	"errors"
	"fmt"
	"strings"
)

// ParseHeaders reads headers, one NAME: VALUE on each line; empty lines and those
// that begin with # are passed over. No error has any of the text, which is
// secret.
func ParseHeaders(text string) (map[string]string, error) {
	all, seen := map[string]string{}, map[string]bool{} // in any case
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		switch {
		case !ok || !isName(name) || !isValue(value):
			return nil, fmt.Errorf("line %d is not a header such as Authorization: Bearer TOKEN (not shown: it may hold a secret)", i+1)
		case seen[strings.ToLower(name)]:
			return nil, fmt.Errorf("line %d has a header for the second time", i+1)
		}
		all[name], seen[strings.ToLower(name)] = value, true
	}
	if len(all) == 0 {
		return nil, errors.New("there is no header")
	}
	return all, nil
}

// isName reports whether text may be the name of a header (RFC 9110, section
// 5.6.2).
func isName(text string) bool {
	return text != "" && strings.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~") == ""
}

// isValue reports whether text may be the value of one (section 5.5).
func isValue(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7F })
}
