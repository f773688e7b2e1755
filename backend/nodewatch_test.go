package backend

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/backend/subject"
)

// sight is an entry of the bucket of nodes.
type sight struct {
	jetstream.KeyValueEntry

	node  string
	state NodeCycle
}

func (s sight) Key() string                     { return subject.EncodeToken(s.node) }
func (s sight) Revision() uint64                { return 1 }
func (s sight) Created() time.Time              { return time.Time{} }
func (s sight) Operation() jetstream.KeyValueOp { return jetstream.KeyValuePut }
func (s sight) Value() []byte {
	b, _ := json.Marshal(NodeRecord{Node: s.node, Instance: "i", State: s.state})
	return b
}

// TestWhoIsSilent: b is silent; who watches it is a, which judges only while it
// hears itself.
func TestWhoIsSilent(t *testing.T) {
	t.Parallel()
	const beat = 2 * time.Second
	for name, tc := range map[string]struct {
		state NodeCycle
		// what a sees beat by beat: a: itself, b: the other, -: nothing, !: an
		// interruption of the watch.
		seen string
		want bool
	}{
		"both beat":                       {NodeUp, "ab ab ab ab ab ab ab ab", false},
		"b falls silent":                  {NodeUp, "ab a a a a a a", true},
		"not for long":                    {NodeUp, "ab a a a a", false},
		"a hears nothing either":          {NodeUp, "ab - - - - - - -", false},
		"a has heard nothing, and begins": {NodeUp, "ab - - - - - - a", false},
		"a gap while b was silent":        {NodeUp, "ab a a - - - a a a", false},
		"a gap, and long enough since":    {NodeUp, "ab a a - - - a a a a a a", true},
		"a gap that is none":              {NodeUp, "ab a - a a a a", true},
		"an interruption":                 {NodeUp, "ab a a a a a! a a", false},
		"an interruption, and long since": {NodeUp, "ab a a a a a! a a a a a a a", true},
		"b stopped":                       {NodeStopped, "ab a a a a a a a", false},
		"b is repaired":                   {NodeRepaired, "ab a a a a a a a", false},
		"who repairs b falls silent":      {NodeDead, "ab a a a a a a", true},
	} {
		now := time.Unix(1000, 0)
		s := newSightings("a", timingOfNodes(5*beat))
		s.deaf(now)
		for _, c := range tc.seen {
			switch c {
			case ' ':
				now = now.Add(beat)
			case '!':
				s.deaf(now)
			case 'a', 'b':
				s.see(sight{node: string(c), state: tc.state}, now)
			}
		}
		if got := len(s.silent(now.Add(beat/2))) > 0; got != tc.want {
			t.Errorf("%s: silent %v, want %v", name, got, tc.want)
		}
	}
}
