package tracing

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

const (
	// exportRetry is for how long a batch is sent again that the collector does not
	// take now.
	exportRetry = 15 * time.Second
	// pauseMin is the longest pause after the first try, pauseMax after any.
	pauseMin, pauseMax = time.Second, 5 * time.Second
	// tooLong stands for every pause that nobody waits for.
	tooLong = time.Hour
)

// laterError says that a batch may be taken later, and not before after is over.
type laterError struct {
	after time.Duration
	err   error
}

func (e *laterError) Error() string { return e.err.Error() }
func (e *laterError) Unwrap() error { return e.err }

// retries sends a batch again: when, and how it waits until then.
type retries struct {
	now    func() time.Time
	wait   func(ctx context.Context, pause time.Duration) error
	random func(below time.Duration) time.Duration
}

func realRetries() retries {
	return retries{now: time.Now, wait: wait, random: rand.N[time.Duration]}
}

func wait(ctx context.Context, pause time.Duration) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// do calls try until its error is no [*laterError], ctx ends, or the next call would
// come too late.
func (r retries) do(ctx context.Context, try func() error) error {
	began := r.now()
	for n := 1; ; n++ {
		err := try()
		later, ok := errors.AsType[*laterError](err)
		switch {
		case !ok:
			return err
		case ctx.Err() != nil:
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
		pause := max(r.pause(n), later.after)
		if r.now().Sub(began)+pause > exportRetry {
			return fmt.Errorf("given up after try %d: %w", n, err)
		}
		if why := r.wait(ctx, pause); why != nil {
			return fmt.Errorf("%w before try %d: %w", why, n+1, err)
		}
	}
}

// pause is how long to wait after the nth try: twice as long each time, of which
// chance takes up to a half, so that nodes do not come all at once.
func (r retries) pause(n int) time.Duration {
	most := min(pauseMin<<min(n-1, 16), pauseMax)
	return most/2 + r.random(most/2+1)
}

// retryAfter is the pause that an answer asks for, in seconds or until a date (RFC
// 9110, section 10.2.3); 0: none that can be read.
func retryAfter(value string, now time.Time) time.Duration {
	if n, err := strconv.ParseUint(value, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(n, uint64(tooLong/time.Second))) * time.Second //nolint:gosec // at most 3600
	}
	date, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(date.Sub(now), 0), tooLong)
}
