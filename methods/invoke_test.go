package methods

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// world is a hub with nodes a and b, as the invoker of node a sees it.
type world struct {
	mu       sync.Mutex
	owner    string // what presence says
	at       map[string]func(ctx context.Context, c Call) (Answer, error)
	known    bool
	arrivals chan struct{}
	waiting  int
	calls    []string // nodes that were asked
	err      error    // of presence
	deaf     error    // of arrivals
}

func newWorld() *world {
	return &world{known: true, arrivals: make(chan struct{}, 1), at: map[string]func(context.Context, Call) (Answer, error){}}
}

func (w *world) invoker() *Invoker {
	return &Invoker{Node: "a", Local: w, Presence: w, Devices: w, Remote: w, Arrivals: w}
}

func (w *world) Invoke(ctx context.Context, c Call) (Answer, error) { return w.InvokeAt(ctx, "a", c) }

func (w *world) InvokeAt(ctx context.Context, node string, c Call) (Answer, error) {
	w.mu.Lock()
	w.calls = append(w.calls, node)
	f := w.at[node]
	w.mu.Unlock()
	if f == nil {
		return Answer{}, hub.Errorf(hub.DeviceNotOnline, "%s is not connected", c.ID)
	}
	return f(ctx, c)
}

func (w *world) Owner(context.Context, hub.Identity) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.owner, w.err
}

func (w *world) Generation(_ context.Context, id hub.Identity) (string, error) {
	if !w.known {
		return "", hub.Errorf(hub.DeviceNotFound, "there is no %s", id)
	}
	return "1", nil
}

func (w *world) Arrivals(context.Context, hub.Identity) (<-chan struct{}, func(), error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.deaf != nil {
		return nil, nil, w.deaf
	}
	w.waiting++
	return w.arrivals, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.waiting--
	}, nil
}

// move connects the device to a node, which answers with f.
func (w *world) move(node string, f func(context.Context, Call) (Answer, error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.at)
	w.owner, w.at[node] = node, f
}

func (w *world) asked() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.calls, " ")
}

func echo(_ context.Context, c Call) (Answer, error) {
	return Answer{Status: 200, Payload: c.Payload}, nil
}

// silent is a device that does not answer; the node says so when ctx ends.
func silent(ctx context.Context, c Call) (Answer, error) {
	<-ctx.Done()
	return Answer{}, hub.Errorf(hub.GatewayTimeout, "%s has not answered in time", c.ID)
}

func unsubscribed(_ context.Context, c Call) (Answer, error) {
	return Answer{}, hub.Errorf(hub.DeviceNotOnline, "%s is connected but has not subscribed to direct methods", c.ID)
}

func reboot() Call { return Call{ID: hub.Identity{Device: "dev1"}, Method: "reboot"} }

func TestInvokeFindsTheOwner(t *testing.T) {
	t.Parallel()
	for node, want := range map[string]string{"a": "a", "b": "a b"} {
		w := newWorld()
		w.move(node, echo)
		got, err := w.invoker().Invoke(t.Context(), reboot())
		if err != nil || got.Status != 200 || string(got.Payload) != "null" {
			t.Errorf("at %s: %+v, %v", node, got, err)
		}
		if w.asked() != want {
			t.Errorf("at %s: asked %q, want %q", node, w.asked(), want)
		}
	}
}

// A device that moves while it is looked for is followed.
func TestInvokeFollows(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.move("b", func(_ context.Context, c Call) (Answer, error) {
		w.move("a", echo)
		return unsubscribed(t.Context(), c)
	})
	if _, err := w.invoker().Invoke(t.Context(), reboot()); err != nil || w.asked() != "a b a" {
		t.Errorf("asked %q: %v", w.asked(), err)
	}
}

func TestInvokeFollowsSeveralTimes(t *testing.T) {
	t.Parallel()
	w := newWorld()
	move := func(to string, then func(context.Context, Call) (Answer, error)) func(context.Context, Call) (Answer, error) {
		return func(ctx context.Context, c Call) (Answer, error) {
			w.move(to, then)
			return unsubscribed(ctx, c)
		}
	}
	w.move("b", move("c", move("d", move("e", echo))))
	if _, err := w.invoker().Invoke(t.Context(), reboot()); hub.CodeOf(err) != hub.DeviceNotOnline || w.asked() != "a b c d" {
		t.Errorf("asked %q: %v", w.asked(), err)
	}
}

// No node is asked twice for a device that stays.
func TestInvokeAsksOnce(t *testing.T) {
	t.Parallel()
	for owner, want := range map[string]string{"": "a", "a": "a", "b": "a b"} {
		w := newWorld()
		w.owner = owner
		if _, err := w.invoker().Invoke(t.Context(), reboot()); hub.CodeOf(err) != hub.DeviceNotOnline || w.asked() != want {
			t.Errorf("owner %q: asked %q, want %q: %v", owner, w.asked(), want, err)
		}
	}
}

func TestLargestAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.move("a", func(context.Context, Call) (Answer, error) {
		return Answer{Status: 200, Payload: make([]byte, MaxPayload)}, nil
	})
	if a, err := w.invoker().Invoke(t.Context(), reboot()); err != nil || len(a.Payload) != MaxPayload {
		t.Errorf("%d bytes, %v", len(a.Payload), err)
	}
}

func TestInvokeIsObserved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		v := w.invoker()
		var seen []hub.Code
		v.Observed = func(began time.Time, err error) {
			if took := time.Since(began); took != 3*time.Second {
				t.Errorf("it took %v", took)
			}
			seen = append(seen, hub.CodeOf(err))
		}
		for _, code := range []hub.Code{0, hub.ConnectionLost} {
			w.move("a", func(context.Context, Call) (Answer, error) {
				<-time.After(3 * time.Second)
				if code != 0 {
					return Answer{}, hub.Errorf(code, "no")
				}
				return Answer{Status: 200}, nil
			})
			if _, err := v.Invoke(t.Context(), reboot()); hub.CodeOf(err) != code {
				t.Error(err)
			}
		}
		if len(seen) != 2 || seen[0] != 0 || seen[1] != hub.ConnectionLost {
			t.Errorf("seen %v", seen)
		}
	})
}

func TestInvokeRefusals(t *testing.T) {
	t.Parallel()
	fail := func(code hub.Code) func(context.Context, Call) (Answer, error) {
		return func(context.Context, Call) (Answer, error) { return Answer{}, hub.Errorf(code, "no") }
	}
	tests := map[string]struct {
		set  func(*world)
		call func(*Call)
		code hub.Code
		text string
	}{
		"bad call":        {nil, func(c *Call) { c.Method = "" }, hub.ArgumentInvalid, ""},
		"unknown":         {func(w *world) { w.known = false }, nil, hub.DeviceNotFound, ""},
		"unknown, waited": {func(w *world) { w.known = false }, func(c *Call) { c.ConnectTimeout = time.Hour / 60 }, hub.DeviceNotFound, ""},
		"away":            {nil, nil, hub.DeviceNotOnline, "is not connected; the connect timeout is 0"},
		"deaf":            {func(w *world) { w.move("a", unsubscribed) }, nil, hub.DeviceNotOnline, "has not subscribed to direct methods; the connect timeout is 0"},
		"deaf elsewhere":  {func(w *world) { w.move("b", unsubscribed) }, nil, hub.DeviceNotOnline, "has not subscribed"},
		"stale presence":  {func(w *world) { w.owner = "b" }, nil, hub.DeviceNotOnline, ""},
		"lost":            {func(w *world) { w.move("a", fail(hub.ConnectionLost)) }, nil, hub.ConnectionLost, ""},
		"lost elsewhere":  {func(w *world) { w.move("b", fail(hub.ConnectionLost)) }, nil, hub.ConnectionLost, ""},
		"too many":        {func(w *world) { w.move("a", fail(hub.TooManyCalls)) }, nil, hub.TooManyCalls, ""},
		"store away":      {func(w *world) { w.err = hub.Errorf(hub.ServiceUnavailable, "no") }, nil, hub.ServiceUnavailable, ""},
		"no arrivals": {
			func(w *world) { w.deaf = hub.Errorf(hub.ServiceUnavailable, "NATS is away") },
			func(c *Call) { c.ConnectTimeout = time.Minute }, hub.ServiceUnavailable, "NATS is away",
		},
		"huge answer": {func(w *world) {
			w.move("a", func(context.Context, Call) (Answer, error) {
				return Answer{Payload: bytes.Repeat([]byte("x"), MaxPayload+1)}, nil
			})
		}, nil, hub.MessageTooLarge, "131073"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, c := newWorld(), reboot()
			if tt.set != nil {
				tt.set(w)
			}
			if tt.call != nil {
				tt.call(&c)
			}
			_, err := w.invoker().Invoke(t.Context(), c)
			if hub.CodeOf(err) != tt.code || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got %v, want code %d and %q", err, tt.code, tt.text)
			}
			if n := len(w.calls); n > 1+maxHops {
				t.Errorf("%d nodes were asked", n)
			}
		})
	}
}

// A call that may have reached the device is never made again.
func TestInvokeOnlyOnce(t *testing.T) {
	t.Parallel()
	for _, code := range []hub.Code{hub.ConnectionLost, hub.GatewayTimeout, hub.ServerError} {
		w, c := newWorld(), reboot()
		c.ConnectTimeout = time.Minute
		w.move("b", func(context.Context, Call) (Answer, error) { return Answer{}, hub.Errorf(code, "no") })
		if _, err := w.invoker().Invoke(t.Context(), c); hub.CodeOf(err) != code || w.asked() != "a b" {
			t.Errorf("asked %q: %v", w.asked(), err)
		}
	}
}

func TestResponseTimeout(t *testing.T) {
	t.Parallel()
	for node, want := range map[string]time.Duration{"a": 7 * time.Second, "b": 7*time.Second + remoteGrace} {
		synctest.Test(t, func(t *testing.T) {
			w, c := newWorld(), reboot()
			w.move(node, silent)
			c.ResponseTimeout = 7 * time.Second
			start := time.Now()
			_, err := w.invoker().Invoke(t.Context(), c)
			if took := time.Since(start); hub.CodeOf(err) != hub.GatewayTimeout || took != want {
				t.Errorf("at %s: %v after %v, want %v", node, err, took, want)
			}
		})
	}
}

func TestConnectTimeout(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		then func(*world) // after 10 s of 30 s
		code hub.Code
		text string
		took time.Duration
	}{
		"nobody comes":      {func(*world) {}, hub.DeviceNotOnline, "Timed out waiting for device to connect: dev1 is not connected after 30s", 30 * time.Second},
		"comes":             {func(w *world) { w.move("a", echo); w.arrivals <- struct{}{} }, 0, "", 10 * time.Second},
		"comes elsewhere":   {func(w *world) { w.move("b", echo); w.arrivals <- struct{}{} }, 0, "", 10 * time.Second},
		"does not listen":   {func(w *world) { w.move("b", unsubscribed); w.arrivals <- struct{}{} }, hub.DeviceNotOnline, "dev1 is connected but has not subscribed to direct methods after 30s", 30 * time.Second},
		"comes unannounced": {func(w *world) { w.move("b", echo) }, 0, "", 30 * time.Second},
		"comes and hangs":   {func(w *world) { w.move("a", silent); w.arrivals <- struct{}{} }, hub.GatewayTimeout, "", 10*time.Second + DefaultResponseTimeout},
	}
	for name, tt := range tests {
		synctest.Test(t, func(t *testing.T) {
			w, c := newWorld(), reboot()
			w.arrivals = make(chan struct{}, 1)
			c.ConnectTimeout = 30 * time.Second
			time.AfterFunc(10*time.Second, func() { tt.then(w) })
			start := time.Now()
			_, err := w.invoker().Invoke(t.Context(), c)
			took := time.Since(start)
			if hub.CodeOf(err) != tt.code || took != tt.took || err != nil && !strings.Contains(err.Error(), tt.text) {
				t.Errorf("%s: %v after %v, want code %d, %q after %v", name, err, took, tt.code, tt.text, tt.took)
			}
			if w.waiting != 0 {
				t.Errorf("%s: somebody still waits", name)
			}
		})
	}
}

func TestInvokeEndsWithItsCaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, c := newWorld(), reboot()
		w.arrivals = make(chan struct{})
		c.ConnectTimeout = time.Minute
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := w.invoker().Invoke(ctx, c); hub.CodeOf(err) != hub.ServiceUnavailable {
			t.Errorf("got %v", err)
		}
	})
}
