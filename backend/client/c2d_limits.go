package client

import (
	"context"
	"sync"
	"time"

	"github.com/hubgate/hubgate/c2d"
	"github.com/hubgate/hubgate/hub"
)

const (
	// limitsAge is how long the limits are kept before they are read again.
	limitsAge     = time.Minute
	limitsTimeout = 5 * time.Second
)

// limits is what is known of the limits of cloud-to-device messages.
type limits struct {
	turn chan struct{} // has a place for the one who looks them up

	mu    sync.Mutex
	c2d   c2d.Limits
	until time.Time
}

func (l *limits) known() (known c2d.Limits, fresh bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.c2d, !time.Now().After(l.until)
}

// Limits are what the hub allows of a message: its size, its time to live, and
// the one of a message that does not say. A gateway tells them in the
// description of the stream; who may not read that gets IoT Hub's.
func (s *C2D) Limits(ctx context.Context) c2d.Limits {
	l := &s.c.limits
	known, fresh := l.known()
	if fresh {
		return known
	}
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return known
	}
	if known, fresh = l.known(); fresh { // somebody has looked them up meanwhile
		return known
	}
	s.lookUpLimits(ctx)
	known, _ = l.known()
	return known
}

func (s *C2D) lookUpLimits(ctx context.Context) {
	now, name := time.Now(), s.c.names.C2DStream()
	ctx, cancel := context.WithTimeout(ctx, limitsTimeout)
	defer cancel()
	ctx, done := s.c.denied.watch(ctx, s.c.api("STREAM.INFO."+name))
	defer done()
	stream, err := s.c.js.Stream(ctx, name)
	l := &s.c.limits
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.c2d = c2d.ParseMetadata(stream.CachedInfo().Config.Metadata)
	}
	if ctx.Err() == nil || err == nil || hub.CodeOf(context.Cause(ctx)) == hub.Unauthorized {
		l.until = now.Add(limitsAge)
	}
}
