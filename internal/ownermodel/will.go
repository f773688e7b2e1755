package ownermodel

import (
	"fmt"
	"strings"
)

// The promises about one will that several nodes send.
const (
	willCopied   = "the will is in the stream twice"
	willMissing  = "the will is not in the stream"
	willForgot   = "the will is kept although it was sent"
	maxSenders   = 2
	maxPublished = 2
)

// WillRule is a guard of the way in which a will is sent once.
type WillRule string

// The rules.
const (
	// PlaceFirst: where the will goes, and what is there before, is written
	// before anybody publishes.
	PlaceFirst WillRule = "the place is noted before a will is published"
	// PlaceByRevision: of two who note a place, one does.
	PlaceByRevision WillRule = "the place is noted once"
	// LookBehind: what is behind the place is looked at before a will is
	// published.
	LookBehind WillRule = "a sender looks for the will"
	// PublishBehind: a will is published only behind what was looked at.
	PublishBehind WillRule = "a sender publishes behind what it has looked at"
	// RemoveAfter: a will is removed when it is in the stream.
	RemoveAfter WillRule = "a will is removed after it was published"
)

// WillRules returns all rules.
func WillRules() []WillRule {
	return []WillRule{PlaceFirst, PlaceByRevision, LookBehind, PublishBehind, RemoveAfter}
}

// Wills is the sending of one will that is owed, by several nodes at once, on a
// subject on which the device publishes too.
type Wills struct {
	Telemetry, Losses, Crashes uint8
	Without                    WillRule // a guard that is left out; empty: none
}

var _ Model[WillState, WillStep] = Wills{}

// WillState is the key of the will, the stream, and who sends.
type WillState struct {
	key, noted bool
	after      uint8 // the last sequence when the place was noted
	last       uint8 // sequence of the subject
	copies     [maxPublished]uint8
	senders    [maxSenders]sender
	astray     uint8 // 0, or the expected sequence of a stray publication and 1

	telemetry, losses, crashes uint8
}

// stage is how far a sender is.
type stage uint8

const (
	idle       stage = iota // it has not read the key
	noting                  // it has, and wants to note the place
	looking                 // it wants to look
	publishing              // its publication is under way
	removing                // it wants to remove the key
	done
	crashed
)

func (s stage) String() string {
	return [...]string{"idle", "noting", "looking", "publishing", "removing", "done", "dead"}[s]
}

type sender struct {
	stage  stage
	expect uint8
	after  uint8 // of the place, as it knows it
}

// WillStep is a verb with the number of a sender.
type WillStep struct {
	verb   verb
	sender int
}

// String implements [fmt.Stringer].
func (s WillStep) String() string { return fmt.Sprintf(string(s.verb), s.sender+1) }

// World implements [Label].
func (s WillStep) World() bool {
	return s.verb == deviceSends || s.verb == senderDies || s.verb == senderWaited || s.verb == strayStored
}

const (
	senderReads   verb = "n%d reads the will"
	senderNotes   verb = "n%d notes the place"
	senderLooks   verb = "n%d looks behind the place"
	willPublished verb = "the stream gets the publication of n%d"
	senderRemoves verb = "n%d removes the will"
	deviceSends   verb = "the device publishes, %d"
	senderDies    verb = "n%d dies"
	senderWaited  verb = "n%d waits no more for the stream"
	strayStored   verb = "the stream gets a stray publication, %d"
)

// String is the state in a line.
func (s *WillState) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "last %d copies %v", s.last, s.copies)
	if s.key {
		fmt.Fprintf(&b, " kept, noted %v after %d", s.noted, s.after)
	}
	for i, v := range s.senders {
		fmt.Fprintf(&b, "; n%d %v", i+1, v.stage)
	}
	return b.String()
}

// Begin implements [Model].
func (w Wills) Begin() WillState {
	return WillState{key: true, last: 1, telemetry: w.Telemetry, losses: w.Losses, crashes: w.Crashes}
}

// Steps implements [Model].
func (w Wills) Steps(s *WillState, emit func(WillStep, WillState)) {
	if s.telemetry > 0 {
		next := *s
		next.telemetry--
		next.last++
		emit(WillStep{deviceSends, 0}, next)
	}
	if s.astray > 0 {
		next := *s
		next.astray = 0
		w.store(&next, s.astray-1)
		emit(WillStep{strayStored, 0}, next)
	}
	for i := range s.senders {
		w.senderSteps(s, i, emit)
	}
}

func (w Wills) senderSteps(s *WillState, i int, emit func(WillStep, WillState)) {
	v := s.senders[i]
	if v.stage == done || v.stage == crashed {
		return
	}
	next := *s
	emit(WillStep{w.act(&next, i), i}, next)
	if s.losses > 0 && v.stage == publishing && s.astray == 0 {
		next := *s
		next.losses--
		next.astray, next.senders[i].stage = v.expect+1, idle
		emit(WillStep{senderWaited, i}, next)
	}
	if s.losses > 0 && v.stage == publishing { // the answer is lost
		next := *s
		next.losses--
		w.store(&next, v.expect)
		next.senders[i].stage = idle
		emit(WillStep{senderWaited, i + maxSenders}, next)
	}
	if s.crashes > 0 {
		next := *s
		next.crashes--
		next.senders[i] = sender{stage: crashed}
		if v.stage == publishing && s.astray == 0 {
			next.astray = v.expect + 1
		}
		emit(WillStep{senderDies, i}, next)
	}
}

// act is the next thing that a sender does.
func (w Wills) act(s *WillState, i int) verb {
	v := &s.senders[i]
	switch v.stage {
	case idle:
		v.read(s)
		return senderReads
	case noting:
		w.note(s, v)
		return senderNotes
	case looking:
		w.look(s, v)
		return senderLooks
	case publishing:
		v.stage = idle
		if w.store(s, v.expect) {
			v.stage = removing
		}
		return willPublished
	case removing, done, crashed:
	}
	s.key, v.stage = false, done
	return senderRemoves
}

// read looks at the key of the will.
func (v *sender) read(s *WillState) {
	switch {
	case !s.key:
		v.stage = done
	case !s.noted:
		v.stage, v.expect = noting, s.last
	default:
		v.stage, v.after = looking, s.after
	}
}

// look looks for the will behind the place.
func (w Wills) look(s *WillState, v *sender) {
	v.stage, v.expect = publishing, s.last
	if w.Without != LookBehind && s.there(v.after) {
		v.stage = removing
	} else if w.Without == RemoveAfter {
		s.key = false
	}
}

// note writes the place, unless somebody was faster. v.expect is the subject's
// last sequence as the sender has read it before.
func (w Wills) note(s *WillState, v *sender) {
	switch {
	case w.Without == PlaceFirst: // each has a place of its own
		v.stage, v.after = looking, v.expect
	case w.Without == PlaceByRevision:
		s.noted, s.after = true, s.last
		v.stage, v.after = looking, s.last
	case s.noted || !s.key:
		v.stage = idle
	default:
		s.noted, s.after = true, v.expect
		v.stage, v.after = looking, v.expect
	}
}

// there reports whether the will is in the stream behind a sequence.
func (s *WillState) there(after uint8) bool {
	for _, at := range s.copies {
		if at > after {
			return true
		}
	}
	return false
}

// store is JetStream: it stores a publication whose expected sequence is the
// last one.
func (w Wills) store(s *WillState, expect uint8) bool {
	if s.last != expect && w.Without != PublishBehind {
		return false
	}
	s.last++
	for i := range s.copies {
		if s.copies[i] == 0 {
			s.copies[i] = s.last
			break
		}
	}
	return true
}

// Broken implements [Model].
func (w Wills) Broken(s *WillState) string {
	if s.copies[1] > 0 {
		return willCopied
	}
	return ""
}

// Settled implements [Model].
func (w Wills) Settled(s *WillState) string {
	for _, v := range s.senders {
		if v.stage != done {
			continue
		}
		if s.copies[0] == 0 {
			return willMissing
		}
		if s.key {
			return willForgot
		}
	}
	return ""
}
