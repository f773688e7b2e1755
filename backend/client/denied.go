package client

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/hubgate/hubgate/hub"
)

// denials tells requests that NATS has refused them. NATS itself reports that
// apart from the request, which would only run out of time. It is safe for
// concurrent use; nil tells nothing.
type denials struct {
	mu      sync.Mutex
	waiting map[*waiter]struct{}
}

type waiter struct {
	subject string
	cancel  context.CancelCauseFunc
}

// handle takes what NATS reports.
func (d *denials) handle(nc *nats.Conn, sub *nats.Subscription, err error) {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		if report := nats.GetDefaultOptions().AsyncErrorCB; report != nil {
			report(nc, sub, err)
		}
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for w := range d.waiting {
		if strings.Contains(err.Error(), strconv.Quote(w.subject)) || strings.Contains(err.Error(), "Subscription to") {
			w.cancel(hub.Errorf(hub.Unauthorized, "the NATS user may not ask on %s: give credentials that may, such as the operator's (%w)", w.subject, err))
		}
	}
}

// watch returns a context that ends when NATS refuses a request on subject. The
// function ends the watch.
func (d *denials) watch(ctx context.Context, subject string) (context.Context, func()) {
	if d == nil {
		return ctx, func() {}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	w := &waiter{subject, cancel}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.waiting == nil {
		d.waiting = map[*waiter]struct{}{}
	}
	d.waiting[w] = struct{}{}
	return ctx, func() {
		cancel(nil)
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.waiting, w)
	}
}
