package session

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hubgate/hubgate/hub"
)

// An end owes the will, unless the client said goodbye or was never let in.
func TestEnd(t *testing.T) {
	for name, tc := range map[string]struct {
		change    func(*Session)
		owed      []string
		discarded string
	}{
		"cut":                   {func(*Session) {}, []string{"w0", "w1"}, ""},
		"by DISCONNECT":         {func(s *Session) { s.Code = 0 }, []string{"w0"}, "w1"},
		"not let in":            {func(s *Session) { s.Untold = true }, []string{"w0"}, "w1"},
		"without a will":        {func(s *Session) { s.WillID = "" }, []string{"w0"}, ""},
		"the same once more":    {func(s *Session) { s.End() }, []string{"w0", "w1"}, ""},
		"the same will is owed": {func(s *Session) { s.WillID = "w0" }, []string{"w0"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := Session{Connected: true, Connection: "c1", WillID: "w1", Owed: []string{"w0"}, Code: hub.ConnectionLost, Ends: []Past{{Epoch: 1}}}
			tc.change(&s)
			if got := s.End(); got != tc.discarded {
				t.Errorf("discards %q, want %q", got, tc.discarded)
			}
			if wantName := map[bool]string{true: "", false: "c1"}[s.Untold]; s.Connection != wantName {
				t.Errorf("the connection is %q, want %q", s.Connection, wantName)
			}
			if diff := cmp.Diff(tc.owed, s.Owed); diff != "" || s.Connected || s.WillID != "" || len(s.Ends) != 1 {
				t.Errorf("%+v; owed (-want +got):\n%s", s, diff)
			}
		})
	}
}

// What is told of a connection is the same, whoever tells it.
func TestEventsOfASession(t *testing.T) {
	from := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := Session{
		ID: hub.Identity{Device: "d"}, Node: "n2", Connection: "c2", Remote: "r2", ClientAgent: "x", ConnectedTime: from, Epoch: 9,
		DisconnectedTime: from.Add(time.Minute), Reason: "why", Code: hub.Unauthorized,
	}
	began := Event{ID: s.ID, Connected: true, Time: from, Epoch: 9, Node: "n2", Connection: "c2", Remote: "r2", ClientAgent: "x"}
	ended := began
	ended.Connected, ended.Time, ended.Reason, ended.Code, ended.Duration = false, s.DisconnectedTime, "why", hub.Unauthorized, time.Minute
	next, _ := Resume(s, Session{ID: s.ID})
	later := next.Ends[0]
	if diff := cmp.Diff([]Event{began, ended, began, ended}, []Event{s.Began(), s.Ended(), later.Began(s.ID), later.Ended(s.ID)}); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	s.Connected = true
	next, _ = Resume(s, Session{ID: s.ID, ConnectedTime: from.Add(time.Hour)})
	displaced := ended
	displaced.Time, displaced.Reason, displaced.Code, displaced.Duration = from.Add(time.Hour), TakenOver, hub.ConnectionReplaced, time.Hour
	if diff := cmp.Diff(displaced, next.Ends[0].Ended(s.ID)); diff != "" {
		t.Errorf("displaced (-want +got):\n%s", diff)
	}
}
