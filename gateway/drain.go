package gateway

import (
	"context"
	"time"
)

// wave is the shortest time between two waves of a drain.
const wave = 50 * time.Millisecond

// Drain stops accepting and closes all connections, in waves over a time: the
// devices come again at other nodes, and not all at once. Each has what it sent
// stored and acknowledged first. It returns when that is done, or with ctx's
// error, which leaves the rest to [Server.Shutdown]. It may be called again: a
// shorter time, such as 0, hurries it.
func (s *Server) Drain(ctx context.Context, over time.Duration) error {
	s.StopAccepting()
	if err := s.closeInWaves(ctx, s.live.all(), over); err != nil {
		return err
	}
	done := make(chan struct{})
	go func() {
		s.live.wait()
		close(done)
	}()
	select {
	case <-done:
		s.workers.stop()
		s.pollers.close()
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// StopAccepting takes no more devices, and leaves those alone that are here.
func (s *Server) StopAccepting() {
	s.init()
	s.draining.Store(true)
	s.listeners.close()
	s.gate.close()
	s.live.close()
}

// closeInWaves stops conns, equally many at a time.
func (s *Server) closeInWaves(ctx context.Context, conns []*conn, over time.Duration) error {
	waves := max(min(int(over/wave), len(conns)), 1)
	for i := range waves {
		for _, c := range conns[len(conns)*i/waves : len(conns)*(i+1)/waves] {
			c.stop(errShutdown)
		}
		if i == waves-1 {
			break
		}
		select {
		case <-time.After(over / time.Duration(waves)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Draining reports whether the server takes no more devices.
func (s *Server) Draining() bool { return s.draining.Load() }

// Serving is the number of connections that have not ended: those that are
// connected, and those whose last messages are being stored.
func (s *Server) Serving() int { return int(s.live.running.Load()) }
