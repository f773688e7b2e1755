package identity_test

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
)

func newRegistry() (*identity.Registry, *fakeStore) {
	s := newStore()
	return &identity.Registry{Store: s}, s
}

func device(id string) identity.Record { return identity.Record{ID: hub.Identity{Device: id}} }

func module(dev, mod string) identity.Record {
	return identity.Record{ID: hub.Identity{Device: dev, Module: mod}}
}

// edited is a device d1 to which edit was done.
func edited(edit func(*identity.Record)) identity.Record {
	r := device("d1")
	edit(&r)
	return r
}

func create(t *testing.T, s *identity.Registry, r identity.Record) identity.Record {
	t.Helper()
	got, err := s.Create(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// counterOf reads an etag.
func counterOf(t *testing.T, etag string) int {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(etag)
	if err != nil {
		t.Fatalf("etag %q: %v", etag, err)
	}
	n, err := strconv.Atoi(string(b))
	if err != nil {
		t.Fatalf("etag %q: %v", etag, err)
	}
	return n
}

// Java's service SDK writes "Enabled".
func TestWordsInAnyCase(t *testing.T) {
	s, _ := newRegistry()
	r := device("d1")
	r.Status, r.Authentication = "Disabled", identity.Authentication{Type: "SelfSigned"}
	if r = create(t, s, r); r.Status != identity.StatusDisabled || r.Authentication.Type != identity.AuthSelfSigned {
		t.Errorf("status %q, type %q, want disabled and selfSigned", r.Status, r.Authentication.Type)
	}
}

func TestCreateFillsIn(t *testing.T) {
	s, store := newRegistry()
	at := time.Date(2026, 1, 2, 3, 4, 5, 6_700, time.UTC)
	s.Now = func() time.Time { return at }
	r := device("d1")
	// What the registry decides itself is passed over.
	r.GenerationID, r.ETag, r.Revision = "1", "MQ==", 99
	r.CreatedTime, r.StatusUpdatedTime, r.ManagedBy = at.Add(time.Hour), at, "somebody"
	r = create(t, s, r)

	keys, err := r.Keys()
	if err != nil || len(keys) != 2 || len(keys[0]) != 32 || len(keys[1]) != 32 || string(keys[0]) == string(keys[1]) {
		t.Errorf("%d keys, %v: want two different ones of 32 bytes", len(keys), err)
	}
	if r.Status != identity.StatusEnabled || r.Authentication.Type != identity.AuthSAS {
		t.Errorf("status %q, type %q, want enabled and sas", r.Status, r.Authentication.Type)
	}
	if r.GenerationID != "639029198450000067" || !r.CreatedTime.Equal(at) {
		t.Errorf("generation %s, created %v", r.GenerationID, r.CreatedTime)
	}
	if !r.StatusUpdatedTime.IsZero() || r.ManagedBy != "" || r.Revision != 1 {
		t.Errorf("record %+v", r.WithoutKeys())
	}
	if r.ETag == "MQ==" || counterOf(t, r.ETag) < 0 {
		t.Errorf("etag %q", r.ETag)
	}
	if !cmp.Equal(store.records[r.ID], r) {
		t.Error("stored is something else than what Create returned")
	}
}

// Two identities never have the same generation, whatever the clock does.
func TestGenerationsGoUp(t *testing.T) {
	s, _ := newRegistry()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s.Now = func() time.Time { return at }
	last := create(t, s, device("a"))
	for name, step := range map[string]time.Duration{"b": 0, "c": 50, "d": -time.Hour, "e": time.Hour} {
		at = at.Add(step)
		r := create(t, s, device(name))
		if r.GenerationID <= last.GenerationID || !r.CreatedTime.After(last.CreatedTime) {
			t.Errorf("generation %s (%v) after %s (%v)", r.GenerationID, r.CreatedTime, last.GenerationID, last.CreatedTime)
		}
		last = r
	}
	s.Now = nil
	if r := create(t, s, device("now")); time.Since(r.CreatedTime).Abs() > time.Minute {
		t.Errorf("created %v, want now", r.CreatedTime)
	}
}

func TestCreateRefuses(t *testing.T) {
	good := base64.StdEncoding.EncodeToString(make([]byte, 16))
	auth := func(a identity.Authentication) identity.Record {
		return edited(func(r *identity.Record) { r.ID.Device, r.Authentication = "new", a })
	}
	keys := func(a, b string) identity.Record {
		return auth(identity.Authentication{SymmetricKey: identity.SymmetricKey{PrimaryKey: a, SecondaryKey: b}})
	}
	prints := func(a, b string) identity.Record {
		return auth(identity.Authentication{Type: identity.AuthSelfSigned, X509Thumbprint: identity.Thumbprints{PrimaryThumbprint: a, SecondaryThumbprint: b}})
	}
	for name, tc := range map[string]struct {
		r    identity.Record
		want hub.Code
	}{
		"exists":                 {device("d1"), hub.DeviceAlreadyExists},
		"exists, with its etag":  {edited(func(r *identity.Record) { r.ETag = "*" }), hub.DeviceAlreadyExists},
		"module exists":          {module("d1", "m1"), hub.ModuleAlreadyExists},
		"module of nobody":       {module("nobody", "m1"), hub.DeviceNotFound},
		"no id":                  {device(""), hub.ArgumentInvalid},
		"module without device":  {module("", "m1"), hub.ArgumentInvalid},
		"id with a slash":        {device("a/b"), hub.ArgumentInvalid},
		"id with a space":        {device("a b"), hub.ArgumentInvalid},
		"id with an umlaut":      {device("ä"), hub.ArgumentInvalid},
		"id of 129 characters":   {device(strings.Repeat("a", 129)), hub.ArgumentInvalid},
		"module id with a space": {module("d1", "a b"), hub.ArgumentInvalid},
		"module id with $ first": {module("d1", "$edgeHub"), hub.ArgumentInvalid},
		"primary key alone":      {keys(good, ""), hub.ArgumentInvalid},
		"secondary key alone":    {keys("", good), hub.ArgumentInvalid},
		"short primary key":      {keys("YWJj", good), hub.ArgumentInvalid},
		"short secondary key":    {keys(good, "YWJj"), hub.ArgumentInvalid},
		"long key":               {keys(good, base64.StdEncoding.EncodeToString(make([]byte, 65))), hub.ArgumentInvalid},
		"key is not base64":      {keys(good, "s3cret*"), hub.ArgumentInvalid},
		"no such type":           {auth(identity.Authentication{Type: "password"}), hub.ArgumentInvalid},
		"device with none":       {auth(identity.Authentication{Type: identity.AuthNone}), hub.ArgumentInvalid},
		"thumbprint with colons": {prints(strings.Repeat("ab:", 13)+"a", ""), hub.ArgumentInvalid},
		"short thumbprint":       {prints("", "abcd"), hub.ArgumentInvalid},
		"thumbprint of 39":       {prints(strings.Repeat("a", 39), ""), hub.ArgumentInvalid},
		"thumbprint of 42":       {prints(strings.Repeat("a", 42), ""), hub.ArgumentInvalid},
		"thumbprint of x":        {prints("", strings.Repeat("x", 64)), hub.ArgumentInvalid},
		"no such status":         {edited(func(r *identity.Record) { r.ID.Device, r.Status = "new", "asleep" }), hub.ArgumentInvalid},
		"long status reason":     {edited(func(r *identity.Record) { r.ID.Device, r.StatusReason = "new", strings.Repeat("ä", 129) }), hub.ArgumentInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			s, store := newRegistry()
			create(t, s, device("d1"))
			create(t, s, module("d1", "m1"))
			_, err := s.Create(t.Context(), tc.r)
			if hub.CodeOf(err) != tc.want {
				t.Fatalf("Create: %v, want %d", err, tc.want)
			}
			if strings.Contains(err.Error(), "s3cret") {
				t.Errorf("the error %q holds a key", err)
			}
			if len(err.Error()) > 300 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
			if len(store.records) != 2 {
				t.Errorf("%d records are stored, want 2", len(store.records))
			}
		})
	}
}

func TestCreateTakes(t *testing.T) {
	key := base64.StdEncoding.EncodeToString(make([]byte, 64))
	both := identity.SymmetricKey{PrimaryKey: key, SecondaryKey: key}
	prints := identity.Thumbprints{PrimaryThumbprint: strings.Repeat("aB", 20), SecondaryThumbprint: strings.Repeat("0f", 32)}
	for name, tc := range map[string]struct{ in, want identity.Authentication }{
		"own keys, the same":   {identity.Authentication{SymmetricKey: both}, identity.Authentication{SymmetricKey: both, Type: identity.AuthSAS}},
		"SHA-1 and SHA-256":    {identity.Authentication{Type: identity.AuthSelfSigned, X509Thumbprint: prints}, identity.Authentication{Type: identity.AuthSelfSigned, X509Thumbprint: prints}},
		"no thumbprint yet":    {identity.Authentication{Type: identity.AuthSelfSigned}, identity.Authentication{Type: identity.AuthSelfSigned}},
		"thumbprints, no type": {identity.Authentication{X509Thumbprint: prints}, identity.Authentication{Type: identity.AuthSelfSigned, X509Thumbprint: prints}},
		"all but a type":       {identity.Authentication{SymmetricKey: both, X509Thumbprint: prints}, identity.Authentication{SymmetricKey: both, X509Thumbprint: prints, Type: identity.AuthSAS}},
		"CA, keys are useless": {identity.Authentication{Type: identity.AuthCA, SymmetricKey: both}, identity.Authentication{Type: identity.AuthCA}},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := newRegistry()
			r := create(t, s, edited(func(r *identity.Record) { r.Authentication = tc.in }))
			if r.Authentication != tc.want {
				t.Errorf("authentication %+v, want %+v", r.Authentication, tc.want)
			}
		})
	}
	s, _ := newRegistry()
	r := create(t, s, edited(func(r *identity.Record) {
		r.Status, r.StatusReason, r.Edge = identity.StatusDisabled, strings.Repeat("ä", 128), true
	}))
	if r.Status != identity.StatusDisabled || len(r.StatusReason) != 256 || !r.Edge {
		t.Errorf("device %+v", r.WithoutKeys())
	}
}

// One key alone is not taken for a bad one.
func TestCreateAsksForBothKeys(t *testing.T) {
	s, _ := newRegistry()
	for _, keys := range []identity.SymmetricKey{{PrimaryKey: hub.NewKey()}, {SecondaryKey: hub.NewKey()}} {
		_, err := s.Create(t.Context(), edited(func(r *identity.Record) { r.Authentication.SymmetricKey = keys }))
		if err == nil || !strings.Contains(err.Error(), "give both keys") {
			t.Errorf("Create: %v, want a word on both keys", err)
		}
	}
}

// A module has neither status nor capabilities, and none means sas.
func TestCreateModule(t *testing.T) {
	s, _ := newRegistry()
	create(t, s, device("d1"))
	m := module("d1", "a$")
	m.Authentication.Type, m.Status, m.StatusReason, m.Edge, m.ManagedBy = identity.AuthNone, identity.StatusDisabled, "x", true, "me"
	got := create(t, s, m)
	if got.Status != "" || got.StatusReason != "" || got.Edge || got.ManagedBy != "me" || got.Authentication.Type != identity.AuthSAS {
		t.Errorf("module %+v", got.WithoutKeys())
	}
	if keys, err := got.Keys(); err != nil || len(keys) != 2 {
		t.Errorf("%d keys, %v, want 2", len(keys), err)
	}
}

func TestModulesAreLimited(t *testing.T) {
	s, _ := newRegistry()
	create(t, s, device("d1"))
	create(t, s, device("d2"))
	create(t, s, module("d2", "not d1's"[:3]))
	for i := range 50 {
		create(t, s, module("d1", "m"+strconv.Itoa(i)))
	}
	if _, err := s.Create(t.Context(), module("d1", "one-more")); hub.CodeOf(err) != hub.TooManyModules {
		t.Errorf("module 51: %v, want TooManyModules", err)
	}
	if _, err := s.Create(t.Context(), module("d1", "m0")); hub.CodeOf(err) != hub.ModuleAlreadyExists {
		t.Errorf("module 0 again: %v, want ModuleAlreadyExists", err)
	}
	if err := s.Delete(t.Context(), hub.Identity{Device: "d1", Module: "m0"}, "*"); err != nil {
		t.Fatal(err)
	}
	create(t, s, module("d1", "one-more")) // counted is what is there
}

// A module must not outlive a device that is deleted while it is made.
func TestCreateModuleWhileItsDeviceGoes(t *testing.T) {
	for name, again := range map[string]bool{"deleted": false, "deleted and made again": true} {
		t.Run(name, func(t *testing.T) {
			s, store := newRegistry()
			create(t, s, device("d1"))
			store.before = func(op string, id hub.Identity) {
				if op != "create" || !id.IsModule() {
					return
				}
				store.before = nil
				if err := s.Delete(t.Context(), hub.Identity{Device: "d1"}, "*"); err != nil {
					t.Error(err)
				}
				if again {
					create(t, s, device("d1"))
				}
			}
			if _, err := s.Create(t.Context(), module("d1", "m1")); hub.CodeOf(err) != hub.DeviceNotFound {
				t.Errorf("Create: %v, want DeviceNotFound", err)
			}
			if _, ok := store.records[hub.Identity{Device: "d1", Module: "m1"}]; ok {
				t.Error("the module is still there")
			}
		})
	}
}

// When it can't be taken back, the caller hears why.
func TestCreateModuleCannotBeTakenBack(t *testing.T) {
	s, store := newRegistry()
	create(t, s, device("d1"))
	store.before = func(op string, id hub.Identity) {
		switch {
		case op == "create":
			delete(store.records, hub.Identity{Device: "d1"})
		case op == "delete" && id.IsModule():
			store.fail = hub.Errorf(hub.ServiceUnavailable, "away")
		}
	}
	if _, err := s.Create(t.Context(), module("d1", "m1")); hub.CodeOf(err) != hub.ServiceUnavailable {
		t.Errorf("Create: %v, want ServiceUnavailable", err)
	}
}

func TestGet(t *testing.T) {
	s, _ := newRegistry()
	want := create(t, s, device("a.b"))
	if got, err := s.Get(t.Context(), want.ID); err != nil || !cmp.Equal(got, want) {
		t.Errorf("Get: %+v, %v", got.WithoutKeys(), err)
	}
	for id, code := range map[hub.Identity]hub.Code{
		{Device: "a"}: hub.DeviceNotFound, {Device: "a.b", Module: "m"}: hub.ModuleNotFound,
		{Device: "a b"}: hub.ArgumentInvalid, {}: hub.ArgumentInvalid,
		{Device: "a.b", Module: "$edgeHub"}: hub.ModuleNotFound, // may exist, made by the hub
	} {
		if _, err := s.Get(t.Context(), id); hub.CodeOf(err) != code {
			t.Errorf("Get(%s): %v, want %d", id, err, code)
		}
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
		q    identity.Query
		want string
	}{
		"devices":        {identity.Query{}, "a b c"},
		"first two":      {identity.Query{Limit: 2}, "a b"},
		"the first":      {identity.Query{Limit: 1}, "a"},
		"after a":        {identity.Query{After: "a", Limit: 5000}, "b c"},
		"negative limit": {identity.Query{Limit: -1}, "a b c"},
		"modules":        {identity.Query{Device: "b"}, "b/m1 b/m2"},
		"no module":      {identity.Query{Device: "a"}, ""},
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
	for i := range identity.MaxList + 1 {
		r := device(fmt.Sprintf("d%04d", i))
		store.records[r.ID] = r
	}
	for limit, want := range map[int]int{0: identity.MaxList, identity.MaxList - 1: identity.MaxList - 1, identity.MaxList: identity.MaxList, identity.MaxList + 1: identity.MaxList} {
		if records, err := s.List(t.Context(), identity.Query{Limit: limit}); err != nil || len(records) != want {
			t.Errorf("%d records with a limit of %d, %v, want %d", len(records), limit, err, want)
		}
	}
	if _, err := s.List(t.Context(), identity.Query{Device: "nobody"}); hub.CodeOf(err) != hub.DeviceNotFound {
		t.Errorf("modules of nobody: %v, want DeviceNotFound", err)
	}
}

// What the store says gets through, at whichever step.
func TestStoreFails(t *testing.T) {
	away := hub.Errorf(hub.ServiceUnavailable, "away")
	calls := map[string]func(*identity.Registry) error{
		"get":  func(s *identity.Registry) error { _, err := s.Get(t.Context(), hub.Identity{Device: "d1"}); return err },
		"list": func(s *identity.Registry) error { _, err := s.List(t.Context(), identity.Query{}); return err },
		"list modules": func(s *identity.Registry) error {
			_, err := s.List(t.Context(), identity.Query{Device: "d1"})
			return err
		},
		"create": func(s *identity.Registry) error { _, err := s.Create(t.Context(), device("new")); return err },
		"module": func(s *identity.Registry) error { _, err := s.Create(t.Context(), module("d1", "new")); return err },
		"update": func(s *identity.Registry) error { _, err := s.Update(t.Context(), device("d1"), "*"); return err },
		"delete": func(s *identity.Registry) error { return s.Delete(t.Context(), hub.Identity{Device: "d1"}, "*") },
	}
	steps := map[string]int{"get": 1, "list": 1, "list modules": 2, "create": 1, "module": 4, "update": 2, "delete": 6}
	for name, call := range calls {
		for step := range steps[name] {
			t.Run(name+" at step "+strconv.Itoa(step), func(t *testing.T) {
				s, store := newRegistry()
				create(t, s, device("d1"))
				create(t, s, module("d1", "m1"))
				store.before = func(string, hub.Identity) {
					if step--; step < 0 {
						store.fail = away
					}
				}
				if err := call(s); hub.CodeOf(err) != hub.ServiceUnavailable {
					t.Errorf("%v, want ServiceUnavailable", err)
				}
			})
		}
	}
}
