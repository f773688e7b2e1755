package reload

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
)

// configured is a configuration of a few lines.
func configured(t *testing.T, yaml string) *config.Config {
	t.Helper()
	c, err := config.Load(config.Source{File: put(t, t.TempDir(), "hubgate.yaml", yaml)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func put(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// reloader returns one that loads what load returns.
func reloader(t *testing.T, load func() (*config.Config, error), parts ...Part) *Reloader {
	t.Helper()
	r := New(configured(t, "node: n\n"), zerolog.Nop())
	r.Load, r.Parts = load, parts
	return r
}

// TestHalfWritten: what is wrong at first and right soon is not complained of.
func TestHalfWritten(t *testing.T) {
	t.Parallel()
	cfg := configured(t, "node: n\n")
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		r := reloader(t, func() (*config.Config, error) {
			if tries++; tries < 2 {
				return nil, errors.New("half a file")
			}
			return cfg, nil
		}, Part{Name: "p", Apply: func(context.Context, *config.Config) (Change, error) {
			switch tries {
			case 1:
				return Change{Applied: []string{"early"}}, nil
			case 2:
				return Change{}, errors.New("half a certificate")
			}
			return Change{Applied: []string{"late"}, Warnings: []string{"look"}}, nil
		}})
		got := r.Reload(t.Context(), "test")
		if want := []string{"p: early", "p: late"}; !slices.Equal(got.Applied, want) || len(got.Errors) > 0 || !slices.Equal(got.Warnings, []string{"p: look"}) {
			t.Errorf("got %+v", got)
		}
		if tries != 3 {
			t.Errorf("tried %d times", tries)
		}
	})
}

// TestWrong: each part has its errors, and what is wrong for good is tried a few
// times only.
func TestWrong(t *testing.T) {
	t.Parallel()
	changed := configured(t, "node: n\nlog: {level: warn}\nhub: {aliases: [a.b]}\ntelemetry: {max_age: 1d}\ntls: {cert_files: [x]}\n")
	synctest.Test(t, func(t *testing.T) {
		loaded := 0
		good := Part{Name: "good", Keys: []string{"log.level", "tls"}, Apply: func(_ context.Context, c *config.Config) (Change, error) {
			if loaded++; loaded > 1 {
				return Change{}, nil
			}
			return Change{Applied: []string{c.Log.Level}}, nil
		}}
		bad := Part{Name: "bad", Keys: []string{"telem"}, Apply: func(context.Context, *config.Config) (Change, error) {
			return Change{}, errors.Join(errors.New("one"), nil, fmt.Errorf("two: %w", errors.New("three")))
		}}
		r := reloader(t, func() (*config.Config, error) { return changed, nil }, good, bad)
		got := r.Reload(t.Context(), "test")
		if fmt.Sprint(got.Applied) != "[good: warn]" || fmt.Sprint(got.Errors) != "[bad: one bad: two: three]" || loaded != attempts {
			t.Errorf("got %+v after %d tries", got, loaded)
		}
		if got := strings.Join(got.RestartNeeded, " "); got != "hub.aliases telemetry.max_age" {
			t.Errorf("a restart is needed for %q", got)
		}
		r.Load = func() (*config.Config, error) { return nil, errors.New("no YAML") }
		got = r.Reload(t.Context(), "test")
		if got.Errors[0] != "configuration: no YAML" || len(got.RestartNeeded) != 2 || got.Last == nil || got.Last.Applied[0] != "good: warn" {
			t.Errorf("got %+v", got)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		before := time.Now()
		if got = r.Reload(ended, "test"); len(got.Errors) == 0 || time.Since(before) > 0 {
			t.Error("a reload that nobody waits for any more goes on")
		}
	})
}

// TestWatch: a change is applied once it has settled, through links too.
func TestWatch(t *testing.T) {
	t.Parallel()
	cfg := configured(t, "node: n\n")
	dir := t.TempDir()
	link := func(to string) {
		t.Helper()
		if err := os.Symlink(to, filepath.Join(dir, "new")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "data")); err != nil {
			t.Fatal(err)
		}
	}
	for _, version := range []string{"v1", "v2"} {
		if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(dir, version), "file", version)
	}
	link("v1")
	path := filepath.Join(dir, "data", "file")
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var seen []string
		r := reloader(t, func() (*config.Config, error) { return cfg, nil }, Part{
			Name: "p", Files: func(*config.Config) []string { return []string{path} },
			Apply: func(context.Context, *config.Config) (Change, error) {
				text, err := os.ReadFile(path)
				mu.Lock()
				defer mu.Unlock()
				seen = append(seen, string(text))
				return Change{}, err
			},
		})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go r.Watch(ctx)
		pass := func(looks int) {
			synctest.Wait()
			<-time.After(time.Duration(looks)*Interval + time.Millisecond)
			synctest.Wait()
		}
		want := func(what string, texts ...string) {
			t.Helper()
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(seen, texts) {
				t.Errorf("%s: read %q, want %q", what, seen, texts)
			}
			seen = nil
		}
		pass(10)
		want("nothing happens", "v1") // once, for what has changed during the start
		link("v2")
		pass(2)
		want("the link is another", "v2")
		pass(10)
		want("nothing happens again")
		for _, text := range []string{"a", "ab", "abc"} { // somebody writes slowly
			put(t, filepath.Join(dir, "v2"), "file", text)
			pass(1)
		}
		want("while somebody writes")
		pass(1)
		want("when he has written", "abc")
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		pass(8)
		want("the file is gone", "", "", "", "")
		put(t, filepath.Join(dir, "v2"), "file", "back")
		pass(2)
		want("the file is back", "back")
	})
}

// TestWatchAgain: a part that has to wait for a time is applied then, although no file
// has changed, and once.
func TestWatchAgain(t *testing.T) {
	t.Parallel()
	cfg := configured(t, "node: n\n")
	synctest.Test(t, func(t *testing.T) {
		valid := time.Now().Add(time.Hour)
		var early, late atomic.Int64
		r := reloader(t, func() (*config.Config, error) { return cfg, nil }, Part{
			Name: "p", Apply: func(context.Context, *config.Config) (Change, error) {
				if time.Now().Before(valid) {
					early.Add(1)
					return Change{Again: valid}, errors.New("not yet")
				}
				late.Add(1)
				return Change{Applied: []string{"valid"}}, nil
			},
		})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go r.Watch(ctx)
		<-time.After(time.Hour - time.Second)
		synctest.Wait()
		if early.Load() != attempts || late.Load() != 0 {
			t.Errorf("before its time: applied %d times, want %d; and %d times as if it had come", early.Load(), attempts, late.Load())
		}
		<-time.After(time.Hour)
		synctest.Wait()
		if late.Load() != 1 {
			t.Errorf("after its time: applied %d times, want once", late.Load())
		}
	})
}

// TestWatchNewFiles follows the files that a new configuration names.
func TestWatchNewFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, b := put(t, dir, "a", "1"), put(t, dir, "b", "1")
	conf := put(t, dir, "hubgate.yaml", "tls: {cert_files: ["+a+"]}\n")
	synctest.Test(t, func(t *testing.T) {
		var applied atomic.Int64
		r := reloader(t, func() (*config.Config, error) { return config.Load(config.Source{File: conf}) }, Part{
			Name: "p", Keys: []string{"tls"}, Files: func(c *config.Config) []string { return c.TLS.CertFiles },
			Apply: func(context.Context, *config.Config) (Change, error) { applied.Add(1); return Change{}, nil },
		})
		r.File = conf
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go r.Watch(ctx)
		for _, step := range []struct {
			do   func()
			want int64
		}{
			{func() {}, 1},
			{func() { put(t, dir, "hubgate.yaml", "tls: {cert_files: ["+b+"]}\n") }, 2},
			{func() { put(t, dir, "a", "2") }, 2},
			{func() { put(t, dir, "b", "2") }, 3},
		} {
			step.do()
			synctest.Wait()
			<-time.After(5*Interval + time.Millisecond)
			synctest.Wait()
			if got := applied.Load(); got != step.want {
				t.Errorf("applied %d times, want %d", got, step.want)
			}
		}
	})
}

// TestWhole is applied for a key, a file, and again after an error, and for
// nothing else.
func TestWhole(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := put(t, dir, "a", "1")
	applied, fails := 0, error(nil)
	p := Whole(Part{
		Name: "p", Keys: []string{"limits"}, Files: func(*config.Config) []string { return []string{file} },
	}, func(*config.Config) error {
		applied++
		return fails
	})
	one, two := configured(t, "limits: {window: 5}\n"), configured(t, "limits: {window: 6}\nlog: {level: warn}\n")
	steps := []struct {
		what  string
		do    func()
		cfg   *config.Config
		calls int
		said  bool
	}{
		{"the first time", func() {}, one, 1, false},
		{"nothing", func() {}, one, 0, false},
		{"a key", func() {}, two, 1, true},
		{"a file", func() { put(t, dir, "a", "2") }, two, 1, true},
		{"an error", func() { put(t, dir, "a", "3"); fails = errors.New("x") }, two, 1, false},
		{"the error again", func() {}, two, 1, false},
		{"no error any more", func() { fails = nil }, two, 1, true},
		{"nothing again", func() {}, two, 0, false},
	}
	for _, s := range steps {
		applied = 0
		s.do()
		change, err := p.Apply(t.Context(), s.cfg)
		if applied != s.calls || (len(change.Applied) > 0) != s.said || (err == nil) != (fails == nil) {
			t.Errorf("%s: applied %d times, %q, %v", s.what, applied, change.Applied, err)
		}
	}
}
