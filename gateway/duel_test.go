package gateway

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/session"
	"github.com/hubgate/hubgate/timeline"
)

var torn = hub.Identity{Device: "torn"}

// clash has two clients take over from each other so often, one every pause.
func clash(d *duels, times int, pause time.Duration) (stories []error, end time.Time) {
	now := time.Unix(1000, 0)
	a, b := "192.0.2.1:1000", "192.0.2.2:2000"
	for range times {
		if story := d.takeover(torn, a, b, now); story != nil {
			stories = append(stories, story)
		}
		a, b = b, a
		now = now.Add(pause)
	}
	return stories, now
}

func TestDuelIsToldOnce(t *testing.T) {
	d := &duels{policy: NewestStays}
	stories, end := clash(d, 500, 20*time.Millisecond)
	if len(stories) != 1 {
		t.Fatalf("%d stories of one duel: %v", len(stories), stories)
	}
	for _, part := range []string{"torn", "192.0.2.1", "192.0.2.2", "6 times"} {
		if !strings.Contains(stories[0].Error(), part) {
			t.Errorf("the story %q does not name %s", stories[0], part)
		}
	}
	if err := d.refuse(torn, "192.0.2.3:1", end, nil); err != nil {
		t.Errorf("where the newest stays nobody is refused: %v", err)
	}
}

// A device that comes again once in a while does not fight.
func TestSlowTakeoversAreNoDuel(t *testing.T) {
	d := &duels{policy: NobodyStays, quarantine: time.Minute}
	if stories, _ := clash(d, 100, duelDecay); len(stories) != 0 {
		t.Errorf("stories %v", stories)
	}
}

func TestDuelsEndAndAreForgotten(t *testing.T) {
	d := &duels{}
	if first, _ := clash(d, 10, time.Second); len(first) != 1 {
		t.Fatalf("stories %v, want one", first)
	}
	later := time.Unix(1000, 0).Add(time.Hour)
	for range duelLevel - 1 {
		if story := d.takeover(torn, "192.0.2.1:1", "192.0.2.1:2", later); story != nil {
			t.Errorf("an hour later the old take-overs count still: %v", story)
		}
	}
	story := d.takeover(torn, "192.0.2.1:1", "192.0.2.1:2", later)
	if story == nil || !strings.Contains(story.Error(), "both at 192.0.2.1") {
		t.Errorf("the story of a second duel, behind one address, is %v", story)
	}
	for i := range 3 * maxDuels {
		d.takeover(hub.Identity{Device: fmt.Sprint(i)}, "a", "b", later.Add(time.Duration(i)*time.Second))
	}
	if n := len(d.byID); n > maxDuels || int64(n) != d.count.Load() {
		t.Errorf("%d identities are watched, and %d counted", n, d.count.Load())
	}
}

func TestOldestStays(t *testing.T) {
	d := &duels{policy: OldestStays}
	_, now := clash(d, 10, time.Second)
	yes, no := func() bool { return true }, func() bool { return false }
	for range 100 { // for as long as it goes on
		now = now.Add(duelDecay / 2)
		err := d.refuse(torn, "192.0.2.2:5", now, yes)
		if hub.CodeOf(err) != hub.ConnectionReplaced || !strings.Contains(err.Error(), "192.0.2.1") {
			t.Fatalf("the newcomer: %v", err)
		}
	}
	if err := d.refuse(torn, "192.0.2.2:5", now, no); err != nil {
		t.Errorf("the other one has gone: %v", err)
	}
	if err := d.refuse(hub.Identity{Device: "other"}, "192.0.2.2:5", now, yes); err != nil {
		t.Errorf("another identity: %v", err)
	}
	if err := d.refuse(torn, "192.0.2.2:5", now.Add(time.Hour), yes); err != nil {
		t.Errorf("an hour later: %v", err)
	}
}

// Who is told to have come from where: the last two, or both from one address; a name
// of no address is told as it is.
func TestWhereADuelIs(t *testing.T) {
	const at1, at2, at3 = "192.0.2.1:1", "192.0.2.2:2", "192.0.2.3:3"
	for name, tc := range map[string]struct {
		met  []string
		want string
	}{
		"two":             {[]string{at1, at2, at1, at2}, "at 192.0.2.1 and 192.0.2.2"},
		"the last two":    {[]string{at1, at2, at3}, "at 192.0.2.2 and 192.0.2.3"},
		"other ports":     {[]string{"192.0.2.1:1", "192.0.2.1:2"}, "both at 192.0.2.1"},
		"unknown":         {[]string{at1, "", at2, ""}, "at 192.0.2.1 and 192.0.2.2"},
		"no address":      {[]string{"pipe", at2}, "at pipe and 192.0.2.2"},
		"an IPv6 address": {[]string{"[2001:db8::1]:5", at2}, "at 2001:db8::1 and 192.0.2.2"},
	} {
		var v duel
		for _, remote := range tc.met {
			v.meet(remote)
		}
		if got := v.where(); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

// The winner is named too, even if it is always the same.
func TestDuelOfTheSameWinner(t *testing.T) {
	d, now := &duels{}, time.Unix(1000, 0)
	for i := range duelLevel {
		story := d.takeover(torn, "192.0.2.1:1", "192.0.2.2:2", now)
		if (story != nil) != (i == duelLevel-1) || story != nil && !strings.Contains(story.Error(), "at 192.0.2.1 and 192.0.2.2") {
			t.Errorf("take-over %d: %v", i+1, story)
		}
	}
}

// However often a newcomer was refused, the duel is over two minutes later; and each
// newcomer keeps it going for ten seconds.
func TestEndOfADuelOfTheOldest(t *testing.T) {
	yes := func() bool { return true }
	for refused, level := range map[int]int{0: duelLevel, 1: duelLevel + 1, 2: duelLevel + 2, duelLevel: 2 * duelLevel, 1000: 2 * duelLevel} {
		d := &duels{policy: OldestStays}
		_, now := clash(d, duelLevel, 0)
		for range refused {
			if err := d.refuse(torn, "192.0.2.7:5", now, yes); !strings.Contains(fmt.Sprint(err), "and 192.0.2.7;") {
				t.Fatalf("refused by %v", err)
			}
		}
		ends := now.Add(time.Duration(level) * duelDecay)
		going, _ := d.look(torn, ends.Add(-1))
		over, _ := d.look(torn, ends)
		if !going || over {
			t.Errorf("after %d refusals: it goes on %v, and ends %v, in %v", refused, going, !over, ends.Sub(now))
		}
	}
}

// So many are watched and no more, until some are forgotten; who is in quarantine is not.
func TestMostDuels(t *testing.T) {
	d, now := &duels{policy: NobodyStays, quarantine: time.Hour}, time.Unix(1000, 0)
	_, _ = clash(d, duelLevel, 0)
	for i := range maxDuels - 1 {
		d.takeover(hub.Identity{Device: fmt.Sprint(i)}, "a", "b", now)
	}
	other := hub.Identity{Device: "other"}
	fight := func() (story error) {
		for range duelLevel {
			story = d.takeover(other, "a", "b", now)
		}
		return story
	}
	if story := fight(); story != nil || len(d.byID) != maxDuels || d.count.Load() != maxDuels {
		t.Errorf("one too many is watched: %v; %d are", story, len(d.byID))
	}
	now = now.Add(duelDecay)
	if story := fight(); story == nil || len(d.byID) != 2 || d.count.Load() != 2 {
		t.Errorf("there is room again: %v; %d are watched, %d are counted", story, len(d.byID), d.count.Load())
	}
	if err := d.refuse(torn, "a", now.Add(time.Minute), nil); err == nil {
		t.Error("who is in quarantine was forgotten")
	}
}

func TestNobodyStays(t *testing.T) {
	d := &duels{policy: NobodyStays, quarantine: time.Minute}
	_, now := clash(d, duelLevel, time.Second)
	never := func() bool { t.Error("nobody needs to know who is connected"); return false }
	if err := d.refuse(torn, "192.0.2.1:5", now, never); hub.CodeOf(err) != hub.ConnectionReplaced {
		t.Errorf("in quarantine: %v", err)
	}
	if err := d.refuse(torn, "192.0.2.1:5", now.Add(time.Minute), never); err != nil {
		t.Errorf("after it: %v", err)
	}
}

// duel has two clients fight until the gateway tells of it, and returns what it
// tells and the last connection.
func duelOn(t *testing.T, w *world, d *diary) (timeline.Entry, *client) {
	t.Helper()
	last := w.connect(t, "torn")
	for range duelLevel {
		c := w.connect(t, "torn")
		last.closed()
		last = c
	}
	for {
		if e := d.next(t); e.What == timeline.DuplicateID {
			return e, last
		}
	}
}

func TestDuelIsInTheTimeline(t *testing.T) {
	w, d := watched(t, nil)
	e, last := duelOn(t, w, d)
	if e.ID != torn || e.Code != hub.ConnectionReplaced || !strings.Contains(e.Message, "127.0.0.1") {
		t.Errorf("the entry is %+v", e)
	}
	last.write(&mqtt.Pingreq{})
	next[*mqtt.Pingresp](last) // the newest stays
}

func TestDuelPolicies(t *testing.T) {
	for policy, stays := range map[Duplicates]bool{OldestStays: true, NobodyStays: false} {
		t.Run(string(policy), func(t *testing.T) {
			w, d := watched(t, func(w *world) { w.Limits.Duplicates, w.Limits.Quarantine = policy, time.Hour })
			_, last := duelOn(t, w, d)
			if !stays {
				last.closed()
			}
			newcomer := dial(t, w.addr)
			newcomer.write(&mqtt.Connect{ClientID: []byte("torn")})
			if k := newcomer.connack(); k.Code != 3 {
				t.Errorf("CONNACK %d for a newcomer, want 3: come back later", k.Code)
			}
			newcomer.closed()
			w.connect(t, "innocent")
			if stays {
				last.write(&mqtt.Pingreq{})
				next[*mqtt.Pingresp](last)
			}
		})
	}
}

// What another node has told counts too.
func TestDuelAcrossNodes(t *testing.T) {
	w, d := watched(t, nil)
	for range duelLevel {
		w.sessions.mu.Lock()
		w.sessions.put(session.Session{ID: torn, Connected: true, Node: "n2", Remote: "192.0.2.77:5"})
		w.sessions.mu.Unlock()
		c := w.connect(t, "torn")
		w.Displaced(session.Claim{ID: torn, Epoch: 1 << 40, Connection: "c"})
		c.closed()
		w.awaitGone(t, torn)
	}
	for {
		e := d.next(t)
		if e.What == timeline.DuplicateID {
			if !strings.Contains(e.Message, "192.0.2.77") {
				t.Errorf("the entry is %+v", e)
			}
			return
		}
	}
}

// awaitGone waits until no connection of id is left.
func (w *world) awaitGone(t *testing.T, id hub.Identity) {
	t.Helper()
	limit := time.Now().Add(patience)
	for w.live.get(id) != nil {
		if time.Now().After(limit) {
			t.Fatal("the connection does not go")
		}
		w.event(t)
	}
}

// Who fights on after a short quarantine is shut out again.
func TestNobodyStaysTheSecondTimeEither(t *testing.T) {
	for _, quarantine := range []time.Duration{time.Second, 30 * time.Second, 5 * time.Minute} {
		d := &duels{policy: NobodyStays, quarantine: quarantine}
		now := time.Unix(1000, 0)
		for round := range 3 {
			told := 0
			for range 2 * duelLevel { // some are let in already when the quarantine begins
				if story := d.takeover(torn, "192.0.2.1:1", "192.0.2.2:2", now); story != nil {
					told++
				}
			}
			if told != 1 || d.refuse(torn, "192.0.2.1:5", now, nil) == nil {
				t.Fatalf("quarantine of %v, round %d: told %d times, and in again at once", quarantine, round, told)
			}
			now = now.Add(quarantine)
			if err := d.refuse(torn, "192.0.2.1:5", now, nil); err != nil {
				t.Fatalf("quarantine of %v, after round %d: %v", quarantine, round, err)
			}
		}
	}
}
