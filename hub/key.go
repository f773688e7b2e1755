package hub

import (
	"crypto/rand"
	"encoding/base64"
	"strings"
)

// The bounds of a symmetric key, in bytes before base64, and the length of a
// generated one (Microsoft's "identity registry" page; the real hub makes 32).
const (
	MinKeyLength = 16
	MaxKeyLength = 64
	newKeyLength = 32
)

// NewKey returns the base64 of 32 bytes from crypto/rand. It may be called
// from any goroutine.
func NewKey() string {
	var key [newKeyLength]byte
	_, _ = rand.Read(key[:]) // never fails: crypto/rand ends the process instead
	return base64.StdEncoding.EncodeToString(key[:])
}

// DecodeKey decodes the symmetric key of an identity or of a policy. It fails
// with [ArgumentInvalid] unless s is padded standard base64 of [MinKeyLength]
// to [MaxKeyLength] bytes. The error never holds the key.
func DecodeKey(s string) ([]byte, error) {
	// The decoder of package base64 passes over line breaks; a key has none.
	key, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || strings.ContainsAny(s, "\r\n") {
		return nil, Errorf(ArgumentInvalid, "the key is not base64: copy it whole, with the = at its end")
	}
	if len(key) < MinKeyLength || len(key) > MaxKeyLength {
		return nil, Errorf(ArgumentInvalid, "the key has %d bytes: it must have %d to %d before base64", len(key), MinKeyLength, MaxKeyLength)
	}
	return key, nil
}
