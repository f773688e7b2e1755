package iothub

import (
	"testing"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/meter"
	"github.com/hubgate/hubgate/methods"
)

// told is who was told to be callable.
func told(h *handler) *[]hub.Identity {
	var ids []hub.Identity
	h.face.Callable = func(id hub.Identity) { ids = append(ids, id) }
	return &ids
}

func TestCallable(t *testing.T) {
	tests := map[string]struct {
		resumed []string // subscriptions of the session
		filters []string // of a SUBSCRIBE
		want    int
	}{
		"new session":             {nil, nil, 0},
		"subscribes":              {nil, []string{"$iothub/methods/POST/#"}, 1},
		"subscribes to one":       {nil, []string{"$iothub/methods/POST/reboot/#"}, 1},
		"subscribes to more":      {nil, []string{"$iothub/twin/res/#", "$iothub/methods/POST/#"}, 1},
		"subscribes to the twin":  {nil, []string{"$iothub/twin/res/#"}, 0},
		"resumes":                 {[]string{"$iothub/methods/POST/#"}, nil, 1},
		"resumes with the twin":   {[]string{"$iothub/twin/res/#"}, nil, 0},
		"resumes, and subscribes": {[]string{"$iothub/methods/POST/#"}, []string{"$iothub/methods/POST/#"}, 2},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f, devices, _ := newFace()
			h := admitted(t, f, devices, "dev1").Handler.(*handler)
			ids := told(h)
			h.Attach(newLink(tt.resumed...))
			for _, filter := range tt.filters {
				if _, err := h.Grant(filter, 1); err != nil {
					t.Fatal(err)
				}
			}
			if len(tt.filters) > 0 {
				h.Subscribed()
				h.Subscribed() // by another SUBSCRIBE, about something else
			}
			if len(*ids) != tt.want {
				t.Fatalf("told %d times, want %d", len(*ids), tt.want)
			}
			for _, id := range *ids {
				if id != h.id {
					t.Errorf("told of %v", id)
				}
			}
		})
	}
}

// Nobody needs to listen.
func TestCallableWithoutListener(t *testing.T) {
	h := attached(t, newLink("$iothub/methods/POST/#"))
	if _, err := h.Grant("$iothub/methods/POST/#", 0); err != nil {
		t.Fatal(err)
	}
	h.Subscribed()
}

// Too many unacknowledged requests are too many calls: the device is online.
func TestUnacknowledgedRequests(t *testing.T) {
	l := newLink("$iothub/methods/POST/#")
	l.err = hub.Errorf(hub.QuotaExceeded, "dev1 has not acknowledged 256 messages")
	if _, err := attached(t, l).invoke(t.Context(), callOf("m", "null")); hub.CodeOf(err) != hub.TooManyCalls {
		t.Errorf("got %v", err)
	}
}

// Who may be called is who is connected here and has subscribed to the method.
func TestReady(t *testing.T) {
	f, devices, _ := newFace()
	dev1 := hub.Identity{Device: "dev1"}
	s, d := online(t, f, devices)
	ready := func(id hub.Identity, method string, want bool) {
		t.Helper()
		if f.Ready(s, id, method) != want {
			t.Errorf("%s of %s can be called: %v", method, id, !want)
		}
	}
	ready(dev1, "reboot", false)
	d.subscribe(prefixMethods+"reboot/#", 0)
	ready(dev1, "reboot", true)
	ready(dev1, "update", false)
	d.subscribe(prefixMethods+"#", 0)
	ready(dev1, "update", true)
	ready(hub.Identity{Device: "dev2"}, "update", false)

	go d.answer()
	if _, err := f.Invoke(t.Context(), s, methods.Call{ID: dev1, Method: "update", Payload: []byte("1")}); err != nil {
		t.Errorf("a call of dev1: %v", err)
	}
	_, err := f.Invoke(t.Context(), s, methods.Call{ID: hub.Identity{Device: "dev2"}, Method: "update"})
	if hub.CodeOf(err) != hub.DeviceNotOnline {
		t.Errorf("a call of dev2: %v, want DeviceNotOnline", err)
	}
	if n := f.Stats().Calls; n.Ended[meter.Success.String()] != 1 {
		t.Errorf("%+v calls were counted, want one that succeeded", n)
	}
}
