package conformance

import (
	"reflect"
	"sync"
	"testing"
	"time"
)

// methodsInvoked calls methods of a real device by the SDK.
func methodsInvoked(t *testing.T, g *gateway, h *hub) {
	id := deviceName(t)
	device := serving(g, h, h.make(id, nil))
	module := serving(g, h, h.make(id+"/mod", nil))
	for _, id := range []string{id, id + "/mod"} {
		for _, payload := range []any{
			nil, 42.0, -1.5e-7, true, "text with ünïcode and \"quotes\"", map[string]any{"a": []any{1.0, nil, map[string]any{}}}, []any{}, map[string]any{},
		} {
			got := h.one("method", naming(id).and(args{"method": "echo", "payload": payload, "responseTimeout": 20}))
			if payload == nil && h.name == "python" {
				payload = "" // which the SDK sends
			}
			if got.at("status") != 207.0 || !reflect.DeepEqual(got.at("payload"), payload) {
				t.Errorf("%s: echo(%v) = %v %v, want 207 with the same", id, payload, got.at("status"), got.at("payload"))
			}
		}
		got := h.one("method", naming(id).and(args{"method": "empty", "payload": 1, "responseTimeout": 20}))
		if got.at("status") != 204.0 || got.at("payload") != nil {
			t.Errorf("%s: empty = %v, want 204 with null", id, got)
		}
	}
	device.do("close", "a", nil)
	module.do("close", "a", nil)
}

// serving connects a device and waits until the hub knows that it takes calls.
func serving(g *gateway, h *hub, o fields) *driver {
	h.t.Helper()
	d := h.connect(g, o, nil)
	d.do("subscribe", "a", args{"filter": "methods"})
	g.presence(o.id(), "subscription to methods", func(p session) bool { return p.Has(filterMethods) })
	return d
}

// watching connects a device and waits until the hub knows that it wants its twin.
func watching(g *gateway, h *hub, o fields, extra args) *driver {
	h.t.Helper()
	d := h.connect(g, o, extra)
	d.do("subscribe", "a", args{"filter": "twin"})
	d.do("twin", "a", nil)
	awaitSubscribed(g, o.id())
	return d
}

// methodsRefused calls what is not there, what does not answer, and what comes in
// time.
func methodsRefused(t *testing.T, g *gateway, h *hub) {
	id := deviceName(t)
	made := h.make(id, nil)
	offline := h.raisesAs(404, map[string]string{"node": "Error"})
	offline.refused("method", naming(id).and(args{"method": "echo", "responseTimeout": 5}), 404, notOnline)
	h.refused("method", naming(id+"-none").and(args{"method": "echo", "responseTimeout": 5}), 404, "DeviceNotFound")
	h.refused("method", naming(id).and(args{"method": "echo", "responseTimeout": 301}), 400, "400004")
	late := h.d.begin("method", "service", naming(id).and(args{"method": "echo", "payload": "late", "responseTimeout": 30, "connectTimeout": 30}))
	d := serving(g, h, made)
	if l := h.d.finish("method", late); l.Error != nil {
		t.Errorf("a call that waits for its device: %v", l.Error)
	}
	var calls sync.WaitGroup
	calls.Go(func() {
		status, _, err := g.callWithin(responseTimeout, id, "silent", "1")
		if r, ok := err.(refusal); !ok || r.code != noAnswer { //nolint:errorlint // it is not wrapped
			t.Errorf("silent by NATS: status %q, error %v, want %s", status, err, noAnswer)
		}
	})
	begin := time.Now()
	h.refused("method", naming(id).and(args{"method": "silent", "responseTimeout": 5}), 504, noAnswer)
	if took := time.Since(begin); took < responseTimeout-500*time.Millisecond || took > 2*responseTimeout {
		t.Errorf("the call of silent ended after %v, want %v", took, responseTimeout)
	}
	calls.Wait()
	d.do("close", "a", nil)
}

// raisesAs is the hub with another class of error for a status, where the SDK of
// that name has one.
func (h *hub) raisesAs(status int, class map[string]string) *hub {
	other, special := class[h.name]
	if !special {
		return h
	}
	s := *h.service
	s.raises = map[int]string{status: other}
	return &hub{service: &s, t: h.t, d: h.d}
}
