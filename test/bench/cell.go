//go:build linux

package main

import (
	"cmp"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	dialers     = 16
	maxConns    = 1000 // of a cell
	coreFull    = 0.93 // of a core: a process above it had no more to give
	rateReached = 0.97 // of the offered rate: below it a latency is of an overload
)

// cell is one load put on one server.
type cell struct {
	row    string
	conns  int
	window int
	rate   int
	greedy int // connections at full rate beside those of conns
	secure bool
	clean  bool // no session that stays

	drained bool // one consumer takes everything meanwhile

	measure time.Duration // 0: as the flags say
}

// throughputCells are the closed loops over plain TCP.
func throughputCells(quick bool) []cell {
	var cells []cell
	for _, conns := range []int{100, maxConns} {
		for _, window := range []int{1, 16, 64} {
			if quick && (conns == 100 || window == 64) {
				continue
			}
			cells = append(cells, cell{row: throughputRow("plain", conns, window), conns: conns, window: window})
		}
	}
	if !quick {
		cells = append(cells, drainedCell())
	}
	return cells
}

// secureCells are the closed loops over TLS 1.3, for the gateway alone.
func secureCells() []cell {
	var cells []cell
	for _, window := range []int{1, 16} {
		cells = append(cells, cell{row: throughputRow("tls1.3", maxConns, window), conns: maxConns, window: window, secure: true})
	}
	return cells
}

// latencyCells are the open loops.
func latencyCells(quick bool) []cell {
	if quick {
		return []cell{{row: latencyRow(20), conns: maxConns, rate: 20000}}
	}
	return []cell{
		{row: latencyRow(5), conns: maxConns, rate: 5000, measure: latencyTime},
		{row: rowGreedy, conns: maxConns - 1, rate: 5000, greedy: 1, measure: latencyTime},
		{row: latencyRow(20), conns: maxConns, rate: 20000},
	}
}

// latencyTime is long enough for a server in Go to collect its garbage more than once,
// which the usual time may not be.
const latencyTime = 10 * time.Second

// rowGreedy is the first of the open loops, with one connection more that sends as
// fast as it can. Its latencies are those of the others.
const rowGreedy = "open loop 5k/s beside one at full rate"

func throughputRow(kind string, conns, window int) string {
	return fmt.Sprintf("%s N=%d w=%d", kind, conns, window)
}

func latencyRow(thousands int) string { return fmt.Sprintf("open loop %dk/s N=1000", thousands) }

// measureCell runs a cell on s and writes what came of it into the book.
func (b *bench) measureCell(c cell, s *server) error {
	probe := func() usage { return usageOf(s.proc.pid(), b.core) }
	if c.drained {
		return b.measureDrained(c, s, probe)
	}
	_, err := b.underLoad(c, s, probe)
	return err
}

// underLoad is measureCell with what came of it. The probe is called when the
// measured time begins and ends.
func (b *bench) underLoad(c cell, s *server, probe func() usage) (outcome, error) {
	before, err := s.count()
	if err != nil {
		return outcome{}, err
	}
	clients, err := dialAll(s, c)
	defer closeAll(clients)
	if err != nil {
		return outcome{}, fmt.Errorf("connect %d clients: %w", c.conns, err)
	}
	s.proc.settle()
	l := load{window: c.window, rate: c.rate, greedy: c.greedy, warm: b.warm, measure: cmp.Or(c.measure, b.measure), probe: probe}
	out, err := run(clients, l)
	if err != nil {
		return out, err
	}
	after, err := s.count()
	if err != nil {
		return out, err
	}
	b.book.record(c, s, out, after-before)
	return out, errors.Join(s.proc.fault(), s.purge())
}

// login is who connects in this cell.
func (c cell) login(who login) login {
	if c.clean && who.clean != nil {
		who.connect = who.clean
	}
	return who
}

// count is how many messages the server's stream has taken in, 0 when it has none.
func (s *server) count() (uint64, error) {
	if s.stored == nil {
		return 0, nil
	}
	return s.stored.count()
}

// keeps reports whether the server's stream tells what was acknowledged: what a
// subscriber has taken is no longer in one that is kept by interest.
func (s *server) keeps() bool { return s.stored != nil && s.name != nameNATSSub }

func (s *server) purge() error {
	if s.stored == nil {
		return nil
	}
	return s.stored.purge()
}

// dialAll connects the cell's clients, several at a time. On error it returns
// those that came through as well.
func dialAll(s *server, c cell) ([]*client, error) {
	addr := s.plain
	config := s.config
	if c.secure {
		addr = s.secure
	} else {
		config = nil
	}
	clients := make([]*client, c.conns+c.greedy)
	errs := make([]error, dialers)
	var wg sync.WaitGroup
	for d := range dialers {
		wg.Go(func() {
			for i := d; i < len(clients) && errs[d] == nil; i += dialers {
				clients[i], errs[d] = dialClient(addr, config, c.login(s.who(i)))
			}
		})
	}
	wg.Wait()
	return clients, errors.Join(errs...)
}

func closeAll(clients []*client) {
	for _, c := range clients {
		if c != nil {
			c.close()
		}
	}
}

// record keeps the figures of a cell and names what went wrong in it.
func (k *book) record(c cell, s *server, out outcome, stored uint64) {
	seconds := out.Elapsed.Seconds()
	add := func(metric string, v float64) { k.add(c.row, s.name, metric, v) }
	add(metricRate, float64(out.Counted)/seconds)
	if out.Counted > 0 {
		add(metricCPU, float64(out.Used.server.Nanoseconds())/1e3/float64(out.Counted))
	}
	own, busy := out.Used.own.Seconds()/seconds, out.Used.server.Seconds()/seconds
	add(metricOwn, own)
	add(metricBusy, busy)
	if out.Used.core > 0 {
		add(metricOthers, max(0, (out.Used.core-out.Used.server).Seconds()/seconds))
	}
	add(metricAcked, float64(out.Acked))
	add(metricDropped, float64(out.Dropped))
	if s.keeps() {
		add(metricStored, float64(stored))
	}
	if c.rate > 0 {
		k.recordLatency(c, s, out)
	} else if own > coreFull && busy < coreFull {
		k.note(c.row, s.name, "generator-bound")
	}
	k.recordFaults(c, s, out, stored)
}

func (k *book) recordLatency(c cell, s *server, out outcome) {
	p := percentiles(out.Latency, 0.50, 0.99)
	k.add(c.row, s.name, metricP50, float64(p[0].Nanoseconds())/1e3)
	k.add(c.row, s.name, metricP99, float64(p[1].Nanoseconds())/1e3)
	if float64(len(out.Latency))/out.Elapsed.Seconds() < rateReached*float64(c.rate) {
		k.note(c.row, s.name, "rate not reached")
	}
}

// recordFaults names what must not happen: these make the bench fail, because
// a ratio of runs that lost something means nothing.
func (k *book) recordFaults(c cell, s *server, out outcome, stored uint64) {
	where := c.row + ", " + s.name
	if out.Disorder > 0 {
		k.fault("%s: %d PUBACKs out of order", where, out.Disorder)
	}
	if out.Dropped > 0 {
		k.fault("%s: %d connections were ended by the server", where, out.Dropped)
	}
	if out.Acked < out.Sent && out.Dropped == 0 {
		k.fault("%s: %d messages were never acknowledged", where, out.Sent-out.Acked)
	}
	if !s.keeps() {
		return
	}
	switch {
	case s.name == nameNoSub || s.name == nameNATS:
		k.note(c.row, s.name, fmt.Sprintf("acknowledged and not stored: %.0f%%", 100*(1-float64(stored)/float64(max(out.Acked, 1)))))
	case stored > out.Acked:
		k.note(c.row, s.name, fmt.Sprintf("%d stored twice", stored-out.Acked))
	case stored < out.Acked:
		k.fault("%s: %d messages were acknowledged, %d are in the stream", where, out.Acked, stored)
	}
}
