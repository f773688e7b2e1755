//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// report is the whole result, as -o json prints it.
type report struct {
	Machine string        `json:"machine"`
	Rounds  int           `json:"rounds"`
	Pinned  bool          `json:"pinned"`
	Figures []figureLine  `json:"figures"`
	Ratios  []ratioResult `json:"ratios"`
	Skipped []string      `json:"skipped"`
	Faults  []string      `json:"faults"`
}

// figureLine is one metric of one target in one row.
type figureLine struct {
	Row    string `json:"row"`
	Target string `json:"target"`
	Metric string `json:"metric"`
	summary
	Note string `json:"note,omitempty"`
}

func (k *book) report(machine string, rounds int, pinned bool) report {
	r := report{Machine: machine, Rounds: rounds, Pinned: pinned, Ratios: k.ratios(), Skipped: k.skipped, Faults: k.faults}
	for _, row := range k.rows {
		for _, target := range k.targets[row] {
			for _, metric := range metrics() {
				values := k.values(row, target, metric)
				if len(values) == 0 {
					continue
				}
				r.Figures = append(r.Figures, figureLine{
					Row: row, Target: target, Metric: metric, summary: summarize(values), Note: k.notes[[2]string{row, target}],
				})
			}
		}
	}
	return r
}

// metrics are all metrics in the order of the output.
func metrics() []string {
	return []string{
		metricRate, metricCPU, metricOwn, metricBusy, metricOthers, metricAcked, metricStored, metricDropped,
		metricTaken, metricTakeCPU,
		metricP50, metricP99, metricConnCPU, metricConns, metricIdle,
		metricTrip50, metricTrip99, metricOps, metricOpCPU, metricDone,
		metricStorm, metricStormCPU, metricFirst50, metricFirst99, metricRefused, metricTwice,
		metricMiB, metricEach, metricSeconds,
	}
}

// writeJSON prints r as one indented document.
func (r report) writeJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// writeTable prints r for people: rows, ratios, what is missing, what failed.
func (r report) writeTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "%s; %d rounds: median [lowest..highest]; compare within this run only\n", r.Machine, r.Rounds)
	r.writeRows(t)
	fmt.Fprintln(t)
	fmt.Fprintln(t, "ratio\tof hubgate\tmedian\tspread\tby CPU\tmust\taim\treached")
	for _, x := range r.Ratios {
		fmt.Fprintf(t, "%s\t%s\t%.2f\t%.2f..%.2f\t%s\t%s\t%s\t%s\n", x.ID, x.What, x.Median, x.Low, x.High, x.cpu(), x.limit(x.Must), x.limit(x.Aim), x.Verdict)
	}
	if n := r.disturbed(); n > 0 {
		fmt.Fprintf(t, "\nWARNING: in %d lines others used the servers' core. Trust the ratios by CPU more, latencies not at all, or run again on a quiet machine.\n", n)
	}
	for _, s := range r.Skipped {
		fmt.Fprintf(t, "\nSKIPPED: %s", s)
	}
	for _, f := range r.Faults {
		fmt.Fprintf(t, "\nFAULT: %s", f)
	}
	fmt.Fprintln(t)
	return t.Flush()
}

// disturbed counts the lines that others have disturbed.
func (r report) disturbed() int {
	n := 0
	for _, l := range r.lines() {
		if l.disturbed() > 0 {
			n++
		}
	}
	return n
}

func (x ratioResult) cpu() string {
	if x.ByCPU == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", x.ByCPU)
}

func (x ratioResult) limit(v float64) string {
	switch {
	case v == 0:
		return "-"
	case x.AtMost:
		return fmt.Sprintf("<= %.2f", v)
	}
	return fmt.Sprintf(">= %.2f", v)
}

// writeRows prints one block for each kind of figure, a line for each target.
func (r report) writeRows(w io.Writer) {
	r.writeBlock(w, []string{metricRate, metricCPU, metricBusy, metricOwn, metricAcked, metricStored}, "throughput\ttarget\tmsgs/s\tserver us/msg\tserver\tgenerator\tacked\tstored\tremarks")
	r.writeBlock(w, []string{metricTaken, metricTakeCPU, metricRate, metricBusy, metricOwn, metricAcked, metricStored}, "one consumer\ttarget\tdelivered/s\tserver us/delivered\tmsgs/s\tserver\tgenerator\tacked\tstored\tremarks")
	r.writeBlock(w, []string{metricP50, metricP99, metricCPU, metricAcked, metricStored}, "latency\ttarget\tp50 us\tp99 us\tserver us/msg\tacked\tstored\tremarks")
	r.writeBlock(w, []string{metricConnCPU, metricConns}, "connect\ttarget\tserver us/connect\tconnects/s\tremarks")
	r.writeBlock(w, []string{metricStorm, metricStormCPU, metricFirst50, metricFirst99, metricRefused, metricTwice}, "storm\ttarget\tconnects/s\tserver us/device\tp50 ms to PUBACK\tp99 ms to PUBACK\trefused\trefused twice\tremarks")
	r.writeBlock(w, []string{metricIdle}, "idle\ttarget\tbytes/connection\tremarks")
	r.writeBlock(w, []string{metricOps, metricOpCPU, metricBusy, metricOwn, metricDone}, "conversation\ttarget\tops/s\tserver us/op\tserver\tgenerator\tdone\tremarks")
	r.writeBlock(w, []string{metricTrip50, metricTrip99, metricOps, metricOpCPU, metricBusy, metricOwn, metricDone}, "round trip\ttarget\tp50 us\tp99 us\tcalls/s\tserver us/call\tserver\tgenerator\tdone\tremarks")
	r.writeBlock(w, []string{metricMiB, metricEach}, "memory, disk\ttarget\tMiB\tbytes/device\tremarks")
	r.writeBlock(w, []string{metricSeconds}, "time\ttarget\tseconds\tremarks")
}

// writeBlock prints the rows that are of the block's kind, which its first
// metric tells: open-loop rows have a rate too, but belong to latency.
func (r report) writeBlock(w io.Writer, columns []string, head string) {
	lines := r.lines()
	first := true
	for _, l := range lines {
		if _, ok := l.values[columns[0]]; !ok || l.kind() != columns[0] {
			continue
		}
		if first {
			fmt.Fprintf(w, "\n%s\n", head)
			first = false
		}
		cells := []string{l.row, l.target}
		for _, c := range columns {
			cells = append(cells, l.cell(c))
		}
		fmt.Fprintln(w, strings.Join(append(cells, l.remarks()), "\t"))
	}
}

// tableLine is the figures of one target in one row.
type tableLine struct {
	row, target, note string
	values            map[string]summary
}

func (r report) lines() []tableLine {
	var lines []tableLine
	for _, f := range r.Figures {
		n := len(lines)
		if n == 0 || lines[n-1].row != f.Row || lines[n-1].target != f.Target {
			lines = append(lines, tableLine{row: f.Row, target: f.Target, note: f.Note, values: map[string]summary{}})
			n++
		}
		lines[n-1].values[f.Metric] = f.summary
	}
	return lines
}

// foreign is how much of the servers' core others may use unnoticed: the
// kernel's own work and the clock's ticks are that much.
const foreign = 0.10

// disturbed is the share of the server's core that others used, 0 when it was
// next to nothing.
func (l tableLine) disturbed() float64 {
	if s := l.values[metricOthers]; s.Median > foreign {
		return s.Median
	}
	return 0
}

func (l tableLine) remarks() string {
	var parts []string
	if share := l.disturbed(); share > 0 {
		parts = append(parts, fmt.Sprintf("disturbed: others took %.0f%% of its core", 100*share))
	}
	if l.note != "" {
		parts = append(parts, l.note)
	}
	return strings.Join(parts, "; ")
}

// kind is the metric that says to which block a line belongs.
func (l tableLine) kind() string {
	for _, metric := range []string{metricTaken, metricP50, metricConnCPU, metricStorm, metricIdle, metricTrip50, metricOps, metricMiB, metricSeconds} {
		if _, ok := l.values[metric]; ok {
			return metric
		}
	}
	return metricRate
}

func (l tableLine) cell(metric string) string {
	s, ok := l.values[metric]
	if !ok {
		return "-"
	}
	switch metric {
	case metricOwn, metricBusy:
		return fmt.Sprintf("%.0f%%", 100*s.Median)
	case metricAcked, metricStored, metricDone:
		return fmt.Sprintf("%.0f", s.Median)
	case metricCPU, metricTakeCPU, metricOpCPU, metricStormCPU, metricSeconds:
		return fmt.Sprintf("%.1f [%.1f..%.1f]", s.Median, s.Low, s.High)
	}
	return fmt.Sprintf("%.0f [%.0f..%.0f]", s.Median, s.Low, s.High)
}
