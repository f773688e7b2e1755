package backend

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/backend/subject"
)

// census is the nodes of the hub by what is written of them, this one included.
type census struct {
	self string // this node

	mu    sync.Mutex
	nodes map[string]known
	all   bool // everything that is written was noted

	alone atomic.Bool // see isAlone
}

// known is what is written of a node.
type known struct {
	state    NodeCycle
	instance string
	left     []string // instances that may own something, this one included
}

// standing is how an instance of a node stands.
type standing uint8

const (
	instanceUnsettled standing = iota // it may have left something, or nobody knows yet
	instanceAlive                     // it is its node
	instanceOver                      // what it has left is repaired
)

func knownOf(r NodeRecord) known { return known{r.State, r.Instance, r.left()} }

// stands tells how an instance stands, if it is one of this node.
func (n known) stands(instance string) standing {
	switch {
	case n.state == NodeUp && n.instance == instance:
		return instanceAlive
	case slices.Contains(n.left, instance):
		return instanceUnsettled
	default:
		return instanceOver
	}
}

// stands tells how an instance stands, as far as this node knows.
func (c *census) stands(instance string) standing {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.nodes {
		if s := n.stands(instance); s != instanceOver {
			return s
		}
	}
	if !c.all {
		return instanceUnsettled
	}
	return instanceOver
}

// isAlone reports whether nobody else may own a device, as far as this node knows:
// that another one joins it learns some milliseconds later.
func (c *census) isAlone() bool { return c.alone.Load() }

// judge keeps alone true to what was noted. c.mu is held.
func (c *census) judge() {
	alone := c.all
	for name, n := range c.nodes {
		if name != c.self && (n.state == NodeUp || n.state == NodeDead) {
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
	if c.nodes == nil {
		c.nodes = map[string]known{}
	}
	if c.nodes[name] = knownOf(r); e.Operation() != jetstream.KeyValuePut || !ok {
		delete(c.nodes, name)
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
	clear(c.nodes)
	c.all = false
	c.judge()
}

// counts says how many nodes are in each state, those in which nobody is too.
func (c *census) counts() map[NodeCycle]int {
	all := map[NodeCycle]int{NodeUp: 0, NodeDead: 0, NodeRepaired: 0, NodeStopped: 0}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.nodes {
		all[n.state]++
	}
	return all
}
