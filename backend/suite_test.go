package backend_test

import (
	"context"
	"testing"
	"time"

	"github.com/hubgate/hubgate/backend"
	"github.com/hubgate/hubgate/backend/backendtest"
	"github.com/hubgate/hubgate/backend/embedded"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/session"
)

// start gives a Backbone on a NATS server of its own.
func start(t *testing.T) *backend.Backbone {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	s, err := embedded.Start(ctx, embedded.Config{DataDir: t.TempDir()})
	if err != nil {
		t.Fatalf("start NATS: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Shutdown(); err != nil {
			t.Errorf("stop NATS: %v", err)
		}
	})
	b, err := backend.Connect(ctx, backend.Config{URL: s.URL(), CredsFile: s.GatewayCreds()}, s.InProcess())
	if err != nil {
		t.Fatalf("Connect: %v", err)
	}
	t.Cleanup(func() { b.Close(ctx) })
	return b
}

func TestDeviceStore(t *testing.T) {
	t.Parallel()
	backendtest.Devices(t, func(t *testing.T) identity.Store { t.Helper(); return start(t).Devices() })
}

func TestSessionStore(t *testing.T) {
	t.Parallel()
	backendtest.Sessions(t, func(t *testing.T) session.Store { t.Helper(); return start(t).Sessions() })
}

func TestJobStore(t *testing.T) {
	t.Parallel()
	backendtest.Jobs(t, func(t *testing.T) backendtest.JobStore { t.Helper(); return start(t).Jobs() })
}
