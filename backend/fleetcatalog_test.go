package backend

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/session"
	"github.com/hubgate/hubgate/twin"
)

// value is what a key of one bucket holds, of a generation; 0: nothing.
type value struct{ generation, n int }

func (v value) id() string { return fmt.Sprint(638_000_000_000_000_000 + v.generation) }

func (v value) record(id hub.Identity) identity.Record {
	return identity.Record{
		ID: id, GenerationID: v.id(), CreatedTime: identity.CreatedTime(v.id()), ETag: fmt.Sprint(v.n), Status: identity.StatusEnabled,
		Authentication: identity.Authentication{Type: identity.AuthSAS},
	}
}

func (v value) twin(id hub.Identity) twin.Twin {
	t := twin.New(id, v.id(), identity.CreatedTime(v.id()))
	t.Version = int64(v.n)
	return t
}

func (v value) session(id hub.Identity) session.Session {
	return session.Session{ID: id, Generation: v.id(), Connected: v.n%2 == 0, ConnectedTime: time.Unix(int64(v.n), 0), ModelID: fmt.Sprint(v.n)}
}

// apply tells the catalog what a feed would.
func (v value) apply(t *rapid.T, x *catalog, id hub.Identity, feed int) {
	var err error
	switch {
	case feed == deviceFeed && v.generation == 0:
		x.recordGone(id)
	case feed == deviceFeed:
		err = x.record(v.record(id), 1)
	case feed == twinFeed && v.generation == 0:
		x.twinGone(id)
	case feed == twinFeed:
		err = x.twin(id, part(v.twin(id).AppendJSON(nil), twinPart), x.generation(v.id()), 1)
	case v.generation == 0:
		x.sessionGone(id)
	default:
		x.session(v.session(id), 1)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// expected is what three buckets make of an identity; nil: there is none.
func expected(id hub.Identity, now [feedCount]value) []byte {
	record, tw, s := now[deviceFeed], now[twinFeed], now[presenceFeed]
	if record.generation == 0 {
		return nil
	}
	v := viewOf(record.record(id), newTwin(record.record(id)))
	if tw.generation == record.generation {
		v.Twin = tw.twin(id)
	}
	if s.generation == record.generation {
		a := activityOf(s.session(id))
		v.Connected, v.LastActivity, v.ModelID = a.Connected, a.LastActivity, s.session(id).ModelID
	}
	return v.AppendJSON(nil)
}

// TestCatalogNeedsNoOrder: the buckets are followed apart, and whoever is
// behind, the end is the same. What a reading has told of stays when it ends.
func TestCatalogNeedsNoOrder(t *testing.T) {
	t.Parallel()
	id := hub.Identity{Device: "a"}
	rapid.Check(t, func(t *rapid.T) {
		var history [feedCount][]value
		for feed := range feedCount {
			history[feed] = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) value {
				return value{rapid.IntRange(0, 3).Draw(t, "generation"), rapid.IntRange(1, 99).Draw(t, "n")}
			}), 0, 6).Draw(t, fmt.Sprint("bucket", feed))
			slices.SortStableFunc(history[feed], func(a, b value) int { // they go up, with deletions anywhere
				if a.generation == 0 || b.generation == 0 {
					return 0
				}
				return a.generation - b.generation
			})
		}
		x, now := newCatalog(), [feedCount]value{}
		for len(history[0])+len(history[1])+len(history[2]) > 0 {
			feed := rapid.IntRange(0, feedCount-1).Draw(t, "feed")
			if len(history[feed]) == 0 {
				continue
			}
			now[feed], history[feed] = history[feed][0], history[feed][1:]
			now[feed].apply(t, x, id, feed)
			x.sweep(rapid.IntRange(0, feedCount-1).Draw(t, "ended"), 1)
			got, _ := x.devices.Get("a")
			if diff := cmp.Diff(string(expected(id, now)), string(got)); diff != "" {
				t.Fatalf("-want +got\n%s", diff)
			}
		}
		if now == [feedCount]value{} && len(x.at("a").entries)+len(x.at("a").strays) > 0 {
			t.Errorf("nothing is there, and something is kept: %+v", x.at("a"))
		}
	})
}

// TestSweepFindsWhatHasStrayed: a twin that was put aside while a bucket was read again,
// and that the reading has not told of, is gone as any other.
func TestSweepFindsWhatHasStrayed(t *testing.T) {
	t.Parallel()
	x, id := newCatalog(), hub.Identity{Device: "a"}
	early, last := value{1, 1}, value{3, 1}
	set := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	set(x.twin(id, part(last.twin(id).AppendJSON(nil), twinPart), x.generation(last.id()), 1))
	x.session(last.session(id), 1)
	set(x.record(early.record(id), 1)) // puts both aside
	x.sweep(twinFeed, 2)
	x.sweep(presenceFeed, 2)
	set(x.record(last.record(id), 1))
	got, _ := x.devices.Get("a")
	if diff := cmp.Diff(string(expected(id, [feedCount]value{deviceFeed: last})), string(got)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// TestParts: a document falls into its parts and nothing is lost.
func TestParts(t *testing.T) {
	t.Parallel()
	v := twin.View{
		Twin: value{1, 7}.twin(hub.Identity{Device: `a`, Module: "m"}), StatusReason: `x"}],\`, Scope: "{[,", ParentScopes: []string{"a", `"`},
		Messages: 2, Configurations: []twin.ConfigurationStatus{{ID: `c"]`, Status: "Applied"}}, Edge: true,
	}
	text := v.AppendJSON(nil)
	x := newCatalog()
	for p := range 4 {
		if err := x.modules.Set("a/m", p, part(text, p)); err != nil {
			t.Fatalf("part %d, %s: %v", p, part(text, p), err)
		}
	}
	got, _ := x.modules.Get("a/m")
	want := `"capabilities":{"iotEdge":false},"configurations"`
	if diff := cmp.Diff(string(text), string(slices.Concat(got))); diff == "" || !hasAll(string(got), want, `"statusReason":"x\"}],\\"`, `"parentScopes":["a","\""]`) {
		t.Errorf("got %s\nof  %s", got, text)
	}
	for _, broken := range []string{"", "{", `{"a`, `{"a"`, `{"a":`, `{"a":"`, `{"a":"\`, `{"a":[`, `{a:1}`, `[1]`, `{"a":1`, `{"a":1,`, `{"":}`, `}`} {
		members([]byte(broken), func([]byte, []byte) {}) // and does not panic
	}
}

func FuzzMembers(f *testing.F) {
	f.Add([]byte(`{"a":{"b":["\"",1]},"c":null}`))
	f.Fuzz(func(_ *testing.T, text []byte) {
		n := 0
		members(text, func(name, value []byte) { n += len(name) + len(value) })
		if n > len(text) {
			panic("more was read than there is")
		}
	})
}

// TestFleetPassesOverDamage: what the hub has not written is passed over, and what is
// damaged is left out, as the stores do.
func TestFleetPassesOverDamage(t *testing.T) {
	t.Parallel()
	b := open(t, serve(t, "", 0), Config{})
	ctx, id := testContext(t), device(1)
	create(t, b, id)
	create(t, b, device(2))
	put := func(bucket *bucket, key, text string) {
		t.Helper()
		revision, err := bucket.kv.Put(ctx, key, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		bucket.wrote(revision)
	}
	for _, bucket := range []*bucket{b.devices.bucket, b.twins.bucket, b.sessions.bucket} {
		put(bucket, "a=b", "{}")
		put(bucket, "a.b.c", "{}")
		put(bucket, subject.Key(device(2)), "{")
	}
	put(b.twins.bucket, subject.Key(id), `{ "deviceId": "dev-1", "tags": {"by": "hand"}, "etag":"AAAAAAAAAAI=", "version":3, "properties":{"desired":{"$version":1},"reported":{"$version":1}} }`)
	rows := everything(ctx, t, b.Fleet())
	v, err := b.Fleet().View(ctx, id)
	if err != nil || !hasAll(rows["dev-1"], `"tags":{"by":"hand"}`) || rows["dev-1"] != string(v.AppendJSON(nil)) || len(rows) != 1 {
		t.Errorf("rows = %v, %v, want one like %s", rows, err, v.AppendJSON(nil))
	}
}

// The part of a session is what a view of its identity has of it.
func TestPresenceIsPartOfAView(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 600, time.UTC)
	for _, s := range []session.Session{
		{}, {Connected: true, ConnectedTime: at, ModelID: "dtmi:a;1"}, {ConnectedTime: at, DisconnectedTime: at.Add(time.Second), ModelID: "\"größe\""},
	} {
		a, v := activityOf(s), blank()
		v.Connected, v.LastActivity, v.ModelID = a.Connected, a.LastActivity, s.ModelID
		if got, want := presenceOf(s), part(v.AppendJSON(nil), presencePart); string(got) != string(want) {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
