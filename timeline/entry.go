package timeline

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// What is the kind of thing that went wrong.
type What string

// The kinds of entries.
const (
	Refused          What = "connectRefused"   // a handshake or a CONNECT
	Closed           What = "connectionClosed" // by anything but DISCONNECT
	SubscribeRefused What = "subscribeRefused"
	TwinRefused      What = "twinRefused"
	RenewalRefused   What = "renewalRefused"
	MethodFailed     What = "methodFailed"
	C2DDropped       What = "c2dDropped" // a cloud-to-device message
	WillLost         What = "willLost"
	Throttled        What = "throttled"    // slowed or refused, because it did too much
	DuplicateID      What = "duplicateId"  // several clients fight for one identity
	TokenExpired     What = "tokenExpired" // the connection lives on for a while
	// Unconfigured is a configuration that can't be applied, or does not stay.
	Unconfigured What = "configurationFailed"
)

// Entry is one thing that went wrong, or the same thing several times.
type Entry struct {
	// ID is the device or module. It is zero when the entry is about an address:
	// anybody may say that he is anybody.
	ID hub.Identity
	// Claimed is who the client at an address said it was.
	Claimed string

	What    What
	Code    hub.Code
	Message string // one sentence
	Time    time.Time
	Remote  string // address and port of the client; empty when there was none
	Node    string

	Count int       // how often; at least 1
	Until time.Time // the last time, when Count is more than 1
}

// wire is the JSON of an entry.
type wire struct {
	Time     time.Time  `json:"time"`
	What     What       `json:"what"`
	Code     hub.Code   `json:"errorCode"`
	Name     string     `json:"errorName"`
	Message  string     `json:"message"`
	Hint     string     `json:"hint"`
	DeviceID string     `json:"deviceId,omitempty"`
	ModuleID string     `json:"moduleId,omitempty"`
	Claimed  string     `json:"claimed,omitempty"`
	Remote   string     `json:"remote,omitempty"`
	Node     string     `json:"node,omitempty"`
	Count    int        `json:"count"`
	Until    *time.Time `json:"until,omitempty"`
}

// MarshalJSON implements json.Marshaler. Name and hint of the code are written
// too, for readers who have no table.
func (e Entry) MarshalJSON() ([]byte, error) {
	w := wire{
		Time: e.Time.UTC(), What: e.What, Code: e.Code, Name: e.Code.Name(), Message: e.Message, Hint: e.Code.Hint(),
		DeviceID: e.ID.Device, ModuleID: e.ID.Module, Claimed: e.Claimed, Remote: e.Remote, Node: e.Node, Count: max(e.Count, 1),
	}
	if e.Count > 1 {
		until := e.Until.UTC()
		w.Until = &until
	}
	return json.Marshal(w)
}

// UnmarshalJSON implements json.Unmarshaler.
func (e *Entry) UnmarshalJSON(data []byte) error {
	var w wire
	if err := json.Unmarshal(data, &w); err != nil {
		return fmt.Errorf("read a timeline entry: %w", err)
	}
	*e = Entry{
		ID: hub.Identity{Device: w.DeviceID, Module: w.ModuleID}, Claimed: w.Claimed,
		What: w.What, Code: w.Code, Message: w.Message, Time: w.Time, Remote: w.Remote, Node: w.Node, Count: max(w.Count, 1),
	}
	if w.Until != nil {
		e.Until = *w.Until
	}
	return nil
}

// Last is when the thing went wrong for the last time.
func (e Entry) Last() time.Time {
	if e.Count > 1 {
		return e.Until
	}
	return e.Time
}

// repeats reports whether e is the same thing as before: an entry that stood
// before it, of the same subject.
func (e Entry) repeats(before Entry) bool {
	return e.ID == before.ID && e.Claimed == before.Claimed && e.What == before.What && e.Code == before.Code && e.Message == before.Message
}

// Compact joins neighbours that tell of the same thing, the oldest first. The
// address is that of the newest.
func Compact(entries []Entry) []Entry {
	var out []Entry
	for _, e := range entries {
		e.Count = max(e.Count, 1)
		if n := len(out); n > 0 && e.repeats(out[n-1]) {
			last := &out[n-1]
			e.Until, e.Time, e.Count = e.Last(), last.Time, e.Count+last.Count
			*last = e
			continue
		}
		out = append(out, e)
	}
	return out
}

// Merge joins two lists into one in the order of time, and compacts it.
func Merge(a, b []Entry) []Entry {
	all := slices.Concat(a, b)
	slices.SortStableFunc(all, func(x, y Entry) int { return x.Time.Compare(y.Time) })
	return Compact(all)
}
