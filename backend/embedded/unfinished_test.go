package embedded

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rs/zerolog"
)

func TestDropUnfinished(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string // below the stream's directory
		keep  bool
	}{
		"directory only":         {nil, false},
		"no checksum":            {map[string]string{"meta.inf": "{}"}, false},
		"empty checksum":         {map[string]string{"meta.inf": "{}", "meta.sum": ""}, false},
		"empty block":            {map[string]string{"msgs/1.blk": ""}, false},
		"whole":                  {map[string]string{"meta.inf": "{}", "meta.sum": "x"}, true},
		"messages, no checksum":  {map[string]string{"meta.inf": "{}", "msgs/1.blk": "x"}, true},
		"messages in the second": {map[string]string{"msgs/1.blk": "", "msgs/2.blk": "x"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			account := t.TempDir()
			stream := filepath.Join(account, "streams", "S")
			if err := os.MkdirAll(filepath.Join(stream, "msgs"), 0o700); err != nil {
				t.Fatal(err)
			}
			for path, text := range c.files {
				if err := os.WriteFile(filepath.Join(stream, path), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := dropUnfinished(account, zerolog.Nop()); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(stream); (err == nil) != c.keep {
				t.Errorf("stat after it: %v, want that the stream is kept: %v", err, c.keep)
			}
		})
	}
}

func TestDropUnfinishedOfNothing(t *testing.T) {
	if err := dropUnfinished(filepath.Join(t.TempDir(), "none"), zerolog.Nop()); err != nil {
		t.Fatal(err)
	}
}
