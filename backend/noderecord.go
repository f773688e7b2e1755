package backend

import (
	"encoding/json"
	"time"
)

// NodeRecord is what a node says of itself in the bucket hub_nodes, or what
// another one says of it after its death.
type NodeRecord struct {
	Node     string    `json:"node"`
	Instance string    `json:"instance"` // new at each start
	State    NodeCycle `json:"state"`
	Version  string    `json:"version,omitempty"`
	Started  time.Time `json:"started,omitzero"`
	NodeReport

	// Earlier are instances of this node whose sessions may not be repaired yet.
	Earlier []string `json:"earlier,omitempty"`

	// Of a node that was taken for dead.
	LastSeen time.Time `json:"lastSeen,omitzero"` // when its last beat was stored, by the server's clock
	Died     time.Time `json:"died,omitzero"`     // when it was noticed
	Repairer string    `json:"repairer,omitempty"`
	Repaired *Repaired `json:"repaired,omitempty"` // what was done; nil: it is at work
}

// NodeCycle is where a node is in its life.
type NodeCycle string

// The states of a node.
const (
	NodeUp       NodeCycle = "up"
	NodeDead     NodeCycle = "dead"     // taken for dead; its sessions are being repaired
	NodeRepaired NodeCycle = "repaired" // and are repaired
	NodeStopped  NodeCycle = "stopped"  // by itself, and owes nothing
)

// NodeReport is what a node tells with each beat.
type NodeReport struct {
	Connections int            `json:"connections"`
	Draining    bool           `json:"draining,omitempty"`
	Ports       map[string]int `json:"ports,omitempty"`
	Faults      []NodeFault    `json:"faults,omitempty"` // the last ones, the newest first
}

// NodeFault is something that a node has logged as a warning or an error.
type NodeFault struct {
	Time    time.Time `json:"time"`
	Level   string    `json:"level"`
	Message string    `json:"message"`
}

// Repaired counts what a repair has done.
type Repaired struct {
	Sessions int           `json:"sessions"` // connections whose end was told
	Events   int           `json:"events"`   // that were stored
	Wills    int           `json:"wills"`    // that were due
	Took     time.Duration `json:"tookNanoseconds"`
}

// left is the instances of the node of r that have left something to repair.
func (r *NodeRecord) left() []string {
	switch r.State {
	case NodeRepaired, NodeStopped, "": // the last: there was none
		return nil
	case NodeUp, NodeDead:
	}
	return appendNew(r.Earlier, r.Instance)
}

func parseNode(value []byte) (NodeRecord, bool) {
	var r NodeRecord
	err := json.Unmarshal(value, &r)
	return r, err == nil && r.Node != ""
}
