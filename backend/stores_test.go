package backend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/sas"
	"github.com/hubgate/hubgate/session"
	"github.com/hubgate/hubgate/twin"
)

func create(t *testing.T, b *Backbone, id hub.Identity) identity.Record {
	t.Helper()
	r := identity.Record{ID: id, GenerationID: "1", ETag: "MQ==", Status: identity.StatusEnabled}
	rev, err := b.Devices().Create(testContext(t), r)
	if err != nil {
		t.Fatalf("create %s: %v", id, err)
	}
	r.Revision = rev
	return r
}

func TestStoresSayThatNATSIsAway(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	b := open(t, s, Config{})
	r := create(t, b, device(1))
	own, _, err := b.Sessions().Claim(testContext(t), session.Session{ID: device(1), Generation: "1"})
	if err != nil {
		t.Fatal(err)
	}
	halt(t, s)
	until(t, "the connection is lost", func() bool { return !b.Conn().IsConnected() })
	ctx := testContext(t)
	_, getErr := b.Devices().Get(ctx, r.ID)
	_, createErr := b.Devices().Create(ctx, identity.Record{ID: device(2)})
	_, updateErr := b.Devices().Update(ctx, r)
	_, listErr := b.Devices().List(ctx, identity.Query{})
	_, _, claimErr := b.Sessions().Claim(ctx, session.Session{ID: device(1)})
	_, sessionErr := b.Sessions().Get(ctx, device(1))
	tests := map[string]error{
		"get": getErr, "create": createErr, "update": updateErr, "list": listErr, "delete": b.Devices().Delete(ctx, r),
		"claim": claimErr, "get session": sessionErr, "save": b.Sessions().Save(ctx, &own), "release": b.Sessions().Release(ctx, &own),
		"put policy": b.Policies().Put(ctx, sas.DefaultPolicies()[0]), "ready": b.Ready(ctx),
	}
	for name, err := range tests {
		if hub.CodeOf(err) != hub.ServiceUnavailable {
			t.Errorf("%s = %v, want ServiceUnavailable", name, err)
		}
	}
	if _, ok := b.Policies().Lookup("device"); !ok {
		t.Error("the policies are forgotten while NATS is away")
	}
}

// Whoever asks no longer waits: that is no fault of the gateway.
func TestEndedRequestsHaveACode(t *testing.T) {
	t.Parallel()
	b := open(t, serve(t, "", 0), Config{})
	r := create(t, b, device(1))
	ctx, cancel := context.WithCancel(testContext(t))
	cancel()
	_, getErr := b.Devices().Get(ctx, r.ID)
	_, updateErr := b.Devices().Update(ctx, r)
	_, listErr := b.Devices().List(ctx, identity.Query{})
	_, _, claimErr := b.Sessions().Claim(ctx, session.Session{ID: r.ID})
	for name, err := range map[string]error{"get": getErr, "update": updateErr, "list": listErr, "claim": claimErr} {
		if hub.CodeOf(err) != hub.ServiceUnavailable || !errors.Is(err, context.Canceled) {
			t.Errorf("%s = %v, want ServiceUnavailable because of the context", name, err)
		}
	}
}

func TestWatchesSurviveARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := serve(t, dir, 0)
	port := s.Port()
	b := open(t, s, Config{})
	ctx, stop := context.WithCancel(testContext(t))
	devices, claims := make(chan hub.Identity, 100), make(chan hub.Identity, 100)
	ended := make(chan error, 2)
	tell := func(ch chan hub.Identity, id hub.Identity) {
		select {
		case ch <- id:
		case <-ctx.Done():
		}
	}
	go func() { ended <- b.Devices().Watch(ctx, func(c identity.Change) { tell(devices, c.ID) }) }()
	go func() { ended <- b.Sessions().Watch(ctx, func(c session.Claim) { tell(claims, c.ID) }) }()
	seen := func(ch chan hub.Identity, id hub.Identity, do func(n int)) {
		t.Helper()
		n := 0
		until(t, "a watch tells of "+id.String(), func() bool {
			n++
			do(n)
			for {
				select {
				case got := <-ch:
					if got == id {
						return true
					}
				case <-time.After(20 * time.Millisecond):
					return false
				}
			}
		})
	}
	write := func(n int) { _, _ = b.bucketPut(fmt.Sprintf("x%d", n)) }
	claim := func(int) { _, _, _ = b.Sessions().Claim(ctx, session.Session{ID: device(7), Generation: "1"}) }
	seen(devices, hub.Identity{Device: "x3"}, write)
	seen(claims, device(7), claim)
	halt(t, s)
	serve(t, dir, port)
	until(t, "connected again", b.Conn().IsConnected)
	seen(devices, hub.Identity{Device: "y2"}, func(n int) { _, _ = b.bucketPut(fmt.Sprintf("y%d", n)) })
	seen(claims, device(7), claim)
	stop()
	for range 2 {
		if err := <-ended; err != nil {
			t.Errorf("a watch ended with %v", err)
		}
	}
}

// bucketPut writes a record by hand.
func (b *Backbone) bucketPut(id string) (uint64, error) {
	value, err := json.Marshal(identity.Record{ID: hub.Identity{Device: id}})
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return b.devices.bucket.kv.Put(ctx, subject.EncodeToken(id), value)
}

func TestDamagedRecords(t *testing.T) {
	t.Parallel()
	b := open(t, serve(t, "", 0), Config{})
	ctx := testContext(t)
	for key, value := range map[string]string{"garbage": "{", "other": `{"deviceId":"somebody"}`} {
		if _, err := b.devices.bucket.kv.Put(ctx, key, []byte(value)); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Devices().Get(ctx, hub.Identity{Device: key}); hub.CodeOf(err) != hub.ServerError {
			t.Errorf("Get %s = %v, want ServerError", key, err)
		}
	}
	if _, err := b.sessions.bucket.kv.Put(ctx, "garbage", []byte("{")); err != nil {
		t.Fatal(err)
	}
	s, present, err := b.Sessions().Claim(ctx, session.Session{ID: hub.Identity{Device: "garbage"}, Generation: "1", Persistent: true})
	if err != nil || present || s.Epoch == 0 {
		t.Errorf("Claim over garbage = %+v, %v, %v, want a new session", s, present, err)
	}
}

// The answer to a write can get lost although it was stored.
func TestOwnerIsNotFencedByItsOwnWrite(t *testing.T) {
	t.Parallel()
	b := open(t, serve(t, "", 0), Config{})
	ctx := testContext(t)
	own, _, err := b.Sessions().Claim(ctx, session.Session{ID: device(1), Generation: "1", Connection: "c1", Persistent: true})
	if err != nil {
		t.Fatal(err)
	}
	before := own
	own.Subscribe(session.Subscription{Filter: "a"})
	if err := b.Sessions().Save(ctx, &own); err != nil {
		t.Fatal(err)
	}
	before.Subscribe(session.Subscription{Filter: "b"}) // knows nothing of that
	if err := b.Sessions().Save(ctx, &before); err != nil {
		t.Fatalf("Save after a lost answer: %v", err)
	}
	got, err := b.Sessions().Get(ctx, device(1))
	if err != nil || got.Epoch != own.Epoch || got.Revision != before.Revision || len(got.Subscriptions) != 1 {
		t.Errorf("stored %+v, %v", got, err)
	}
}

func TestSessionGoesWithItsIdentity(t *testing.T) {
	t.Parallel()
	b := open(t, serve(t, "", 0), Config{})
	ctx := testContext(t)
	r := create(t, b, device(1))
	own, _, err := b.Sessions().Claim(ctx, session.Session{ID: device(1), Generation: "1", Persistent: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Devices().Delete(ctx, r); err != nil {
		t.Fatal(err)
	}
	if got, err := b.Sessions().Get(ctx, device(1)); err != nil || got.Revision != 0 {
		t.Errorf("session after the deletion: %+v, %v", got, err)
	}
	if err := b.Sessions().Release(ctx, &own); err != nil { // nobody else tells the end
		t.Errorf("Release = %v", err)
	}
	if got, err := b.Sessions().Get(ctx, device(1)); err != nil || got.Revision != 0 {
		t.Errorf("session after its release: %+v, %v", got, err)
	}
	again, present, err := b.Sessions().Claim(ctx, session.Session{ID: device(1), Generation: "2", Persistent: true})
	if err != nil || present || again.Epoch <= own.Epoch {
		t.Errorf("Claim after the deletion = %+v, %v, %v", again, present, err)
	}
}

// What belongs to an identity that has been created again meanwhile stays: its
// device may be connected, and may have been told that its twin is stored.
func TestDeletionLeavesTheNextGeneration(t *testing.T) {
	t.Parallel()
	b := open(t, serve(t, "", 0), Config{})
	ctx, id := testContext(t), device(1)
	r := create(t, b, id)
	own, _, err := b.Sessions().Claim(ctx, session.Session{ID: id, Generation: "2", Connected: true})
	if err != nil {
		t.Fatal(err)
	}
	revision, err := b.Twins().Put(ctx, twin.New(id, "2", time.Now()), twin.Change{Op: twin.OpUpdate, Reported: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Devices().Delete(ctx, r); err != nil {
		t.Fatal(err)
	}
	if got, err := b.Sessions().Get(ctx, id); err != nil || got.Revision != own.Revision {
		t.Errorf("the session of generation 2 is %+v, %v", got, err)
	}
	if e, err := b.Twins().bucket.get(ctx, subject.Key(id)); err != nil || e.Revision() != revision {
		t.Errorf("the twin of generation 2 is %v, %v", e, err)
	}
}

// A claim costs one read and one write.
func TestClaimIsTwoRequests(t *testing.T) {
	t.Parallel()
	b := open(t, serve(t, "", 0), Config{})
	ctx := testContext(t)
	claim := func() {
		if _, _, err := b.Sessions().Claim(ctx, session.Session{ID: device(1), Generation: "1"}); err != nil {
			t.Fatal(err)
		}
	}
	for _, what := range []string{"new", "known"} {
		before := b.Conn().Stats().OutMsgs
		claim()
		if got := b.Conn().Stats().OutMsgs - before; got != 3 { // and the announcement
			t.Errorf("%s: %d messages to NATS, want 3", what, got)
		}
	}
}

// Markers of deleted keys do not stay for ever.
func TestDeletionLeavesNothingForEver(t *testing.T) {
	t.Parallel()
	b := open(t, serve(t, "", 0), Config{})
	ctx := testContext(t)
	r := create(t, b, device(1))
	if err := b.Devices().Delete(ctx, r); err != nil {
		t.Fatal(err)
	}
	s, err := b.JetStream().Stream(ctx, "KV_hub_devices")
	if err != nil {
		t.Fatal(err)
	}
	m, err := s.GetLastMsgForSubject(ctx, "$KV.hub_devices.dev-1")
	if err != nil {
		t.Fatal(err)
	}
	if m.Header.Get(jetstream.MsgTTLHeader) == "" {
		t.Errorf("the marker has no time to live: %v", m.Header)
	}
}

func TestListOfManyDevices(t *testing.T) {
	t.Parallel()
	n := 20_000
	if testing.Short() {
		n = 3_000
	}
	b := open(t, serve(t, "", 0), Config{})
	fillBucket(t, b, n)
	began := time.Now()
	var got []string
	for q := (identity.Query{}); ; {
		page, err := b.Devices().List(testContext(t), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page {
			got = append(got, r.ID.Device)
		}
		if len(page) < identity.MaxList {
			break
		}
		q.After = got[len(got)-1]
	}
	t.Logf("%d devices listed in %v", len(got), time.Since(began))
	if len(got) != n || !slices.IsSorted(got) {
		t.Errorf("%d devices, sorted %v; want %d", len(got), slices.IsSorted(got), n)
	}
}

// fillBucket writes n devices, and a module for some, without waiting for each.
func fillBucket(t *testing.T, b *Backbone, n int) {
	t.Helper()
	js, err := jetstream.New(b.Conn(), jetstream.WithPublishAsyncMaxPending(2000))
	if err != nil {
		t.Fatal(err)
	}
	put := func(id hub.Identity) {
		value, err := json.Marshal(identity.Record{ID: id, GenerationID: "1"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := js.PublishMsgAsync(&nats.Msg{Subject: "$KV.hub_devices." + subject.Key(id), Data: value}, jetstream.WithStallWait(10*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		id := hub.Identity{Device: fmt.Sprintf("d.%06d", (i*7919)%n)} // not in order
		put(id)
		if i%1000 == 0 {
			id.Module = "m"
			put(id)
		}
	}
	select {
	case <-js.PublishAsyncComplete():
	case <-testContext(t).Done():
		t.Fatal("the devices were not written in time")
	}
}

func TestListSeesChanges(t *testing.T) {
	t.Parallel()
	b := open(t, serve(t, "", 0), Config{})
	ctx := testContext(t)
	list := func(q identity.Query) string {
		t.Helper()
		records, err := b.Devices().List(ctx, q)
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, r := range records {
			ids = append(ids, r.ID.String())
		}
		return strings.Join(ids, " ")
	}
	create(t, b, hub.Identity{Device: "b"})
	r := create(t, b, hub.Identity{Device: "a+"})
	create(t, b, hub.Identity{Device: "a+", Module: "m"})
	if got := list(identity.Query{}); got != "a+ b" {
		t.Errorf("list = %q", got)
	}
	create(t, b, hub.Identity{Device: "a"})
	if err := b.Devices().Delete(ctx, r); err != nil {
		t.Fatal(err)
	}
	if got := list(identity.Query{}); got != "a b" {
		t.Errorf("list after changes = %q", got)
	}
	if got := list(identity.Query{Limit: 1, After: "a"}); got != "b" {
		t.Errorf("second page = %q", got)
	}
	if got := list(identity.Query{After: "aa", Limit: 5}); got != "b" {
		t.Errorf("list after an id that is not there = %q", got)
	}
	if got := list(identity.Query{Device: "a+"}); got != "a+/m" {
		t.Errorf("modules = %q", got)
	}
}

func TestPolicies(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	b := open(t, s, Config{})
	other := open(t, s, Config{})
	ctx := testContext(t)
	var names []string
	for _, p := range b.Policies().All() {
		names = append(names, p.Name)
	}
	if got := strings.Join(names, " "); got != "device iothubowner registryRead registryReadWrite service" {
		t.Errorf("policies = %q", got)
	}
	mine := sas.Policy{Name: "my@policy.x", PrimaryKey: sas.NewKey(), SecondaryKey: sas.NewKey(), Permissions: sas.DeviceConnect}
	if err := b.Policies().Put(ctx, mine); err != nil {
		t.Fatal(err)
	}
	until(t, "the other node sees the policy", func() bool { got, ok := other.Policies().Lookup(mine.Name); return ok && got == mine })
	if err := b.Policies().Put(ctx, sas.Policy{Name: "bad name"}); hub.CodeOf(err) != hub.ArgumentInvalid {
		t.Errorf("Put = %v, want ArgumentInvalid", err)
	}
	// What breaks a rule is left out, even when somebody writes it by hand.
	kv := b.policies.mirror.bucket.kv
	if _, err := kv.Put(ctx, "weak", []byte(`{"name":"weak","primaryKey":"","secondaryKey":"","permissions":["DeviceConnect"]}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Put(ctx, "alias", []byte(strings.Replace(mustJSON(t, mine), "my@policy.x", "service", 1))); err != nil {
		t.Fatal(err)
	}
	if err := kv.Delete(ctx, "device"); err != nil {
		t.Fatal(err)
	}
	until(t, "the deletion is seen", func() bool { _, ok := other.Policies().Lookup("device"); return !ok })
	for _, name := range []string{"weak", "alias"} {
		if _, ok := other.Policies().Lookup(name); ok {
			t.Errorf("the policy %s is taken", name)
		}
	}
	if got, _ := other.Policies().Lookup("service"); got.Permissions != sas.ServiceConnect {
		t.Errorf("service = %v", got.Permissions)
	}
	// Deleted by an operator is deleted, also after a start.
	if _, ok := open(t, s, Config{}).Policies().Lookup("device"); ok {
		t.Error("the deleted policy is back")
	}
}

// TestPoliciesCutOff opens a hub whose first start was cut off amid the making
// of its policies.
func TestPoliciesCutOff(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	b := open(t, s, Config{})
	ctx := testContext(t)
	first, _ := b.Policies().Lookup("iothubowner")
	kv := b.policies.mirror.bucket.kv
	stream, err := b.JetStream().Stream(ctx, "KV_hub_policies")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.JetStream().DeleteStream(ctx, "KV_hub_policies"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.JetStream().CreateStream(ctx, stream.CachedInfo().Config); err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Put(ctx, "iothubowner", []byte(mustJSON(t, first))); err != nil {
		t.Fatal(err)
	}
	again := open(t, s, Config{}).Policies()
	if got := len(again.All()); got != len(sas.DefaultPolicies()) {
		t.Errorf("%d policies, want all", got)
	}
	if got, _ := again.Lookup("iothubowner"); got != first {
		t.Error("a policy that was there has got new keys")
	}
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestEvents(t *testing.T) {
	t.Parallel()
	b := open(t, serve(t, "", 0), Config{HostName: "plant.example.net"})
	at := time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)
	b.Events().Connection(session.Event{ID: device(1), Connected: true, Time: at, Epoch: 5, Node: "n", Connection: "c", Remote: "1.2.3.4:5"})
	b.Events().Connection(session.Event{
		ID: hub.Identity{Device: "dev-1", Module: "m"}, Time: at, Epoch: 6, Reason: "gone", Code: hub.ConnectionLost, Duration: 1500 * time.Millisecond,
	})
	until(t, "both events are stored", func() bool { return b.Events().engine.Stored() == 2 })
	s, err := b.JetStream().Stream(testContext(t), "HUB_EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	first, err := s.GetMsg(testContext(t), 1)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"iothub-message-source": "deviceConnectionStateEvents", "iothub-message-schema": "deviceConnectionStateNotification",
		"hubName": "plant", "deviceId": "dev-1", "moduleId": "", "opType": "deviceConnected",
		"operationTimestamp": "2026-01-02T03:04:05.6780000Z", "content-type": "application/json", "iothub-connection-device-id": "dev-1",
		"iothub-enqueuedtime": "2026-01-02T03:04:05.678Z",
	}
	for name, value := range want {
		if got := first.Header.Get(name); got != value {
			t.Errorf("header %s = %q, want %q", name, got, value)
		}
	}
	if first.Subject != "hub.events.connection.dev-1" {
		t.Errorf("subject = %q", first.Subject)
	}
	var body map[string]any
	if err := json.Unmarshal(first.Data, &body); err != nil || body["sequenceNumber"] == "" || body["remote"] != "1.2.3.4:5" {
		t.Errorf("body = %s, %v", first.Data, err)
	}
	second, err := s.GetMsg(testContext(t), 2)
	if err != nil {
		t.Fatal(err)
	}
	if second.Subject != "hub.events.connection.dev-1.m" || second.Header.Get("opType") != session.DeviceDisconnected || second.Header.Get("moduleId") != "m" {
		t.Errorf("second: %s %v", second.Subject, second.Header)
	}
	if !hasAll(string(second.Data), `"errorCode":404104`, `"durationSeconds":1.5`, `"reason":"gone"`) {
		t.Errorf("second body = %s", second.Data)
	}
}

// Events must not hold up telemetry: each has its own stream and engine.
func TestMissingEventStreamDoesNotStopTelemetry(t *testing.T) {
	t.Parallel()
	b := open(t, serve(t, "", 0), Config{})
	if err := b.JetStream().DeleteStream(testContext(t), "HUB_EVENTS"); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		b.Events().Connection(session.Event{ID: device(1), Connected: true})
	}
	l := newLedger(t)
	offer(b.Telemetry(), l, 2, 50)
	l.wait(100)
	if stored, _ := l.check(); len(stored) != 100 {
		t.Errorf("%d stored, want 100", len(stored))
	}
}

func TestEventsAreStoredBeforeClose(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	b := open(t, s, Config{})
	for i := range 3000 {
		b.Events().Connection(session.Event{ID: device(i), Connected: true})
	}
	b.Close(testContext(t))
	again := open(t, s, Config{})
	str, err := again.JetStream().Stream(testContext(t), "HUB_EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	if got := str.CachedInfo().State.Msgs; got != 3000 {
		t.Errorf("%d events stored, want 3000", got)
	}
}

// A node that was cut off from NATS hears of the claims that were made
// meanwhile, and can close its connections of those identities.
func TestMissedClaimsAreToldAfterAnInterruption(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := serve(t, dir, 0)
	port := s.Port()
	b := open(t, s, Config{})
	old, _, err := b.Sessions().Claim(testContext(t), session.Session{ID: device(1), Generation: "1", Connection: "old"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(testContext(t))
	told, ended := make(chan session.Claim, 1000), make(chan error, 1)
	go func() { ended <- b.Sessions().Watch(ctx, func(c session.Claim) { told <- c }) }()
	until(t, "the watch hears", func() bool {
		_, _, _ = b.Sessions().Claim(ctx, session.Session{ID: device(2), Generation: "1"})
		return len(told) > 0
	})
	halt(t, s)
	until(t, "the connection is lost", func() bool { return !b.Conn().IsConnected() })
	// Another node is there first: it claims before this one is back, so the
	// announcement of the claim finds nobody.
	s = serve(t, dir, 0)
	other := open(t, s, Config{})
	now, _, err := other.Sessions().Claim(ctx, session.Session{ID: device(1), Generation: "1", Connection: "new", Node: "n2"})
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Sessions().Save(ctx, &now); err != nil { // the value is no longer the claim's
		t.Fatal(err)
	}
	halt(t, s)
	serve(t, dir, port)
	until(t, "the missed claim is told", func() bool {
		for {
			select {
			case c := <-told:
				if c.ID == device(1) && c.Epoch == now.Epoch && c.Connection == "new" && c.Node == "n2" && c.Epoch > old.Epoch {
					return true
				}
			default:
				return false
			}
		}
	})
	stop()
	if err := <-ended; err != nil {
		t.Errorf("Watch = %v", err)
	}
}

// TestClaimsThatDidNotFit are looked up: a watch that is slower than the claims
// come misses none.
func TestClaimsThatDidNotFit(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	watching, other := open(t, s, Config{}), open(t, s, Config{})
	first, goOn := make(chan struct{}, 1), make(chan struct{})
	told := make(chan session.Claim, 2*claimBuffer)
	go func() {
		_ = watching.Sessions().Watch(testContext(t), func(c session.Claim) {
			select {
			case first <- struct{}{}:
			default:
			}
			<-goOn
			told <- c
		})
	}()
	announce := func(id hub.Identity) {
		other.Sessions().announce(id, session.Claim{Epoch: 1, Node: "n", Connection: "c"})
	}
	until(t, "the watch hears", func() bool {
		announce(device(0))
		return len(first) > 0
	})
	for range claimBuffer + 100 {
		announce(device(0))
	}
	// Until the server has all of them, a read of the claim may wait for longer than it may.
	if err := other.Conn().FlushWithContext(testContext(t)); err != nil {
		t.Fatal(err)
	}
	claimed, _, err := other.Sessions().Claim(testContext(t), session.Session{ID: device(1), Generation: "1", Connected: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Conn().FlushWithContext(testContext(t)); err != nil {
		t.Fatal(err)
	}
	close(goOn)
	for limit := time.After(testTimeout); ; {
		select {
		case c := <-told:
			if c.ID == claimed.ID && c.Epoch == claimed.Epoch {
				return
			}
		case <-limit:
			t.Fatal("a claim that did not fit was never told")
		}
	}
}
