package identity_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
)

func edge(id string, parents ...string) identity.Record {
	r := device(id)
	r.Edge, r.ParentScopes = true, parents
	return r
}

func scoped(id, scope string, parents ...string) identity.Record {
	r := device(id)
	r.Scope, r.ParentScopes = scope, parents
	return r
}

// TestEdgeDevice holds what an edge device has by itself, and that it goes with
// it.
func TestEdgeDevice(t *testing.T) {
	s, store := newRegistry()
	r := create(t, s, edge("e-1"))
	if want := "ms-azure-iot-edge://e-1-" + r.GenerationID; r.Scope != want || r.ParentScopes != nil {
		t.Errorf("scope %q, parents %q, want %q and none", r.Scope, r.ParentScopes, want)
	}
	for _, name := range []string{"$edgeAgent", "$edgeHub"} {
		id := hub.Identity{Device: "e-1", Module: name}
		m, err := s.Get(t.Context(), id)
		if err != nil || m.ManagedBy != "iotEdge" || m.Authentication.Type != identity.AuthNone || (m.Authentication.SymmetricKey != identity.SymmetricKey{}) {
			t.Errorf("%s is %+v, %v", id, m, err)
		}
		if m.GenerationID <= r.GenerationID || m.ETag == "" || m.CreatedTime.IsZero() {
			t.Errorf("%s has the generation %q, the etag %q and was made at %v", id, m.GenerationID, m.ETag, m.CreatedTime)
		}
		if keys, err := m.Keys(); len(keys) != 0 || err != nil {
			t.Errorf("%s has %d keys, %v", id, len(keys), err)
		}
		if _, err := s.Create(t.Context(), module("e-1", name)); hub.CodeOf(err) != hub.ArgumentInvalid {
			t.Errorf("create %s: %v", id, err)
		}
		if _, err := s.Update(t.Context(), m, "*"); hub.CodeOf(err) != hub.ArgumentInvalid {
			t.Errorf("update %s: %v", id, err)
		}
		if err := s.Delete(t.Context(), id, "*"); hub.CodeOf(err) != hub.ArgumentInvalid {
			t.Errorf("delete %s: %v", id, err)
		}
		if _, err := s.RegenerateKeys(t.Context(), id, identity.BothKeys); hub.CodeOf(err) != hub.ArgumentInvalid {
			t.Errorf("keys of %s: %v", id, err)
		}
	}
	if err := s.Delete(t.Context(), r.ID, "*"); err != nil || len(store.records) != 0 {
		t.Errorf("deleted: %v; %d records are left", err, len(store.records))
	}
}

// TestBecomesEdge turns a device into an edge device and back.
func TestBecomesEdge(t *testing.T) {
	s, store := newRegistry()
	parent := create(t, s, edge("p"))
	r := create(t, s, scoped("d", parent.Scope))
	r.Edge = true
	r, err := s.Update(t.Context(), r, "*")
	if err != nil || !strings.HasPrefix(r.Scope, "ms-azure-iot-edge://d-") || !cmp.Equal(r.ParentScopes, []string{parent.Scope}) {
		t.Fatalf("%+v, %v", r, err)
	}
	if len(store.records) != 6 {
		t.Errorf("%d records, want 6", len(store.records))
	}
	r.Edge = false
	r, err = s.Update(t.Context(), r, "*")
	if err != nil || r.Scope != "" && r.Scope != parent.Scope {
		t.Errorf("%+v, %v", r, err)
	}
	if len(store.records) != 4 {
		t.Errorf("%d records, want 4", len(store.records))
	}
}

func TestScopes(t *testing.T) {
	s, _ := newRegistry()
	top := create(t, s, edge("top"))
	mid := create(t, s, edge("mid", top.Scope))
	other := create(t, s, edge("other"))
	leaf := create(t, s, scoped("leaf", mid.Scope))
	create(t, s, device("plain"))
	if leaf.Scope != mid.Scope || !cmp.Equal(leaf.ParentScopes, []string{mid.Scope}) {
		t.Errorf("the leaf has %q and %q", leaf.Scope, leaf.ParentScopes)
	}
	if mid.Scope == top.Scope || !cmp.Equal(mid.ParentScopes, []string{top.Scope}) {
		t.Errorf("the one in the middle has %q and %q", mid.Scope, mid.ParentScopes)
	}
	moved := "ms-azure-iot-edge://moved-637612875240648717"
	for name, tc := range map[string]struct {
		r    identity.Record
		want hub.Code
	}{
		"parents alone":           {scoped("n1", "", mid.Scope), 0},
		"both":                    {scoped("n2", mid.Scope, mid.Scope), 0},
		"an empty parent":         {scoped("n3", mid.Scope, ""), 0},
		"scope from another hub":  {func() identity.Record { r := edge("moved"); r.Scope = moved; return r }(), 0},
		"two that differ":         {scoped("n4", mid.Scope, top.Scope), hub.InvalidScope},
		"two parents":             {edge("n5", mid.Scope, top.Scope), hub.InvalidScope},
		"no such device":          {scoped("n6", "ms-azure-iot-edge://nobody-1"), hub.InvalidScope},
		"no edge device":          {scoped("n7", "ms-azure-iot-edge://plain-1"), hub.InvalidScope},
		"an older one's scope":    {scoped("n8", "ms-azure-iot-edge://top-1"), hub.InvalidScope},
		"no scope":                {scoped("n9", "top"), hub.InvalidScope},
		"no device in the scope":  {scoped("n10", "ms-azure-iot-edge://-1"), hub.InvalidScope},
		"edge with another scope": {func() identity.Record { r := edge("n11"); r.Scope = top.Scope; return r }(), hub.InvalidScope},
		"edge below a leaf":       {edge("n12", "ms-azure-iot-edge://leaf-1"), hub.InvalidScope},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := s.Create(t.Context(), tc.r); hub.CodeOf(err) != tc.want {
				t.Errorf("%v, want %d", err, tc.want)
			}
		})
	}
	for name, tc := range map[string]struct {
		old  identity.Record
		edit func(r *identity.Record)
		want hub.Code
		says string // the parent afterwards
	}{
		"echoed":                  {mid, func(*identity.Record) {}, 0, top.Scope},
		"no scope":                {mid, func(r *identity.Record) { r.Scope = "" }, hub.InvalidScope, ""},
		"another scope":           {mid, func(r *identity.Record) { r.Scope += "1" }, hub.InvalidScope, ""},
		"another parent":          {mid, func(r *identity.Record) { r.ParentScopes = []string{other.Scope} }, 0, other.Scope},
		"parents not named":       {mid, func(r *identity.Record) { r.ParentScopes = nil }, 0, other.Scope},
		"no parent":               {mid, func(r *identity.Record) { r.ParentScopes = []string{} }, 0, ""},
		"its own parent":          {mid, func(r *identity.Record) { r.ParentScopes = []string{mid.Scope} }, hub.InvalidScope, ""},
		"leaf: echoed":            {leaf, func(*identity.Record) {}, 0, mid.Scope},
		"leaf: scope changed":     {leaf, func(r *identity.Record) { r.Scope = top.Scope }, 0, top.Scope},
		"leaf: parents changed":   {leaf, func(r *identity.Record) { r.ParentScopes = []string{other.Scope} }, 0, other.Scope},
		"leaf: both changed":      {leaf, func(r *identity.Record) { r.Scope, r.ParentScopes = top.Scope, []string{other.Scope} }, hub.InvalidScope, ""},
		"leaf: parents not named": {leaf, func(r *identity.Record) { r.ParentScopes = nil }, 0, mid.Scope},
		"leaf: scope removed":     {leaf, func(r *identity.Record) { r.Scope = "" }, 0, ""},
		"leaf: parents removed":   {leaf, func(r *identity.Record) { r.ParentScopes = []string{} }, 0, ""},
	} {
		t.Run("update: "+name, func(t *testing.T) {
			before, err := s.Get(t.Context(), tc.old.ID)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { // as it was, for the next one
				if _, err := s.Update(t.Context(), tc.old, "*"); err != nil {
					t.Error(err)
				}
			}()
			if tc.says == other.Scope && name == "parents not named" {
				before.ParentScopes = []string{other.Scope}
				if before, err = s.Update(t.Context(), before, "*"); err != nil {
					t.Fatal(err)
				}
			}
			r := before
			tc.edit(&r)
			got, err := s.Update(t.Context(), r, "*")
			if hub.CodeOf(err) != tc.want {
				t.Fatalf("%v, want %d", err, tc.want)
			}
			if err == nil && strings.Join(got.ParentScopes, " ") != tc.says {
				t.Errorf("parents %q, want %q", got.ParentScopes, tc.says)
			}
		})
	}
	top.ParentScopes = []string{mid.Scope}
	if _, err := s.Update(t.Context(), top, "*"); hub.CodeOf(err) != hub.InvalidScope {
		t.Errorf("a circle: %v, want InvalidScope", err)
	}
}

// A device stays as it is when its parent is gone.
func TestParentIsGone(t *testing.T) {
	s, _ := newRegistry()
	top := create(t, s, edge("top"))
	mid, leaf := create(t, s, edge("mid", top.Scope)), create(t, s, scoped("leaf", top.Scope))
	if err := s.Delete(t.Context(), top.ID, "*"); err != nil {
		t.Fatal(err)
	}
	for _, r := range []identity.Record{mid, leaf} {
		r.StatusReason = "alone"
		if got, err := s.Update(t.Context(), r, "*"); err != nil || !cmp.Equal(got.ParentScopes, []string{top.Scope}) {
			t.Errorf("%+v, %v", got, err)
		}
		if _, err := s.SetStatus(t.Context(), r.ID, identity.StatusDisabled, ""); err != nil {
			t.Error(err)
		}
	}
	if _, err := s.Create(t.Context(), edge("low", mid.Scope)); err != nil {
		t.Error(err)
	}
}

// diary is what a registry tells.
type diary []string

func (d *diary) Created(r identity.Record) { *d = append(*d, "+"+r.ID.String()) }
func (d *diary) Deleted(r identity.Record) { *d = append(*d, "-"+r.ID.String()) }

func TestLifecycle(t *testing.T) {
	s, _ := newRegistry()
	var d diary
	s.Events = &d
	create(t, s, edge("e"))
	create(t, s, module("e", "m"))
	_, _ = s.Create(t.Context(), device("e"))            // exists
	_, _ = s.Create(t.Context(), module("e", "m"))       // exists
	_, _ = s.Update(t.Context(), module("e", "m"), "*")  // is no creation
	_ = s.Delete(t.Context(), device("nobody").ID, "*")  // is not there
	_ = s.Delete(t.Context(), device("e").ID, "another") // is another
	if err := s.Delete(t.Context(), device("e").ID, "*"); err != nil {
		t.Fatal(err)
	}
	want := "+e +e/$edgeAgent +e/$edgeHub +e/m -e/$edgeAgent -e/$edgeHub -e/m -e"
	if got := strings.Join(d, " "); got != want {
		t.Errorf("told was %s, want %s", got, want)
	}
}

// TestViewJSON holds the order of the names and how times are printed.
func TestViewJSON(t *testing.T) {
	at := time.Date(2021, 7, 7, 20, 45, 24, 131_397_000, time.FixedZone("", 7200))
	r := identity.Record{
		ID: hub.Identity{Device: "d"}, GenerationID: "637612875240648717", ETag: "NzI3ODk0ODYz", Status: identity.StatusEnabled,
		Authentication: identity.Authentication{Type: identity.AuthSAS, SymmetricKey: identity.SymmetricKey{PrimaryKey: "cA==", SecondaryKey: "cw=="}},
	}
	never := `0001-01-01T00:00:00Z`
	auth := `"authentication":{"symmetricKey":{"primaryKey":"cA==","secondaryKey":"cw=="},"x509Thumbprint":{"primaryThumbprint":null,"secondaryThumbprint":null},"type":"sas"}`
	module := r
	module.ID.Module, module.ManagedBy = "m", "iotEdge"
	scopes := r
	scopes.Edge, scopes.Scope, scopes.ParentScopes = true, "ms-azure-iot-edge://d-1", []string{"ms-azure-iot-edge://p-2"}
	for name, tc := range map[string]struct {
		v    identity.View
		want string
	}{
		"never connected": {identity.View{Record: r}, `{"deviceId":"d","generationId":"637612875240648717","etag":"NzI3ODk0ODYz","connectionState":"Disconnected",` +
			`"status":"enabled","statusReason":null,"connectionStateUpdatedTime":"` + never + `","statusUpdatedTime":"` + never + `","lastActivityTime":"` + never +
			`","cloudToDeviceMessageCount":0,` + auth + `,"capabilities":{"iotEdge":false}}`},
		"edge": {identity.View{Record: scopes, Activity: identity.Activity{Connected: true, StateUpdated: at, LastActivity: at.Add(time.Second), Messages: 3}}, `{"deviceId":"d","generationId":"637612875240648717","etag":"NzI3ODk0ODYz","connectionState":"Connected",` +
			`"status":"enabled","statusReason":null,"connectionStateUpdatedTime":"2021-07-07T18:45:24.131397Z","statusUpdatedTime":"` + never + `","lastActivityTime":"2021-07-07T18:45:25.131397Z` +
			`","cloudToDeviceMessageCount":3,` + auth + `,"capabilities":{"iotEdge":true},"deviceScope":"ms-azure-iot-edge://d-1","parentScopes":["ms-azure-iot-edge://p-2"]}`},
		"module": {identity.View{Record: module}, `{"moduleId":"m","managedBy":"iotEdge","deviceId":"d","generationId":"637612875240648717","etag":"NzI3ODk0ODYz","connectionState":"Disconnected",` +
			`"connectionStateUpdatedTime":"` + never + `","lastActivityTime":"` + never + `","cloudToDeviceMessageCount":0,` + auth + `}`},
	} {
		got, err := json.Marshal(tc.v)
		if err != nil || string(got) != tc.want {
			t.Errorf("%s: %s, %v, want\n%s", name, got, err, tc.want)
		}
	}
	// What is kept has no more of it than before.
	kept, err := json.Marshal(scopes)
	if err != nil {
		t.Fatal(err)
	}
	var again identity.Record
	if err := json.Unmarshal(kept, &again); err != nil || again.Scope != scopes.Scope || !cmp.Equal(again.ParentScopes, scopes.ParentScopes) {
		t.Errorf("%s is %+v, %v", kept, again, err)
	}
}
