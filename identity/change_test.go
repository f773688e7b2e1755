package identity_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
)

func TestUpdateNeedsTheETag(t *testing.T) {
	for name, tc := range map[string]struct {
		ifMatch func(etag string) string
		want    hub.Code
	}{
		"star":        {func(string) string { return "*" }, 0},
		"quoted star": {func(string) string { return `"*"` }, 0},
		"etag":        {func(e string) string { return e }, 0},
		"quoted etag": {func(e string) string { return `"` + e + `"` }, 0},
		"stale etag":  {func(string) string { return "MQ==" }, hub.PreconditionFailed},
		"none":        {func(string) string { return "" }, hub.PreconditionFailed},
		"empty":       {func(string) string { return `""` }, hub.PreconditionFailed},
	} {
		t.Run(name, func(t *testing.T) {
			s, store := newRegistry()
			old := create(t, s, device("d1"))
			edit := old
			edit.Status = identity.StatusDisabled
			got, err := s.Update(t.Context(), edit, tc.ifMatch(old.ETag))
			if hub.CodeOf(err) != tc.want {
				t.Fatalf("Update: %v, want code %d", err, tc.want)
			}
			if err != nil {
				got = old
			}
			if !cmp.Equal(store.records[old.ID], got) {
				t.Errorf("stored is %+v, want %+v", store.records[old.ID].WithoutKeys(), got.WithoutKeys())
			}
		})
	}
	s, _ := newRegistry()
	if _, err := s.Update(t.Context(), device("nobody"), "*"); hub.CodeOf(err) != hub.DeviceNotFound {
		t.Errorf("update of nobody: %v, want DeviceNotFound", err)
	}
}

// Replaced is what the caller may decide, the rest stays.
func TestUpdateReplaces(t *testing.T) {
	s, _ := newRegistry()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s.Now = func() time.Time { return at }
	old := create(t, s, device("d1"))
	at = at.Add(time.Hour)

	next := old
	next.StatusReason, next.Edge = "why", true
	next.GenerationID, next.ETag, next.Revision = "1", "MQ==", 77
	next.CreatedTime, next.StatusUpdatedTime = at, at
	got, err := s.Update(t.Context(), next, "*")
	if err != nil {
		t.Fatal(err)
	}
	want := old
	want.Scope = "ms-azure-iot-edge://d1-" + old.GenerationID
	next.Scope = want.Scope
	want.StatusReason, want.Edge, want.ETag, want.Revision = "why", true, got.ETag, got.Revision
	if !cmp.Equal(got, want) {
		t.Errorf("updated to %+v, want %+v", got.WithoutKeys(), want.WithoutKeys())
	}
	if a, b := counterOf(t, old.ETag), counterOf(t, got.ETag); b != a+1 {
		t.Errorf("etag %d after %d", b, a)
	}

	next.Status = identity.StatusDisabled
	got, err = s.Update(t.Context(), next, got.ETag)
	if err != nil || !got.StatusUpdatedTime.Equal(at) {
		t.Errorf("status changed at %v, %v, want %v", got.StatusUpdatedTime, err, at)
	}
	at = at.Add(time.Hour)
	got, err = s.Update(t.Context(), next, got.ETag)
	if err != nil || got.StatusUpdatedTime.Equal(at) {
		t.Errorf("an unchanged status has the time %v, %v", got.StatusUpdatedTime, err)
	}
}

// PUT is a full replacement: without authentication there are new keys.
func TestUpdateWithoutKeysMakesNewOnes(t *testing.T) {
	s, _ := newRegistry()
	old := create(t, s, device("d1"))
	got, err := s.Update(t.Context(), device("d1"), "*")
	if err != nil {
		t.Fatal(err)
	}
	before, after := old.Authentication.SymmetricKey, got.Authentication.SymmetricKey
	if after.PrimaryKey == before.PrimaryKey || after.SecondaryKey == before.SecondaryKey || after.PrimaryKey == "" {
		t.Error("the keys are the old ones, or none")
	}
	bad := edited(func(r *identity.Record) { r.Status = "x" })
	if _, err := s.Update(t.Context(), bad, "*"); hub.CodeOf(err) != hub.ArgumentInvalid {
		t.Errorf("update to a bad status: %v, want ArgumentInvalid", err)
	}
}

// An etag that is no counter, in a record from elsewhere, is replaced.
func TestUpdateOfAForeignETag(t *testing.T) {
	for name, etag := range map[string]string{
		"no base64": "***", "no number": "YWJj", "negative": base64.StdEncoding.EncodeToString([]byte("-5")), "empty": "",
	} {
		t.Run(name, func(t *testing.T) {
			s, store := newRegistry()
			r := create(t, s, device("d1"))
			r.ETag = etag
			store.records[r.ID] = r
			got, err := s.Update(t.Context(), r, "*")
			if err != nil || got.ETag == etag || counterOf(t, got.ETag) < 0 {
				t.Errorf("etag %q, %v", got.ETag, err)
			}
		})
	}
}

func TestSetStatus(t *testing.T) {
	s, _ := newRegistry()
	old := create(t, s, device("d1"))
	create(t, s, module("d1", "m1"))
	got, err := s.SetStatus(t.Context(), old.ID, identity.StatusDisabled, "lost")
	if err != nil {
		t.Fatal(err)
	}
	want := old
	want.Status, want.StatusReason = identity.StatusDisabled, "lost"
	want.ETag, want.StatusUpdatedTime, want.Revision = got.ETag, got.StatusUpdatedTime, got.Revision
	if !cmp.Equal(got, want) || got.StatusUpdatedTime.IsZero() || got.ETag == old.ETag {
		t.Errorf("now %+v, want %+v", got.WithoutKeys(), want.WithoutKeys())
	}
	for name, tc := range map[string]struct {
		id     hub.Identity
		status identity.Status
		want   hub.Code
	}{
		"a module":        {hub.Identity{Device: "d1", Module: "m1"}, identity.StatusDisabled, hub.ArgumentInvalid},
		"no status":       {old.ID, "", hub.ArgumentInvalid},
		"no such status":  {old.ID, "asleep", hub.ArgumentInvalid},
		"no such device":  {hub.Identity{Device: "d2"}, identity.StatusEnabled, hub.DeviceNotFound},
		"no such id":      {hub.Identity{Device: "d 2"}, identity.StatusEnabled, hub.ArgumentInvalid},
		"enabled, as was": {old.ID, identity.StatusEnabled, 0},
	} {
		if _, err := s.SetStatus(t.Context(), tc.id, tc.status, ""); hub.CodeOf(err) != tc.want {
			t.Errorf("%s: %v, want %d", name, err, tc.want)
		}
	}
}

func TestRegenerateKeys(t *testing.T) {
	s, _ := newRegistry()
	r := create(t, s, device("d1"))
	for which, want := range map[identity.KeyChoice][2]bool{
		identity.PrimaryKey: {true, false}, identity.SecondaryKey: {false, true}, identity.BothKeys: {true, true},
	} {
		before := r.Authentication.SymmetricKey
		var err error
		if r, err = s.RegenerateKeys(t.Context(), r.ID, which); err != nil {
			t.Fatal(err)
		}
		after := r.Authentication.SymmetricKey
		if (before.PrimaryKey != after.PrimaryKey) != want[0] || (before.SecondaryKey != after.SecondaryKey) != want[1] {
			t.Errorf("%s changed the wrong keys", which)
		}
		if keys, err := r.Keys(); err != nil || len(keys) != 2 || string(keys[0]) == string(keys[1]) {
			t.Errorf("%d keys, %v, want 2 different ones", len(keys), err)
		}
	}
	if _, err := s.RegenerateKeys(t.Context(), r.ID, "third"); hub.CodeOf(err) != hub.ArgumentInvalid {
		t.Errorf("third key: %v, want ArgumentInvalid", err)
	}
	create(t, s, edited(func(r *identity.Record) { r.ID.Device, r.Authentication.Type = "ca", identity.AuthCA }))
	if _, err := s.RegenerateKeys(t.Context(), hub.Identity{Device: "ca"}, identity.BothKeys); hub.CodeOf(err) != hub.ArgumentInvalid {
		t.Errorf("keys of a device without: %v, want ArgumentInvalid", err)
	}
}

// A change is tried again after somebody else's, but not for ever, and not
// when the caller insists on an etag that the other one has moved.
func TestChangesAreTriedAgain(t *testing.T) {
	const tries = 10
	for races, want := range map[int]hub.Code{0: 0, 1: 0, tries - 1: 0, tries: hub.ServiceUnavailable} {
		s, store := newRegistry()
		r := create(t, s, device("d1"))
		store.races = races
		if _, err := s.SetStatus(t.Context(), r.ID, identity.StatusDisabled, ""); hub.CodeOf(err) != want {
			t.Errorf("change after %d races: %v, want %d", races, err, want)
		}
		store.races = races
		if err := s.Delete(t.Context(), r.ID, "*"); hub.CodeOf(err) != want {
			t.Errorf("delete after %d races: %v, want %d", races, err, want)
		}
	}
}

func TestAnETagIsNotTriedAgain(t *testing.T) {
	for name, call := range map[string]func(*identity.Registry, identity.Record) error{
		"update": func(s *identity.Registry, r identity.Record) error {
			_, err := s.Update(t.Context(), r, r.ETag)
			return err
		},
		"delete": func(s *identity.Registry, r identity.Record) error { return s.Delete(t.Context(), r.ID, r.ETag) },
	} {
		t.Run(name, func(t *testing.T) {
			s, store := newRegistry()
			r := create(t, s, device("d1"))
			store.before = func(op string, _ hub.Identity) {
				if op != name {
					return
				}
				store.before = nil
				if _, err := s.SetStatus(t.Context(), r.ID, identity.StatusDisabled, "other"); err != nil {
					t.Error(err)
				}
			}
			if err := call(s, r); hub.CodeOf(err) != hub.PreconditionFailed {
				t.Errorf("%v, want PreconditionFailed", err)
			}
			if got := store.records[r.ID]; got.StatusReason != "other" {
				t.Errorf("the other's change is gone: %+v", got.WithoutKeys())
			}
		})
	}
}

func TestDelete(t *testing.T) {
	s, store := newRegistry()
	d1 := create(t, s, device("d1"))
	m1 := create(t, s, module("d1", "m1"))
	create(t, s, module("d1", "m2"))
	create(t, s, device("d2"))
	create(t, s, module("d2", "m1"))
	for name, tc := range map[string]struct {
		id      hub.Identity
		ifMatch string
		want    hub.Code
	}{
		"no If-Match":     {d1.ID, "", hub.PreconditionFailed},
		"empty If-Match":  {d1.ID, `""`, hub.PreconditionFailed},
		"half quoted":     {d1.ID, `"*`, hub.PreconditionFailed},
		"quoted behind":   {d1.ID, `*"`, hub.PreconditionFailed},
		"a quote":         {d1.ID, `"`, hub.PreconditionFailed},
		"half an etag":    {d1.ID, `"` + d1.ETag, hub.PreconditionFailed},
		"stale etag":      {d1.ID, "MQ==", hub.PreconditionFailed},
		"module's etag":   {d1.ID, m1.ETag, hub.PreconditionFailed},
		"nobody":          {hub.Identity{Device: "nobody"}, "*", hub.DeviceNotFound},
		"nobody's module": {hub.Identity{Device: "d1", Module: "x"}, "*", hub.ModuleNotFound},
		"not an id":       {hub.Identity{Device: "a b"}, "*", hub.ArgumentInvalid},
	} {
		if err := s.Delete(t.Context(), tc.id, tc.ifMatch); hub.CodeOf(err) != tc.want || len(store.records) != 5 {
			t.Errorf("%s: %v, %d left, want %d and 5", name, err, len(store.records), tc.want)
		}
	}
	if err := s.Delete(t.Context(), m1.ID, `"`+m1.ETag+`"`); err != nil || len(store.records) != 4 {
		t.Errorf("delete a module: %v, %d left, want 4", err, len(store.records))
	}
	if err := s.Delete(t.Context(), d1.ID, d1.ETag); err != nil || len(store.records) != 2 {
		t.Errorf("delete a device with a module: %v, %d left, want 2", err, len(store.records))
	}
	if err := s.Delete(t.Context(), d1.ID, "*"); hub.CodeOf(err) != hub.DeviceNotFound {
		t.Errorf("delete again: %v, want DeviceNotFound", err)
	}
}

// A module that comes, or goes, while its device is deleted does not matter.
func TestDeleteWhileModulesChange(t *testing.T) {
	s, store := newRegistry()
	d1 := create(t, s, device("d1"))
	m1 := create(t, s, module("d1", "m1"))
	late := module("d1", "late")
	var told diary
	s.Events = &told
	store.before = func(op string, id hub.Identity) {
		switch {
		case op == "delete" && id == m1.ID:
			delete(store.records, id) // somebody else did it
		case op == "delete" && id == d1.ID:
			store.put(late) // by a Create that has seen the device
		}
	}
	if err := s.Delete(t.Context(), d1.ID, "*"); err != nil {
		t.Fatal(err)
	}
	if len(store.records) != 0 {
		t.Errorf("%d records left, want none", len(store.records))
	}
	if got, want := strings.Join(told, " "), "-d1 -d1/late"; got != want {
		t.Errorf("told was %s, want %s", got, want)
	}
}

func TestErrorsNameTheIdentity(t *testing.T) {
	dev, mod := hub.Identity{Device: "d1"}, hub.Identity{Device: "d1", Module: "m1"}
	for err, want := range map[error]string{
		identity.NotFound(dev):      "404001 DeviceNotFound: the device d1 does not exist",
		identity.NotFound(mod):      "404010 ModuleNotFound: the module d1/m1 does not exist",
		identity.AlreadyExists(dev): "409001 DeviceAlreadyExists: the device d1 exists already",
		identity.AlreadyExists(mod): "409301 ModuleAlreadyExistsOnDevice: the module d1/m1 exists already",
	} {
		if err.Error() != want {
			t.Errorf("error %q, want %q", err, want)
		}
	}
}
