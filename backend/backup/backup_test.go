package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/backend"
)

// checkHub checks that what hubOf has made is there.
func checkHub(t *testing.T, a Account, before uint64) {
	t.Helper()
	js := jetStreamOf(t, a)
	kv, err := js.KeyValue(t.Context(), "hub_devices")
	if err != nil {
		t.Fatal(err)
	}
	e, err := kv.Get(t.Context(), "d")
	if err != nil || string(e.Value()) != "secret-key-of-d" || e.Revision() < before+1<<32 {
		t.Errorf("the device is %v, %v", e, err)
	}
	s, err := js.Stream(t.Context(), "HUB_TELEMETRY")
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"one", "two"} {
		m, err := s.GetMsg(t.Context(), uint64(i+1)) //nolint:gosec // small
		if err != nil || string(m.Data) != want {
			t.Errorf("message %d: %v, %v", i+1, m, err)
		}
	}
	kv, err = js.KeyValue(t.Context(), "hub_presence")
	if err != nil {
		t.Fatal(err)
	}
	if e, err = kv.Get(t.Context(), "d"); err != nil {
		t.Fatal(err)
	}
	var session map[string]any
	if err := json.Unmarshal(e.Value(), &session); err != nil || session["connected"] != false || session["instance"] != "i" || session["reason"] != Reason {
		t.Errorf("the session is %s, %v", e.Value(), err)
	}
	events, err := js.Stream(t.Context(), "HUB_EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	m, err := events.GetLastMsgForSubject(t.Context(), "hub.events.connection.d")
	if err != nil || m.Header.Get("opType") != "deviceDisconnected" || !strings.Contains(string(m.Data), Reason) {
		t.Errorf("the event is %v, %v", m, err)
	}
	if _, err := js.Stream(t.Context(), "HUB_RESTORE"); err == nil {
		t.Error("the mark of the restore is still there")
	}
}

// TestThereAndBack copies a hub and makes it again: alone, in a domain, and in a cluster, and from a cluster to
// one server.
func TestThereAndBack(t *testing.T) {
	t.Run("one server", func(t *testing.T) {
		a := account(t, nil)
		hubOf(t, a, 1)
		dir, _ := copied(t, a, Options{})
		b := account(t, nil)
		if r := restored(t, b, Plan{Dir: dir}); r.Released != 1 {
			t.Errorf("%d connections were released", r.Released)
		}
		checkHub(t, b, 1)
	})
	t.Run("a domain", func(t *testing.T) {
		edge := func(o *server.Options) { o.JetStreamDomain = "edge" }
		a := account(t, edge)
		hubOf(t, a, 1)
		dir, _ := copied(t, a, Options{})
		b := account(t, edge)
		restored(t, b, Plan{Dir: dir})
		checkHub(t, b, 1)
	})
	t.Run("a user with the rights of the page", func(t *testing.T) {
		n := Account{}.names()
		rights := n.NodeRights()
		limited := func(o *server.Options) {
			o.Users = []*server.User{{Username: "u", Password: "p", Permissions: &server.Permissions{
				Publish:   &server.SubjectPermission{Allow: append(rights.Publish, "$JS.SNAPSHOT.>")},
				Subscribe: &server.SubjectPermission{Allow: rights.Subscribe},
			}}}
		}
		user := []nats.Option{nats.UserInfo("u", "p"), nats.CustomInboxPrefix(n.Inbox())}
		a := account(t, limited, user...)
		hubOf(t, a, 1)
		dir, _ := copied(t, a, Options{})
		b := account(t, limited, user...)
		restored(t, b, Plan{Dir: dir})
		checkHub(t, b, 1)
	})
	t.Run("a cluster", func(t *testing.T) {
		a := cluster(t)
		hubOf(t, a, 3)
		dir, _ := copied(t, a, Options{})
		one := account(t, nil)
		if _, err := one.Restore(t.Context(), Plan{Dir: dir}); err == nil || !strings.Contains(err.Error(), "replicas") {
			t.Errorf("three replicas on one server: %v", err)
		}
		wantNothing(t, one)
		restored(t, one, Plan{Dir: dir, Replicas: 1})
		checkHub(t, one, 1)
		again := cluster(t)
		restored(t, again, Plan{Dir: dir, Replicas: 3})
		checkHub(t, again, 1)
		s, err := jetStreamOf(t, again).Stream(t.Context(), "KV_hub_devices")
		if err != nil || s.CachedInfo().Config.Replicas != 3 {
			t.Errorf("the restored bucket is %v, %v", s, err)
		}
	})
}

// TestAnotherPlace: the streams of a cluster are restored in one of another name.
func TestAnotherPlace(t *testing.T) {
	t.Parallel()
	a, other := cluster(t), clusterNamed(t, "d")
	hubOf(t, a, 1)
	for _, name := range []string{"KV_hub_devices", "HUB_TELEMETRY"} {
		s, err := jetStreamOf(t, a).Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		config := s.CachedInfo().Config
		config.Placement = &jetstream.Placement{Cluster: "c"}
		if _, err := jetStreamOf(t, a).UpdateStream(t.Context(), config); err != nil {
			t.Fatal(err)
		}
	}
	dir, _ := copied(t, a, Options{})
	restored(t, other, Plan{Dir: dir, Placement: backend.Placement{Cluster: "d"}})
	checkHub(t, other, 1)
	s, err := jetStreamOf(t, other).Stream(t.Context(), "HUB_TELEMETRY")
	if err != nil || s.CachedInfo().Config.Placement.Cluster != "d" {
		t.Errorf("the restored stream is %v, %v", s, err)
	}
}

func wantNothing(t *testing.T, a Account) {
	t.Helper()
	var all []string
	for name := range jetStreamOf(t, a).StreamNames(t.Context()).Name() {
		all = append(all, name)
	}
	if len(all) > 0 {
		t.Errorf("there is %q", all)
	}
}

// TestEveryKey copies a bucket whose keys are written all the time: each is in
// the copy, with the value of before or a newer one, however often it has moved
// to the end of the stream meanwhile.
func TestEveryKey(t *testing.T) {
	a := account(t, nil)
	hubOf(t, a, 1)
	kv := bucketOf(t, a, jetstream.KeyValueConfig{Bucket: "hub_twins"})
	const keys = 4000
	js := jetStreamOf(t, a)
	pad := strings.Repeat("x", 1000)
	for i := range keys {
		if _, err := js.PublishAsync(fmt.Sprintf("$KV.hub_twins.k%d", i), []byte("0"+pad)); err != nil {
			t.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for n := w; ctx.Err() == nil; n += 4 {
				_, _ = kv.PutString(ctx, fmt.Sprint("k", n*7919%keys), fmt.Sprint(n, pad))
			}
		})
	}
	dir, m := copied(t, a, Options{})
	stop()
	wg.Wait()
	seen := map[string]int{}
	for _, asset := range m.Assets {
		if asset.Stream != "KV_hub_twins" {
			continue
		}
		f, err := open(dir, asset, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		if err := eachRecord(f, asset, func(r record) error { seen[r.Key]++; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	twice := 0
	for _, n := range seen {
		if n > 1 {
			twice++
		}
	}
	t.Logf("%d keys, %d of them written again while they were copied", len(seen), twice)
	if len(seen) != keys {
		t.Errorf("%d of %d keys are in the copy", len(seen), keys)
	}
	if twice == 0 {
		t.Error("no key was written while the bucket was copied: this shows nothing")
	}
}

// TestBucketsAreKept: history, headers, deleted keys and readers' positions are
// as they were; what was only for the first writer is not.
func TestBucketsAreKept(t *testing.T) {
	a := account(t, nil)
	hubOf(t, a, 1)
	twins := bucketOf(t, a, jetstream.KeyValueConfig{Bucket: "hub_twins", History: 5, LimitMarkerTTL: time.Hour})
	js := jetStreamOf(t, a)
	put(t, twins, "k", "1")
	m := nats.NewMsg("$KV.hub_twins.k")
	m.Header.Set("Hub-By", "somebody")
	m.Data = []byte("2")
	if _, err := js.PublishMsg(t.Context(), m, jetstream.WithExpectLastSequencePerSubject(1), jetstream.WithMsgID("x"), jetstream.WithExpectStream("KV_hub_twins")); err != nil {
		t.Fatal(err)
	}
	put(t, twins, "deleted", "1")
	put(t, twins, "purged", "1")
	if err := twins.Delete(t.Context(), "deleted"); err != nil {
		t.Fatal(err)
	}
	if err := twins.Purge(t.Context(), "purged"); err != nil {
		t.Fatal(err)
	}
	states := bucketOf(t, a, jetstream.KeyValueConfig{Bucket: "hub_c2d"})
	put(t, states, "feedback.3", "a lock")
	put(t, states, "feedback", "a device")
	reader, err := js.CreateConsumer(t.Context(), "HUB_TELEMETRY", jetstream.ConsumerConfig{Durable: "app", AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		t.Fatal(err)
	}
	first, err := reader.Next()
	if err != nil {
		t.Fatal(err)
	}
	if err := first.DoubleAck(t.Context()); err != nil {
		t.Fatal(err)
	}
	dir, _ := copied(t, a, Options{})
	b := account(t, nil)
	restored(t, b, Plan{Dir: dir})
	js = jetStreamOf(t, b)
	if twins, err = js.KeyValue(t.Context(), "hub_twins"); err != nil {
		t.Fatal(err)
	}
	history, err := twins.History(t.Context(), "k")
	if err != nil || len(history) != 2 || string(history[0].Value()) != "1" || string(history[1].Value()) != "2" {
		t.Errorf("the history is %v, %v", history, err)
	}
	s, err := js.Stream(t.Context(), "KV_hub_twins")
	if err != nil {
		t.Fatal(err)
	}
	last, err := s.GetLastMsgForSubject(t.Context(), "$KV.hub_twins.k")
	if err != nil || last.Header.Get("Hub-By") != "somebody" || strings.Contains(fmt.Sprint(last.Header), "Expected") || last.Header.Get("Nats-Msg-Id") != "" {
		t.Errorf("the headers are %v, %v", last, err)
	}
	for _, key := range []string{"deleted", "purged"} {
		if e, err := twins.Get(t.Context(), key); err == nil {
			t.Errorf("%s is there again: %s", key, e.Value())
		}
	}
	if states, err = js.KeyValue(t.Context(), "hub_c2d"); err != nil {
		t.Fatal(err)
	}
	if keys, err := states.Keys(t.Context()); err != nil || !slices.Equal(keys, []string{"feedback"}) {
		t.Errorf("deliveries are known of %q, %v", keys, err)
	}
	if reader, err = js.Consumer(t.Context(), "HUB_TELEMETRY", "app"); err != nil {
		t.Fatal(err)
	}
	if next, err := reader.Next(); err != nil || string(next.Data()) != "two" {
		t.Errorf("the reader goes on with %v, %v", next, err)
	}
}

// TestEncrypted: nobody reads an encrypted backup who has not the identity.
func TestEncrypted(t *testing.T) {
	a := account(t, nil)
	hubOf(t, a, 1)
	owner, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	dir, m := copied(t, a, Options{Recipients: []age.Recipient{owner.Recipient()}})
	for _, asset := range m.Assets {
		text, err := os.ReadFile(filepath.Join(dir, asset.File))
		if err != nil || !strings.HasPrefix(string(text), "age-encryption.org/v1\n") {
			t.Errorf("%s is not encrypted: %v", asset.File, err)
		}
	}
	b := account(t, nil)
	for name, tc := range map[string]struct {
		identities []age.Identity
		says       string
	}{
		"none":     {nil, "--identity"},
		"stranger": {[]age.Identity{stranger}, "none of the identities"},
	} {
		if _, err := b.Restore(t.Context(), Plan{Dir: dir, Identities: tc.identities}); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", name, err)
		}
		wantNothing(t, b)
	}
	restored(t, b, Plan{Dir: dir, Identities: []age.Identity{stranger, owner}})
	checkHub(t, b, 1)
}

// TestRestoreThatFails leaves nothing, and says why.
func TestRestoreThatFails(t *testing.T) {
	a := account(t, nil)
	hubOf(t, a, 1)
	if _, err := jetStreamOf(t, a).CreateStream(t.Context(), jetstream.StreamConfig{Name: "HUB_LARGE", Subjects: []string{"large"}, MaxBytes: 64 << 20}); err != nil {
		t.Fatal(err)
	}
	dir, _ := copied(t, a, Options{})
	small := account(t, func(o *server.Options) { o.JetStreamMaxStore = 32 << 20 })
	if _, err := small.Restore(t.Context(), Plan{Dir: dir}); err == nil || !strings.Contains(err.Error(), "HUB_LARGE") || !strings.Contains(err.Error(), "insufficient storage") {
		t.Errorf("got %v", err)
	}
	wantNothing(t, small)
	other := account(t, nil)
	other.Prefix = "plant"
	if _, err := other.Restore(t.Context(), Plan{Dir: dir}); err == nil || !strings.Contains(err.Error(), `"hub"`) {
		t.Errorf("another prefix: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	b := account(t, nil)
	if _, err := b.Restore(ctx, Plan{Dir: dir, Done: func(Asset) { cancel() }}); err == nil {
		t.Error("a restore that was interrupted has succeeded")
	}
	wantNothing(t, b)
	if _, err := a.Restore(t.Context(), Plan{Dir: dir}); err == nil || !strings.Contains(err.Error(), "there is a hub already") {
		t.Errorf("over a hub: %v", err)
	}
}

// TestWriteRefuses: where there is something, where no hub is, and where one is
// being restored.
func TestWriteRefuses(t *testing.T) {
	a := account(t, nil)
	if _, err := a.Write(t.Context(), Options{Dir: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "hub_devices") {
		t.Errorf("no hub: %v", err)
	}
	hubOf(t, a, 1)
	dir, _ := copied(t, a, Options{Skip: func(stream string) bool { return stream == "HUB_TELEMETRY" }})
	if _, err := os.Stat(filepath.Join(dir, "HUB_TELEMETRY.snapshot")); err == nil {
		t.Error("what was to be left out is there")
	}
	if _, err := a.Write(t.Context(), Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "is not empty") {
		t.Errorf("over a backup: %v", err)
	}
	if _, err := Verify(t.Context(), dir, nil); err != nil {
		t.Errorf("the refused backup has harmed the first: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	partial := filepath.Join(t.TempDir(), "new", "backup")
	if _, err := a.Write(ctx, Options{Dir: partial, Done: func(Asset) { cancel() }}); err == nil {
		t.Error("a backup that was interrupted has succeeded")
	}
	if _, err := os.Stat(partial); err == nil {
		t.Error("a part of an interrupted backup is left")
	}
	if _, err := jetStreamOf(t, a).CreateStream(t.Context(), jetstream.StreamConfig{Name: "HUB_RESTORE", Subjects: []string{"hub.restore"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Write(t.Context(), Options{Dir: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "restore") {
		t.Errorf("while one is restored: %v", err)
	}
}

// TestOthersInThePlace: of two backups that go into one directory, the one that fails
// leaves the other's files.
func TestOthersInThePlace(t *testing.T) {
	a := account(t, nil)
	hubOf(t, a, 1)
	dir := t.TempDir()
	other := filepath.Join(dir, "HUB_TELEMETRY.snapshot")
	_, err := a.Write(t.Context(), Options{Dir: dir, Done: func(done Asset) {
		if done.Stream != "KV_hub_devices" {
			return
		}
		if err := os.WriteFile(other, []byte("of another"), 0o600); err != nil {
			t.Error(err)
		}
	}})
	if !errors.Is(err, os.ErrExist) {
		t.Errorf("got %v", err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || !slices.Equal(left, []string{other}) {
		t.Errorf("left are %q, %v", left, err)
	}
}

// TestBelonging: the streams of a hub, and not of one whose name begins so.
func TestBelonging(t *testing.T) {
	all := []string{
		"HUB_TELEMETRY", "HUB_TELEMETRY_7", "KV_hub_devices", "HUB_MINE", "OTHER", "KV_hubs_devices", "HUBS_EVENTS",
		"KV_hub_b_devices", "KV_hub_b_twins", "HUB_B_TELEMETRY",
	}
	for prefix, want := range map[string]string{
		"hub":   "HUB_TELEMETRY HUB_TELEMETRY_7 KV_hub_devices HUB_MINE",
		"hub_b": "KV_hub_b_devices KV_hub_b_twins HUB_B_TELEMETRY",
		"hubs":  "KV_hubs_devices HUBS_EVENTS",
		"none":  "",
	} {
		if got := strings.Join(belonging(all, prefix), " "); got != want {
			t.Errorf("%s: got %s, want %s", prefix, got, want)
		}
	}
}

// TestOrder holds the order in which streams are copied, see order.
func TestOrder(t *testing.T) {
	a := Account{}
	all := append(a.names().Streams(), "HUB_TELEMETRY_7", "KV_hub_newer")
	sorted := order(all, a.names())
	at := map[string]int{}
	for i, name := range sorted {
		at[name] = i
	}
	if len(at) != len(all) || !slices.Equal(slices.Sorted(maps.Keys(at)), slices.Sorted(slices.Values(all))) {
		t.Fatalf("the order has %q of %q", sorted, all)
	}
	for _, pair := range [][2]string{
		{"KV_hub_c2d", "HUB_C2D"},
		{"HUB_C2D", "HUB_FEEDBACK"},
		{"HUB_C2D", "HUB_DEADLETTERS"},
		{"KV_hub_jobs", "KV_hub_jobrows"},
		{"KV_hub_twins", "KV_hub_devices"},
		{"KV_hub_presence", "KV_hub_devices"},
		{"KV_hub_newer", "KV_hub_devices"},
		{"HUB_EVENTS", "HUB_TELEMETRY"},
		{"KV_hub_devices", "HUB_TELEMETRY_7"},
	} {
		if at[pair[0]] > at[pair[1]] {
			t.Errorf("%s comes after %s", pair[0], pair[1])
		}
	}
}

// TestRestoreSyncs: the mark is on the disk before anything else is made, everything
// is before the mark goes, and that it has gone is at the end. A disk that fails ends the
// restore.
func TestRestoreSyncs(t *testing.T) {
	a := account(t, nil)
	hubOf(t, a, 1)
	dir, m := copied(t, a, Options{})
	b := account(t, nil)
	mark := b.names().RestoreStream()
	var there [][]string
	plan := Plan{Dir: dir, Sync: func() error {
		names, err := b.streams(t.Context())
		there = append(there, names)
		return err
	}}
	if _, err := b.Restore(t.Context(), plan); err != nil {
		t.Fatal(err)
	}
	if len(there) != 3 || !slices.Equal(there[0], []string{mark}) || len(there[1]) != len(m.Assets)+1 || !slices.Contains(there[1], mark) {
		t.Fatalf("when the disk was synced there were %v", there)
	}
	if len(there[2]) != len(m.Assets) || slices.Contains(there[2], mark) {
		t.Errorf("when the disk was synced last there were %v", there[2])
	}
	for at := range 3 {
		c, n := account(t, nil), 0
		plan.Sync = func() error {
			if n++; n > at {
				return errors.New("the disk fails")
			}
			return nil
		}
		if _, err := c.Restore(t.Context(), plan); err == nil || !strings.Contains(err.Error(), "the disk fails") {
			t.Errorf("got %v", err)
		}
		wantNothing(t, c)
	}
}

// TestTakeOver: a restore that discards another never leaves the account without a
// mark, so that no node takes the empty account for a new hub.
func TestTakeOver(t *testing.T) {
	a := account(t, nil)
	hubOf(t, a, 1)
	dir, m := copied(t, a, Options{})
	b := account(t, nil)
	mark, js := b.names().RestoreStream(), jetStreamOf(t, b)
	for name, subject := range map[string]string{mark: b.names().Restore(), "KV_hub_policies": "$KV.hub_policies.>", "OTHER": "other"} {
		if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{subject}}); err != nil {
			t.Fatal(err)
		}
	}
	gone, err := b.Conn.SubscribeSync("$JS.EVENT.ADVISORY.STREAM.DELETED.*")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Restore(t.Context(), Plan{Dir: dir, DiscardUnfinished: true}); err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteStream(t.Context(), "OTHER"); err != nil { // what comes after all of the restore's
		t.Fatal(err)
	}
	for _, want := range []string{"KV_hub_policies", mark, "OTHER"} {
		got, err := gone.NextMsg(10 * time.Second)
		if err != nil || !strings.HasSuffix(got.Subject, "."+want) {
			t.Fatalf("got %v, %v, want the end of %s", got, err, want)
		}
	}
	if left, err := b.streams(t.Context()); err != nil || len(left) != len(m.Assets) || slices.Contains(left, mark) {
		t.Errorf("there are %q, %v", left, err)
	}
}

// TestReplicaBehind: a bucket is not whole as long as the leader has something that
// was there at the begin and has not come.
func TestReplicaBehind(t *testing.T) {
	t.Parallel()
	a := cluster(t)
	kv := bucketOf(t, a, jetstream.KeyValueConfig{Bucket: "hub_devices", Replicas: 3})
	for _, key := range []string{"a", "b", "c"} {
		put(t, kv, key, "1")
	}
	put(t, kv, "c", "2") // 3 is gone, and 4 there
	tests := []struct {
		last, begin uint64
		whole       bool
	}{{0, 4, false}, {1, 4, false}, {1, 1, true}, {2, 3, true}, {2, 4, false}, {4, 4, true}, {5, 4, true}, {4, 9, true}}
	for _, tt := range tests {
		if whole, err := a.isWhole(t.Context(), "KV_hub_devices", tt.last, tt.begin); whole != tt.whole || err != nil {
			t.Errorf("with %d of %d: %v, %v", tt.last, tt.begin, whole, err)
		}
	}
	if _, err := a.isWhole(t.Context(), "KV_hub_twins", 1, 2); err == nil {
		t.Error("a stream that is not there is whole")
	}
}

// TestManifestOfOthers: a manifest that names what is not the hub's, or not as what it
// is, is damaged: a restore that fails removes what the manifest names.
func TestManifestOfOthers(t *testing.T) {
	a := account(t, nil)
	hubOf(t, a, 1)
	good, _ := copied(t, a, Options{})
	for name, change := range map[string]func(*Asset){
		"a stream of others":         func(a *Asset) { a.Stream = "ORDERS" },
		"a bucket of others":         func(a *Asset) { a.Stream = "KV_orders" },
		"a bucket that is none":      func(a *Asset) { a.Bucket = true },
		"the mark":                   func(a *Asset) { a.Stream = "HUB_RESTORE" },
		"a bucket with a short name": func(a *Asset) { a.Stream, a.Bucket = "X", true },
	} {
		t.Run(name, func(t *testing.T) {
			m, err := readManifest(good)
			if err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(t.TempDir(), "copy")
			if err := os.CopyFS(dir, os.DirFS(good)); err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(m.Assets, func(a Asset) bool { return a.Stream == "HUB_TELEMETRY" })
			change(&m.Assets[i])
			if m.Assets[i].Bucket { // with a file that fits
				devices := m.Assets[slices.IndexFunc(m.Assets, func(a Asset) bool { return a.Stream == "KV_hub_devices" })]
				m.Assets[i].File, m.Assets[i].Size, m.Assets[i].SHA256, m.Assets[i].Messages = devices.File, devices.Size, devices.SHA256, devices.Messages
			}
			if err := m.write(dir); err != nil {
				t.Fatal(err)
			}
			b := account(t, nil)
			js := jetStreamOf(t, b)
			for _, name := range []string{"ORDERS", "KV_orders"} {
				if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{name}}); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := b.Restore(t.Context(), Plan{Dir: dir}); err == nil || !strings.Contains(err.Error(), "damaged") {
				t.Errorf("got %v", err)
			}
			var left []string
			for name := range js.StreamNames(t.Context()).Name() {
				left = append(left, name)
			}
			slices.Sort(left)
			if !slices.Equal(left, []string{"KV_orders", "ORDERS"}) {
				t.Errorf("there is %q", left)
			}
		})
	}
}

// TestCopiesOfOperators: buckets of operators that have their values from one of the hub
// have them from that of the restored hub.
func TestCopiesOfOperators(t *testing.T) {
	a := account(t, nil)
	hubOf(t, a, 1)
	bucketOf(t, a, jetstream.KeyValueConfig{Bucket: "hub_copy", Mirror: &jetstream.StreamSource{Name: "hub_devices"}})
	bucketOf(t, a, jetstream.KeyValueConfig{Bucket: "hub_sum", Sources: []*jetstream.StreamSource{{Name: "hub_devices"}}})
	wantCopies(t, a, "d")
	dir, _ := copied(t, a, Options{})
	b := account(t, nil)
	restored(t, b, Plan{Dir: dir})
	kv, err := jetStreamOf(t, b).KeyValue(t.Context(), "hub_devices")
	if err != nil {
		t.Fatal(err)
	}
	put(t, kv, "e", "secret-key-of-e")
	wantCopies(t, b, "d", "e")
}

// wantCopies waits until the copies have devices.
func wantCopies(t *testing.T, a Account, devices ...string) {
	t.Helper()
	js := jetStreamOf(t, a)
	for stream, bucket := range map[string]string{"KV_hub_copy": "hub_devices", "KV_hub_sum": "hub_sum"} {
		for _, device := range devices {
			until(t, device+" in "+stream, func(ctx context.Context) bool {
				s, err := js.Stream(ctx, stream)
				if err != nil {
					return false
				}
				m, err := s.GetLastMsgForSubject(ctx, "$KV."+bucket+"."+device)
				return err == nil && string(m.Data) == "secret-key-of-"+device
			})
		}
	}
}
