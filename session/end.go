package session

import (
	"slices"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// Will is the message that a connection leaves behind when it ends without
// DISCONNECT, as it is to be stored: with the headers of a device-to-cloud
// message, of which the time is set when it is sent.
type Will struct {
	Headers [][2]string `json:"headers"`
	Body    []byte      `json:"body"`
}

// MaxOwed is how many wills of one identity may wait to be sent. Nobody is let
// in while there are more: they are lost by nobody, and bounded.
const MaxOwed = 16

// MaxEnds is how many connections of one identity may have ended without
// anybody's knowing that this is told. Before there are more, whoever claims the
// identity waits until they are told.
const MaxEnds = 8

// Past is a connection that is no more, with what its events are told with.
type Past struct {
	Epoch            uint64    `json:"epoch"`
	Node             string    `json:"node"`
	Connection       string    `json:"connection"`
	Remote           string    `json:"remote"`
	ClientAgent      string    `json:"clientAgent,omitempty"`
	ConnectedTime    time.Time `json:"connectedTime,omitzero"`
	DisconnectedTime time.Time `json:"disconnectedTime,omitzero"`
	Reason           string    `json:"reason,omitempty"`
	Code             hub.Code  `json:"errorCode,omitempty"`
}

// TakenOver is why a connection ends when a newer one of its identity comes.
const TakenOver = "a newer connection of the same identity took over"

// owe notes that a will is to be sent; "" is none.
func (s *Session) owe(will string) {
	if will != "" && !slices.Contains(s.Owed, will) {
		s.Owed = append(s.Owed, will)
	}
}

// End changes s to what is stored at the end of its connection, whose Reason and
// Code are set. An orderly end, with code 0, and one that is Untold discard the
// will, of which it returns the name; any other end owes it. A connection that is
// Untold loses its name: there was none, as far as anybody is told.
func (s *Session) End() (discarded string) {
	if s.Code == 0 || s.Untold {
		discarded = s.WillID
	} else {
		s.owe(s.WillID)
	}
	if s.Untold {
		s.Connection = ""
	}
	s.Connected, s.WillID = false, ""
	return discarded
}

// Last is the connection of s, as of its end.
func (s *Session) Last() Past {
	return Past{
		Epoch: s.Epoch, Node: s.Node, Connection: s.Connection, Remote: s.Remote, ClientAgent: s.ClientAgent,
		ConnectedTime: s.ConnectedTime, DisconnectedTime: s.DisconnectedTime, Reason: s.Reason, Code: s.Code,
	}
}

// Began is the event of its beginning.
func (s *Session) Began() Event {
	p := s.Last()
	return p.Began(s.ID)
}

// Ended is the event of its end.
func (s *Session) Ended() Event {
	p := s.Last()
	return p.Ended(s.ID)
}

// Began is the event of the connection's beginning, if it was one of id.
func (p *Past) Began(id hub.Identity) Event {
	e := p.event(id)
	e.Connected, e.Time = true, p.ConnectedTime
	return e
}

// Ended is the event of its end, if it was a connection of id.
func (p *Past) Ended(id hub.Identity) Event {
	e := p.event(id)
	e.Time, e.Reason, e.Code = p.DisconnectedTime, p.Reason, p.Code
	e.Duration = max(e.Time.Sub(p.ConnectedTime), 0)
	return e
}

func (p *Past) event(id hub.Identity) Event {
	return Event{
		ID: id, Epoch: p.Epoch, Node: p.Node, Connection: p.Connection, Remote: p.Remote, ClientAgent: p.ClientAgent,
	}
}
