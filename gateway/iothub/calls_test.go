package iothub

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/hubgate/hubgate/gateway"
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

// hasty is a client that answers a call and is gone: a device that reboots.
type hasty struct {
	*fakeLink

	leave func(gateway.Message)
}

func (l hasty) Send(m gateway.Message) (uint16, error) {
	l.leave(m)
	return l.fakeLink.Send(m)
}

// What a device has said counts, whatever has happened since.
func TestAnswerBeforeTheEnd(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"of the connection", "of the time"} {
		for range 32 { // of several things that have happened, select takes any
			ctx, cancel := context.WithCancel(t.Context())
			l := hasty{fakeLink: newLink(prefixMethods + "#")}
			var h *handler
			l.leave = func(m gateway.Message) {
				if err := answer(h, "200", ridFrom(t, m, "reboot"), `"now"`); err != nil {
					t.Error(err)
				}
				if end == "of the time" {
					cancel()
				} else {
					h.Detached()
				}
			}
			f, devices, _ := newFace()
			h = admitted(t, f, devices, "dev1").Handler.(*handler)
			h.Attach(&l)
			a, err := h.invoke(ctx, callOf("reboot", "null"))
			cancel()
			if err != nil || a.Status != 200 || string(a.Payload) != `"now"` {
				t.Fatalf("answered before the end %s: got %+v, %v", end, a, err)
			}
		}
	}
}

// A call that is over, by its answer or its time, is not one of those in flight.
func TestCallsThatAreOver(t *testing.T) {
	l := newLink("$iothub/methods/POST/#")
	h := attached(t, l)
	h.face.MaxCalls = 1
	call := func() {
		t.Helper()
		go func() {
			if err := answer(h, "200", ridFrom(t, <-l.sent, "m"), "1"); err != nil {
				t.Error(err)
			}
		}()
		if a, err := h.invoke(t.Context(), callOf("m", "1")); err != nil || a.Status != 200 {
			t.Errorf("answer %+v, %v", a, err)
		}
	}
	call()
	call()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.invoke(ctx, callOf("m", "1")); err == nil {
		t.Error("nobody has answered")
	}
	late := ridFrom(t, <-l.sent, "m")
	call()
	if err := answer(h, "200", late, "1"); err != nil || h.face.LateAnswers() != 1 {
		t.Errorf("%v, and %d late answers", err, h.face.LateAnswers())
	}
	if n := len(h.calls.waiting); n > 0 {
		t.Errorf("%d calls are kept", n)
	}
}
