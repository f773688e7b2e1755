package gateway

import "sync"

// pollers is the poller of a server, which is opened when it is needed first.
type pollers struct {
	reads  *line // by which it has connections read
	once   sync.Once
	poller *poller // nil: there is none, and each connection has its goroutine
}

// get returns the poller.
func (p *pollers) get() *poller {
	p.once.Do(func() {
		opened, err := openPoller()
		if err != nil {
			return
		}
		p.poller = opened
		go opened.run(p.reads)
	})
	return p.poller
}

// close closes the poller, if there is one.
func (p *pollers) close() {
	p.once.Do(func() {})
	if p.poller != nil {
		p.poller.close()
	}
}
