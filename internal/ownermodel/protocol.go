package ownermodel

// Rule is a guard of the protocol.
type Rule string

// The rules. A search without one of them finds what it is for.
const (
	// ClaimByRevision: a claim replaces the revision that was read.
	ClaimByRevision Rule = "a claim is a compare-and-set"
	// SaveByRevision and ReleaseByRevision: an owner writes at a revision that it
	// knows.
	SaveByRevision    Rule = "a save is a compare-and-set"
	ReleaseByRevision Rule = "a release is a compare-and-set"
	// AgainByEpoch: an owner whose write met another revision writes again only
	// if the epoch is its own.
	AgainByEpoch Rule = "a write is repeated under the same epoch only"
	// RepairByRevision: a repair replaces the revision that was read.
	RepairByRevision Rule = "a repair is a compare-and-set"
	// RepairMarks: an owner whose session was repaired writes no more.
	RepairMarks Rule = "a repair is marked"
	// RepairByInstance: only what a dead instance of a node has left is repaired.
	RepairByInstance Rule = "a repair looks at the instance"
	// RepairWatches: what a dead node's late claims leave behind is repaired too.
	RepairWatches Rule = "repair goes on while the node is dead"
	// WillAfterWrite: who wins the write that ends an ownership sends the will.
	WillAfterWrite Rule = "a will is sent by whose write ended the ownership"
	// WillOnce: senders of the same will find out about each other.
	WillOnce Rule = "a will that was sent is not sent again"
	// EndsAreListed: the record says whose end is not known to be told.
	EndsAreListed Rule = "the ends that may not have been told are listed"
	// NodesSweep: a node looks for its own sessions of which it knows nothing.
	NodesSweep Rule = "a node ends the sessions that it does not know"
)

// Rules returns all rules.
func Rules() []Rule {
	return []Rule{
		ClaimByRevision, SaveByRevision, ReleaseByRevision, AgainByEpoch, RepairByRevision, RepairMarks, RepairByInstance,
		RepairWatches, WillAfterWrite, WillOnce, EndsAreListed, NodesSweep,
	}
}

// Protocol is the ownership of one device by the connections of a few nodes.
type Protocol struct {
	Nodes   uint8
	Limits  Limits
	Without Rule // a guard that is left out; empty: none
}

var _ Model[State, Step] = Protocol{}

// Begin implements [Model].
func (p Protocol) Begin() State {
	s := State{left: p.Limits}
	for i := uint8(1); i <= p.Nodes; i++ {
		s.nodes[i] = node{alive: true, instance: 1}
		s.members[i] = member{instance: 1}
	}
	return s
}

// Steps implements [Model].
func (p Protocol) Steps(s *State, emit func(Step, State)) {
	if s.broken != "" {
		return
	}
	if s.links[1].phase == absent { // all nodes are alike: the first client comes to the first one
		next := *s
		p.come(&next, 1, 1)
		emit(Step{clientComes, 1, 1}, next)
		return
	}
	for i := uint8(1); i <= p.Nodes; i++ {
		p.nodeSteps(s, i, emit)
	}
	for i := uint8(1); i <= maxLinks; i++ {
		p.linkSteps(s, i, emit)
	}
	p.networkSteps(s, emit)
}

// has reports whether a rule holds.
func (p Protocol) has(r Rule) bool { return p.Without != r }

// runs reports whether a node does anything.
func (s *State) runs(n uint8) bool { return s.nodes[n].alive && !s.nodes[n].paused }

// counts reports whether nobody holds the node for dead.
func (s *State) counts(n uint8) bool {
	m := &s.members[n]
	return m.health == up && m.instance == s.nodes[n].instance
}
