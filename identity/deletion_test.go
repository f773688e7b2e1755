package identity_test

import (
	"testing"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
)

func createdIn(t *testing.T, s *identity.Registry, id hub.Identity) identity.Record {
	t.Helper()
	r, err := s.Create(t.Context(), identity.Record{ID: id})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestRefusedDeletionKeepsModules: a deletion that is refused because of the etag must leave the modules.
func TestRefusedDeletionKeepsModules(t *testing.T) {
	s, store := newRegistry()
	d, m := hub.Identity{Device: "d"}, hub.Identity{Device: "d", Module: "m"}
	r := createdIn(t, s, d)
	createdIn(t, s, m)
	store.before = func(op string, id hub.Identity) {
		if op == "list" && id == d { // between the look at the etag and the deletion
			store.before = nil
			if _, err := s.SetStatus(t.Context(), d, identity.StatusDisabled, "maintenance"); err != nil {
				t.Fatal(err)
			}
		}
	}
	err := s.Delete(t.Context(), d, r.ETag)
	if hub.CodeOf(err) != hub.PreconditionFailed {
		t.Fatalf("Delete: %v", err)
	}
	if _, err := s.Get(t.Context(), m); err != nil {
		t.Errorf("the deletion was refused with 412, and the module is gone: %v", err)
	}
}

// TestDeletionLeavesModulesOfTheNextDevice: the end of a deletion must leave the modules of who came after it.
func TestDeletionLeavesModulesOfTheNextDevice(t *testing.T) {
	s, store := newRegistry()
	d, m := hub.Identity{Device: "d"}, hub.Identity{Device: "d", Module: "m"}
	createdIn(t, s, d)
	store.before = func(op string, id hub.Identity) {
		if _, there := store.records[d]; op == "list" && id == d && !there { // its late modules are to be looked for
			store.before = nil
			createdIn(t, s, d)
			createdIn(t, s, m)
		}
	}
	if err := s.Delete(t.Context(), d, "*"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), m); err != nil {
		t.Errorf("the module of the device that was created again is gone: %v", err)
	}
}

// TestInterruptedEdgeDevice: an edge device whose modules could not be made gets them by the next update.
func TestInterruptedEdgeDevice(t *testing.T) {
	s, store := newRegistry()
	d := hub.Identity{Device: "d"}
	store.before = func(op string, id hub.Identity) {
		if op == "create" && id.IsModule() {
			store.fail = hub.Errorf(hub.ServiceUnavailable, "away")
		}
	}
	if _, err := s.Create(t.Context(), identity.Record{ID: d, Edge: true}); err == nil {
		t.Fatal("no error")
	}
	store.before, store.fail = nil, nil
	r, err := s.Get(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Update(t.Context(), r, "*"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), hub.Identity{Device: "d", Module: "$edgeAgent"}); err != nil {
		t.Error(err)
	}
}

// TestDeletionOfTheNextDevice: who may delete a device by its etag does not delete the one that was made under its name meanwhile.
func TestDeletionOfTheNextDevice(t *testing.T) {
	s, store := newRegistry()
	d, m := hub.Identity{Device: "d"}, hub.Identity{Device: "d", Module: "m"}
	r := createdIn(t, s, d)
	createdIn(t, s, m)
	var next identity.Record
	store.before = func(op string, id hub.Identity) {
		if now, there := store.records[d]; op == "get" && id == d && there && now.ETag != r.ETag { // the etag is used up
			store.before = nil
			if err := s.Delete(t.Context(), d, "*"); err != nil {
				t.Fatal(err)
			}
			next = createdIn(t, s, d)
		}
	}
	if err := s.Delete(t.Context(), d, r.ETag); hub.CodeOf(err) != hub.PreconditionFailed {
		t.Errorf("Delete: %v", err)
	}
	if got, err := s.Get(t.Context(), d); err != nil || got.GenerationID != next.GenerationID {
		t.Errorf("the device that was made meanwhile: %v, %v", got.GenerationID, err)
	}
}
