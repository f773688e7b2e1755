package ownermodel

// nodeSteps is what can happen to a node, and what it does besides serving
// connections.
func (p Protocol) nodeSteps(s *State, n uint8, emit func(Step, State)) {
	p.fates(s, n, emit)
	if !s.runs(n) {
		return
	}
	if !s.counts(n) {
		next := *s
		next.find(n)
		emit(Step{nodeFinds, n, 0}, next)
	} else {
		for t := uint8(1); t <= p.Nodes; t++ {
			p.watch(s, n, t, emit)
		}
	}
	p.repairSteps(s, n, emit)
	p.debts(s, n, emit)
}

// fates is what the world does to a node.
func (p Protocol) fates(s *State, n uint8, emit func(Step, State)) {
	own := &s.nodes[n]
	if !own.alive {
		if s.left.Restarts > 0 {
			next := *s
			next.left.Restarts--
			next.nodes[n] = node{alive: true, instance: own.instance + 1, patient: n}
			next.members[n] = member{instance: own.instance + 1}
			emit(Step{nodeStarts, n, 0}, next)
		}
		return
	}
	if s.left.Crashes > 0 {
		next := *s
		next.left.Crashes--
		next.die(n)
		emit(Step{nodeDies, n, 0}, next)
	}
	if own.paused {
		next := *s
		next.nodes[n].paused = false
		emit(Step{nodeGoesOn, n, 0}, next)
	} else if s.left.Pauses > 0 {
		next := *s
		next.left.Pauses--
		next.nodes[n].paused = true
		emit(Step{nodeStops, n, 0}, next)
	}
}

// die ends a process, with all that it had in memory.
func (s *State) die(n uint8) {
	s.giveUp(&s.nodes[n].out)
	s.nodes[n] = node{instance: s.nodes[n].instance}
	for c := range s.links {
		if l := &s.links[c]; l.node == n && l.phase != absent {
			s.giveUp(&l.out)
			l.forget(gone)
		}
	}
}

// find is what a node does that finds that it was held for dead: it cuts its
// connections and goes on as a new instance.
func (s *State) find(n uint8) {
	own := &s.nodes[n]
	own.instance++
	s.members[n] = member{instance: own.instance}
	for c := range s.links {
		l := &s.links[c]
		if l.node == n && (l.phase == live || l.phase == confirming) {
			l.phase = leaving
		}
	}
}

// watch is what n does about t, when t does not show itself.
func (p Protocol) watch(s *State, n, t uint8, emit func(Step, State)) {
	m := &s.members[t]
	if n == t || s.nodes[n].patient != 0 { // one after another
		return
	}
	declare := Step{nodeDeclares, n, t}
	next := *s
	switch {
	case m.health == up && !s.runs(t), m.health == dead && !s.caresFor(t):
	case m.health == up && s.left.Suspicions > 0:
		declare.verb = nodeSuspects
		next.left.Suspicions--
	default:
		return
	}
	next.members[t].health, next.members[t].by, next.members[t].byInstance = dead, n, s.nodes[n].instance
	next.nodes[n].patient = t
	emit(declare, next)
}

// caresFor reports whether the one who repairs a dead node still does.
func (s *State) caresFor(t uint8) bool {
	m := &s.members[t]
	return s.runs(m.by) && s.nodes[m.by].instance == m.byInstance
}

// repairSteps is the repair of another node, or of an earlier instance of the
// own one.
func (p Protocol) repairSteps(s *State, n uint8, emit func(Step, State)) {
	own := &s.nodes[n]
	switch {
	case own.out.kind != nothing && own.out.answer == none:
		next := *s
		next.nodes[n].out.answer = p.put(&next, &next.nodes[n].out)
		emit(Step{repairStored, n, 0}, next)
		if s.left.Losses > 0 {
			p.loseRepair(s, n, emit)
		}
	case own.out.kind != nothing:
		next := *s
		p.repaired(&next, n)
		emit(Step{repairHears, n, 0}, next)
		if s.left.Losses > 0 {
			p.loseRepair(s, n, emit)
		}
	case own.looked:
		if own.ends|own.wills == 0 {
			next := *s
			next.mend(n)
			emit(Step{repairEnds, n, own.patient}, next)
		}
	case own.patient != 0:
		next := *s
		p.read(&next, n, own.patient)
		emit(Step{repairReads, n, own.patient}, next)
	case p.has(RepairWatches) && s.counts(n):
		p.notice(s, n, emit)
	}
}

// notice is for what comes late: a claim or a repair of a node that has been
// repaired by now.
func (p Protocol) notice(s *State, n uint8, emit func(Step, State)) {
	now := &s.record
	switch {
	case now.connected && s.ill(now.node) && s.members[now.node].health != dead:
		next := *s
		next.nodes[n].patient = now.node
		emit(Step{sessionIsIll, n, now.node}, next)
	case now.writer != 0 && s.owing() && s.over(now.writer, now.writerInstance):
		next := *s
		p.owe(&next, n, *now)
		if next.nodes[n] != s.nodes[n] {
			emit(Step{debtIsSeen, n, now.writer}, next)
		}
	}
}

// owing reports whether the record has debts that are not known to be paid.
func (s *State) owing() bool { return s.record.owed|s.record.untold != 0 }

// over reports whether an instance of a node is no more, and was repaired.
func (s *State) over(n, instance uint8) bool {
	m := &s.members[n]
	return m.health == mended || m.instance != instance
}

// ill reports whether the session is one that an instance of t has left which
// is no more.
func (s *State) ill(t uint8) bool {
	m := &s.members[t]
	return s.record.node == t && (m.health != up || s.record.instance != m.instance)
}

func (p Protocol) loseRepair(s *State, n uint8, emit func(Step, State)) {
	next := *s
	if next.giveUp(&next.nodes[n].out) {
		next.left.Losses--
		emit(Step{waitOver, n, 0}, next)
	}
}

// read looks at the session, and at what t has left of it.
func (p Protocol) read(s *State, n, t uint8) {
	now := &s.record
	ill := s.ill(t) || !p.has(RepairByInstance) && now.node == t
	if now.connected && ill {
		value := *now
		value.connected, value.repaired, value.will = false, true, 0
		value.writer, value.writerInstance = n, s.nodes[n].instance
		value.owed |= one(now.will)
		if p.has(EndsAreListed) {
			value.untold |= one(now.link)
		}
		s.nodes[n].out = write{kind: repair, link: now.link, expect: now.revision, value: value}
		return
	}
	s.nodes[n].wills |= now.owed
	if ill {
		p.tell(s, n, now.untold|one(now.link))
	}
	s.nodes[n].looked = true
}

// repaired is what a node does with the answer to its repair: it looks again.
func (p Protocol) repaired(s *State, n uint8) {
	w := s.nodes[n].out
	s.nodes[n].out = write{}
	if w.answer == stored {
		p.owe(s, n, w.value)
		p.tell(s, n, one(w.link))
		s.nodes[n].looked = true
	}
}

// mend ends a repair, after everything that it has found to be owed was given:
// until then another node takes it over when this one dies.
func (s *State) mend(n uint8) {
	t := s.nodes[n].patient
	s.nodes[n].patient, s.nodes[n].looked = 0, false
	if m := &s.members[t]; m.health == dead && m.by == n {
		m.health = mended
	}
}

// debts is what a node owes to others.
func (p Protocol) debts(s *State, n uint8, emit func(Step, State)) {
	own := &s.nodes[n]
	if own.ends != 0 {
		next := *s
		next.nodes[n].ends = 0
		for c := range next.told {
			if own.ends.has(uint8(c)) {
				next.told[c] = min(next.told[c]+1, 2)
			}
		}
		emit(Step{endsTold, n, 0}, next)
	}
	if own.wills != 0 {
		next := *s
		next.nodes[n].wills, next.nodes[n].sent = 0, own.sent|own.wills
		for c := range next.wills {
			if own.wills.has(uint8(c)) {
				p.send(&next, uint8(c))
			}
		}
		emit(Step{willsSent, n, 0}, next)
	}
	if own.sent != 0 {
		next := *s
		next.note(n)
		emit(Step{willsNoted, n, 0}, next)
	}
	p.sweep(s, n, emit)
}

// send sends a will, which its number makes one.
func (p Protocol) send(s *State, c uint8) {
	if s.wills[c] == 0 || !p.has(WillOnce) {
		s.wills[c]++
	}
}

// note takes wills that were sent out of the record. It is a write like others,
// by whoever has sent them, and changes nothing that an owner writes.
func (s *State) note(n uint8) {
	sent := s.nodes[n].sent
	s.nodes[n].sent = 0
	if s.record.owed&sent == 0 {
		return
	}
	s.writes++
	s.record.owed &^= sent
	s.record.revision = s.writes
}

// sweep ends a session that the record says this instance has, and of which it
// knows nothing: its claim was stored and nobody heard of it.
func (p Protocol) sweep(s *State, n uint8, emit func(Step, State)) {
	now := &s.record
	if !p.has(NodesSweep) || !now.connected || now.node != n || now.instance != s.nodes[n].instance || s.links[now.link].phase != refused {
		return
	}
	next := *s
	next.writes++
	r := &next.record
	r.connected, r.will, r.revision = false, 0, next.writes
	p.owe(&next, n, *r)
	emit(Step{nodeSweeps, n, 0}, next)
}
