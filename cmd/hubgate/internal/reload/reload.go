// Package reload changes what a running node is told. Each part that can be
// changed without a restart is a [Part] with one function that applies it; the
// rest is known to need a restart, and said so. What is wrong leaves its part as
// it was.
package reload

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
)

// Part is something that can be applied anew while the node runs.
type Part struct {
	// Name is what answers and the log call it.
	Name string
	// Keys are the configuration that it covers: paths such as log.level, or
	// sections such as tls.
	Keys []string
	// Files are what it reads besides the configuration; they are watched.
	Files func(*config.Config) []string
	// Apply makes the part as a configuration says. It tells what it has
	// changed, and nothing if all was so already. What can't be applied stays as
	// it was, and is its error, which may join several.
	Apply func(context.Context, *config.Config) (Change, error)
}

// Change is what a part has done.
type Change struct {
	Applied  []string // without the part's name
	Warnings []string
	// Again is when the part is to be applied again although nothing has changed. Zero:
	// it need not be.
	Again time.Time
}

// Report is the answer to a reload.
type Report struct {
	Node          string   `json:"node"`
	Applied       []string `json:"applied"`
	RestartNeeded []string `json:"restartNeeded"` // configuration keys
	Warnings      []string `json:"warnings"`
	Errors        []string `json:"errors"`
	// Last is the last reload that has applied something before this one, which
	// has not: a change of a file is often applied before somebody asks for it.
	Last *Applied `json:"last,omitempty"`
}

// Applied is what a reload has done.
type Applied struct {
	Time    time.Time `json:"time"`
	Because string    `json:"because"`
	Applied []string  `json:"applied"`
}

// Reloader applies the configuration again. It is safe for concurrent use.
type Reloader struct {
	Parts []Part
	// Load reads the configuration from all its places, and checks it.
	Load func() (*config.Config, error)
	// File is the configuration file; empty: none.
	File string
	Log  zerolog.Logger

	mu      sync.Mutex // one reload at a time
	started *config.Config
	current *config.Config // the last good one
	last    *Applied
	again   time.Time // the first Again of the parts; zero: none
}

// New returns a reloader for a node that was started with cfg and has applied
// all its parts.
func New(cfg *config.Config, log zerolog.Logger) *Reloader {
	return &Reloader{Log: log, started: cfg, current: cfg}
}

// Half-written files are read again before they are complained of.
const (
	attempts = 4
	pause    = 500 * time.Millisecond
)

// Reload reads the configuration and the files that it names, and applies what
// has changed; why is for the log.
func (r *Reloader) Reload(ctx context.Context, why string) Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	report := r.apply(ctx)
	r.tell(why, &report)
	return report
}

// apply tries until nothing is wrong, or it has tried often enough.
func (r *Reloader) apply(ctx context.Context) Report {
	report := r.attempt(ctx)
	for n := 1; len(report.Errors) > 0 && n < attempts && ctx.Err() == nil; n++ {
		select {
		case <-ctx.Done():
			return report
		case <-time.After(pause):
		}
		next := r.attempt(ctx)
		next.Applied = append(report.Applied, next.Applied...)
		report = next
	}
	return report
}

// attempt applies everything once. If the configuration is wrong, the files
// that the last good one names are applied all the same: a typing mistake must
// not keep a certificate from being renewed.
func (r *Reloader) attempt(ctx context.Context) Report {
	report := Report{Node: r.started.Node, Applied: []string{}, RestartNeeded: []string{}, Warnings: []string{}, Errors: []string{}}
	cfg, err := r.Load()
	if err != nil {
		report.Errors = append(report.Errors, lines("configuration", err)...)
	} else {
		r.current = cfg
	}
	report.RestartNeeded = append(report.RestartNeeded, r.unapplied(r.current)...)
	r.again = time.Time{}
	for _, p := range r.Parts {
		change, err := p.Apply(ctx, r.current)
		report.Applied = append(report.Applied, named(p.Name, change.Applied)...)
		report.Warnings = append(report.Warnings, named(p.Name, change.Warnings)...)
		if !change.Again.IsZero() && (r.again.IsZero() || change.Again.Before(r.again)) {
			r.again = change.Again
		}
		if err != nil {
			report.Errors = append(report.Errors, lines(p.Name, err)...)
		}
	}
	return report
}

// unapplied returns the keys in which cfg differs from what the node was
// started with, and which no part covers.
func (r *Reloader) unapplied(cfg *config.Config) []string {
	keys := cfg.Differences(r.started)
	return slices.DeleteFunc(keys, func(key string) bool {
		return slices.ContainsFunc(r.Parts, func(p Part) bool { return p.covers(key) })
	})
}

func (p Part) covers(key string) bool {
	return slices.ContainsFunc(p.Keys, func(k string) bool { return key == k || strings.HasPrefix(key, k+".") })
}

// named writes name: text, for each text.
func named(name string, texts []string) []string {
	all := make([]string, len(texts))
	for i, text := range texts {
		all[i] = name + ": " + text
	}
	return all
}

// lines writes joined errors as one text each.
func lines(name string, err error) []string {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []string
		for _, e := range joined.Unwrap() {
			all = append(all, lines(name, e)...)
		}
		return all
	}
	return []string{fmt.Sprintf("%s: %v", name, err)}
}

// tell writes a report to the log, and remembers what was applied.
func (r *Reloader) tell(why string, report *Report) {
	if len(report.Applied) > 0 {
		r.last = &Applied{time.Now().UTC(), why, report.Applied}
	} else {
		report.Last = r.last
	}
	for _, text := range report.Errors {
		r.Log.Error().Str("because", why).Str("error", text).Msg("reload: something is wrong; it stays as it was")
	}
	for _, text := range report.Warnings {
		r.Log.Warn().Str("because", why).Str("warning", text).Msg("reload: applied, but look at this")
	}
	if len(report.RestartNeeded) > 0 {
		r.Log.Warn().Str("because", why).Strs("keys", report.RestartNeeded).Msg("reload: these keys take effect with the next start")
	}
	level := zerolog.InfoLevel
	if why == fileChanged && len(report.Applied)+len(report.Errors)+len(report.Warnings)+len(report.RestartNeeded) == 0 {
		level = zerolog.DebugLevel // a command has been faster, or it was a comment
	}
	r.Log.WithLevel(level).Str("because", why).Strs("applied", report.Applied).Int("errors", len(report.Errors)).Msg("reloaded")
}
