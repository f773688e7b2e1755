package ownermodel

import (
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
)

// Label names what happens in a step.
type Label interface {
	comparable
	fmt.Stringer
	// World reports that the step is something that may happen and need not: a
	// fault, or what a client does. All other steps happen sooner or later.
	World() bool
}

// Model is a protocol: what can happen, and what must hold.
type Model[S comparable, L Label] interface {
	Begin() S
	// Steps calls emit for everything that can happen in s.
	Steps(s *S, emit func(L, S))
	// Broken is the promise that s breaks, empty if it breaks none.
	Broken(s *S) string
	// Settled is the same for a state in which nothing happens any more unless
	// the world does something: what is promised to happen has happened.
	Settled(s *S) string
}

// Found is what a search has found.
type Found struct {
	States    int // that differ
	Depth     int // of the longest shortest way to one
	Settled   int // states in which nothing more has to happen
	Violation *Violation
}

// Violation is a shortest way to a state that breaks a promise.
type Violation struct {
	Promise string
	Trace   []string
}

// String is the trace, a step a line.
func (v *Violation) String() string {
	return v.Promise + ", by these steps:\n" + strings.Join(v.Trace, "\n")
}

// origin is how a state was reached first.
type origin[L Label] struct {
	from  int
	label L
}

// search is a search under way. Of a state that was visited only its hash is
// kept: two of a million states have the same one with a probability of one to
// some thirty millions.
type search[S comparable, L Label] struct {
	model   Model[S, L]
	seed    maphash.Seed
	known   map[uint64]struct{}
	origins []origin[L]
	found   Found
}

// place is a state that was not visited yet.
type place[S comparable] struct {
	number int
	state  S
}

// Search visits every state of m, the nearest first, until one breaks a promise.
// It fails when there are more than most.
func Search[S comparable, L Label](m Model[S, L], most int) (Found, error) {
	s := &search[S, L]{model: m, seed: maphash.MakeSeed(), known: map[uint64]struct{}{}}
	begin := m.Begin()
	s.known[maphash.Comparable(s.seed, begin)] = struct{}{}
	s.origins = append(s.origins, origin[L]{from: -1})
	for level := []place[S]{{0, begin}}; len(level) > 0; s.found.Depth++ {
		var next []place[S]
		for i := range level {
			next = s.visit(&level[i], next)
			if s.found.Violation != nil {
				s.found.States = len(s.origins)
				return s.found, nil
			}
			if len(s.origins) > most {
				return s.found, fmt.Errorf("there are more than %d states", most)
			}
		}
		level = next
	}
	s.found.States = len(s.origins)
	return s.found, nil
}

// visit looks at a state, and appends those behind it that are new.
func (s *search[S, L]) visit(at *place[S], next []place[S]) []place[S] {
	settled := true
	s.model.Steps(&at.state, func(l L, to S) {
		settled = settled && l.World()
		hash := maphash.Comparable(s.seed, to)
		if _, ok := s.known[hash]; ok {
			return
		}
		s.known[hash] = struct{}{}
		next = append(next, place[S]{len(s.origins), to})
		s.origins = append(s.origins, origin[L]{at.number, l})
	})
	promise := s.model.Broken(&at.state)
	if promise == "" && settled {
		s.found.Settled++
		promise = s.model.Settled(&at.state)
	}
	if promise != "" {
		s.found.Violation = &Violation{promise, s.trace(at.number)}
	}
	return next
}

// trace is the way to a state: each step, and what there is after it.
func (s *search[S, L]) trace(number int) []string {
	var labels []L
	for ; number > 0; number = s.origins[number].from {
		labels = append(labels, s.origins[number].label)
	}
	lines := make([]string, 0, len(labels))
	state := s.model.Begin()
	for _, label := range slices.Backward(labels) {
		before := state
		s.model.Steps(&before, func(l L, to S) {
			if l == label {
				state = to
			}
		})
		lines = append(lines, fmt.Sprintf("%3d. %-44s %v", len(lines)+1, label, &state))
	}
	return lines
}
