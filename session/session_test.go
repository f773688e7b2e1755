package session

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hubgate/hubgate/hub"
)

func TestResume(t *testing.T) {
	subs := []Subscription{{Filter: "a/#", QoS: 1}}
	prev := Session{Generation: "g1", Persistent: true, Subscriptions: subs}
	for name, tc := range map[string]struct {
		prev, next Session
		present    bool
	}{
		"goes on":                     {prev, Session{Generation: "g1", Persistent: true}, true},
		"none before":                 {Session{}, Session{Generation: "g1", Persistent: true}, false},
		"[MQTT3-3.1.2-6] clean now":   {prev, Session{Generation: "g1"}, false},
		"[MQTT3-3.1.2-6] clean then":  {Session{Generation: "g1", Subscriptions: subs}, Session{Generation: "g1", Persistent: true}, false},
		"identity deleted and remade": {prev, Session{Generation: "g2", Persistent: true}, false},
	} {
		t.Run(name, func(t *testing.T) {
			tc.next.Subscriptions = []Subscription{{Filter: "stale"}}
			got, present := Resume(tc.prev, tc.next)
			var want []Subscription
			if tc.present {
				want = subs
			}
			if diff := cmp.Diff(want, got.Subscriptions); diff != "" || present != tc.present {
				t.Errorf("present %v, want %v; subscriptions (-want +got):\n%s", present, tc.present, diff)
			}
		})
	}
	got, _ := Resume(prev, Session{Generation: "g1", Persistent: true})
	got.Subscribe(Subscription{Filter: "a/#", QoS: 0})
	if prev.Subscriptions[0].QoS != 1 {
		t.Error("the resumed session shares its subscriptions with the stored one")
	}
}

func TestSubscriptions(t *testing.T) {
	var s Session
	for _, f := range []string{"c", "a", "b"} {
		s.Subscribe(Subscription{Filter: f, QoS: 0})
	}
	s.Subscribe(Subscription{Filter: "b", QoS: 1}) // [MQTT3-3.8.4-3]
	want := []Subscription{{"a", 0}, {"b", 1}, {"c", 0}}
	if diff := cmp.Diff(want, s.Subscriptions); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if sub, ok := s.Find("b"); !ok || sub.QoS != 1 {
		t.Errorf("Find(b) = %v, %v", sub, ok)
	}
	if _, ok := s.Find("bb"); ok {
		t.Error("Find(bb) found something")
	}
	if !s.Unsubscribe("a") || s.Unsubscribe("a") || len(s.Subscriptions) != 2 {
		t.Errorf("after Unsubscribe: %v", s.Subscriptions)
	}
}

func TestSessionJSON(t *testing.T) {
	s := Session{
		Generation: "g1", Persistent: true, Subscriptions: []Subscription{{"a/#", 1}}, Connected: true,
		Node: "n1", Connection: "c1", Remote: "1.2.3.4:5", ConnectedTime: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
	b, err := json.Marshal(s)
	const want = `{"generation":"g1","persistent":true,"subscriptions":[{"filter":"a/#","qos":1}],"connected":true,"node":"n1","connection":"c1","remote":"1.2.3.4:5","connectedTime":"2026-01-02T03:04:05Z"}`
	if err != nil || string(b) != want {
		t.Errorf("JSON %s, %v\nwant %s", b, err, want)
	}
	var back Session
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s, back); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
}

func TestEvent(t *testing.T) {
	dev, mod := hub.Identity{Device: "d"}, hub.Identity{Device: "d", Module: "m"}
	for want, e := range map[string]Event{
		"deviceConnected": {ID: dev, Connected: true}, "deviceDisconnected": {ID: dev},
		"moduleConnected": {ID: mod, Connected: true}, "moduleDisconnected": {ID: mod},
	} {
		if got := e.Type(); got != want {
			t.Errorf("Type() = %s, want %s", got, want)
		}
	}
	events := []Event{{Connected: true, Epoch: 9}, {Epoch: 9}, {Connected: true, Epoch: 10}, {Epoch: 10}, {Connected: true, Epoch: 1 << 60}}
	for i := range len(events) - 1 {
		if a, b := events[i].SequenceNumber(), events[i+1].SequenceNumber(); a >= b {
			t.Errorf("sequence numbers %s, %s do not go up", a, b)
		}
	}
}
