package sas

import "github.com/hubgate/hubgate/hub"

// NewKey returns a fresh key: the base64 of 32 bytes from crypto/rand.
func NewKey() string { return hub.NewKey() }

// DecodeKey decodes a key from base64. It fails with ArgumentInvalid unless it
// has 16 to 64 bytes; the error never holds the key.
func DecodeKey(s string) ([]byte, error) { return hub.DecodeKey(s) }
