package ownermodel

// linkSteps is what can happen to a connection.
func (p Protocol) linkSteps(s *State, c uint8, emit func(Step, State)) {
	l := &s.links[c]
	if l.phase == absent {
		p.clientSteps(s, c, emit)
		return
	}
	if l.out.kind != nothing && l.out.answer == none {
		next := *s
		next.links[c].out.answer = p.put(&next, &next.links[c].out)
		emit(Step{storeTakes, c, 0}, next)
	}
	if !s.runs(l.node) {
		return
	}
	if l.out.kind != nothing && l.out.answer != none {
		next := *s
		p.hear(&next, c)
		emit(Step{answerComes, c, 0}, next)
	}
	if l.out.kind != nothing && s.left.Losses > 0 {
		next := *s
		if next.giveUp(&next.links[c].out) {
			next.left.Losses--
			next.links[c].unclear()
			emit(Step{waitEnds, c, 0}, next)
		}
	}
	p.ownSteps(s, c, emit)
}

// clientSteps lets the next client come, to whatever node.
func (p Protocol) clientSteps(s *State, c uint8, emit func(Step, State)) {
	if s.left.Connects == 0 || s.links[c-1].phase == absent {
		return
	}
	for n := uint8(1); n <= p.Nodes; n++ {
		if s.runs(n) {
			next := *s
			p.come(&next, c, n)
			emit(Step{clientComes, c, n}, next)
		}
	}
}

// come lets a client come to a node, which claims the device for it.
func (p Protocol) come(s *State, c, n uint8) {
	s.left.Connects--
	s.links[c] = link{node: n, instance: s.nodes[n].instance}
	p.ask(s, c)
}

// ownSteps is what the node does with a connection that waits for no answer.
func (p Protocol) ownSteps(s *State, c uint8, emit func(Step, State)) {
	l := &s.links[c]
	switch l.phase {
	case confirming:
		if s.counts(l.node) {
			next := *s
			next.links[c].phase, next.links[c].accepted = live, true
			emit(Step{isProven, c, 0}, next)
		}
	case live:
		p.liveSteps(s, c, emit)
	case leaving:
		next := *s
		p.release(&next, c)
		emit(Step{asksRelease, c, 0}, next)
	case absent, claiming, saving, releasing, refused, gone:
	}
}

// liveSteps is what clients do, and what is heard of others.
func (p Protocol) liveSteps(s *State, c uint8, emit func(Step, State)) {
	if s.left.Saves > 0 {
		next := *s
		next.left.Saves--
		l := &next.links[c]
		value := l.mine
		value.subscriptions |= one(c)
		value.untold &= next.nodes[l.node].ends // the others are told by now
		l.phase, l.out = saving, write{kind: save, link: c, expect: l.mine.revision, value: value}
		emit(Step{clientSaves, c, 0}, next)
	}
	for _, v := range []verb{clientGoes, clientIsLost, claimIsHeard} {
		if v == claimIsHeard && s.record.epoch <= s.links[c].mine.epoch {
			continue
		}
		next := *s
		next.links[c].phase, next.links[c].goodbye = leaving, v == clientGoes
		emit(Step{v, c, 0}, next)
	}
}

// ask reads the record and sends the claim.
func (p Protocol) ask(s *State, c uint8) {
	l, before := &s.links[c], &s.record
	value := record{
		connected: true, node: l.node, instance: l.instance, link: c, will: c,
		writer: l.node, writerInstance: l.instance, owed: before.owed, subscriptions: before.subscriptions, untold: before.untold,
	}
	if !p.has(EndsAreListed) {
		value.untold = 0
	}
	if before.connected {
		value.owed |= one(before.will)
		value.untold |= one(before.link)
	}
	l.phase, l.out = claiming, write{kind: claim, link: c, expect: before.revision, value: value}
}

// release sends the owner's last word.
func (p Protocol) release(s *State, c uint8) {
	l := &s.links[c]
	if !p.has(WillAfterWrite) && !l.goodbye && l.accepted {
		s.wills[c]++
	}
	value := l.mine
	value.connected, value.will = false, 0
	if l.accepted && !l.goodbye && p.has(WillAfterWrite) {
		value.owed |= one(c)
	}
	value.untold &= s.nodes[l.node].ends
	if !p.has(EndsAreListed) {
		value.untold = 0
	} else if l.accepted {
		value.untold |= one(c)
	}
	l.phase, l.out = releasing, write{kind: release, link: c, expect: l.mine.revision, value: value}
}

// hear is what a connection does with the answer to its write.
func (p Protocol) hear(s *State, c uint8) {
	l := &s.links[c]
	w := l.out
	l.out = write{}
	if w.answer == conflict {
		p.again(s, c, w)
		return
	}
	l.mine = w.value
	switch w.kind {
	case claim:
		l.phase = confirming
		p.owe(s, l.node, w.value)
		s.displace(c)
		if l.instance != s.nodes[l.node].instance {
			l.phase = leaving
		}
	case save:
		l.phase = live
		s.acked |= one(c)
		if l.instance != s.nodes[l.node].instance {
			l.phase = leaving
		}
	case release:
		p.ended(s, c)
	case nothing, repair:
	}
}

// again is for a write that met another revision: see SessionStore.again.
func (p Protocol) again(s *State, c uint8, w write) {
	l, now := &s.links[c], &s.record
	switch {
	case w.kind == claim && l.instance != s.nodes[l.node].instance:
		l.forget(refused)
	case w.kind == claim:
		p.ask(s, c)
	case p.fenced(l, now):
		l.phase = leaving
		if w.kind == release {
			l.forget(gone)
		}
	case w.kind == release && s.released(c): // stored, and the answer lost
		p.ended(s, c)
	default:
		w.expect, w.answer = now.revision, none
		w.value.owed = now.owed | w.value.owed&one(c)
		l.out = w
	}
}

// fenced reports whether a connection sees that it owns the session no more.
func (p Protocol) fenced(l *link, now *record) bool {
	return p.has(AgainByEpoch) && now.epoch != l.mine.epoch || p.has(RepairMarks) && now.repaired
}

// ended is the end of a connection that its node has written.
func (p Protocol) ended(s *State, c uint8) {
	l := &s.links[c]
	l.phase = gone
	owes := s.record
	if owes.link != c { // claimed by now; what it owed is known
		owes = l.mine
	}
	p.owe(s, l.node, owes)
	if l.accepted {
		p.tell(s, l.node, one(c))
	}
	l.forget(gone)
}

// forget leaves of a connection only what its client knows.
func (l *link) forget(p phase) {
	*l = link{phase: p, node: l.node, accepted: l.accepted, goodbye: l.goodbye}
}

// owe is what a node takes over with a write that it has won.
func (p Protocol) owe(s *State, n uint8, r record) {
	p.tell(s, n, r.untold)
	s.nodes[n].wills |= r.owed
}

// tell queues events of ends, unless the stream has them.
func (p Protocol) tell(s *State, n uint8, ends set) {
	for c := uint8(1); c <= maxLinks; c++ {
		if ends.has(c) && s.told[c] == 0 {
			s.nodes[n].ends |= one(c)
		}
	}
}

// displace ends the connection that a newer one of the same node takes over
// from.
func (s *State) displace(by uint8) {
	for c := range s.links {
		l := &s.links[c]
		if l.phase == live && l.node == s.links[by].node && l.mine.epoch < s.links[by].mine.epoch {
			l.phase = leaving
		}
	}
}

// unclear is what a connection does when nobody knows what became of its write.
func (l *link) unclear() {
	switch l.phase {
	case claiming:
		l.forget(refused)
	case saving, releasing:
		l.phase = leaving
	case absent, confirming, live, leaving, refused, gone:
	}
}
