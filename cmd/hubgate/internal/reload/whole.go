package reload

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
)

// Whole completes a part that is applied as a whole, by a function that cannot
// tell what it changes: p has all but Apply. It is applied when one of its keys
// or files is not what it was when it was last applied, and once without a word
// at first, for what has changed during the start.
func Whole(p Part, apply func(*config.Config) error) Part {
	l := &look{seen: map[string]fingerprint{}}
	var last [sha256.Size]byte
	first := true
	p.Apply = func(_ context.Context, cfg *config.Config) (Change, error) {
		now := l.part(p, cfg)
		if now == last {
			return Change{}, nil
		}
		if err := apply(cfg); err != nil {
			return Change{}, err
		}
		last = now
		if first {
			first = false
			return Change{}, nil
		}
		return Change{Applied: []string{"read again"}}, nil
	}
	return p
}

// part returns a digest of all that a part depends on.
func (l *look) part(p Part, cfg *config.Config) [sha256.Size]byte {
	var files []string
	if p.Files != nil {
		files = p.Files(cfg)
	}
	all := sha256.New()
	content := l.at(files)
	all.Write(content[:])
	for _, f := range cfg.Fields() {
		if p.covers(f.Path) {
			_, _ = fmt.Fprintf(all, "%s=%q;", f.Path, f.Values())
		}
	}
	return [sha256.Size]byte(all.Sum(nil))
}
