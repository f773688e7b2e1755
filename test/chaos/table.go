//go:build linux

package main

import (
	"fmt"
	"slices"
	"text/tabwriter"
	"time"
)

// table prints what a run has done and found.
func (r *run) table() {
	fmt.Fprintf(r.out, "\nseed %d, %d devices, %d faults\n\n", r.seed, len(r.devices), len(r.injected))
	w := tabwriter.NewWriter(r.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "fault\tdone\twait, median\tp99\tmax\tall well after, median\tmax")
	for _, kind := range kinds() {
		var waits, back []time.Duration
		for _, i := range r.injected {
			if i.kind == kind {
				waits, back = append(waits, i.pauses...), append(back, i.back)
			}
		}
		if len(back) == 0 {
			continue
		}
		slices.Sort(waits)
		slices.Sort(back)
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\t%s\n", kind, len(back),
			seconds(quantile(waits, 50)), seconds(quantile(waits, 99)), seconds(quantile(waits, 100)), seconds(quantile(back, 50)), seconds(quantile(back, 100)))
	}
	_ = w.Flush()
	fmt.Fprintln(r.out)
	fmt.Fprintln(w, "operation\ttried\tacknowledged\tlost\tduplicates\tout of order at first")
	for _, o := range r.operations() {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\n", o.kind, o.tried, o.acked, r.sums.lost[o.kind], r.sums.twice[o.kind], r.sums.early[o.kind])
	}
	_ = w.Flush()
	fmt.Fprintf(r.out, "\ncommands ended as %v; devices connected %d times, were refused %v, and were answered by twins with %v\n",
		r.fates, r.connects(), r.refusals(), r.refusedPatches())
}

func quantile(sorted []time.Duration, percent int) time.Duration {
	return sorted[min(len(sorted)*percent/100, len(sorted)-1)]
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

// operation is one row of the table.
type operation struct {
	kind string
	count
}

func (r *run) operations() []operation {
	var telemetry, reported count
	for _, d := range r.devices {
		telemetry.tried += d.next
		telemetry.acked += d.ackedCount()
		reported.tried += d.patch - 1
		reported.acked += d.patches
	}
	all := []operation{{opTelemetry, telemetry}, {opReported, reported}}
	for _, kind := range []string{opDesired, opRegistry, opMethod, opCommand, opMail} {
		if c := r.backend.counts[kind]; c != nil {
			all = append(all, operation{kind, *c})
		}
	}
	return all
}

func (r *run) connects() (n int) {
	for _, d := range r.devices {
		n += d.ledger.connects
	}
	return n
}

func (r *run) refusals() map[byte]int {
	all := map[byte]int{}
	for _, d := range r.devices {
		for code, n := range d.ledger.refusals {
			all[code] += n
		}
	}
	return all
}

func (r *run) refusedPatches() map[string]int {
	all := map[string]int{}
	for _, d := range r.devices {
		for status, n := range d.refused {
			all[status] += n
		}
	}
	return all
}
