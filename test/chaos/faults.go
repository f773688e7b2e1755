//go:build linux

package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// injection is one fault that was done, and what devices felt of it.
type injection struct {
	step
	pauses []time.Duration // of each device: the longest wait for a PUBACK, sorted
	back   time.Duration   // from mended until all devices had what they wait for
}

// harm does the steps of the schedule, each when the hub has recovered from
// the one before.
func (r *run) harm(ctx context.Context) error {
	begin := time.Now()
	for i, s := range r.steps {
		if r.length > 0 && time.Since(begin) > r.length {
			return nil
		}
		if r.lacks(s) {
			continue
		}
		if !wait(ctx, s.rest) {
			return ctx.Err()
		}
		r.logf("fault %d: %v", i+1, s)
		done, err := r.inject(ctx, s)
		if err != nil {
			return fmt.Errorf("fault %d (%v): %w", i+1, s, err)
		}
		r.injected = append(r.injected, done)
		n := len(done.pauses)
		r.logf("fault %d: devices waited %v in the median, %v at most; all well %v after it was mended",
			i+1, done.pauses[n/2].Round(time.Millisecond), done.pauses[n-1].Round(time.Millisecond), done.back.Round(time.Millisecond))
	}
	return nil
}

// lacks reports whether this machine can't do a fault; it was told before.
func (r *run) lacks(s step) bool {
	switch s.kind {
	case diskFull, diskSlow:
		return r.noDisk != nil
	case clockOfNode, clockOfNATS:
		return !r.programs.clocks
	default:
		return false
	}
}

// inject does one fault, mends it, and waits for the recovery.
func (r *run) inject(ctx context.Context, s step) (injection, error) {
	for _, d := range r.devices {
		d.begin()
	}
	var beside sync.WaitGroup
	if s.also != "" {
		beside.Go(func() {
			if wait(ctx, s.lasts/2) {
				_ = r.fault(ctx, step{kind: s.also}) // it may have no chance beside the other one
			}
		})
	}
	err := r.fault(ctx, s)
	beside.Wait()
	if err != nil {
		return injection{}, err
	}
	mended := time.Now()
	if err := r.cluster.healthy(ctx); err != nil {
		return injection{}, err
	}
	if err := r.await(ctx, mended); err != nil {
		return injection{}, err
	}
	done := injection{step: s, back: time.Since(mended)}
	for _, d := range r.devices {
		done.pauses = append(done.pauses, d.pause())
	}
	slices.Sort(done.pauses)
	return done, nil
}

// fault does one fault and mends it.
func (r *run) fault(ctx context.Context, s step) error {
	switch s.kind {
	case natsLeaders:
		return r.stepDown(ctx)
	case natsKilled, natsPaused, natsAllLost, natsRolling, natsPartition, natsSlowLinks:
		return r.faultOfNATS(ctx, s)
	case diskSlow, diskFull:
		return r.faultOfDisk(ctx, s)
	case nodeKilled, nodePaused, nodePartition, nodeHalfCut, nodesRolling, restartedInDark:
		return r.faultOfNode(ctx, s)
	case clockOfNode:
		return r.moveClock(ctx, s, r.clocks[s.target], "https://"+r.net.at(hostGateway+s.target, httpsPort))
	case clockOfNATS:
		return r.moveClock(ctx, s, r.cluster.clocks[s.target], "http://"+r.net.at(hostNATS+s.target, monitorPort)+"/healthz")
	case balancerCut:
		r.plain.cut()
		r.secure.cut()
		return nil
	default:
		return fmt.Errorf("there is no fault %q", s.kind)
	}
}

func (r *run) faultOfNATS(ctx context.Context, s step) error {
	servers := r.cluster.servers
	one := servers[s.target]
	switch s.kind {
	case natsKilled:
		return r.down(ctx, s, one)
	case natsPaused:
		return r.pause(ctx, s, one)
	case natsAllLost:
		return r.down(ctx, s, servers[:]...)
	case natsRolling:
		for _, p := range servers {
			if err := p.stop(syscall.SIGTERM); err != nil {
				return err
			}
			if err := r.cluster.start(ctx); err != nil {
				return err
			}
		}
		return nil
	}
	for pair, link := range r.cluster.routes {
		switch {
		case s.kind == natsSlowLinks:
			link.slow(40 * time.Millisecond)
		case pair[0] == s.target || pair[1] == s.target:
			link.shut()
		}
	}
	wait(ctx, s.lasts)
	r.cluster.heal()
	return nil
}

// down kills processes, and starts them again after a while.
func (r *run) down(ctx context.Context, s step, all ...*process) error {
	for _, p := range all {
		if err := p.stop(syscall.SIGKILL); err != nil {
			return err
		}
	}
	wait(ctx, s.lasts)
	return startAll(ctx, all...)
}

func startAll(ctx context.Context, all ...*process) error {
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i, p := range all {
		wg.Go(func() { errs[i] = p.start(ctx) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// pause stops a process without ending it, and lets it go on after a while.
func (r *run) pause(ctx context.Context, s step, p *process) error {
	if err := p.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	wait(ctx, s.lasts)
	return p.signal(syscall.SIGCONT)
}

func (r *run) faultOfNode(ctx context.Context, s step) error {
	one := r.nodes[s.target]
	switch s.kind {
	case nodeKilled:
		return r.down(ctx, s, one)
	case nodePaused:
		return r.pause(ctx, s, one)
	case nodesRolling:
		for _, p := range r.nodes {
			if err := p.stop(syscall.SIGTERM); err != nil {
				return err
			}
			if err := p.start(ctx); err != nil {
				return err
			}
		}
		return nil
	case restartedInDark:
		return r.dark(ctx, s)
	}
	for pair, link := range r.cluster.doors {
		if pair[0] == s.target && (s.kind == nodePartition || pair[1] == 0) {
			link.shut()
		}
	}
	wait(ctx, s.lasts)
	r.cluster.heal()
	return nil
}

// dark restarts a node while one NATS server of three is there: it has to wait
// for the others, not to give up.
func (r *run) dark(ctx context.Context, s step) error {
	var away []*process
	for i, p := range r.cluster.servers {
		if i != s.target {
			away = append(away, p)
		}
	}
	for _, p := range append(slices.Clone(away), r.nodes[s.target]) {
		if err := p.stop(syscall.SIGKILL); err != nil {
			return err
		}
	}
	started := make(chan error, 1)
	go func() { started <- r.nodes[s.target].start(ctx) }()
	wait(ctx, s.lasts)
	if err := startAll(ctx, away...); err != nil {
		return err
	}
	return <-started
}

func (r *run) faultOfDisk(ctx context.Context, s step) error {
	disk := r.cluster.disk
	if s.kind == diskSlow { // it stands still for most of the time
		for end := time.Now().Add(s.lasts); time.Now().Before(end); wait(ctx, 50*time.Millisecond) {
			if err := disk.tell("freeze"); err != nil {
				return err
			}
			wait(ctx, 450*time.Millisecond)
			if err := disk.tell("thaw"); err != nil {
				return err
			}
		}
		return nil
	}
	if err := disk.fill(); err != nil {
		return err
	}
	wait(ctx, s.lasts)
	if err := disk.free(); err != nil {
		return err
	}
	// NATS gives up a stream that it could not write: room alone does not help.
	server := r.cluster.servers[s.target]
	if err := server.stop(syscall.SIGKILL); err != nil {
		return err
	}
	return server.start(ctx)
}

// moveClock has a process's clock jump there and, after a while, back. The date
// that the process answers at url shows that it has.
func (r *run) moveClock(ctx context.Context, s step, c *clock, url string) error {
	for _, off := range []time.Duration{s.jump, 0} {
		if err := c.set(off); err != nil {
			return err
		}
		date, err := r.dateAt(ctx, url)
		if err != nil {
			return fmt.Errorf("ask for the date: %w", err)
		}
		if wrong := time.Until(date) - off; wrong.Abs() > time.Minute {
			return fmt.Errorf("the clock of %s is wrong by %v, and should be by %v", url, time.Until(date), off)
		}
		if off != 0 {
			wait(ctx, s.lasts)
		}
	}
	return nil
}

// dateAt is the date of an answer by HTTP, whatever that says.
func (r *run) dateAt(ctx context.Context, url string) (time.Time, error) {
	client := &http.Client{Timeout: askPatience, Transport: &http.Transport{TLSClientConfig: r.trusted, DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return time.Time{}, err
	}
	answer, err := client.Do(req)
	if err != nil {
		return time.Time{}, err
	}
	defer answer.Body.Close()
	return http.ParseTime(answer.Header.Get("Date"))
}

// stepDown has the leader of every stream of the hub give up.
func (r *run) stepDown(ctx context.Context) error {
	names := r.backend.js.StreamNames(ctx)
	var all []string
	for name := range names.Name() {
		all = append(all, name)
	}
	if err := names.Err(); err != nil {
		return fmt.Errorf("list the streams: %w", err)
	}
	for _, name := range all {
		ask, cancel := context.WithTimeout(ctx, askPatience)
		_, err := r.backend.nc.RequestWithContext(ask, jetstream.DefaultAPIPrefix+"STREAM.LEADER.STEPDOWN."+name, nil)
		cancel()
		if err != nil {
			return fmt.Errorf("have the leader of %s step down: %w", name, err)
		}
	}
	return nil
}
