package backend

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/session"
	"github.com/hubgate/hubgate/twin"
)

// keepHistory makes the buckets of sessions and twins keep everything that was
// ever written.
func keepHistory(t *testing.T, b *Backbone) {
	t.Helper()
	for _, bucket := range []string{b.sessions.bucket.name, b.twins.bucket.name} {
		s, err := b.js.Stream(testContext(t), "KV_"+bucket)
		if err != nil {
			t.Fatal(err)
		}
		cfg := s.CachedInfo().Config
		cfg.MaxMsgsPerSubject = -1
		if _, err := b.js.UpdateStream(testContext(t), cfg); err != nil {
			t.Fatal(err)
		}
	}
}

// history is all that was ever written of a device's key, in order.
func history(t *testing.T, b *Backbone, bucket string, id hub.Identity) []jetstream.Msg {
	t.Helper()
	ctx := testContext(t)
	s, err := b.js.Stream(ctx, "KV_"+bucket)
	if err != nil {
		t.Fatal(err)
	}
	keys := "$KV." + bucket + "." + subject.Key(id)
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(keys))
	if err != nil {
		t.Fatal(err)
	}
	left := info.State.Subjects[keys]
	c, err := s.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{FilterSubjects: []string{keys}})
	if err != nil {
		t.Fatal(err)
	}
	it, err := c.Messages()
	if err != nil {
		t.Fatal(err)
	}
	defer it.Stop()
	var all []jetstream.Msg
	for ; left > 0; left-- {
		m, err := it.Next(jetstream.NextContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	return all
}

// judge compares what each connection was told with what was stored.
func (c *contest) judge(calm *peer) {
	c.t.Helper()
	b := calm.Backbone
	for d := range contested {
		id := device(d)
		var acts []act
		for _, a := range c.acts {
			if a.id == id {
				acts = append(acts, a)
			}
		}
		written := c.judgeSessions(history(c.t, b, b.sessions.bucket.name, id), id, acts)
		c.judgeOrder(acts)
		patched := c.judgeTwins(history(c.t, b, b.twins.bucket.name, id), acts)
		c.t.Logf("%s: %d revisions of its session, %d of its twin", id, written, patched)
		c.judgeWills(calm, id, acts)
		c.judgeEnds(calm, id, acts)
	}
	c.t.Logf("acknowledged: %v; repaired: %d sessions; fenced: %d and %d times", c.counts(), c.repaired, c.nodes[0].fenced.Load(), c.nodes[1].fenced.Load())
}

// judgeEnds sees to it that the end of each connection that was let in is told.
func (c *contest) judgeEnds(calm *peer, id hub.Identity, acts []act) {
	c.t.Helper()
	for _, a := range acts {
		if a.kind == "claim" {
			end := fmt.Sprintf("%X-", a.epoch)
			until(c.t, fmt.Sprintf("the end of connection %X of %s is told", a.epoch, id), func() bool {
				return slices.ContainsFunc(strings.Fields(calm.told(c.t, id.Device)), func(told string) bool { return strings.HasPrefix(told, end) })
			})
		}
	}
}

// judgeSessions reads the history of a session. It returns how long it is.
func (c *contest) judgeSessions(all []jetstream.Msg, id hub.Identity, acts []act) int {
	values, order := map[uint64]session.Session{}, []uint64{}
	var before session.Session
	for _, m := range all {
		n, err := sequence(m)
		if err != nil {
			c.t.Fatal(err)
		}
		v, ok := parseSession(id, m.Data())
		if !ok {
			c.t.Fatalf("revision %d of the session of %s is damaged", n, id)
		}
		v.Revision = n
		isClaim := v.Epoch == 0
		if isClaim {
			v.Epoch = n
		}
		switch {
		case !isClaim && before.RepairedBy != "" && v.RepairedBy != before.RepairedBy:
			c.t.Errorf("%s: revision %d was written by an owner after %s had repaired the session", id, n, before.RepairedBy)
		case !isClaim && v.Epoch != before.Epoch:
			c.t.Errorf("%s: revision %d was written under the epoch %d, when the owner had %d", id, n, v.Epoch, before.Epoch)
		case isClaim:
			if want, _ := session.Resume(before, v); !slices.Equal(want.Subscriptions, v.Subscriptions) {
				c.t.Errorf("%s: the claim %d has the subscriptions %v, and before it there were %v", id, n, v.Subscriptions, before.Subscriptions)
			}
		}
		if v.RepairedBy != "" && before.RepairedBy == "" {
			c.repaired++
		}
		values[n] = v
		order = append(order, n)
		before = v
	}
	c.judgeActs(acts, values, order)
	return len(order)
}

// judgeActs looks for what was acknowledged.
func (c *contest) judgeActs(acts []act, values map[uint64]session.Session, order []uint64) {
	for _, a := range acts {
		v, stored := values[a.revision]
		switch {
		case a.kind == "patch", a.kind == "get":
			continue
		case !stored || v.Epoch != a.epoch:
			c.t.Errorf("%s: a %s of epoch %d was acknowledged as revision %d, which is of epoch %d", a.id, a.kind, a.epoch, a.revision, v.Epoch)
			continue
		case a.kind == "claim":
			c.judgePresent(a, values, order)
		case a.kind == "save":
			c.judgeSaved(a, values, order)
		case a.kind == "release" && v.Connected:
			c.t.Errorf("%s: a release was acknowledged as revision %d, which is connected", a.id, a.revision)
		}
	}
}

// judgePresent sees whether session-present was the truth.
func (c *contest) judgePresent(a act, values map[uint64]session.Session, order []uint64) {
	var before session.Session
	if i, _ := slices.BinarySearch(order, a.revision); i > 0 {
		before = values[order[i-1]]
	}
	want := before.Persistent && a.session.Persistent
	if a.present != want {
		c.t.Errorf("%s: the claim %d was told session-present %v, want %v", a.id, a.revision, a.present, want)
	}
	if want && !slices.Equal(a.session.Subscriptions, before.Subscriptions) {
		c.t.Errorf("%s: the claim %d was told of %v, and there were %v", a.id, a.revision, a.session.Subscriptions, before.Subscriptions)
	}
}

// judgeSaved sees whether an acknowledged subscription stays as long as the
// session.
func (c *contest) judgeSaved(a act, values map[uint64]session.Session, order []uint64) {
	i, _ := slices.BinarySearch(order, a.revision)
	for _, n := range order[i:] {
		v := values[n]
		if !v.Persistent {
			return
		}
		if _, ok := v.Find(a.filter); !ok {
			c.t.Errorf("%s: revision %d has lost the subscription %s, which was acknowledged as revision %d", a.id, n, a.filter, a.revision)
			return
		}
	}
}

// judgeOrder sees to the acknowledgements as the clients got them: what an owner
// began after a newer one had a word from the store must have failed. The twin
// hears of a newer owner when that first uses it.
func (c *contest) judgeOrder(acts []act) {
	for _, newer := range acts {
		for _, older := range acts {
			if older.epoch < newer.epoch && older.began > newer.end && fences(newer.kind, older.kind) {
				c.t.Errorf("%s: a %s of epoch %d was acknowledged that began after a %s of epoch %d had been", older.id, older.kind, older.epoch, newer.kind, newer.epoch)
			}
		}
	}
}

// fences reports whether an older owner can't do one thing any more after a newer one
// has done another.
func fences(newer, older string) bool {
	ofTwin := func(kind string) bool { return kind == "patch" || kind == "get" }
	return older != "get" && ofTwin(older) == ofTwin(newer) // what is read may be the node's copy
}

// judgeTwins reads the history of a twin. It returns how long it is.
func (c *contest) judgeTwins(all []jetstream.Msg, acts []act) int {
	keys := map[string]int64{} // the version that has brought a key
	versions := map[int64]uint64{}
	var version int64
	var epoch uint64
	for _, m := range all {
		t, err := twin.Parse(m.Data())
		if err != nil {
			c.t.Fatal(err)
		}
		by, _ := strconv.ParseUint(m.Headers().Get(subject.EpochHeader), 10, 64)
		if by < epoch {
			c.t.Errorf("%s: version %d was written under the epoch %d, after one under %d", t.ID, t.ReportedVersion(), by, epoch)
		}
		fence := t.ReportedVersion() == version && by > epoch
		if version > 0 && t.ReportedVersion() != version+1 && !fence {
			c.t.Errorf("%s: version %d follows %d", t.ID, t.ReportedVersion(), version)
		}
		epoch, version = by, t.ReportedVersion()
		if !fence {
			versions[version] = by
		}
		for key := range c.missing(t, keys, acts) {
			c.t.Errorf("%s: version %d has lost the key %s of version %d", t.ID, version, key, keys[key])
		}
	}
	for _, a := range acts {
		if a.kind != "patch" {
			continue
		}
		if by, ok := versions[a.version]; !ok || by != a.epoch || keys[a.key] != a.version {
			c.t.Errorf("%s: the patch %s of epoch %d was acknowledged as version %d, and came as %d; that one is of epoch %d", a.id, a.key, a.epoch, a.version, keys[a.key], by)
		}
	}
	return len(all)
}

// missing notes the keys that a version has brought, and returns those that it
// has lost. Nobody deletes any.
func (c *contest) missing(t twin.Twin, keys map[string]int64, acts []act) map[string]struct{} {
	lost := map[string]struct{}{}
	reported := string(t.ReportedProperties())
	for _, a := range acts {
		if a.kind != "patch" {
			continue
		}
		there := strings.Contains(reported, strconv.Quote(a.key)+":")
		if _, known := keys[a.key]; known && !there {
			lost[a.key] = struct{}{}
		} else if !known && there {
			keys[a.key] = t.ReportedVersion()
		}
	}
	return maps.Clone(lost)
}

// judgeWills sees to the wills: each connection that was accepted has one, which is
// sent once, unless the connection has ended with DISCONNECT.
func (c *contest) judgeWills(calm *peer, id hub.Identity, acts []act) {
	accepted, disconnected := map[string]bool{}, map[uint64]bool{}
	names := map[uint64]string{}
	for _, a := range acts {
		switch a.kind {
		case "claim":
			accepted[a.session.Connection], names[a.epoch] = true, a.session.Connection
		case "release":
			disconnected[a.epoch] = a.code == 0
		}
	}
	maps.DeleteFunc(accepted, func(name string, _ bool) bool { return c.farewells[name] })
	sent := map[string]int{}
	count := func() (missing int) {
		clear(sent)
		for _, will := range calm.wills(c.t, id.Device) {
			sent[will]++
		}
		for will := range accepted {
			if sent[will] == 0 {
				missing++
			}
		}
		return missing
	}
	until(c.t, "the wills of "+id.Device+" are sent", func() bool { return count() == 0 })
	for will, times := range sent {
		if times > 1 {
			c.t.Errorf("%s: the will of %s was sent %d times", id, will, times)
		}
	}
	for epoch, orderly := range disconnected {
		if name := names[epoch]; orderly && sent[name] > 0 {
			c.t.Errorf("%s: the will of %s was sent after DISCONNECT", id, name)
		}
	}
	c.t.Logf("%s: %d wills of %d accepted connections", id, len(sent), len(names))
}
