package backendtest

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/session"
)

// Sessions tests a session.Store. open returns an empty one; it is called once
// for each subtest.
func Sessions(t *testing.T, open func(t *testing.T) session.Store) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, session.Store){
		"a claim is stored":                     claimStored,
		"there is no session before a claim":    getNone,
		"a claim displaces the owner":           claimDisplaces,
		"a persistent session is resumed":       resume,
		"a displaced owner's session is too":    resumeDisplaced,
		"what is saved is stored":               saveStored,
		"a release is stored":                   releaseStored,
		"a displaced owner can't write":         fence,
		"a displaced owner of before can't too": fenceOld,
		"a session of any legal id is its own":  oddSessions,
		"many claims have one order":            claimRace,
		"claims are told":                       watchClaims,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// connecting returns a session as it is claimed: a connection has just come.
func connecting(device, connection string) session.Session {
	return session.Session{
		ID: hub.Identity{Device: device}, Generation: "g1", Persistent: true, Connected: true,
		Node: "node-" + connection, Connection: connection, Remote: "192.0.2.1:4711",
		ClientAgent: "azure-iot-device/1.18 (größe \"x\")", ModelID: "dtmi:com:example:Thermostat;1",
		ConnectedTime: time.Date(2026, 1, 2, 3, 4, 5, 678_900_000, time.UTC),
	}
}

func claim(t *testing.T, s session.Store, v session.Session) (claimed session.Session, present bool) {
	t.Helper()
	claimed, present, err := s.Claim(t.Context(), v)
	if err != nil {
		t.Fatalf("claim %s: %v", v.ID, err)
	}
	if claimed.Epoch == 0 || claimed.Revision != claimed.Epoch {
		t.Fatalf("claimed with epoch %d and revision %d, want the same and not 0", claimed.Epoch, claimed.Revision)
	}
	return claimed, present
}

// holds fails unless the store's session is want.
func holds(t *testing.T, s session.Store, want session.Session) {
	t.Helper()
	got, err := s.Get(t.Context(), want.ID)
	if err != nil {
		t.Fatalf("get %s: %v", want.ID, err)
	}
	ofClaims := cmpopts.IgnoreFields(session.Session{}, "Resumed", "Cut", "Contested", "Displaced", "DisplacedNode")
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), ofClaims); diff != "" {
		t.Errorf("session of %s (-want +got):\n%s", want.ID, diff)
	}
}

func save(t *testing.T, s session.Store, v *session.Session) {
	t.Helper()
	before := v.Revision
	if err := s.Save(t.Context(), v); err != nil {
		t.Fatalf("save %s: %v", v.ID, err)
	}
	if v.Revision <= before {
		t.Errorf("revision %d after %d", v.Revision, before)
	}
}

func claimStored(t *testing.T, s session.Store) {
	want := connecting("d", "c1")
	got, present := claim(t, s, want)
	if present {
		t.Error("there was a session before the first claim")
	}
	want.Epoch, want.Revision = got.Epoch, got.Revision
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("claimed (-want +got):\n%s", diff)
	}
	holds(t, s, want)
}

func getNone(t *testing.T, s session.Store) {
	claim(t, s, connecting("d", "c1"))
	for _, id := range []hub.Identity{{Device: "D"}, {Device: "d", Module: "m"}, {Device: "e"}} {
		got, err := s.Get(t.Context(), id)
		if err != nil {
			t.Errorf("get %s: %v", id, err)
		}
		if diff := cmp.Diff(session.Session{}, got); diff != "" {
			t.Errorf("session of %s (-want +got):\n%s", id, diff)
		}
	}
}

func claimDisplaces(t *testing.T, s session.Store) {
	first, _ := claim(t, s, connecting("d", "c1"))
	second, present := claim(t, s, connecting("d", "c2"))
	if !present || second.Epoch <= first.Epoch || !second.Cut || !second.Contested {
		t.Errorf("present %v, cut %v, epoch %d after %d", present, second.Cut, second.Epoch, first.Epoch)
	}
	if second.Displaced != first.Remote || second.DisplacedNode != first.Node {
		t.Errorf("displaced %q on %q, want %q on %q", second.Displaced, second.DisplacedNode, first.Remote, first.Node)
	}
	if len(second.Ends) != 1 || second.Ends[0].Epoch != first.Epoch || second.Ends[0].Connection != "c1" {
		t.Errorf("the claim says of whom it displaced: %+v", second.Ends)
	}
	holds(t, s, second)
}

func resume(t *testing.T, s session.Store) {
	subs := []session.Subscription{{Filter: "$iothub/twin/res/#", QoS: 0}, {Filter: "devices/d/messages/devicebound/#", QoS: 1}}
	for name, tc := range map[string]struct {
		change  func(first, second *session.Session)
		present bool
	}{
		"resumed":                       {func(_, _ *session.Session) {}, true},
		"[MQTT3-3.1.2-6] clean before":  {func(first, _ *session.Session) { first.Persistent = false }, false},
		"[MQTT3-3.1.2-6] clean now":     {func(_, second *session.Session) { second.Persistent = false }, false},
		"another generation":            {func(_, second *session.Session) { second.Generation = "g2" }, false},
		"what a claim brings is no use": {func(_, second *session.Session) { second.Subscriptions = []session.Subscription{{Filter: "x"}} }, true},
	} {
		t.Run(name, func(t *testing.T) {
			id := fmt.Sprintf("d%x", name) // each case has a device of its own
			first, second := connecting(id, "c1"), connecting(id, "c2")
			tc.change(&first, &second)
			first, _ = claim(t, s, first)
			for _, sub := range subs {
				first.Subscribe(sub)
			}
			save(t, s, &first)
			if err := s.Release(t.Context(), &first); err != nil {
				t.Fatal(err)
			}
			got, present := claim(t, s, second)
			want := second
			want.Subscriptions = nil
			if tc.present {
				want.Subscriptions = subs
			}
			want.Epoch, want.Revision, want.Resumed = got.Epoch, got.Revision, tc.present
			want.Ends = got.Ends // those that the store has not told yet
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" || present != tc.present {
				t.Errorf("present %v, want %v; session (-want +got):\n%s", present, tc.present, diff)
			}
			holds(t, s, want)
		})
	}
}

func resumeDisplaced(t *testing.T, s session.Store) {
	first, _ := claim(t, s, connecting("d", "c1"))
	first.Subscribe(session.Subscription{Filter: "a/#", QoS: 1})
	save(t, s, &first)
	second, present := claim(t, s, connecting("d", "c2")) // while the first is still connected
	if diff := cmp.Diff(first.Subscriptions, second.Subscriptions); diff != "" || !present {
		t.Errorf("present %v; subscriptions (-want +got):\n%s", present, diff)
	}
	clean := connecting("d", "c3")
	clean.Persistent = false
	claim(t, s, clean)
	last, present := claim(t, s, connecting("d", "c4"))
	if present || len(last.Subscriptions) != 0 {
		t.Errorf("present %v, subscriptions %v after a clean session, want none", present, last.Subscriptions)
	}
}

func saveStored(t *testing.T, s session.Store) {
	v, _ := claim(t, s, connecting("d", "c1"))
	epoch := v.Epoch
	for _, filter := range []string{"b/#", "a/+/c", "größe/漢字"} {
		v.Subscribe(session.Subscription{Filter: filter, QoS: 1})
		save(t, s, &v)
		holds(t, s, v)
	}
	v.Unsubscribe("b/#")
	save(t, s, &v)
	holds(t, s, v)
	if v.Epoch != epoch {
		t.Errorf("epoch %d became %d", epoch, v.Epoch)
	}
}

func releaseStored(t *testing.T, s session.Store) {
	for name, persistent := range map[string]bool{"persistent": true, "clean": false} {
		v := connecting(name, "c1")
		v.Persistent = persistent
		v, _ = claim(t, s, v)
		v.DisconnectedTime = v.ConnectedTime.Add(time.Hour)
		v.Reason, v.Code = "the token expired", hub.Unauthorized
		if err := s.Release(t.Context(), &v); err != nil {
			t.Fatalf("release: %v", err)
		}
		if v.Connected {
			t.Error("still connected after Release")
		}
		holds(t, s, v) // when the device was last here is kept
	}
}

func fence(t *testing.T, s session.Store) {
	first, _ := claim(t, s, connecting("d", "c1"))
	second, _ := claim(t, s, connecting("d", "c2"))
	first.Subscribe(session.Subscription{Filter: "late"})
	fails(t, "save", s.Save(t.Context(), &first), hub.ConnectionReplaced)
	fails(t, "release", s.Release(t.Context(), &first), hub.ConnectionReplaced)
	holds(t, s, second)
	second.Subscribe(session.Subscription{Filter: "mine"})
	save(t, s, &second)
	fails(t, "save", s.Save(t.Context(), &first), hub.ConnectionReplaced)
	holds(t, s, second)
}

// fenceOld is about an owner that comes back after its successor has gone.
func fenceOld(t *testing.T, s session.Store) {
	first, _ := claim(t, s, connecting("d", "c1"))
	save(t, s, &first)
	second, _ := claim(t, s, connecting("d", "c2"))
	if err := s.Release(t.Context(), &second); err != nil {
		t.Fatal(err)
	}
	fails(t, "save", s.Save(t.Context(), &first), hub.ConnectionReplaced)
	fails(t, "release", s.Release(t.Context(), &first), hub.ConnectionReplaced)
	holds(t, s, second)
}

func oddSessions(t *testing.T, s session.Store) {
	var all []session.Session
	for _, id := range append(oddIDs(), "50%", "(),:;@") {
		for _, mod := range []string{"", "m", id} {
			v := connecting(id, "c"+id)
			v.ID.Module = mod
			v, present := claim(t, s, v)
			if present {
				t.Errorf("%s had a session before its first claim", v.ID)
			}
			all = append(all, v)
		}
	}
	for _, v := range all {
		holds(t, s, v)
	}
}

func claimRace(t *testing.T, s session.Store) {
	claimed := make([]session.Session, racers)
	for _, err := range race(func(i int) (err error) {
		claimed[i], _, err = s.Claim(t.Context(), connecting("d", string(rune('a'+i))))
		return err
	}) {
		if err != nil {
			t.Fatalf("claim: %v", err)
		}
	}
	last, err := s.Get(t.Context(), hub.Identity{Device: "d"})
	if err != nil {
		t.Fatal(err)
	}
	epochs := map[uint64]bool{}
	for _, v := range claimed {
		epochs[v.Epoch] = true
		if v.Epoch > last.Epoch {
			t.Errorf("epoch %d, but that of %d is stored", v.Epoch, last.Epoch)
		}
		if v.Epoch < last.Epoch {
			fails(t, "save by a displaced owner", s.Save(t.Context(), &v), hub.ConnectionReplaced)
		}
	}
	if len(epochs) != racers {
		t.Errorf("%d different epochs of %d claims", len(epochs), racers)
	}
	holds(t, s, last)
}

func watchClaims(t *testing.T, s session.Store) {
	claim(t, s, connecting("before", "c0"))
	told := watch(t, s.Watch, func() { claim(t, s, connecting("door", "knock")) },
		func(c session.Claim) bool { return c.ID.Device == "door" })
	for _, id := range []hub.Identity{{Device: "a.b"}, {Device: "a.b", Module: "$m*"}, {Device: "a.b"}} {
		v := connecting(id.Device, "c1")
		v.ID = id
		v, _ = claim(t, s, v)
		save(t, s, &v) // is no claim
		want := session.Claim{ID: id, Epoch: v.Epoch, Node: v.Node, Connection: v.Connection}
		if diff := cmp.Diff(want, next(t, told)); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
	}
}
