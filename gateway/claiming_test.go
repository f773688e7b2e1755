package gateway

import (
	"math"
	"testing"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/session"
)

// While an identity is being claimed, the newest claim of others is remembered, and
// nothing after that.
func TestClaiming(t *testing.T) {
	t.Parallel()
	var c claiming
	d, e := hub.Identity{Device: "d"}, hub.Identity{Device: "e"}
	claim := func(id hub.Identity, epoch uint64) session.Claim {
		return session.Claim{ID: id, Epoch: epoch, Node: "n2"}
	}
	c.heard(claim(d, 1)) // before anybody is interested
	c.begin(d)
	c.begin(d)
	c.begin(e)
	c.heard(claim(d, 7))
	c.heard(claim(d, 5)) // which comes late
	c.heard(claim(hub.Identity{Device: "other"}, 9))
	for range 2 { // both of our connections hear of it
		if got := c.end(d); got != claim(d, 7) {
			t.Errorf("the newest is %+v, want 7", got)
		}
	}
	if got := c.end(e); got != (session.Claim{}) {
		t.Errorf("of another identity %+v was heard", got)
	}
	c.heard(claim(d, 8))
	c.begin(d)
	if got := c.end(d); got != (session.Claim{}) {
		t.Errorf("%+v is remembered, which was heard before", got)
	}
	if len(c.ids) != 0 {
		t.Errorf("%d identities are remembered that nobody claims", len(c.ids))
	}
}

// A node that owns nothing any more loses what it is about to claim, too, and only that.
func TestClaimingWhenFenced(t *testing.T) {
	t.Parallel()
	var c claiming
	c.fence()
	d, e := hub.Identity{Device: "d"}, hub.Identity{Device: "e"}
	c.begin(d)
	c.heard(session.Claim{ID: d, Epoch: 7})
	c.fence()
	c.heard(session.Claim{ID: d, Epoch: 8})
	c.begin(e)
	if got := c.end(d); got.ID != d || got.Epoch != math.MaxUint64 {
		t.Errorf("got %+v, want what is newer than all", got)
	}
	if got := c.end(e); got != (session.Claim{}) {
		t.Errorf("what began after that: %+v", got)
	}
}
