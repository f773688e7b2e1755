package gateway

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/timeline"
)

// Duplicates says what happens when several clients use one identity at once
// and take the connection from each other without end.
type Duplicates string

// The policies.
const (
	// NewestStays lets every newcomer take over, as IoT Hub does. It is the
	// default.
	NewestStays Duplicates = "newest"
	// OldestStays refuses newcomers as long as the connection that they would
	// take over lives and they keep coming.
	OldestStays Duplicates = "oldest"
	// NobodyStays cuts all of them and lets none in for a while.
	NobodyStays Duplicates = "quarantine"
)

const (
	// duelLevel is how many take-overs make a duel; one is forgotten every
	// duelDecay. A device whose network comes and goes does not get there.
	duelLevel = 6
	duelDecay = 10 * time.Second
	// maxDuels bounds the identities that are watched. Beyond it, newcomers are
	// not: with so many duels nobody lacks a hint.
	maxDuels = 8192
)

// duels watches take-overs on this node.
type duels struct {
	policy     Duplicates
	quarantine time.Duration

	count atomic.Int64 // of byID, so that a CONNECT needs no lock while there is none
	mu    sync.Mutex
	byID  map[hub.Identity]*duel
}

// duel is an identity that was taken over a short while ago.
type duel struct {
	level   int       // take-overs that are not forgotten
	last    time.Time // when level was last brought down
	begun   time.Time
	total   int       // since begun
	rivals  [2]string // the addresses of the last two that differ, or of the last
	open    bool      // it is a duel, and was told
	outcast time.Time // nobody is let in before
}

// takeover notes that the client at winner has taken over from the one at
// loser. It returns the sentence that tells of a duel when this begins one.
func (d *duels) takeover(id hub.Identity, loser, winner string, now time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	v := d.get(id, now)
	if v == nil {
		return nil
	}
	v.level++
	v.total++
	v.meet(loser)
	v.meet(winner)
	if v.open || v.level < duelLevel {
		return nil
	}
	v.open = true
	if d.policy == NobodyStays {
		v.outcast = now.Add(d.quarantine)
	}
	return v.story(id, now)
}

// refuse is why nobody may connect as id now; nil when one may. occupied tells
// whether a connection of it lives; it may wait for the store.
func (d *duels) refuse(id hub.Identity, from string, now time.Time, occupied func() bool) error {
	if d.count.Load() == 0 || d.policy == NewestStays || d.policy == "" {
		return nil
	}
	switch going, story := d.look(id, now); {
	case !going:
		return nil
	case story != nil:
		return story
	case !occupied():
		return nil
	}
	return d.goesOn(id, from)
}

// look reports whether there is a duel, and the sentence that shuts everybody
// out, if they are.
func (d *duels) look(id hub.Identity, now time.Time) (going bool, story error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	v := d.byID[id]
	if v == nil {
		return false, nil
	}
	v.decay(now)
	if now.Before(v.outcast) {
		return true, hub.Errorf(hub.ConnectionReplaced, "several clients use %s, %s; nobody is let in as %s until %s", id, v.where(), id, v.outcast.UTC().Format(time.RFC3339))
	}
	return v.open && d.policy == OldestStays, nil
}

// goesOn refuses a newcomer, who keeps the duel going.
func (d *duels) goesOn(id hub.Identity, from string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	v := d.byID[id]
	if v == nil {
		return nil
	}
	v.level = min(v.level+1, 2*duelLevel)
	v.meet(from)
	return hub.Errorf(hub.ConnectionReplaced, "another client is connected as %s, and they have fought for it, %s; the older connection stays", id, v.where())
}

// get returns the duel of id, a new one if there is none; nil when too many are
// watched.
func (d *duels) get(id hub.Identity, now time.Time) *duel {
	if v := d.byID[id]; v != nil {
		v.decay(now)
		return v
	}
	if len(d.byID) >= maxDuels {
		d.sweep(now)
	}
	if len(d.byID) >= maxDuels {
		return nil
	}
	if d.byID == nil {
		d.byID = map[hub.Identity]*duel{}
	}
	v := &duel{last: now, begun: now}
	d.byID[id] = v
	d.count.Store(int64(len(d.byID)))
	return v
}

// sweep forgets whom nobody has taken over for a while.
func (d *duels) sweep(now time.Time) {
	for id, v := range d.byID {
		if v.decay(now); v.level == 0 && !now.Before(v.outcast) {
			delete(d.byID, id)
		}
	}
	d.count.Store(int64(len(d.byID)))
}

// decay forgets the take-overs that are long ago, and with the end of a quarantine
// those that led to it: who fights on begins another duel.
func (v *duel) decay(now time.Time) {
	if !v.outcast.IsZero() && !now.Before(v.outcast) {
		*v = duel{last: now, begun: now}
		return
	}
	n := int(now.Sub(v.last) / duelDecay)
	if n <= 0 {
		return
	}
	v.level = max(v.level-n, 0)
	v.last = v.last.Add(time.Duration(n) * duelDecay)
	if v.level == 0 {
		*v = duel{last: v.last, begun: now, outcast: v.outcast}
	}
}

// meet remembers an address.
func (v *duel) meet(remote string) {
	address := remote
	if host, _, err := net.SplitHostPort(remote); err == nil {
		address = host
	}
	if address != "" && address != v.rivals[1] {
		v.rivals = [2]string{v.rivals[1], address}
	}
}

func (v *duel) where() string {
	if v.rivals[0] == "" {
		return "both at " + v.rivals[1]
	}
	return "at " + v.rivals[0] + " and " + v.rivals[1]
}

// story says what is going on.
func (v *duel) story(id hub.Identity, now time.Time) error {
	return hub.Errorf(hub.ConnectionReplaced, "several clients use the identity %s, %s: they took over from each other %d times in %v; give each device an id and a key of its own",
		id, v.where(), v.total, max(now.Sub(v.begun).Round(time.Second), time.Second))
}

// takenOver notes that c has displaced the client at loser.
func (s *Server) takenOver(c *conn, loser string) {
	now := time.Now()
	story := s.duels.takeover(c.session.ID, loser, c.peer.Remote, now)
	if story == nil {
		return
	}
	s.describe(s.record(zerolog.WarnLevel, c.entry(timeline.DuplicateID), story), c).Msg("several clients use one identity")
	if s.duels.policy == NobodyStays {
		c.stop(story)
	}
}
