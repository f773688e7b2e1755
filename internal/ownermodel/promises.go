package ownermodel

// The promises about what happens in the end.
const (
	untruePresence = "the record says that a device is connected that is not"
	hiddenPresence = "the record says that a device is away that is connected"
	untoldEnd      = "the end of a connection was never told"
	lostWill       = "a will was never sent"
)

// Broken implements [Model].
func (p Protocol) Broken(s *State) string {
	if s.broken != "" {
		return s.broken
	}
	for c := uint8(1); c <= maxLinks; c++ {
		l := &s.links[c]
		switch {
		case s.wills[c] > 1:
			return willTwice
		case s.wills[c] > 0 && s.record.link == c && s.record.connected:
			return willOfOwner
		case s.wills[c] > 0 && l.goodbye && l.phase == gone && s.released(c):
			return willDisarmed
		}
	}
	return ""
}

// released reports whether the connection's own release is the last word.
func (s *State) released(c uint8) bool {
	return s.record.link == c && !s.record.connected && !s.record.repaired
}

// Settled implements [Model].
func (p Protocol) Settled(s *State) string {
	if !s.survived() {
		return ""
	}
	if r := &s.record; r.connected {
		l := &s.links[r.link]
		if l.phase != live || !s.runs(l.node) || l.instance != r.instance {
			return untruePresence
		}
	}
	for c := uint8(1); c <= maxLinks; c++ {
		if promise := s.owed(c); promise != "" {
			return promise
		}
	}
	return ""
}

// survived reports whether there is a node that nobody holds for dead: it has
// done what was to be done.
func (s *State) survived() bool {
	for n := range s.nodes {
		if s.runs(uint8(n)) && s.counts(uint8(n)) {
			return true
		}
	}
	return false
}

// owed is what a connection was promised and has not got.
func (s *State) owed(c uint8) string {
	l := &s.links[c]
	owns := s.record.link == c && s.record.connected
	switch {
	case !l.accepted:
		return ""
	case l.phase == live && s.runs(l.node) && s.epochs[c] == s.record.epoch && !s.record.connected:
		return hiddenPresence
	case owns:
		return ""
	case s.told[c] == 0:
		return untoldEnd
	case s.wills[c] == 0 && !l.goodbye:
		return lostWill
	}
	return ""
}
