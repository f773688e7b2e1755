package meter

import (
	"sync"
	"sync/atomic"

	"github.com/hubgate/hubgate/hub"
)

// cacheLine is what processors take from each other when one of them writes.
const cacheLine = 64

// Counter is a number that goes up. It has a cache line of its own, so that
// counters side by side don't slow each other. The zero value is ready.
type Counter struct {
	n atomic.Uint64
	_ [cacheLine - 8]byte
}

// Add counts n more.
func (c *Counter) Add(n uint64) { c.n.Add(n) }

// Load returns what was counted so far.
func (c *Counter) Load() uint64 { return c.n.Load() }

// Codes counts by IoT Hub's code, 0 for what went well. The codes of the table in
// package hub have a place each; anything else counts as [hub.ServerError]. It is
// for what happens seldom: finding the place costs a look into a map.
type Codes struct {
	start  sync.Once
	places map[hub.Code]*atomic.Uint64
}

func (c *Codes) init() {
	c.start.Do(func() {
		c.places = map[hub.Code]*atomic.Uint64{0: {}}
		for code := range hub.Codes() {
			c.places[code] = new(atomic.Uint64)
		}
	})
}

// Add counts one.
func (c *Codes) Add(code hub.Code) {
	c.init()
	place := c.places[code]
	if place == nil {
		place = c.places[hub.ServerError]
	}
	place.Add(1)
}

// Counts returns what was counted so far, of every code.
func (c *Codes) Counts() map[hub.Code]uint64 {
	c.init()
	all := make(map[hub.Code]uint64, len(c.places))
	for code, place := range c.places {
		all[code] = place.Load()
	}
	return all
}
