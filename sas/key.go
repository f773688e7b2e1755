package sas

import (
	"crypto/rand"
	"encoding/base64"

	"github.com/hubgate/hubgate/hub"
)

// The lengths in bytes that IoT Hub allows for a key, and that of a new one.
const (
	minKeyLength = 16
	maxKeyLength = 64
	newKeyLength = 32
)

// NewKey returns a fresh random key in base64.
func NewKey() string {
	key := make([]byte, newKeyLength)
	_, _ = rand.Read(key) // never fails; see crypto/rand
	return base64.StdEncoding.EncodeToString(key)
}

// DecodeKey decodes a key from base64. It fails with ArgumentInvalid unless it
// has 16 to 64 bytes.
func DecodeKey(s string) ([]byte, error) {
	key, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, hub.Errorf(hub.ArgumentInvalid, "the key is not base64")
	}
	if len(key) < minKeyLength || len(key) > maxKeyLength {
		return nil, hub.Errorf(hub.ArgumentInvalid, "the key has %d bytes; it needs %d to %d", len(key), minKeyLength, maxKeyLength)
	}
	return key, nil
}
