package subject

import (
	"strings"

	"github.com/hubgate/hubgate/hub"
)

const upperHex = "0123456789ABCDEF"

// AppendToken appends s to dst as one NATS token: bytes outside [A-Za-z0-9_-]
// are written as =XX with upper-case hex digits, '=' itself too. The result is
// legal as a subject token and as a KV key, keeps case, and is reversible.
// Microsoft's ids such as "a.b", "x*" and "50%" need it.
func AppendToken(dst []byte, s string) []byte {
	for i := range len(s) {
		c := s[i]
		if isPlain(c) {
			dst = append(dst, c)
			continue
		}
		dst = append(dst, '=', upperHex[c>>4], upperHex[c&15])
	}
	return dst
}

// EncodeToken returns s as one NATS token; see [AppendToken]. A string that
// needs no escape is returned as it is.
func EncodeToken(s string) string {
	for i := range len(s) {
		if !isPlain(s[i]) {
			return string(AppendToken(make([]byte, 0, len(s)+8), s))
		}
	}
	return s
}

// DecodeToken is the inverse of [EncodeToken]. It accepts only what
// EncodeToken can have made: anything else, the empty token included, is
// [hub.ArgumentInvalid], so that no identity has two names.
func DecodeToken(token string) (string, error) {
	if token == "" {
		return "", hub.Errorf(hub.ArgumentInvalid, "a NATS token is empty")
	}
	if strings.IndexByte(token, '=') < 0 {
		return checkPlain(token)
	}
	out := make([]byte, 0, len(token))
	for i := 0; i < len(token); i++ {
		c := token[i]
		if c != '=' {
			if !isPlain(c) {
				return "", badToken(token)
			}
			out = append(out, c)
			continue
		}
		b, ok := unescape(token[i+1:])
		if !ok {
			return "", badToken(token)
		}
		out = append(out, b)
		i += 2
	}
	return string(out), nil
}

func checkPlain(token string) (string, error) {
	for i := range len(token) {
		if !isPlain(token[i]) {
			return "", badToken(token)
		}
	}
	return token, nil
}

// unescape reads the two hex digits that s begins with. A byte that needs no
// escape must not have one.
func unescape(s string) (byte, bool) {
	if len(s) < 2 {
		return 0, false
	}
	hi, lo := strings.IndexByte(upperHex, s[0]), strings.IndexByte(upperHex, s[1])
	if hi < 0 || lo < 0 {
		return 0, false
	}
	b := byte(hi<<4 | lo)
	return b, !isPlain(b)
}

func badToken(token string) error {
	return hub.Errorf(hub.ArgumentInvalid, "%q is not a device or module id as a NATS token: every byte outside A-Z a-z 0-9 _ - is written as =XX, upper-case hex", token)
}

func isPlain(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-'
}
