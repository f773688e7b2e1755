package main

import (
	"strings"
	"testing"

	"filippo.io/age"
)

// TestPrivateKeyAsRecipient: who mixes up the two keys does not have the private one
// printed.
func TestPrivateKeyAsRecipient(t *testing.T) {
	t.Parallel()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	r := hubgate(t, nil, "backup", "--out", t.TempDir(), "--recipient", identity.String(), "-o", "json")
	if r.code != exitUsage || strings.Contains(r.err+r.out, identity.String()) {
		t.Errorf("got exit code %d and %s", r.code, r.err)
	}
	wantAll(t, r.err, "this is a private key", "age1")
}
