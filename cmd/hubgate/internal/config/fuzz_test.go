package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzFile reads configuration files: what is wrong has a message of bounded
// length that names the file, and no secret of it is printed.
func FuzzFile(f *testing.F) {
	f.Add("hub:\n  host: h.x\n  aliases: [a.x, b.x]\nlimits: {max_packet: 1MiB, handshake_timeout: 2s}\n")
	f.Add("hub: [\n")
	f.Add("a: &a [*a]\n")
	f.Add("hub: &x {host: 1}\nlisten: *x\n")
	f.Add("limits: {window: 99999999999999999999}\n---\n{}")
	f.Add("profile: strict-azure\nlimits:\n  connections: -1\n")
	f.Add(strings.Repeat("a: 1\r", 100))
	f.Add(strings.Repeat("a:\u0085", 100))
	f.Add(strings.Repeat("a:\u2028", 100))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(dir, "hub.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Load(Source{File: path})
		if err != nil {
			if !strings.Contains(err.Error(), path) {
				t.Errorf("%q does not name the file", err)
			}
			if limit := 500 + 400*(parts(text)+1) + 8*len(text); len(err.Error()) > limit {
				t.Errorf("%d bytes of errors about a file of %d", len(err.Error()), len(text))
			}
			return
		}
		_ = c.Complete(Dev) // a fault, but no panic
	})
}

// parts is how many members a file may have: YAML knows more ends of lines than one.
func parts(text string) int {
	return len(strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune("\n\r\u0085\u2028\u2029,", r) }))
}
