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
	mu    sync.Mutex
	c2d   c2d.Limits
	until time.Time
}

// Limits are what the hub allows of a message: its size, its time to live, and
// the one of a message that does not say. A gateway tells them in the
// description of the stream; who may not read that gets IoT Hub's.
func (s *C2D) Limits(ctx context.Context) c2d.Limits {
	l := &s.c.limits
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); now.After(l.until) {
		ctx, cancel := context.WithTimeout(ctx, limitsTimeout)
		defer cancel()
		name := s.c.names.C2DStream()
		ctx, done := s.c.denied.watch(ctx, s.c.api("STREAM.INFO."+name))
		defer done()
		stream, err := s.c.js.Stream(ctx, name)
		if err == nil {
			l.c2d = c2d.ParseMetadata(stream.CachedInfo().Config.Metadata)
		}
		if ctx.Err() == nil || err == nil || hub.CodeOf(context.Cause(ctx)) == hub.Unauthorized {
			l.until = now.Add(limitsAge)
		}
	}
	return l.c2d
}
