//go:build linux

package main

import (
	"sync"
	"time"
)

// ledger is what one device knows: what it has sent, what was acknowledged, and
// what has come. Its device writes it, the harness reads it; mu guards all.
type ledger struct {
	mu sync.Mutex

	next    int          // number of the next message
	flying  []event      // messages that are sent and not acknowledged, oldest first
	alone   map[int]bool // messages that were made when no other was in flight
	born    time.Time
	worst   time.Duration // the longest that a message waited, since reset
	resent  int
	ordered bool // no PUBACK came out of order

	patch    int            // number of the next patch
	acked    map[string]int // the greatest number with a 204, by property
	version  int64          // of reported, with the last 204
	patched  time.Time      // when the last patch with a 204 was made
	patches  int            // with a 204
	refused  map[string]int // answers to patches that were none, by status
	desired  int            // the greatest value that it has heard of
	desiredV int64          // and the last version

	called map[string]int // methods, by body
	got    map[string]int // cloud-to-device messages
	puback map[string]bool
	taken  []taking

	old       []*wire // connections that it has left without closing them
	connects  int
	refusals  map[byte]int // CONNACKs by code
	connected bool
	local     string // address of its end
}

// event is something with the moment when it began.
type event struct {
	n  int
	at time.Time
}

// taking is one delivery, and when its connection was opened.
type taking struct {
	id     string
	opened time.Time
}

func newLedger() *ledger {
	return &ledger{
		patch: 1, acked: map[string]int{}, refused: map[string]int{}, called: map[string]int{}, got: map[string]int{},
		puback: map[string]bool{}, alone: map[int]bool{}, refusals: map[byte]int{}, ordered: true,
	}
}

// ackedCount is how many messages are acknowledged: those with smaller numbers
// than the oldest in flight. mu is held.
func (l *ledger) ackedCount() int { return l.next - len(l.flying) }

// begin forgets the longest wait so far.
func (l *ledger) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.worst = 0
}

// pause is the longest that a message has waited since begin.
func (l *ledger) pause() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.worst
}

// well reports whether a message and a patch that were made after t have been
// acknowledged.
func (l *ledger) well(t time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.connected && l.born.After(t) && l.patched.After(t)
}

// idle reports whether nothing waits for an acknowledgement.
func (l *ledger) idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.connected && len(l.flying) == 0
}

func (l *ledger) hasTaken(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.puback[id]
}

func (l *ledger) knows(desired int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.desired >= desired
}
