//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestTalkFaults(t *testing.T) {
	tests := map[string]struct {
		out  outcome
		want string
	}{
		"fine":     {outcome{Sent: 5, Acked: 5}, ""},
		"disorder": {outcome{Sent: 5, Acked: 5, Disorder: 2}, "2 messages came out of order"},
		"dropped":  {outcome{Sent: 5, Acked: 3, Dropped: 1}, "1 connections were ended"},
		"silent":   {outcome{Sent: 5, Acked: 3}, "2 messages were never answered"},
		"refused":  {outcome{Sent: 5, Acked: 5, Refused: 2, Refusal: "res/429"}, `the last one with "res/429"`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			k := newBook()
			k.recordTalk("r", "t", tc.out)
			got := strings.Join(k.faults, "\n")
			if (tc.want == "") != (got == "") || !strings.Contains(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// TestTalkTable has a ratio by operations with its processor time, and each row
// in a block of its own kind.
func TestTalkTable(t *testing.T) {
	k := newBook()
	used := usage{server: time.Second / 2, own: time.Second / 4}
	row := twinRow("GET", 16)
	k.recordTalk(row, nameHubgate, outcome{Sent: 70_000, Acked: 70_000, Counted: 50_000, Elapsed: time.Second, Used: used})
	k.add(rowBareGet, nameBareKV, metricOps, 100_000)
	k.add(rowBareGet, nameBareKV, metricOpCPU, 5)
	k.recordTalk(methodRow(16), nameHubgate, outcome{Sent: 10, Acked: 10, Counted: 10, Elapsed: time.Second, Used: used})
	k.add(methodRow(16), nameHubgate, metricTrip50, 376)
	var out bytes.Buffer
	if err := k.report("a machine", 1, true).writeTable(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"50000 [50000..50000]     10.0 [10.0..10.0]  50%     25%        70000", "376 [376..376]",
		"W1     twin GET w=16 / KV get  0.50    0.50..0.50  0.50    >= 0.35  >= 0.55  must",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("table has no %q:\n%s", want, out.String())
		}
	}
	if n := strings.Count(out.String(), methodRow(16)); n != 1 {
		t.Errorf("the round trips are in %d blocks, want 1", n)
	}
}

func TestOverlay(t *testing.T) {
	dir := t.TempDir()
	if args, err := (options{}).overlay(dir); err != nil || args != nil {
		t.Errorf("without profiles: %q, %v", args, err)
	}
	args, err := options{settings: settings{profiles: dir}}.overlay(dir)
	if err != nil || len(args) != 2 || args[0] != "-overlay" {
		t.Fatalf("got %q, %v", args, err)
	}
	text, err := os.ReadFile(args[1])
	var list struct{ Replace map[string]string }
	if err != nil || json.Unmarshal(text, &list) != nil || len(list.Replace) != 1 {
		t.Fatalf("overlay %s, %v", text, err)
	}
	for added, source := range list.Replace {
		if !filepath.IsAbs(added) || !strings.HasSuffix(added, "cmd/hubgate/bench_profile.go") {
			t.Errorf("it adds %s", added)
		}
		if program, err := os.ReadFile(source); err != nil || !bytes.Contains(program, []byte(envPprof)) {
			t.Errorf("%s does not read %s: %v", source, envPprof, err)
		}
	}
}
