package session

import (
	"cmp"
	"slices"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// Subscription is a topic filter and the QoS granted to it.
type Subscription struct {
	Filter string `json:"filter"`
	QoS    byte   `json:"qos"`
}

// Session is the state of an identity's MQTT session, and who owns it. Its
// JSON is the value in the bucket of sessions. It is not safe for concurrent
// use.
type Session struct {
	ID hub.Identity `json:"-"`
	// Generation is the generationId of the identity. A session of another
	// generation belongs to somebody who has been deleted.
	Generation string `json:"generation"`
	// Persistent says that the client connected with clean session 0.
	Persistent    bool           `json:"persistent"`
	Subscriptions []Subscription `json:"subscriptions,omitempty"` // sorted by filter

	Connected   bool   `json:"connected"`
	Node        string `json:"node"`               // of the connection, or of the last one
	Instance    string `json:"instance,omitempty"` // the run of the node; the store sets it
	Connection  string `json:"connection"`         // its name, unique in the hub; empty: it was not let in
	Remote      string `json:"remote"`             // address and port of the client
	ClientAgent string `json:"clientAgent,omitempty"`
	ModelID     string `json:"modelId,omitempty"`

	ConnectedTime    time.Time `json:"connectedTime,omitzero"`
	DisconnectedTime time.Time `json:"disconnectedTime,omitzero"`
	Reason           string    `json:"reason,omitempty"`    // why the last connection ended
	Code             hub.Code  `json:"errorCode,omitempty"` // 0: by DISCONNECT

	// WillID names the will of this connection in the store: it is armed, and the
	// store keeps its message. Owed names the wills of ended connections that may
	// not have been sent yet.
	WillID string   `json:"will,omitempty"`
	Owed   []string `json:"owed,omitempty"`
	// Ends are earlier connections, the oldest first, whose ends may not have been
	// told yet: who has claimed the session sees to it. RepairedBy is the node that
	// has told the end of this one, because its own could not: then nobody is the
	// owner.
	Ends       []Past `json:"ends,omitempty"`
	RepairedBy string `json:"repairedBy,omitempty"`

	// Will comes with a claim, for the store to keep; nil: none. Untold says of a
	// release that the client was not let in after all: then there is no will.
	Will   *Will `json:"-"`
	Untold bool  `json:"-"`

	// Epoch is the store's revision of the claim: the fencing number of this
	// ownership. Revision is that of the last write.
	Epoch    uint64 `json:"-"`
	Revision uint64 `json:"-"`

	// Resumed says of a claim that there was a session to go on with, and Cut
	// that the connection before it has not told its end: it was replaced, or its
	// node died, and nobody may know what it has sent.
	Resumed bool `json:"-"`
	Cut     bool `json:"-"`
	// Contested says of a claim that the connection before it has not told its end,
	// whether there is a session to go on with or not: it may still believe that it
	// is the owner.
	Contested bool `json:"-"`
	// Displaced is, in a claim, the address and port of the client that was the
	// owner until then; empty when there was none.
	Displaced     string `json:"-"`
	DisplacedNode string `json:"-"` // that it was connected to
}

// Resume returns next as it is to be stored after prev, and whether a session
// was there for the client to go on with: both must be persistent and belong
// to the same generation of the identity [MQTT3-3.1.2-4], [MQTT3-3.1.2-6]. A
// zero prev means that there was none.
func Resume(prev, next Session) (s Session, present bool) {
	next.Subscriptions, next.Resumed, next.Cut = nil, false, false
	next.Displaced, next.DisplacedNode = "", ""
	next.Contested = prev.Connected || prev.RepairedBy != ""
	next.RepairedBy, next.Owed, next.Ends = "", slices.Clone(prev.Owed), slices.Clone(prev.Ends)
	last := prev.Last()
	if prev.Connected {
		next.Displaced, next.DisplacedNode = prev.Remote, prev.Node
		next.owe(prev.WillID)
		last.DisconnectedTime, last.Reason, last.Code = next.ConnectedTime, TakenOver, hub.ConnectionReplaced
	}
	if prev.Connection != "" {
		next.Ends = append(next.Ends, last)
	}
	if !prev.Persistent || !next.Persistent || prev.Generation != next.Generation {
		return next, false
	}
	next.Subscriptions = slices.Clone(prev.Subscriptions)
	next.Resumed, next.Cut = true, next.Contested
	return next, true
}

// Subscribe adds a subscription, or replaces the one with the same filter
// [MQTT3-3.8.4-3].
func (s *Session) Subscribe(sub Subscription) {
	i, known := s.search(sub.Filter)
	if known {
		s.Subscriptions[i] = sub
		return
	}
	s.Subscriptions = slices.Insert(s.Subscriptions, i, sub)
}

// Unsubscribe removes the subscription with exactly this filter and reports
// whether there was one [MQTT3-3.10.4-1].
func (s *Session) Unsubscribe(filter string) bool {
	i, known := s.search(filter)
	if known {
		s.Subscriptions = slices.Delete(s.Subscriptions, i, i+1)
	}
	return known
}

// Find returns the subscription with exactly this filter.
func (s *Session) Find(filter string) (Subscription, bool) {
	i, known := s.search(filter)
	if !known {
		return Subscription{}, false
	}
	return s.Subscriptions[i], true
}

func (s *Session) search(filter string) (int, bool) {
	return slices.BinarySearchFunc(s.Subscriptions, filter, func(sub Subscription, f string) int {
		return cmp.Compare(sub.Filter, f)
	})
}
