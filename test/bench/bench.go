//go:build linux

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

// rowRaw is not made of cells of clients.
const rowRaw = "raw publish, 1024 in flight"

// The sections of a run, as -only names them.
const (
	sectionThroughput = "throughput"
	sectionLatency    = "latency"
	sectionConnect    = "connect"
	sectionIdle       = "idle"
	sectionSync       = "sync"
	sectionTwin       = "twin"
	sectionMethod     = "method"
	sectionC2D        = "c2d"
	sectionStorm      = "storm"
	sectionREST       = "rest"
	sectionFleet      = "fleet"
	sectionQuery      = "query"
	sectionSize       = "size"
	sectionScale      = "scale"
)

// sections are all of them.
func sections() []string { return append(usualSections(), sectionScale) }

// usualSections are those of a run that names none. The others take the better
// part of an hour.
func usualSections() []string {
	return []string{
		sectionThroughput, sectionLatency, sectionConnect, sectionIdle, sectionSync, sectionTwin, sectionMethod, sectionC2D,
		sectionStorm, sectionREST, sectionFleet, sectionQuery, sectionSize,
	}
}

// settings is what the flags set.
type settings struct {
	rounds        int
	warm, measure time.Duration
	connects      int // connects of one handshake in one round
	idle          int // idle connections
	queues        int // idle queues of cloud-to-device messages
	storm         int // devices that come back at once
	fleet         int // twins that are queried
	scale, nodes  int // devices of a node that are connected, and nodes
	quick         bool
	profiles      string // directory for CPU profiles of the gateway; empty: none
	only          string // sections, comma-separated; empty: all
	targets       string // targets whose name contains one of these; empty: all
	rows          string // rows whose name contains one of these; empty: all
}

// bench is one run.
type bench struct {
	settings
	host
	book *book
	log  io.Writer

	servers []*server
}

// sections are those that are part of the run.
func (s settings) sections() []string {
	if s.only == "" {
		return usualSections()
	}
	return strings.Split(s.only, ",")
}

// wants reports whether a section is part of the run.
func (s settings) wants(section string) bool { return slices.Contains(s.sections(), section) }

// wantsTarget reports whether a target is part of the run.
func (s settings) wantsTarget(name string) bool { return containsAny(name, s.targets) }

// wantsRow reports whether a row is part of the run.
func (s settings) wantsRow(name string) bool { return containsAny(name, s.rows) }

// containsAny reports whether name contains one of parts, which commas
// separate; every name does when there are none.
func containsAny(name, parts string) bool {
	if parts == "" {
		return true
	}
	return slices.ContainsFunc(strings.Split(parts, ","), func(part string) bool {
		return strings.Contains(name, part)
	})
}

// starter makes one target.
type starter struct {
	name  string
	start func(context.Context) (*server, error)
}

// starters are the targets that run through the whole bench.
func (b *bench) starters() []starter {
	loaded := b.wants(sectionThroughput) || b.wants(sectionLatency)
	talks := slices.ContainsFunc([]string{sectionTwin, sectionMethod, sectionC2D, sectionREST}, b.wants)
	if !loaded && !talks && !b.wants(sectionConnect) {
		return nil
	}
	list := []starter{{nameHubgate, b.gateway(gatewayRun{dir: "hubgate", devices: maxConns})}}
	if b.wants(sectionMethod) {
		list = append(list, starter{nameBareNATS, b.startBareNATS})
	}
	if !loaded && !b.wants(sectionConnect) {
		return list
	}
	if loaded {
		list = append(list,
			starter{nameNoSub, func(ctx context.Context) (*server, error) { return b.startNATS(ctx, nameNoSub, "plain") }},
			starter{nameOffline, b.startOffline})
	}
	list = append(list, starter{nameMosq, b.startMosquitto})
	if b.wants(sectionConnect) {
		list = append(list, starter{nameTLSD, b.startTLSD},
			starter{nameNATS, func(ctx context.Context) (*server, error) { return b.startNATS(ctx, nameNATS, "tls") }})
	}
	return list
}

// run does all rounds.
func (b *bench) run(ctx context.Context) error {
	defer b.stop()
	for round := range b.rounds {
		fmt.Fprintf(b.log, "round %d of %d\n", round+1, b.rounds)
		if err := b.round(ctx, round); err != nil {
			return err
		}
	}
	return nil
}

// start brings up the long-running servers.
func (b *bench) start(ctx context.Context) error {
	for _, st := range b.starters() {
		s, err := b.up(ctx, st)
		if err != nil {
			return err
		}
		if s != nil {
			b.servers = append(b.servers, s)
		}
	}
	return nil
}

// up starts one target; nil when it is not wanted or not there.
func (b *bench) up(ctx context.Context, st starter) (*server, error) {
	if !b.wantsTarget(st.name) {
		return nil, nil
	}
	s, err := st.start(ctx)
	if errors.Is(err, errAbsent) {
		b.book.skip("%s: %v", st.name, err)
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", st.name, err)
	}
	return s, nil
}

func (b *bench) stop() {
	for _, s := range b.servers {
		s.close()
	}
	b.servers = nil
}

// round measures everything once. The order of the targets turns with each
// round, so that none always follows the same other one.
func (b *bench) round(ctx context.Context, round int) error {
	if len(b.servers) == 0 {
		if err := b.start(ctx); err != nil {
			return err
		}
	}
	var turned []*server
	if n := len(b.servers); n > 0 {
		turned = slices.Concat(b.servers[round%n:], b.servers[:round%n])
	}
	steps := []func() error{
		func() error { return b.cells(ctx, turned) },
		func() error { return b.connectRound(ctx, turned) },
		func() error { return b.rawRound(ctx) },
		func() error { return b.idleRound(ctx) },
		func() error { return b.syncRound(ctx) },
		func() error { return b.twinRound(ctx, round) },
		func() error { return b.methodRound(ctx, turned) },
		func() error { return b.mailRound(ctx, round) },
		func() error { return b.restRound(ctx, round) },
		func() error { return b.fleetRound(ctx, round) },
		func() error { return b.stormRound(ctx, round) },
		func() error { return b.queryRound(ctx, round) },
		func() error { return b.sizeRound(ctx, round) },
		func() error { return b.scaleRound(ctx, round) },
	}
	for _, step := range steps {
		if err := errors.Join(step(), ctx.Err()); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) cells(ctx context.Context, servers []*server) error {
	var list []cell
	if b.wants(sectionThroughput) {
		list = append(throughputCells(b.quick), secureCells()...)
	}
	if b.wants(sectionLatency) {
		list = append(list, latencyCells(b.quick)...)
	}
	for _, c := range list {
		for _, s := range servers {
			if !b.runsCell(c, s) || ctx.Err() != nil {
				continue
			}
			if c.drained {
				s = s.drained()
			}
			if err := b.measureCell(c, s); err != nil {
				return fmt.Errorf("%s, %s: %w", c.row, s.name, err)
			}
			b.progress(c.row, s.name)
		}
	}
	return nil
}

// runsCell reports whether a cell is meant for a server: the long-running TLS
// servers are there for the cost of a connect only.
func (b *bench) runsCell(c cell, s *server) bool {
	switch {
	case !b.wantsRow(c.row):
		return false
	case c.secure:
		return s.name == nameHubgate
	case c.drained && drainedName(s.name) == "":
		return false
	}
	return s.plain.IsValid()
}

func (b *bench) connectRound(ctx context.Context, servers []*server) error {
	if !b.wants(sectionConnect) {
		return nil
	}
	for _, h := range handshakes(b.quick) {
		for _, s := range servers {
			addr := s.secure
			if h.version == 0 {
				addr = s.plain
			}
			if !b.wantsRow(h.row) || !addr.IsValid() || ctx.Err() != nil {
				continue
			}
			if err := b.measureConnects(h, s); err != nil {
				return fmt.Errorf("%s, %s: %w", h.row, s.name, err)
			}
			b.progress(h.row, s.name)
		}
	}
	return nil
}

func (b *bench) rawRound(ctx context.Context) error {
	if !b.wants(sectionThroughput) {
		return nil
	}
	return errors.Join(
		b.measureRaw(ctx, rowRaw, nameRawInbox, rawRun{}),
		b.measureRaw(ctx, rowRaw, nameRawFull, rawRun{Full: true}),
		b.measureRaw(ctx, rowRaw, nameRawJS, rawRun{JS: true}),
	)
}

func (b *bench) measureRaw(ctx context.Context, row, target string, r rawRun) error {
	if !b.wantsTarget(target) || !b.wantsRow(row) {
		return nil
	}
	dir, err := os.MkdirTemp(b.dir, "raw-")
	if err != nil {
		return fmt.Errorf("make store directory: %w", err)
	}
	defer os.RemoveAll(dir)
	r.Dir, r.Payload, r.Warm, r.Measure = dir, len(b.payload), b.warm, cmp.Or(r.Measure, b.measure)
	out, err := b.raw(ctx, r)
	if err != nil {
		return fmt.Errorf("%s, %s: %w", row, target, err)
	}
	add := func(metric string, v float64) { b.book.add(row, target, metric, v) }
	add(metricRate, float64(out.Counted)/out.Elapsed.Seconds())
	add(metricCPU, float64(out.CPU.Nanoseconds())/1e3/float64(max(out.Counted, 1)))
	add(metricAcked, float64(out.Acked))
	add(metricStored, float64(out.Stored))
	if out.Stored != out.Acked || out.Acked != out.Sent {
		b.book.fault("%s, %s: sent %d, acknowledged %d, stored %d", row, target, out.Sent, out.Acked, out.Stored)
	}
	b.progress(row, target)
	return nil
}

// idleRound starts each target afresh, because memory that load has left behind
// is not what an idle connection costs.
func (b *bench) idleRound(ctx context.Context) error {
	if !b.wants(sectionIdle) {
		return nil
	}
	for _, row := range []string{rowIdlePlain, rowIdleSecure} {
		mode := "plain"
		if row == rowIdleSecure {
			mode = "tls"
		}
		list := []starter{
			{nameHubgate, b.gateway(gatewayRun{dir: "hubgate-idle", devices: b.idle})},
			{nameNATS, func(ctx context.Context) (*server, error) { return b.startNATS(ctx, nameNATS, mode) }},
			{nameMosq, b.startMosquitto},
		}
		for _, st := range list {
			if err := b.idleOnce(ctx, row, st); err != nil {
				return fmt.Errorf("%s, %s: %w", row, st.name, err)
			}
		}
	}
	return nil
}

func (b *bench) idleOnce(ctx context.Context, row string, st starter) error {
	if !b.wantsRow(row) {
		return nil
	}
	s, err := b.up(ctx, st)
	if err != nil || s == nil {
		return err
	}
	defer s.close()
	if err := b.measureIdle(row, s); err != nil {
		return err
	}
	b.progress(row, st.name)
	return nil
}

// progress tells on the log what a cell just gave.
func (b *bench) progress(row, target string) {
	var parts []string
	for _, metric := range []string{metricTaken, metricRate, metricCPU, metricP50, metricP99, metricConnCPU, metricIdle, metricTrip50, metricTrip99, metricOps, metricOpCPU, metricStorm, metricStormCPU, metricFirst99, metricRefused, metricMiB, metricEach, metricSeconds} {
		if values := b.book.values(row, target, metric); len(values) > 0 {
			parts = append(parts, fmt.Sprintf("%s %.1f", metric, values[len(values)-1]))
		}
	}
	fmt.Fprintf(b.log, "  %-26s %-32s %s\n", row, target, strings.Join(parts, ", "))
}
