package gateway

import (
	"sync"
	"time"
)

// waitClock bounds how long we wait for a peer in all. The time in which he
// waits for us does not count: when a fleet comes back at once, a handshake
// takes as long as our processors make it, and to cut it off would only have it
// begin anew.
type waitClock struct {
	mu      sync.Mutex
	left    time.Duration
	since   time.Time // when the timer was set; zero while it rests
	timer   *time.Timer
	over    bool // it has run out
	stopped bool
}

// start begins to wait; expired is called when the time is over.
func (p *waitClock) start(most time.Duration, expired func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left, p.since = most, time.Now()
	p.timer = time.AfterFunc(most, func() {
		p.mu.Lock()
		over := !p.since.IsZero() && !p.stopped
		p.over = p.over || over
		p.mu.Unlock()
		if over {
			expired()
		}
	})
}

// rest stops the clock, and resume lets it go on. Before start and after stop
// they do nothing.
func (p *waitClock) rest() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer == nil || p.stopped || p.since.IsZero() {
		return
	}
	p.timer.Stop()
	p.left -= time.Since(p.since)
	p.since = time.Time{}
}

func (p *waitClock) resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer == nil || p.stopped || !p.since.IsZero() {
		return
	}
	p.since = time.Now()
	p.timer.Reset(max(p.left, 0))
}

// stop ends the waiting and reports whether it was in time.
func (p *waitClock) stop() (inTime bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	if p.timer != nil {
		p.timer.Stop()
	}
	return !p.over
}
