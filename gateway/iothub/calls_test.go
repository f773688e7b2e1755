package iothub

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/methods"
)

func TestMaxCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, devices, _ := newFace()
		f.MaxCalls = 2
		h := admitted(t, f, devices, "dev1").Handler.(*handler)
		h.Attach(newLink(prefixMethods + "#"))
		call := methods.Call{ID: hub.Identity{Device: "dev1"}, Method: "m"}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, f.MaxCalls)
		for range f.MaxCalls {
			go func() {
				_, err := h.invoke(ctx, call)
				done <- err
			}()
		}
		synctest.Wait()
		if _, err := h.invoke(t.Context(), call); hub.CodeOf(err) != hub.TooManyCalls {
			t.Errorf("one too many: %v", err)
		}
		cancel()
		for range f.MaxCalls {
			if err := <-done; hub.CodeOf(err) != hub.GatewayTimeout {
				t.Errorf("a call that nobody answers: %v", err)
			}
		}
	})
}
