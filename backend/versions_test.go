package backend

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/backend/subject"
)

// later is the keeper of a program that knows more upgrades.
func later(b *Backbone, more ...upgrade) keeper {
	return keeper{js: b.js, names: b.names, faults: &faults{log: b.cfg.Log}, log: b.cfg.Log, upgrades: append(upgrades(), more...)}
}

// describe is an upgrade that appends its number to the description of a stream.
func describe(to, compatible int) upgrade {
	return upgrade{to, compatible, func(_ context.Context, _ keeper, _ asset, next *jetstream.StreamConfig) error {
		next.Description += fmt.Sprint(" ", to)
		return nil
	}}
}

func TestNewAssetsHaveTheVersion(t *testing.T) {
	t.Parallel()
	b := open(t, serve(t, "", 0), Config{})
	for _, name := range b.names.Streams() {
		if m := info(t, b, name).Metadata; m[subject.SchemaKey] != "1" || m[subject.CompatibleKey] != "1" {
			t.Errorf("%s: %v", name, m)
		}
	}
}

// Upgrades are made in their order, once, whoever else makes them; an older program
// refuses what it does not know, and uses what it may use without changing it.
func TestUpgradesInOrder(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	b := open(t, s, Config{})
	ctx := testContext(t)
	k := later(b, describe(2, 1), describe(3, 1))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := k.ensureAll(ctx, b.cfg.assets()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	// Of those who race, one may have read what another has written: then a step was
	// done again, but never one before another.
	got := info(t, b, "HUB_EVENTS")
	if got.Metadata[subject.SchemaKey] != "3" || !hasAll(got.Description, " 2 3") {
		t.Errorf("description %q, metadata %v", got.Description, got.Metadata)
	}
	was := got
	was.MaxMsgs = 77 // what the older program would leave, and AllowDirect what it would change
	was.AllowDirect = false
	if _, err := b.js.UpdateStream(ctx, was); err != nil {
		t.Fatal(err)
	}
	older := open(t, s, Config{Events: Limits{MaxBytes: 64 << 20}})
	if got := info(t, older, "HUB_EVENTS"); got.Metadata[subject.SchemaKey] != "3" || got.AllowDirect || got.MaxMsgs != 77 {
		t.Errorf("an older program has changed the stream: %+v", got)
	}
	if err := later(b, describe(2, 1), describe(3, 1), describe(4, 2)).ensureAll(ctx, b.cfg.assets()); err != nil {
		t.Fatal(err)
	}
	fails(t, s, Config{}, "has version 4 of its layout", "knows up to 1", "newer Hubgate")
	var said []string
	for _, f := range Check(ctx, Config{URL: s.URL(), CredsFile: s.HubCreds()}) {
		if f.Level == Bad {
			said = append(said, f.Text)
		}
	}
	if len(said) == 0 || !hasAll(said[0], "has version 4 of its layout") {
		t.Errorf("check says %q", said)
	}
}

// An upgrade that fails leaves the version before, and is made at the next start.
func TestUpgradeGoesOn(t *testing.T) {
	t.Parallel()
	b := open(t, serve(t, "", 0), Config{})
	ctx := testContext(t)
	broken := describe(3, 1)
	broken.change = func(context.Context, keeper, asset, *jetstream.StreamConfig) error { return errors.New("power is out") }
	err := later(b, describe(2, 1), broken).ensureAll(ctx, b.cfg.assets())
	if err == nil || !hasAll(err.Error(), "upgrade bucket hub_policies", "power is out") {
		t.Errorf("ensureAll = %v", err)
	}
	if got := info(t, b, "KV_hub_policies"); got.Metadata[subject.SchemaKey] != "2" {
		t.Errorf("after the failure: %v", got.Metadata)
	}
	if err := later(b, describe(2, 1), describe(3, 1)).ensureAll(ctx, b.cfg.assets()); err != nil {
		t.Fatal(err)
	}
	if got := info(t, b, "KV_hub_policies"); got.Metadata[subject.SchemaKey] != "3" || !hasAll(got.Description, " 2 3") {
		t.Errorf("in the end: %q, %v", got.Description, got.Metadata)
	}
}

// A JetStream that is too old is named with what it lacks. The server here has none;
// its answer is one of nats-server 2.10.
func TestOldServerIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := serve(t, dir, 0)
	nc, err := nats.Connect(s.URL(), nats.UserCredentials(s.HubCreds()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	_, err = nc.Subscribe("$JS.old.API.INFO", func(m *nats.Msg) {
		_ = m.Respond([]byte(`{"type":"io.nats.jetstream.api.v1.account_info_response","memory":0,"storage":0,"api":{"total":1,"errors":0}}`))
	})
	if err == nil {
		err = nc.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	fails(t, s, Config{Domain: "old", Patience: testTimeout}, "level 0", "times to live of single messages", "markers of deleted keys", "nats-server 2.11 or newer")
	found := Check(testContext(t), Config{URL: s.URL(), CredsFile: s.HubCreds(), Domain: "old"})
	for _, f := range found {
		if f.Level == Bad && f.What == "jetstream: version" && hasAll(f.Text, "times to live", "level 0") {
			return
		}
	}
	t.Errorf("check says %v", found)
}
