package backend

import (
	"context"
	"sync"
)

// pending counts what has begun and not ended, for whoever waits until there is
// nothing. The zero value is ready. It is safe for concurrent use.
type pending struct {
	mu   sync.Mutex
	open int
	none chan struct{} // closed when nothing is open; nil while nobody waits
}

func (p *pending) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open++
}

func (p *pending) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open--
	if p.open == 0 && p.none != nil {
		close(p.none)
		p.none = nil
	}
}

// count is how many are open.
func (p *pending) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open
}

// wait returns true when nothing is open, and false when ctx has ended before.
func (p *pending) wait(ctx context.Context) bool {
	p.mu.Lock()
	if p.open == 0 {
		p.mu.Unlock()
		return true
	}
	if p.none == nil {
		p.none = make(chan struct{})
	}
	none := p.none
	p.mu.Unlock()
	select {
	case <-none:
		return true
	case <-ctx.Done():
		return false
	}
}
