package gateway

import (
	"math"
	"sync"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/session"
)

// claiming is the identities that this node is about to claim. Another node can
// claim one again, and announce it, before our connection is in the live table:
// nobody would tell it, and it would go on as if it owned what it has lost.
type claiming struct {
	mu  sync.Mutex
	ids map[hub.Identity]rivals
}

// rivals are how many of our connections claim an identity, and the newest claim
// that was announced meanwhile.
type rivals struct {
	ours   int
	newest session.Claim
}

// begin comes before a claim.
func (c *claiming) begin(id hub.Identity) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ids == nil {
		c.ids = map[hub.Identity]rivals{}
	}
	r := c.ids[id]
	r.ours++
	c.ids[id] = r
}

// heard notes an announced claim. It comes before the look into the live table.
func (c *claiming) heard(claim session.Claim) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r, ok := c.ids[claim.ID]; ok && claim.Epoch > r.newest.Epoch {
		r.newest = claim
		c.ids[claim.ID] = r
	}
}

// fence is heard for all identities: this node owns nothing any more.
func (c *claiming) fence() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, r := range c.ids {
		r.newest = session.Claim{ID: id, Epoch: math.MaxUint64}
		c.ids[id] = r
	}
}

// end comes when the connection is in the live table, or has no claim. It
// returns the newest claim that was announced since begin.
func (c *claiming) end(id hub.Identity) (newest session.Claim) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.ids[id]
	if r.ours--; r.ours > 0 {
		c.ids[id] = r
	} else {
		delete(c.ids, id)
	}
	return r.newest
}
