package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/hubgate/hubgate/cmd/hubgate/internal/sdnotify"
)

const (
	// statusEvery is how often the line for people is written, and the watchdog
	// looked at if it does not ask for more.
	statusEvery = 5 * time.Second
	// stopPatience is how long the manager waits for the next word of a node that
	// ends.
	stopPatience = 20 * time.Second
	// stuckAfter is for how long an accept loop may be busy with one peer, beside
	// the times that peers have.
	stuckAfter = time.Minute
)

// supervision tells the service manager of a node. Nothing waits for it, and
// what it can't tell is a line in the log.
type supervision struct {
	node     *node
	manager  *sdnotify.Manager
	status   func() string // the line that systemctl status shows
	stopping atomic.Bool
	told     string // the last status
	stuck    string // what was stuck at the last look
}

// supervise finds the manager. With none, nothing is told.
func (n *node) supervise(a *app) error {
	manager, err := sdnotify.Find(a.getenv)
	if err != nil {
		return err
	}
	s := &supervision{node: n, manager: manager}
	s.status = s.describe
	n.supervision = s
	return nil
}

// ready says that devices are accepted, and goes on to tell how the node is
// until it has stopped.
func (s *supervision) ready() {
	if s == nil || s.manager == nil {
		return
	}
	s.told = s.status()
	s.warn(s.manager.Ready(s.told))
	ctx, cancel := context.WithCancel(context.Background())
	s.node.stops = append([]func(context.Context){func(context.Context) {
		cancel()
		_ = s.manager.Close()
	}}, s.node.stops...) // the last step: a stop may take long
	go s.run(ctx)
}

// reload does f, which reads the configuration again, between the words that
// systemctl reload waits for.
func (s *supervision) reload(f func()) {
	if s == nil || s.manager == nil {
		f()
		return
	}
	s.warn(s.manager.Reloading())
	f()
	if !s.stopping.Load() {
		s.warn(s.manager.Ready(s.status()))
	}
}

// stop says that the node begins to end.
func (s *supervision) stop() {
	if s == nil || s.manager == nil {
		return
	}
	s.stopping.Store(true)
	s.warn(s.manager.Stopping(s.status()))
	s.warn(s.manager.Extend(stopPatience))
}

func (s *supervision) run(ctx context.Context) {
	every := statusEvery
	if w := s.manager.Watchdog(); w > 0 {
		every = min(every, w/3)
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		s.look(every)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look tells the watchdog that the node is alive, if it is, and people how it
// is.
func (s *supervision) look(within time.Duration) {
	if stuck := s.node.pulse.stuck(within); stuck != "" {
		if stuck != s.stuck {
			s.node.log.Error().Str("part", stuck).Msg("a part of this node does not answer; if it stays so, the watchdog ends the node")
		}
		s.stuck = stuck
		s.warn(s.manager.Status("stuck: " + stuck))
		s.told = ""
		return
	}
	s.stuck = ""
	s.warn(s.manager.Alive())
	if s.stopping.Load() {
		s.warn(s.manager.Extend(stopPatience))
	}
	if text := s.status(); text != s.told {
		s.warn(s.manager.Status(text))
		s.told = text
	}
}

// describe tells people in a line how the node is.
func (s *supervision) describe() string {
	n := s.node
	connections := fmt.Sprintf("%d connections", n.gateway.Serving())
	switch {
	case s.stopping.Load():
		return "stopping: " + connections + " are left"
	case n.gateway.Draining():
		return "drained: takes no devices; " + connections + " are left"
	case !n.back.Telemetry().Flowing():
		return connections + "; NATS does not store at the moment, messages wait"
	default:
		return connections
	}
}

func (s *supervision) warn(err error) {
	if err != nil {
		s.node.log.Warn().Err(err).Msg("the service manager could not be told")
	}
}

// takePulse adds the checks of what the wiring has put together.
func (n *node) takePulse() {
	n.pulse.add("connections", func() bool { n.gateway.Connected(); return true })
	n.pulse.add("half-open connections", func() bool { n.gateway.HalfOpen(); return true })
	n.pulse.add("storing", func() bool { n.back.Telemetry().InFlight(); return true })
	n.pulse.add("NATS client", func() bool { n.back.Conn().IsConnected(); return true })
}
