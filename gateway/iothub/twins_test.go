package iothub

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"github.com/hubgate/hubgate/gateway"
	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/twin"
)

// twinStore is a twin.Store with one twin, and faults on demand.
type twinStore struct {
	mu   sync.Mutex
	twin twin.Twin
	fail error
}

func (s *twinStore) Get(context.Context, hub.Identity) (twin.Twin, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.twin, s.fail
}

func (s *twinStore) Put(_ context.Context, next twin.Twin, _ twin.Change) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return 0, s.fail
	}
	if next.Revision != s.twin.Revision {
		return 0, hub.Errorf(hub.PreconditionFailed, "revision")
	}
	next.Revision++
	s.twin = next
	return next.Revision, nil
}

func (*twinStore) Claimed(context.Context, uint64) (bool, error) { return true, nil }
func (*twinStore) Written(context.Context, uint64) (bool, error) { return true, nil }

// withTwin lets dev1 in with a link and a twin.
func withTwin(t *testing.T, filters ...string) (*handler, *fakeLink, *twinStore) {
	t.Helper()
	f, devices, _ := newFace()
	id := hub.Identity{Device: "dev1"}
	store := &twinStore{twin: twin.New(id, "g-dev1", f.now())}
	f.Twins = &twin.Twins{Store: store}
	h := admitted(t, f, devices, "dev1").Handler.(*handler)
	l := newLink(filters...)
	h.Attach(l)
	return h, l, store
}

func ask(t *testing.T, h *handler, topic, body string) {
	t.Helper()
	if err := h.Publish(&mqtt.Publish{Topic: []byte(topic), Payload: []byte(body)}, receipt{}, 0); err != nil {
		t.Fatalf("%s: %v", topic, err)
	}
}

func sent(t *testing.T, l *fakeLink) gateway.Message {
	t.Helper()
	select {
	case m := <-l.sent:
		return m
	default:
		t.Fatal("nothing was sent")
		return gateway.Message{}
	}
}

func TestTwinRequests(t *testing.T) {
	h, l, _ := withTwin(t, filterTwinResults)
	for _, tc := range []struct{ topic, body, wantTopic, wantBody string }{
		{"$iothub/twin/GET/?$rid=1", "", "$iothub/twin/res/200/?$rid=1", `{"desired":{"$version":1},"reported":{"$version":1}}`},
		{"$iothub/twin/PATCH/properties/reported/?$rid=5b7c-uuid", `{"a":{"b":1.50}}`, "$iothub/twin/res/204/?$rid=5b7c-uuid&$version=2", ""},
		{"$iothub/twin/PATCH/properties/reported/?$rid=2&$version=2", `{"c":[1]}`, "$iothub/twin/res/204/?$rid=2&$version=3", ""},
		{"$iothub/twin/GET/?$rid=get_twin", " ", "$iothub/twin/res/200/?$rid=get_twin", `{"desired":{"$version":1},"reported":{"a":{"b":1.50},"c":[1],"$version":3}}`},
	} {
		ask(t, h, tc.topic, tc.body)
		m := sent(t, l)
		if m.Topic != tc.wantTopic || string(m.Payload) != tc.wantBody || m.QoS != 0 {
			t.Errorf("%s %s\n got %s %s QoS %d\nwant %s %s", tc.topic, tc.body, m.Topic, m.Payload, m.QoS, tc.wantTopic, tc.wantBody)
		}
	}
}

// A bad patch is answered with a body that Node takes for an error, and never
// ends the connection.
func TestTwinRequestsThatFail(t *testing.T) {
	h, l, store := withTwin(t, filterTwinResults)
	const reported = "$iothub/twin/PATCH/properties/reported/?$rid=9"
	for name, tc := range map[string]struct {
		topic, body, status string
		fail                error
	}{
		"no JSON":           {reported, "{", "400", nil},
		"no object":         {reported, "[1]", "400", nil},
		"empty":             {reported, "", "400", nil},
		"key with a dot":    {reported, `{"a.b":1}`, "400", nil},
		"too deep":          {reported, strings.Repeat(`{"a":`, 2000) + "1" + strings.Repeat("}", 2000), "400", nil},
		"not UTF-8":         {reported, "{\"a\":\"\xff\"}", "400", nil},
		"string of 5 KB":    {reported, `{"a":"` + strings.Repeat("x", 5000) + `"}`, "400", nil},
		"string of 1 MB":    {reported, `{"a":"` + strings.Repeat("x", 1<<20) + `"}`, "413", nil},
		"section too large": {reported, `{` + large() + `}`, "403", nil},
		"stale version":     {reported + "&$version=7", `{"a":1}`, "412", nil},
		"version of words":  {reported + "&$version=x", `{"a":1}`, "400", nil},
		"store away":        {reported, `{"a":1}`, "503", hub.Errorf(hub.ServiceUnavailable, "no NATS")},
		"identity gone":     {"$iothub/twin/GET/?$rid=9", "", "404", hub.Errorf(hub.DeviceNotFound, "gone")},
	} {
		t.Run(name, func(t *testing.T) {
			store.mu.Lock()
			store.fail = tc.fail
			store.mu.Unlock()
			if tc.fail != nil {
				h.copyOfTwin().Invalidate()
			}
			ask(t, h, tc.topic, tc.body)
			m := sent(t, l)
			if m.Topic != "$iothub/twin/res/"+tc.status+"/?$rid=9" {
				t.Errorf("answer on %s, want status %s", m.Topic, tc.status)
			}
			var body struct {
				ErrorCode int    `json:"errorCode"`
				Message   string `json:"message"`
			}
			if err := json.Unmarshal(m.Payload, &body); err != nil || body.ErrorCode == 0 || body.Message == "" {
				t.Errorf("body %s: %v", m.Payload, err)
			}
		})
	}
}

// large is the members of an object beyond 32 KB.
func large() string {
	members := make([]string, 10)
	for i := range members {
		members[i] = `"k` + string(rune('0'+i)) + `":"` + strings.Repeat("x", 4000) + `"`
	}
	return strings.Join(members, ",")
}

func TestTwinTopicsThatCannotBeAnswered(t *testing.T) {
	h, _, _ := withTwin(t, filterTwinResults)
	for _, topic := range []string{
		"$iothub/twin/GET/?", "$iothub/twin/GET/?$rid=", "$iothub/twin/GET", "$iothub/twin/DELETE/?$rid=1",
		"$iothub/twin/GET/?$rid=" + strings.Repeat("x", maxRID+1), "$iothub/", "$SYS/x",
		"$iothub/twin/PATCH/properties/desired/?$rid=1",
	} {
		err := h.Publish(&mqtt.Publish{Topic: []byte(topic)}, receipt{}, 0)
		if hub.CodeOf(err) != hub.ArgumentInvalid {
			t.Errorf("%.60s: %v, want ArgumentInvalid", topic, err)
		}
	}
}

func TestNoAnswerWithoutSubscription(t *testing.T) {
	h, l, _ := withTwin(t)
	ask(t, h, "$iothub/twin/GET/?$rid=1", "")
	if len(l.sent) != 0 {
		t.Errorf("sent %+v to a client that has not subscribed", <-l.sent)
	}
}

func TestDesiredNotification(t *testing.T) {
	h, l, _ := withTwin(t, filterDesired)
	c := h.twin.Load()
	if c == nil {
		t.Fatal("a client with the subscription has no copy of its twin")
	}
	if c.Announced(twin.Announcement{ID: h.id, Revision: 5, Desired: twin.Notification{Version: 4, Body: []byte(`{"a":1,"$version":4}`)}}) {
		t.Error("the first notification is behind")
	}
	m := sent(t, l)
	if m.Topic != "$iothub/twin/PATCH/properties/desired/?$version=4" || string(m.Payload) != `{"a":1,"$version":4}` {
		t.Errorf("sent %s %s", m.Topic, m.Payload)
	}
	c.Announced(twin.Announcement{ID: h.id, Revision: 4, Desired: twin.Notification{Version: 3, Body: []byte(`{"a":0,"$version":3}`)}})
	if len(l.sent) != 0 {
		t.Errorf("an older notification after a newer one: %+v", <-l.sent)
	}
}

// A device that subscribes on a running connection hears of changes from then on.
func TestDesiredNotificationAfterSubscribe(t *testing.T) {
	h, l, _ := withTwin(t)
	if h.twin.Load() != nil {
		t.Fatal("a client without the subscription has a copy of its twin")
	}
	l.subscribed[filterDesired] = 1
	h.Subscribed()
	c := h.twin.Load()
	if c == nil {
		t.Fatal("a client with the subscription has no copy of its twin")
	}
	c.Announced(twin.Announcement{ID: h.id, Revision: 5, Desired: twin.Notification{Version: 4, Body: []byte(`{"a":1,"$version":4}`)}})
	if m := sent(t, l); string(m.Payload) != `{"a":1,"$version":4}` {
		t.Errorf("sent %s %s", m.Topic, m.Payload)
	}
}

func TestReplayDesired(t *testing.T) {
	f, devices, _ := newFace()
	f.Twins = &twin.Twins{Store: &twinStore{twin: twin.New(hub.Identity{Device: "dev1"}, "g-dev1", f.now())}}
	f.ReplayDesired = true
	h := admitted(t, f, devices, "dev1").Handler.(*handler)
	l := newLink(filterDesired)
	h.Attach(l)
	if m := <-l.sent; m.Topic != "$iothub/twin/PATCH/properties/desired/?$version=1" {
		t.Errorf("sent %s", m.Topic)
	}
}
