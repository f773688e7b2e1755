//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPercentiles(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(100 - i)
	}
	tests := map[string]struct {
		samples []time.Duration
		want    []time.Duration
	}{
		"none":    {nil, []time.Duration{0, 0, 0}},
		"one":     {[]time.Duration{7}, []time.Duration{7, 7, 7}},
		"two":     {[]time.Duration{9, 7}, []time.Duration{7, 9, 9}},
		"hundred": {hundred, []time.Duration{50, 99, 100}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, percentiles(tc.samples, 0.5, 0.99, 1)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSummarize(t *testing.T) {
	tests := map[string]struct {
		values []float64
		want   summary
	}{
		"none":  {nil, summary{}},
		"one":   {[]float64{3}, summary{3, 3, 3, 1}},
		"three": {[]float64{9, 1, 3}, summary{3, 1, 9, 3}},
		"four":  {[]float64{9, 1, 3, 4}, summary{3.5, 1, 9, 4}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, summarize(tc.values)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDivide(t *testing.T) {
	if diff := cmp.Diff([]float64{2, 3}, divide([]float64{4, 9, 5, 1}, []float64{2, 3, 0})); diff != "" {
		t.Error(diff)
	}
}

func TestVerdict(t *testing.T) {
	tests := map[string]struct {
		goal goal
		v    float64
		want string
	}{
		"aim":           {goal{must: 0.7, aim: 1}, 1, "aim"},
		"must":          {goal{must: 0.7, aim: 1}, 0.9, "must"},
		"below":         {goal{must: 0.7, aim: 1}, 0.69, "BELOW MUST"},
		"at most, aim":  {goal{must: 5, aim: 2.5, atMost: true}, 2.5, "aim"},
		"at most, must": {goal{must: 5, aim: 2.5, atMost: true}, 5, "must"},
		"at most, over": {goal{must: 5, aim: 2.5, atMost: true}, 5.1, "BELOW MUST"},
		"none":          {goal{}, 5, "no target"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := tc.goal.verdict(tc.v); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// TestGoalsAreMeasured holds the names in the goals to the rows that the bench
// has: a misspelt one would silently print nothing.
func TestGoalsAreMeasured(t *testing.T) {
	rows := map[string]bool{rowRaw: true, rowSync: true, rowSyncMany: true, rowSyncOpen: true, rowDisk: true, rowIdlePlain: true, rowIdleSecure: true, rowBinary: true, rowProcess: true}
	for _, c := range append(append(throughputCells(false), secureCells()...), latencyCells(false)...) {
		rows[c.row] = true
	}
	for _, h := range append(handshakes(false), storms()...) {
		rows[h.row] = true
	}
	for _, row := range []string{rowBareGet, rowBareUpdate, rowBare64Get, rowBare64CAS, rowBare64Make, rowTwinOf, rowMail, rowMailIdle} {
		rows[row] = true
	}
	for _, c := range twinCells(false) {
		rows[c.row] = true
	}
	for _, callers := range methodCallers(false) {
		rows[methodRow(callers)] = true
	}
	for _, r := range restRows(0) {
		rows[r.row] = true
	}
	for _, q := range fleetQueries() {
		rows[q.row] = true
	}
	for _, twins := range fleetSizes() {
		for _, q := range askedOf(twins) {
			rows[queryRow(twins, q.name)] = true
		}
	}
	seen := map[string]bool{}
	for _, g := range goals() {
		for _, f := range []figure{g.over, g.under} {
			if !rows[f.row] {
				t.Errorf("%s: no row %q", g.id, f.row)
			}
		}
		if seen[g.id+g.what] {
			t.Errorf("%s %s is there twice", g.id, g.what)
		}
		seen[g.id+g.what] = true
	}
}

func TestRecordFaults(t *testing.T) {
	c := cell{row: "r", window: 1}
	kept := &counter{}
	tests := map[string]struct {
		server server
		out    outcome
		stored uint64
		want   string
	}{
		"fine":        {server{name: nameHubgate, stored: kept}, outcome{Sent: 5, Acked: 5}, 5, ""},
		"duplicates":  {server{name: nameHubgate, stored: kept}, outcome{Sent: 5, Acked: 5}, 6, ""},
		"lost":        {server{name: nameHubgate, stored: kept}, outcome{Sent: 5, Acked: 5}, 4, "5 messages were acknowledged, 4 are in the stream"},
		"not counted": {server{name: nameMosq}, outcome{Sent: 5, Acked: 5}, 0, ""},
		"no interest": {server{name: nameNoSub, stored: kept}, outcome{Sent: 5, Acked: 5}, 0, ""},
		"taken":       {server{name: nameNATSSub, stored: kept}, outcome{Sent: 5, Acked: 5}, 1, ""},
		"silent":      {server{name: nameMosq}, outcome{Sent: 5, Acked: 3}, 0, "2 messages were never acknowledged"},
		"disorder":    {server{name: nameMosq}, outcome{Disorder: 2}, 0, "2 PUBACKs out of order"},
		"dropped":     {server{name: nameMosq}, outcome{Dropped: 1, Sent: 5, Acked: 3}, 0, "1 connections were ended"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			k := newBook()
			k.recordFaults(c, &tc.server, tc.out, tc.stored)
			got := strings.Join(k.faults, "\n")
			if (tc.want == "") != (got == "") || !strings.Contains(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// sampleBook has figures for one ratio and one row of each block.
func sampleBook() *book {
	k := newBook()
	row := throughputRow("plain", 1000, 16)
	for _, v := range []float64{100, 300, 200} {
		k.add(row, nameHubgate, metricRate, v)
		k.add(row, nameMosq, metricRate, v/2)
	}
	k.add(row, nameHubgate, metricCPU, 4.25)
	k.add(row, nameMosq, metricCPU, 8.5)
	k.note(row, nameHubgate, "generator-bound")
	k.add(row, nameMosq, metricOthers, 0.42)
	k.add(row, nameHubgate, metricOthers, 0.05)
	k.add(latencyRow(5), nameHubgate, metricRate, 5000)
	k.add(latencyRow(5), nameHubgate, metricP50, 88)
	k.add("connect tls1.3", nameHubgate, metricConnCPU, 300)
	k.add(rowIdlePlain, nameHubgate, metricIdle, 6000)
	k.skip("mosquitto: %v", errAbsent)
	k.skip("mosquitto: %v", errAbsent)
	k.fault("something was lost")
	return k
}

func TestTable(t *testing.T) {
	var out bytes.Buffer
	if err := sampleBook().report("a machine", 3, true).writeTable(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"a machine; 3 rounds", "200 [100..300]", "4.2 [4.2..4.2]", "generator-bound", "88 [88..88]", "300 [300..300]", "6000 [6000..6000]",
		"T3     w=16 / mosquitto  2.00    2.00..2.00  2.00    >= 1.00  >= 1.50  aim", "SKIPPED: mosquitto: not installed", "disturbed: others took 42% of its core", "WARNING: in 1 lines", "FAULT: something was lost",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("table has no %q:\n%s", want, out.String())
		}
	}
	if n := strings.Count(out.String(), "SKIPPED"); n != 1 {
		t.Errorf("%d lines of what was skipped, want 1", n)
	}
	if n := strings.Count(out.String(), latencyRow(5)); n != 1 {
		t.Errorf("the open loop is in %d blocks, want 1", n)
	}
}

func TestJSON(t *testing.T) {
	var out bytes.Buffer
	if err := sampleBook().report("a machine", 3, true).writeJSON(&out); err != nil {
		t.Fatal(err)
	}
	var got report
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Ratios) != 1 || got.Ratios[0].ID != "T3" || got.Ratios[0].Median != 2 || got.Ratios[0].Rounds != 3 {
		t.Errorf("ratios: got %+v", got.Ratios)
	}
	if len(got.Figures) != 10 || got.Figures[0].Median != 200 {
		t.Errorf("figures: got %+v", got.Figures)
	}
}

func TestStatTime(t *testing.T) {
	const stat = "42 (a (b) c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 1 0 100"
	if got, want := statTime(stat), 2*time.Second; got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := statTime("nonsense"); got != 0 {
		t.Errorf("got %v for nonsense", got)
	}
}

func TestCoreTime(t *testing.T) {
	const stat = "cpu  9 9 9 9 9 9 9 9 9 9\ncpu0 1 1 1 1 1 1 1 1 1 1\ncpu1 100 10 20 999 999 30 40 5 0 0\n"
	if got, want := coreTime(stat, 1), 2*time.Second; got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := coreTime(stat, 2); got != 0 {
		t.Errorf("got %v for a core that is not there", got)
	}
}

func TestResidentOf(t *testing.T) {
	if got, want := residentOf([]byte("VmPeak:\t  9 kB\nVmRSS:\t   12 kB\n")), int64(12<<10); got != want {
		t.Errorf("got %d, want %d", got, want)
	}
	if got := residentBytes(os.Getpid()); got <= 0 {
		t.Errorf("own resident memory: got %d", got)
	}
}

func TestCPUTimeOfSelf(t *testing.T) {
	own, read := ownTime(), cpuTime(os.Getpid())
	if read < own-20*time.Millisecond || read > own+200*time.Millisecond {
		t.Errorf("clock of the process %v, its usage %v", read, own)
	}
}

func TestParse(t *testing.T) {
	tests := map[string]struct {
		args []string
		want string // part of the error
	}{
		"defaults":     {nil, ""},
		"quick":        {[]string{"-quick", "-o", "json"}, ""},
		"no rounds":    {[]string{"-rounds", "0"}, "must be positive"},
		"bad output":   {[]string{"-o", "xml"}, "table or json"},
		"an argument":  {[]string{"fast"}, "unexpected argument"},
		"bad section":  {[]string{"-only", "speed"}, "no section"},
		"two sections": {[]string{"-only", "idle,sync"}, ""},
		"no queues":    {[]string{"-queues", "0"}, "must be positive"},
		"profiles":     {[]string{"-profile", "dir"}, ""},
		"old binary":   {[]string{"-profile", "dir", "-hubgate", "bin/hubgate"}, "leave out -hubgate"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := parse(tc.args)
			if (err == nil) != (tc.want == "") || (err != nil && !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// TestRecordStorm holds what a storm is judged by: the rate counts until 99 of
// 100 are in, and who is refused twice is a fault.
func TestRecordStorm(t *testing.T) {
	b := &bench{book: newBook()}
	w := &storm{handshake: storms()[0], server: &server{name: nameHubgate}}
	for i := range 200 {
		w.devices = append(w.devices, &stormDevice{index: i, connack: time.Duration(i+1) * 10 * time.Millisecond, puback: time.Duration(i+1) * 20 * time.Millisecond})
	}
	b.recordStorm(w, 200*time.Millisecond)
	for metric, want := range map[string]float64{metricStorm: 100, metricStormCPU: 1000, metricRefused: 0, metricTwice: 0} {
		if got := b.book.values(w.row, nameHubgate, metric); len(got) != 1 || got[0] != want {
			t.Errorf("%s: got %v, want %v", metric, got, want)
		}
	}
	if len(b.book.faults) > 0 {
		t.Errorf("got faults %v, want none", b.book.faults)
	}
	w.devices[0].refused, w.devices[0].first = 2, io.EOF
	w.devices[1].err = io.EOF
	b.recordStorm(w, 0)
	if len(b.book.faults) != 2 {
		t.Errorf("got faults %v, want one for who gave up and one for who was refused twice", b.book.faults)
	}
}
