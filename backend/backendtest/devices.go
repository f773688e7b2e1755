package backendtest

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
)

// Devices tests an identity.Store. open returns an empty one; it is called
// once for each subtest. A store that is an identity.Watcher is tested as such.
func Devices(t *testing.T, open func(t *testing.T) identity.Store) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, identity.Store){
		"what is created can be read":               createAndGet,
		"an id is free once":                        createTwice,
		"what is missing is not found":              getMissing,
		"an update needs the current revision":      updateStale,
		"a deletion needs the current revision":     deleteStale,
		"what is gone can't be changed":             changeDeleted,
		"an id is free again after a deletion":      createAfterDelete,
		"one of many updates wins":                  updateRace,
		"one of many creations wins":                createRace,
		"any legal id is its own":                   hostileIDs,
		"devices are listed by id":                  listDevices,
		"modules are listed with their device only": listModules,
		"a list has pages":                          listPages,
		"a list has at most 1000":                   listLimit,
		"an ended context ends the call":            devicesContext,
		"changes are told":                          watchDevices,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// device is a record with all that a device can have.
func device(id string) identity.Record {
	return identity.Record{
		ID: hub.Identity{Device: id}, GenerationID: "637612875240648717", ETag: "NzI3ODk0ODYz",
		Status: identity.StatusDisabled, StatusReason: "größe & \"quotes\" <>\n",
		StatusUpdatedTime: time.Date(2026, 1, 2, 3, 4, 5, 678_900_000, time.UTC),
		CreatedTime:       time.Date(2021, 7, 7, 20, 45, 24, 64_871_700, time.UTC),
		Authentication: identity.Authentication{
			SymmetricKey: identity.SymmetricKey{PrimaryKey: hub.NewKey(), SecondaryKey: hub.NewKey()},
			X509Thumbprint: identity.Thumbprints{
				PrimaryThumbprint: strings.Repeat("aB", 20), SecondaryThumbprint: strings.Repeat("0f", 32),
			},
			Type: identity.AuthSAS,
		},
		Edge: true,
	}
}

// module is a record with all that a module can have.
func module(dev, mod string) identity.Record {
	r := device(dev)
	r.ID.Module = mod
	r.Status, r.StatusReason, r.StatusUpdatedTime, r.Edge = "", "", time.Time{}, false
	r.ManagedBy = "iotEdge"
	return r
}

func create(t *testing.T, s identity.Store, r identity.Record) identity.Record {
	t.Helper()
	revision, err := s.Create(t.Context(), r)
	if err != nil {
		t.Fatalf("create %s: %v", r.ID, err)
	}
	r.Revision = revision
	return r
}

// has fails unless the store's record is want.
func has(t *testing.T, s identity.Store, want identity.Record) {
	t.Helper()
	got, err := s.Get(t.Context(), want.ID)
	if err != nil {
		t.Fatalf("get %s: %v", want.ID, err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("record of %s (-want +got):\n%s", want.ID, diff)
	}
}

// fails fails unless err has one of the codes.
func fails(t *testing.T, what string, err error, codes ...hub.Code) {
	t.Helper()
	if _, ok := errors.AsType[*hub.Error](err); !ok || !slices.Contains(codes, hub.CodeOf(err)) {
		t.Errorf("%s: %v, want an error of code %v", what, err, codes)
	}
}

func createAndGet(t *testing.T, s identity.Store) {
	bare := identity.Record{ID: hub.Identity{Device: "bare"}, Status: identity.StatusEnabled, Authentication: identity.Authentication{Type: identity.AuthCA}}
	for _, r := range []identity.Record{device("d"), module("d", "m"), bare} {
		created := create(t, s, r)
		if created.Revision == 0 {
			t.Errorf("%s was created with revision 0", r.ID)
		}
		has(t, s, created)
	}
}

func createTwice(t *testing.T, s identity.Store) {
	for code, r := range map[hub.Code]identity.Record{
		hub.DeviceAlreadyExists: device("d"), hub.ModuleAlreadyExists: module("d", "m"),
	} {
		first := create(t, s, r)
		second := r
		second.ETag = "MQ=="
		_, err := s.Create(t.Context(), second)
		fails(t, "create "+r.ID.String()+" again", err, code)
		has(t, s, first)
	}
}

func getMissing(t *testing.T, s identity.Store) {
	create(t, s, device("d"))
	create(t, s, module("e", "m")) // a store does not ask for the device
	for id, code := range map[hub.Identity]hub.Code{
		{Device: "nobody"}:              hub.DeviceNotFound,
		{Device: "D"}:                   hub.DeviceNotFound,
		{Device: "e"}:                   hub.DeviceNotFound,
		{Device: "d", Module: "m"}:      hub.ModuleNotFound,
		{Device: "nobody", Module: "m"}: hub.ModuleNotFound,
	} {
		_, err := s.Get(t.Context(), id)
		fails(t, "get "+id.String(), err, code)
	}
}

func updateStale(t *testing.T, s identity.Store) {
	for _, first := range []identity.Record{create(t, s, device("d")), create(t, s, module("d", "m"))} {
		second := first
		second.ETag, second.Authentication.SymmetricKey.PrimaryKey = "MQ==", hub.NewKey()
		revision, err := s.Update(t.Context(), second)
		if err != nil || revision <= first.Revision {
			t.Fatalf("update %s: revision %d after %d, %v", first.ID, revision, first.Revision, err)
		}
		second.Revision = revision
		has(t, s, second)

		first.ETag = "Mg=="
		_, err = s.Update(t.Context(), first)
		fails(t, "update "+first.ID.String()+" by an old revision", err, hub.PreconditionFailed)
		has(t, s, second)
	}
}

func deleteStale(t *testing.T, s identity.Store) {
	for code, first := range map[hub.Code]identity.Record{
		hub.DeviceNotFound: create(t, s, device("d")), hub.ModuleNotFound: create(t, s, module("d", "m")),
	} {
		second := first
		revision, err := s.Update(t.Context(), second)
		if err != nil {
			t.Fatal(err)
		}
		second.Revision = revision
		fails(t, "delete "+first.ID.String()+" by an old revision", s.Delete(t.Context(), first), hub.PreconditionFailed)
		has(t, s, second)
		if err := s.Delete(t.Context(), second); err != nil {
			t.Fatal(err)
		}
		_, err = s.Get(t.Context(), first.ID)
		fails(t, "get "+first.ID.String()+" after its deletion", err, code)
	}
}

func changeDeleted(t *testing.T, s identity.Store) {
	r := create(t, s, device("d"))
	if err := s.Delete(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	_, err := s.Update(t.Context(), r)
	fails(t, "update", err, hub.PreconditionFailed, hub.DeviceNotFound)
	fails(t, "delete", s.Delete(t.Context(), r), hub.PreconditionFailed, hub.DeviceNotFound)
	_, err = s.Get(t.Context(), r.ID)
	fails(t, "get", err, hub.DeviceNotFound)
}

func createAfterDelete(t *testing.T, s identity.Store) {
	old := create(t, s, device("d"))
	if err := s.Delete(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	again := create(t, s, device("d"))
	if again.Revision <= old.Revision {
		t.Errorf("revision %d after %d", again.Revision, old.Revision)
	}
	_, err := s.Update(t.Context(), old)
	fails(t, "update by a revision of the deleted one", err, hub.PreconditionFailed)
	fails(t, "delete by a revision of the deleted one", s.Delete(t.Context(), old), hub.PreconditionFailed)
	has(t, s, again)
}

// racers is how many try the same at once.
const racers = 8

// race runs f at once in many goroutines and returns what they got.
func race(f func(i int) error) []error {
	errs := make([]error, racers)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			<-start
			errs[i] = f(i)
		})
	}
	close(start)
	wg.Wait()
	return errs
}

// oneWinner fails unless one of errs is nil and the others are of the code.
func oneWinner(t *testing.T, errs []error, code hub.Code) {
	t.Helper()
	winners := 0
	for _, err := range errs {
		if err == nil {
			winners++
			continue
		}
		fails(t, "a loser", err, code)
	}
	if winners != 1 {
		t.Errorf("%d of %d won, want 1", winners, len(errs))
	}
}

func updateRace(t *testing.T, s identity.Store) {
	r := create(t, s, device("d"))
	oneWinner(t, race(func(int) error {
		_, err := s.Update(t.Context(), r)
		return err
	}), hub.PreconditionFailed)
}

func createRace(t *testing.T, s identity.Store) {
	oneWinner(t, race(func(int) error {
		_, err := s.Create(t.Context(), device("d"))
		return err
	}), hub.DeviceAlreadyExists)
}
