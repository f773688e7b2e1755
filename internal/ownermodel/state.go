package ownermodel

import (
	"fmt"
	"strings"
)

// Bounds of what a state has room for. Connections and nodes are counted from 1;
// 0 is none.
const (
	maxLinks  = 3
	maxNodes  = 3
	maxAstray = 2
)

// set is a set of connections.
type set uint8

func one(link uint8) set {
	if link == 0 {
		return 0
	}
	return 1 << link
}

func (s set) has(link uint8) bool { return s&one(link) != 0 }

func (s set) String() string {
	var names []string
	for i := uint8(1); i <= maxLinks; i++ {
		if s.has(i) {
			names = append(names, fmt.Sprintf("c%d", i))
		}
	}
	return "{" + strings.Join(names, " ") + "}"
}

// record is the value of the device's key in hub_presence.
type record struct {
	revision, epoch uint8 // the revision of the claim
	connected       bool
	repaired        bool // an end that another node has written
	node, instance  uint8
	link            uint8
	writer          uint8 // of this value: the node, or one that has repaired it
	writerInstance  uint8
	will            uint8 // the connection whose will is armed
	owed            set   // ended connections whose wills are not known to be sent
	untold          set   // connections whose end is not known to be told
	subscriptions   set   // the connections that made them
}

// kind is what a write of the record is.
type kind uint8

const (
	nothing kind = iota
	claim
	save
	release
	repair
)

func (k kind) String() string {
	return [...]string{"nothing", "claim", "save", "release", "repair"}[k]
}

// write is a compare-and-set on its way to the store, or its answer on the way
// back.
type write struct {
	kind   kind
	link   uint8
	expect uint8 // revision
	value  record
	answer answer
}

type answer uint8

const (
	none     answer = iota // the store has not seen the write
	stored                 // and its answer is under way
	conflict               // the same
)

// phase is how far a connection is, as its node sees it.
type phase uint8

const (
	absent     phase = iota
	claiming         // its claim is under way
	confirming       // its claim is stored; the node must still prove to be alive
	live             // it was accepted
	saving           // it was, and a write of its session is under way
	leaving          // it has ended, and its release has to be written
	releasing        // which is under way
	refused          // nobody knows what became of its claim, or nobody needs it
	gone
)

func (p phase) String() string {
	return [...]string{"absent", "claiming", "confirming", "live", "saving", "leaving", "releasing", "refused", "gone"}[p]
}

// link is a connection of the device.
type link struct {
	phase          phase
	node, instance uint8
	accepted       bool   // its client has heard that it is connected
	goodbye        bool   // its client has said DISCONNECT
	mine           record // as the connection has written it last
	out            write
}

// state of a node's key in hub_nodes.
type health uint8

const (
	up health = iota
	dead
	mended
)

// member is the node's key.
type member struct {
	instance       uint8
	health         health
	by, byInstance uint8 // who repairs
}

// node is what a process knows.
type node struct {
	alive, paused bool
	instance      uint8
	ends          set   // events that it has to store
	wills         set   // that it has to send
	sent          set   // whose sending it has still to note
	patient       uint8 // the node that it repairs
	looked        bool  // and all is written that it had to write
	out           write // of the repair
}

// State is everything: the store, what is under way, the nodes.
type State struct {
	record  record
	writes  uint8
	epochs  [maxLinks + 1]uint8 // of the claims that were stored
	members [maxNodes + 1]member
	nodes   [maxNodes + 1]node
	links   [maxLinks + 1]link
	astray  [maxAstray]write // writes that nobody waits for any more

	told  [maxLinks + 1]uint8 // events of ends that were stored
	wills [maxLinks + 1]uint8 // that were sent
	acked set                 // subscriptions that clients rely on

	left   Limits
	broken string // promise
}

// Limits is how often the world may do something.
type Limits struct {
	Connects, Saves, Crashes, Restarts, Pauses, Losses, Copies, Suspicions uint8
}

// String is the state in a line, without what is as it was at the beginning.
func (s *State) String() string {
	var b strings.Builder
	s.record.describe(&b)
	for i := range s.links[1:] {
		if l := &s.links[i+1]; l.phase != absent {
			fmt.Fprintf(&b, " c%d@n%d.%d %v;", i+1, l.node, l.instance, l.phase)
		}
	}
	for i := range s.nodes[1:] {
		s.describeNode(&b, uint8(i+1)) //nolint:gosec // there are few
	}
	for _, w := range s.astray {
		if w.kind != nothing {
			fmt.Fprintf(&b, " astray: %v of c%d at r%d;", w.kind, w.link, w.expect)
		}
	}
	return b.String()
}

func (r *record) describe(b *strings.Builder) {
	if r.revision == 0 {
		return
	}
	where := "away"
	if r.connected {
		where = fmt.Sprintf("on n%d.%d", r.node, r.instance)
	}
	fmt.Fprintf(b, "store: r%d e%d c%d %s", r.revision, r.epoch, r.link, where)
	if r.repaired {
		b.WriteString(" repaired")
	}
	fmt.Fprintf(b, " will c%d owed %v untold %v subs %v;", r.will, r.owed, r.untold, r.subscriptions)
}

func (s *State) describeNode(b *strings.Builder, i uint8) {
	n, m := &s.nodes[i], &s.members[i]
	switch {
	case n.instance == 0:
		return
	case !n.alive:
		fmt.Fprintf(b, " n%d dead;", i)
	case n.paused:
		fmt.Fprintf(b, " n%d paused;", i)
	}
	if m.health != up {
		fmt.Fprintf(b, " n%d is held for dead by n%d;", i, m.by)
	}
	if n.ends|n.wills != 0 {
		fmt.Fprintf(b, " n%d owes events %v wills %v;", i, n.ends, n.wills)
	}
}
