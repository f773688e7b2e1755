package backend

import (
	"maps"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/backend/subject"
)

// census is the nodes of the hub by what is written of them, this one included.
// One without states knows none.
type census struct {
	self string // this node

	mu     sync.Mutex
	states map[string]NodeCycle
	all    bool // everything that is written was noted

	alone atomic.Bool // see isAlone
}

// isAlone reports whether nobody else may own a device, as far as this node knows:
// that another one joins it learns some milliseconds later.
func (c *census) isAlone() bool { return c.alone.Load() }

// judge keeps alone true to what was noted. c.mu is held.
func (c *census) judge() {
	alone := c.all
	for name, state := range c.states {
		if name != c.self && (state == NodeUp || state == NodeDead) {
			alone = false
		}
	}
	c.alone.Store(alone)
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
	c.judge()
}

// complete says that everything was noted that is written.
func (c *census) complete() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = true
	c.judge()
}

// forget is for an interruption: everything is told again.
func (c *census) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.states)
	c.all = false
	c.judge()
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
