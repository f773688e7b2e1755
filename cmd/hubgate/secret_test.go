package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hubgate/hubgate/backend"
)

// TestEncryptionKeyFrom reads the key from each place that it may be in, and
// starts with it; what is wrong is one sentence without the key.
func TestEncryptionKeyFrom(t *testing.T) {
	t.Parallel()
	key, other := strings.Repeat("marked-", 6), strings.Repeat("forged-", 6)
	dir, data := t.TempDir(), t.TempDir()
	for name, text := range map[string]string{"key": key + "\n", "other": other, "short": "marked", "empty": "\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	env := []string{"CREDENTIALS_DIRECTORY=" + dir, "HUB_KEY=" + key, "HUB_OTHER=" + other}
	args := func(where string) []string {
		return []string{"--data-dir", data, "--mqtt-port", "0", "--https-port", "0", "--nats-port", "0", "--set", "nats.encryption_key=" + where}
	}
	for _, where := range []string{filepath.Join(dir, "key"), "env:HUB_KEY", "credential:key"} {
		p := startWith(t, env, append([]string{"dev", "-o", "json"}, args(where)...)...)
		p.stopCleanly(t)
		if strings.Contains(p.log.String(), "marked") {
			t.Errorf("%s: the key is in the log", where)
		}
	}
	tests := map[string]struct {
		where string
		code  int
		words []string
	}{
		"wrong file":     {filepath.Join(dir, "other"), exitFailure, []string{"is not the one", "put the right one back"}},
		"wrong variable": {"env:HUB_OTHER", exitFailure, []string{"env:HUB_OTHER is not the one"}},
		"no key":         {"", exitFailure, []string{"are encrypted, and no key is given"}},
		"no file":        {filepath.Join(dir, "none"), exitUsage, []string{"nats.encryption_key", filepath.Join(dir, "none"), "no such file"}},
		"like a path":    {"/" + key + "=", exitUsage, []string{"nats.encryption_key", "no such file"}},
		"the key itself": {key, exitUsage, []string{"nats.encryption_key", "env:NAME", "no such file"}},
		"a long key":     {strings.Repeat(key, 99), exitUsage, []string{"nats.encryption_key", "too long"}},
		"no variable":    {"env:HUB_NONE", exitUsage, []string{"HUB_NONE is not set"}},
		"no credential":  {"credential:none", exitUsage, []string{"no such file"}},
		"bad credential": {"credential:../key", exitUsage, []string{"not the name of a credential"}},
		"empty":          {filepath.Join(dir, "empty"), exitUsage, []string{"is empty"}},
		"short":          {filepath.Join(dir, "short"), exitFailure, []string{"needs 32", "openssl rand"}},
	}
	for name, tt := range tests {
		r := hubgate(t, env, append([]string{"dev"}, args(tt.where)...)...)
		if r.code != tt.code || strings.Count(r.err, "hubgate: ") != 1 {
			t.Errorf("%s: got exit code %d, want %d: %s", name, r.code, tt.code, r.err)
		}
		wantAll(t, r.err, tt.words...)
		if strings.Contains(r.err+r.out, "marked-") || strings.Contains(r.err+r.out, "forged-") {
			t.Errorf("%s: a key is printed: %s", name, r.err)
		}
		found := checkWith(t, env, exitFailure, append([]string{"--for", "dev"}, args(tt.where)...)...)
		wantFinding(t, found, backend.Bad, "encryption", tt.words...)
	}
	r := hubgate(t, []string{}, append([]string{"dev"}, args("credential:key")...)...)
	wantAll(t, r.err, "there is no $CREDENTIALS_DIRECTORY", "LoadCredential=key")
	wantNone(t, checkWith(t, env, exitOK, append([]string{"--for", "dev"}, args("credential:key")...)...), backend.Bad)
}
