package gateway

import "sync"

// rounds makes those who have had their share wait until the runtime has asked
// the network for everybody else. It does so by itself only when nothing can run,
// or every 10 ms: as long as one connection always has more to do, the others'
// packets would stay in their sockets.
type rounds struct {
	bell bell

	mu   sync.Mutex
	over chan struct{} // closed when the round ends; nil: nobody waits
}

func newRounds() *rounds { return &rounds{bell: newBell()} }

// wait returns when everybody has had a turn.
func (r *rounds) wait() {
	r.mu.Lock()
	over, leads := r.over, r.over == nil
	if leads {
		over = make(chan struct{})
		r.over = over
	}
	r.mu.Unlock()
	if !leads {
		<-over
		return
	}
	r.bell.pass()
	r.mu.Lock()
	r.over = nil
	r.mu.Unlock()
	close(over)
}
