package admin

import (
	"context"
	"sync"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// Check is one thing that has to be right.
type Check struct {
	Name string // lower case, without blanks
	// Look returns a sentence that says how it is, or an error that says what is
	// wrong. It ends with ctx.
	Look func(ctx context.Context) (string, error)
}

// checkTime bounds each look.
const checkTime = 2 * time.Second

// Result is what a check has found.
type Result struct {
	Name     string `json:"name"`
	OK       bool   `json:"ok"`
	Excluded bool   `json:"excluded,omitempty"`
	Text     string `json:"message"`
}

// look makes all checks at the same time, but for those that are excluded. It
// reports whether all are right.
func look(ctx context.Context, checks []Check, excluded map[string]bool) (all []Result, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	all = make([]Result, len(checks))
	var wg sync.WaitGroup
	for i, c := range checks {
		if excluded[c.Name] {
			all[i] = Result{Name: c.Name, OK: true, Excluded: true, Text: "excluded by the request"}
			continue
		}
		wg.Go(func() { all[i] = c.result(ctx) })
	}
	wg.Wait()
	ok = true
	for _, r := range all {
		ok = ok && r.OK
	}
	return all, ok
}

func (c Check) result(ctx context.Context) Result {
	text, err := c.Look(ctx)
	if err == nil {
		return Result{Name: c.Name, OK: true, Text: text}
	}
	return Result{Name: c.Name, Text: sentence(err)}
}

// sentence is what is told of an error.
func sentence(err error) string {
	if e, ok := asHubError(err); ok {
		return e.Message
	}
	return err.Error()
}

// Shared makes a look that costs something one for all who ask at the same time
// and for a while after: however often somebody asks, there is one look at a
// time. One that never ends, as of a deadlock, is waited for until ctx ends, and
// none is begun beside it.
func Shared(keep time.Duration, f func(ctx context.Context) (string, error)) func(ctx context.Context) (string, error) {
	s := &shared{keep: keep, look: f}
	return s.get
}

type shared struct {
	keep time.Duration
	look func(ctx context.Context) (string, error)

	mu      sync.Mutex
	running chan struct{} // closed when the look ends; nil: there is none
	until   time.Time     // what was found counts
	text    string
	err     error
}

func (s *shared) get(ctx context.Context) (string, error) {
	s.mu.Lock()
	if time.Now().Before(s.until) {
		defer s.mu.Unlock()
		return s.text, s.err
	}
	if s.running == nil {
		s.running = make(chan struct{})
		go s.run(s.running)
	}
	running := s.running
	s.mu.Unlock()
	select {
	case <-running:
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.text, s.err
	case <-ctx.Done():
		return "", hub.Errorf(hub.GatewayTimeout, "there is no answer yet after %v", checkTime)
	}
}

func (s *shared) run(done chan struct{}) {
	ctx, cancel := context.WithTimeout(context.Background(), checkTime)
	defer cancel()
	text, err := s.look(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text, s.err, s.until, s.running = text, err, time.Now().Add(s.keep), nil
	close(done)
}
