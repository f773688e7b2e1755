package identity

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// mapStore is a Store in a map, with faults on demand. The real one is tested
// beside NATS.
type mapStore struct {
	mu       sync.Mutex
	records  map[hub.Identity]Record
	revision uint64
	races    int // how many more writes lose against somebody else
	fail     error
}

func (s *mapStore) Get(_ context.Context, id hub.Identity) (Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.records[id]
	if !ok {
		return Record{}, NotFound(id)
	}
	return r, s.fail
}

func (s *mapStore) Create(_ context.Context, r Record) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.records[r.ID]; ok {
		return 0, AlreadyExists(r.ID)
	}
	return s.put(r), s.fail
}

func (s *mapStore) Update(_ context.Context, r Record) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(r); err != nil {
		return 0, err
	}
	return s.put(r), s.fail
}

func (s *mapStore) Delete(_ context.Context, r Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(r); err != nil {
		return err
	}
	delete(s.records, r.ID)
	return s.fail
}

func (s *mapStore) check(r Record) error {
	if s.races > 0 {
		s.races--
		other := s.records[r.ID]
		s.put(other)
	}
	if s.records[r.ID].Revision != r.Revision {
		return hub.Errorf(hub.PreconditionFailed, "revision %d is not current", r.Revision)
	}
	return nil
}

func (s *mapStore) put(r Record) uint64 {
	s.revision++
	r.Revision = s.revision
	s.records[r.ID] = r
	return r.Revision
}

func (s *mapStore) List(_ context.Context, q Query) ([]Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Record
	for id, r := range s.records {
		inList := q.Device == "" && !id.IsModule() && id.Device > q.After
		if q.Device != "" {
			inList = id.Device == q.Device && id.IsModule() && id.Module > q.After
		}
		if inList {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b Record) int { return cmp.Compare(a.ID.String(), b.ID.String()) })
	if q.Limit > 0 {
		all = all[:min(len(all), q.Limit)]
	}
	return all, s.fail
}

func newRegistry() (*Registry, *mapStore) {
	s := &mapStore{records: map[hub.Identity]Record{}}
	return &Registry{Store: s}, s
}

func device(id string) Record { return Record{ID: hub.Identity{Device: id}} }

func module(dev, mod string) Record { return Record{ID: hub.Identity{Device: dev, Module: mod}} }

func create(t *testing.T, s *Registry, r Record) Record {
	t.Helper()
	got, err := s.Create(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestCreateFillsIn(t *testing.T) {
	s, _ := newRegistry()
	r := create(t, s, device("d1"))
	keys, err := r.Keys()
	if err != nil || len(keys) != 2 || len(keys[0]) != 32 || string(keys[0]) == string(keys[1]) {
		t.Errorf("keys of %d, %v: want two different ones of 32 bytes", len(keys), err)
	}
	if r.Status != StatusEnabled || r.Authentication.Type != AuthSAS || r.CreatedTime.IsZero() || r.Revision == 0 {
		t.Errorf("record %+v", r.WithoutKeys())
	}
	counter, err := base64.StdEncoding.DecodeString(r.ETag)
	if _, err2 := strconv.Atoi(string(counter)); err != nil || err2 != nil {
		t.Errorf("etag %q is not base64 of a number", r.ETag)
	}
	if len(r.GenerationID) != 18 {
		t.Errorf("generation id %q, want .NET ticks", r.GenerationID)
	}
	second := create(t, s, device("d2"))
	if second.GenerationID <= r.GenerationID {
		t.Errorf("generation ids %s, %s do not go up", r.GenerationID, second.GenerationID)
	}
}

func TestCreateRefuses(t *testing.T) {
	good := base64.StdEncoding.EncodeToString(make([]byte, 16))
	with := func(edit func(*Record)) Record {
		r := device("new")
		edit(&r)
		return r
	}
	auth := func(a Authentication) Record { return with(func(r *Record) { r.Authentication = a }) }
	for name, tc := range map[string]struct {
		r    Record
		want hub.Code
	}{
		"exists":               {device("d1"), hub.DeviceAlreadyExists},
		"module exists":        {module("d1", "m1"), hub.ModuleAlreadyExists},
		"module of nobody":     {module("nobody", "m1"), hub.DeviceNotFound},
		"empty id":             {device(""), hub.ArgumentInvalid},
		"id with a slash":      {device("a/b"), hub.ArgumentInvalid},
		"id with a space":      {device("a b"), hub.ArgumentInvalid},
		"id of 129 characters": {device(strings.Repeat("a", 129)), hub.ArgumentInvalid},
		"module with $":        {module("d1", "$edgeHub"), hub.ArgumentInvalid},
		"one key":              {auth(Authentication{SymmetricKey: SymmetricKey{PrimaryKey: good}}), hub.ArgumentInvalid},
		"short key":            {auth(Authentication{SymmetricKey: SymmetricKey{"YWJj", good}}), hub.ArgumentInvalid},
		"key is no base64":     {auth(Authentication{SymmetricKey: SymmetricKey{good, "***"}}), hub.ArgumentInvalid},
		"no such type":         {auth(Authentication{Type: "password"}), hub.ArgumentInvalid},
		"device without any":   {auth(Authentication{Type: AuthNone}), hub.ArgumentInvalid},
		"bad thumbprint":       {auth(Authentication{Type: AuthSelfSigned, X509Thumbprint: Thumbprints{"ab:cd", ""}}), hub.ArgumentInvalid},
		"short thumbprint":     {auth(Authentication{Type: AuthSelfSigned, X509Thumbprint: Thumbprints{"", "abcd"}}), hub.ArgumentInvalid},
		"no such status":       {with(func(r *Record) { r.Status = "asleep" }), hub.ArgumentInvalid},
		"long status reason":   {with(func(r *Record) { r.StatusReason = strings.Repeat("a", 129) }), hub.ArgumentInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			s, store := newRegistry()
			create(t, s, device("d1"))
			create(t, s, module("d1", "m1"))
			if r, err := s.Create(t.Context(), tc.r); hub.CodeOf(err) != tc.want {
				t.Errorf("Create: %+v, %v, want %d", r, err, tc.want)
			}
			if len(store.records) != 2 {
				t.Errorf("%d records are stored, want 2", len(store.records))
			}
		})
	}
}

func TestCreateTakes(t *testing.T) {
	key := base64.StdEncoding.EncodeToString(make([]byte, 64))
	for name, tc := range map[string]struct{ in, want Authentication }{
		"own keys, the same":   {Authentication{SymmetricKey: SymmetricKey{key, key}}, Authentication{SymmetricKey: SymmetricKey{key, key}, Type: AuthSAS}},
		"SHA-1 and SHA-256":    {Authentication{Type: AuthSelfSigned, X509Thumbprint: Thumbprints{strings.Repeat("aB", 20), strings.Repeat("0f", 32)}}, Authentication{Type: AuthSelfSigned, X509Thumbprint: Thumbprints{strings.Repeat("aB", 20), strings.Repeat("0f", 32)}}},
		"CA, keys are useless": {Authentication{Type: AuthCA, SymmetricKey: SymmetricKey{key, key}}, Authentication{Type: AuthCA}},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := newRegistry()
			r := device("d1")
			r.Authentication = tc.in
			if got := create(t, s, r).Authentication; got != tc.want {
				t.Errorf("authentication %+v, want %+v", got, tc.want)
			}
		})
	}
	s, _ := newRegistry()
	create(t, s, device("d1"))
	m := module("d1", "m1")
	m.Authentication.Type, m.Status, m.Edge = AuthNone, StatusDisabled, true
	if got := create(t, s, m); got.Authentication.Type != AuthSAS || got.Status != "" || got.Edge {
		t.Errorf("module %+v, want sas, and neither status nor capabilities", got.WithoutKeys())
	}
}

func TestModulesAreLimited(t *testing.T) {
	s, _ := newRegistry()
	create(t, s, device("d1"))
	for i := range MaxModules {
		create(t, s, module("d1", "m"+strconv.Itoa(i)))
	}
	if _, err := s.Create(t.Context(), module("d1", "one-more")); hub.CodeOf(err) != hub.TooManyModules {
		t.Errorf("module %d: %v, want TooManyModules", MaxModules+1, err)
	}
	if err := s.Delete(t.Context(), hub.Identity{Device: "d1", Module: "m0"}, "*"); err != nil {
		t.Fatal(err)
	}
	create(t, s, module("d1", "one-more")) // the limit counts what is there
}

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
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := newRegistry()
			old := create(t, s, device("d1"))
			edit := old
			edit.Status, edit.StatusReason = StatusDisabled, "stolen"
			got, err := s.Update(t.Context(), edit, tc.ifMatch(old.ETag))
			if hub.CodeOf(err) != tc.want {
				t.Fatalf("Update: %v, want code %d", err, tc.want)
			}
			if err != nil {
				return
			}
			if got.Status != StatusDisabled || got.StatusUpdatedTime.IsZero() || got.ETag == old.ETag ||
				got.GenerationID != old.GenerationID || got.Authentication != old.Authentication {
				t.Errorf("updated %+v", got.WithoutKeys())
			}
		})
	}
	s, _ := newRegistry()
	if _, err := s.Update(t.Context(), device("nobody"), "*"); hub.CodeOf(err) != hub.DeviceNotFound {
		t.Errorf("update of nobody: %v", err)
	}
}

func TestUpdateWithoutKeysMakesNewOnes(t *testing.T) {
	s, _ := newRegistry()
	old := create(t, s, device("d1"))
	got, err := s.Update(t.Context(), device("d1"), "*")
	if err != nil || got.Authentication.SymmetricKey == old.Authentication.SymmetricKey || got.Authentication.SymmetricKey.PrimaryKey == "" {
		t.Errorf("keys unchanged or missing: %v", err)
	}
	if _, err := s.Update(t.Context(), func() Record { r := device("d1"); r.Status = "x"; return r }(), "*"); hub.CodeOf(err) != hub.ArgumentInvalid {
		t.Errorf("update to a bad status: %v", err)
	}
}

func TestSetStatusAndKeys(t *testing.T) {
	s, _ := newRegistry()
	old := create(t, s, device("d1"))
	r, err := s.SetStatus(t.Context(), "d1", StatusDisabled, "lost")
	if err != nil || r.Status != StatusDisabled || r.StatusReason != "lost" {
		t.Errorf("SetStatus: %+v, %v", r.WithoutKeys(), err)
	}
	for which, want := range map[KeyChoice][2]bool{PrimaryKey: {true, false}, SecondaryKey: {false, true}, BothKeys: {true, true}} {
		before := r.Authentication.SymmetricKey
		if r, err = s.RegenerateKeys(t.Context(), old.ID, which); err != nil {
			t.Fatal(err)
		}
		after := r.Authentication.SymmetricKey
		if (before.PrimaryKey != after.PrimaryKey) != want[0] || (before.SecondaryKey != after.SecondaryKey) != want[1] {
			t.Errorf("%s changed the wrong keys", which)
		}
	}
	if _, err := s.RegenerateKeys(t.Context(), old.ID, "third"); hub.CodeOf(err) != hub.ArgumentInvalid {
		t.Errorf("third key: %v", err)
	}
}

// A change is tried again after somebody else's, but not for ever, and not
// when the caller insists on an etag that the other one has moved.
func TestChangesRetryAfterARace(t *testing.T) {
	s, store := newRegistry()
	create(t, s, device("d1"))
	store.races = retries - 1
	if _, err := s.SetStatus(t.Context(), "d1", StatusDisabled, ""); err != nil {
		t.Errorf("after %d races: %v", retries-1, err)
	}
	store.races = retries
	if _, err := s.SetStatus(t.Context(), "d1", StatusEnabled, ""); hub.CodeOf(err) != hub.PreconditionFailed {
		t.Errorf("after %d races: %v, want PreconditionFailed", retries, err)
	}
	store.races = retries - 1
	if err := s.Delete(t.Context(), hub.Identity{Device: "d1"}, "*"); err != nil {
		t.Errorf("delete after %d races: %v", retries-1, err)
	}
}

func TestDelete(t *testing.T) {
	s, store := newRegistry()
	create(t, s, device("d1"))
	create(t, s, module("d1", "m1"))
	create(t, s, module("d1", "m2"))
	create(t, s, device("d2"))
	id := hub.Identity{Device: "d1"}
	if err := s.Delete(t.Context(), id, ""); hub.CodeOf(err) != hub.PreconditionFailed {
		t.Errorf("delete without If-Match: %v", err)
	}
	if err := s.Delete(t.Context(), id, "MQ=="); hub.CodeOf(err) != hub.PreconditionFailed || len(store.records) != 4 {
		t.Errorf("delete with a stale etag: %v, %d records left", err, len(store.records))
	}
	if err := s.Delete(t.Context(), id, "*"); err != nil {
		t.Fatal(err)
	}
	if len(store.records) != 1 {
		t.Errorf("%d records left, want that of d2", len(store.records))
	}
	if err := s.Delete(t.Context(), id, "*"); hub.CodeOf(err) != hub.DeviceNotFound {
		t.Errorf("delete again: %v", err)
	}
}

func TestList(t *testing.T) {
	s, store := newRegistry()
	for _, id := range []string{"b", "a", "c"} {
		create(t, s, device(id))
	}
	create(t, s, module("b", "m2"))
	create(t, s, module("b", "m1"))
	for name, tc := range map[string]struct {
		q    Query
		want string
	}{
		"devices":   {Query{}, "a b c"},
		"first two": {Query{Limit: 2}, "a b"},
		"after a":   {Query{After: "a", Limit: 5000}, "b c"},
		"modules":   {Query{Device: "b"}, "b/m1 b/m2"},
		"no module": {Query{Device: "a"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			records, err := s.List(t.Context(), tc.q)
			var ids []string
			for _, r := range records {
				ids = append(ids, r.ID.String())
			}
			if got := strings.Join(ids, " "); err != nil || got != tc.want {
				t.Errorf("List = %q, %v, want %q", got, err, tc.want)
			}
		})
	}
	if _, err := s.List(t.Context(), Query{Device: "nobody"}); hub.CodeOf(err) != hub.DeviceNotFound {
		t.Errorf("modules of nobody: %v", err)
	}
	store.fail = hub.Errorf(hub.ServiceUnavailable, "away")
	for name, call := range map[string]func() error{
		"list":   func() error { _, err := s.List(t.Context(), Query{}); return err },
		"get":    func() error { _, err := s.Get(t.Context(), hub.Identity{Device: "a"}); return err },
		"create": func() error { _, err := s.Create(t.Context(), device("z")); return err },
		"module": func() error { _, err := s.Create(t.Context(), module("a", "z")); return err },
		"delete": func() error { return s.Delete(t.Context(), hub.Identity{Device: "a"}, "*") },
	} {
		if err := call(); hub.CodeOf(err) != hub.ServiceUnavailable {
			t.Errorf("%s without a store: %v", name, err)
		}
	}
}

func TestClock(t *testing.T) {
	s, _ := newRegistry()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s.Now = func() time.Time { return at }
	a, b := create(t, s, device("a")), create(t, s, device("b"))
	if !a.CreatedTime.Equal(at) || a.GenerationID != "639029198450000000" || b.GenerationID != "639029198450000001" {
		t.Errorf("created %v, generations %s and %s", a.CreatedTime, a.GenerationID, b.GenerationID)
	}
}

func TestErrorsNameTheIdentity(t *testing.T) {
	id := hub.Identity{Device: "d1", Module: "m1"}
	if err := NotFound(id); !strings.Contains(err.Error(), "d1/m1") || !errors.Is(err, &hub.Error{Code: hub.ModuleNotFound}) {
		t.Errorf("NotFound: %v", err)
	}
}
