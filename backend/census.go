package backend

import (
	"maps"
	"sync"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/backend/subject"
)

// census is the nodes of the hub by what is written of them, this one included.
// The zero value knows none.
type census struct {
	mu     sync.Mutex
	states map[string]NodeCycle
}

// note takes an entry of the bucket of nodes.
func (c *census) note(e jetstream.KeyValueEntry) {
	name, err := subject.DecodeToken(e.Key())
	if err != nil {
		return
	}
	r, ok := parseNode(e.Value())
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.states == nil {
		c.states = map[string]NodeCycle{}
	}
	if c.states[name] = r.State; e.Operation() != jetstream.KeyValuePut || !ok {
		delete(c.states, name)
	}
}

// forget is for an interruption: everything is told again.
func (c *census) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.states)
}

// counts says how many nodes are in each state, those in which nobody is too.
func (c *census) counts() map[NodeCycle]int {
	all := map[NodeCycle]int{NodeUp: 0, NodeDead: 0, NodeRepaired: 0, NodeStopped: 0}
	c.mu.Lock()
	defer c.mu.Unlock()
	for state := range maps.Values(c.states) {
		all[state]++
	}
	return all
}
