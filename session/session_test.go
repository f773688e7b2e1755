package session

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/hubgate/hubgate/hub"
)

func TestResume(t *testing.T) {
	subs := []Subscription{{Filter: "a/#", QoS: 1}, {Filter: "b", QoS: 0}}
	prev := Session{
		ID: hub.Identity{Device: "d"}, Generation: "g1", Persistent: true, Subscriptions: subs, Connected: true, Node: "n1",
		Connection: "c1", Remote: "old", ClientAgent: "old", ModelID: "old", ConnectedTime: time.Unix(1, 0),
		DisconnectedTime: time.Unix(2, 0), Reason: "old", Code: hub.Unauthorized, Epoch: 5, Revision: 6,
		Owed: []string{"w0"}, WillID: "w1", Ends: []Past{{Epoch: 3}},
	}
	next := Session{
		ID: hub.Identity{Device: "d"}, Generation: "g1", Persistent: true, Connected: true, Node: "n2",
		Connection: "c2", Remote: "new", ConnectedTime: time.Unix(3, 0), Subscriptions: []Subscription{{Filter: "stale"}},
		Displaced: "stale", DisplacedNode: "stale",
	}
	for name, tc := range map[string]struct {
		change  func(prev, next *Session)
		present bool
	}{
		"[MQTT3-3.1.2-4] goes on":     {func(_, _ *Session) {}, true},
		"released before":             {func(prev, _ *Session) { prev.Connected = false }, true},
		"repaired before":             {func(prev, _ *Session) { prev.Connected, prev.RepairedBy = false, "n3" }, true},
		"no subscription before":      {func(prev, _ *Session) { prev.Subscriptions = nil }, true},
		"none before":                 {func(prev, _ *Session) { *prev = Session{} }, false},
		"[MQTT3-3.1.2-6] clean now":   {func(_, next *Session) { next.Persistent = false }, false},
		"[MQTT3-3.1.2-6] clean then":  {func(prev, _ *Session) { prev.Persistent = false }, false},
		"identity deleted and remade": {func(_, next *Session) { next.Generation = "g2" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			prev, next := prev, next
			tc.change(&prev, &next)
			got, present := Resume(prev, next)
			want := next
			want.Subscriptions, want.Owed = nil, prev.Owed
			want.Displaced, want.DisplacedNode = "", ""
			want.Contested = prev.Connected || prev.RepairedBy != ""
			if tc.present {
				want.Subscriptions = prev.Subscriptions
				want.Resumed, want.Cut = true, prev.Connected || prev.RepairedBy != ""
			}
			if last := prev.Last(); prev.Connection != "" {
				want.Ends = []Past{{Epoch: 3}, last}
			}
			if prev.Connected {
				want.Displaced, want.DisplacedNode = prev.Remote, prev.Node
				want.Owed = []string{"w0", "w1"}
				want.Ends[1].DisconnectedTime, want.Ends[1].Reason, want.Ends[1].Code = next.ConnectedTime, TakenOver, hub.ConnectionReplaced
			}
			if diff := cmp.Diff(want, got); diff != "" || present != tc.present {
				t.Errorf("present %v, want %v; session (-want +got):\n%s", present, tc.present, diff)
			}
		})
	}
	got, _ := Resume(prev, next)
	got.owe("w9")
	if len(prev.Owed) != 1 {
		t.Error("the resumed session shares its wills with the one before")
	}
	if got.Ends[0].Epoch = 9; prev.Ends[0].Epoch != 3 {
		t.Error("the resumed session shares its ends with the one before")
	}
	got.Subscribe(Subscription{Filter: "a/#", QoS: 0})
	if prev.Subscriptions[0].QoS != 1 {
		t.Error("the resumed session shares its subscriptions with the one before")
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
	if sub, ok := s.Find("b"); !ok || sub != want[1] {
		t.Errorf("Find(b) = %v, %v", sub, ok)
	}
	if sub, ok := s.Find("bb"); ok || sub != (Subscription{}) {
		t.Errorf("Find(bb) = %v, %v", sub, ok)
	}
	if !s.Unsubscribe("a") || s.Unsubscribe("a") || s.Unsubscribe("") {
		t.Error("Unsubscribe does not tell what was there")
	}
	if diff := cmp.Diff(want[1:], s.Subscriptions); diff != "" {
		t.Errorf("after Unsubscribe (-want +got):\n%s", diff)
	}
}

// Whatever is subscribed and unsubscribed in whatever order, the session is a
// sorted map.
func TestSubscriptionsAreAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s Session
		want := map[string]byte{}
		for range rapid.IntRange(0, 30).Draw(t, "steps") {
			filter := rapid.StringMatching(`[a-c]{1,2}`).Draw(t, "filter")
			if rapid.Bool().Draw(t, "subscribe") {
				qos := rapid.ByteMax(1).Draw(t, "qos")
				s.Subscribe(Subscription{filter, qos})
				want[filter] = qos
				continue
			}
			_, was := want[filter]
			if got := s.Unsubscribe(filter); got != was {
				t.Fatalf("Unsubscribe(%s) = %v, want %v", filter, got, was)
			}
			delete(want, filter)
		}
		got := map[string]byte{}
		for _, sub := range s.Subscriptions {
			got[sub.Filter] = sub.QoS
		}
		if diff := cmp.Diff(want, got); diff != "" || len(got) != len(s.Subscriptions) {
			t.Fatalf("(-want +got):\n%s", diff)
		}
		if !slices.IsSortedFunc(s.Subscriptions, func(a, b Subscription) int { return strings.Compare(a.Filter, b.Filter) }) {
			t.Fatalf("%v is not sorted", s.Subscriptions)
		}
	})
}

// The value in the bucket is for people and for the next version too.
func TestSessionJSON(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, tc := range map[string]struct {
		s    Session
		want string
	}{
		"claimed": {
			Session{Generation: "g1", Connected: true, Node: "n1", Connection: "c1", Remote: "1.2.3.4:5", ConnectedTime: at},
			`{"generation":"g1","persistent":false,"connected":true,"node":"n1","connection":"c1","remote":"1.2.3.4:5","connectedTime":"2026-01-02T03:04:05Z"}`,
		},
		"released": {
			Session{
				Generation: "g1", Persistent: true, Subscriptions: []Subscription{{"a/#", 1}}, Node: "n1", Connection: "c1", Remote: "1.2.3.4:5",
				ClientAgent: "x", ModelID: "dtmi:a;1", ConnectedTime: at, DisconnectedTime: at.Add(time.Second), Reason: "why", Code: hub.Unauthorized,
			},
			`{"generation":"g1","persistent":true,"subscriptions":[{"filter":"a/#","qos":1}],"connected":false,"node":"n1","connection":"c1","remote":"1.2.3.4:5",` +
				`"clientAgent":"x","modelId":"dtmi:a;1","connectedTime":"2026-01-02T03:04:05Z","disconnectedTime":"2026-01-02T03:04:06Z","reason":"why","errorCode":401003}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			stored := tc.s
			stored.ID, stored.Epoch, stored.Revision = hub.Identity{Device: "d"}, 5, 6 // not in the value
			b, err := json.Marshal(stored)
			if err != nil || string(b) != tc.want {
				t.Errorf("JSON %s, %v, want\n%s", b, err, tc.want)
			}
			var back Session
			if err := json.Unmarshal(b, &back); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.s, back); diff != "" {
				t.Errorf("read back (-want +got):\n%s", diff)
			}
		})
	}
}
