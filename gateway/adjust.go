package gateway

// Adjustable is the limits that may change while the server runs; those of rates
// change by [Limiter.Set].
type Adjustable struct {
	Connections int   // as in [Limits]; those that are there stay
	Memory      int64 // as in [Limits]
	Penalty     Penalty
}

// Adjust changes limits, from now on.
func (s *Server) Adjust(a Adjustable) {
	s.init()
	setDefault(&a.Memory, defaultMemory)
	s.connections.Store(int64(a.Connections))
	s.memory.limit.Store(max(a.Memory, 0))
	s.offences.set(a.Penalty)
}

// Protection is what the server has done to bear its peers, and what it bears.
type Protection struct {
	Throttling // by the limits of rates

	HalfOpen    int    // peers in a handshake
	Evicted     uint64 // of them, those who had to go
	TurnedAway  uint64 // peers closed for the bad credentials of their address
	Offenders   int    // addresses and clients that are remembered
	Memory      int64  // bytes that unfinished packets and unread output take
	MemoryCut   uint64 // connections cut for what they held
	Connections int    // that are served
	Draining    bool
}

// Protection returns the numbers of now.
func (s *Server) Protection() Protection {
	s.init()
	return Protection{
		Throttling: s.Limiter.Counts(),
		HalfOpen:   s.gate.waiting(), Evicted: s.gate.evicted(),
		TurnedAway: s.offences.turned.Load(), Offenders: int(s.offences.count.Load()),
		Memory: s.memory.used.Load(), MemoryCut: s.memory.cut.Load(),
		Connections: s.Serving(), Draining: s.Draining(),
	}
}
