//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/hubgate/hubgate/test/hubtest"
)

func main() {
	if text := os.Getenv(natsChild); text != "" {
		os.Exit(serveNATS(text))
	}
	err := start(os.Args[1:], os.Stdout)
	hubtest.Clean()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

func start(args []string, out io.Writer) error {
	s := settings{out: out}
	f := flag.NewFlagSet("chaos", flag.ContinueOnError)
	f.Uint64Var(&s.seed, "seed", uint64(time.Now().UnixNano())%1_000_000, "what the schedule follows from")
	f.DurationVar(&s.length, "time", 0, "how long faults come; 0: one of each kind")
	f.IntVar(&s.devices, "devices", 200, "devices")
	clocks := f.Bool("clocks", true, "with -time: compile everything once more, so that clocks can jump")
	only := f.String("only", "", "kinds of faults: parts of their names, separated by commas; empty: all")
	show := f.Bool("show", false, "print the schedule, and do nothing")
	if err := f.Parse(args); err != nil {
		return err
	}
	s.clocks = choice(*clocks && s.length > 0)
	s.steps = shortSchedule(s.seed)
	if s.length > 0 {
		s.steps = longSchedule(s.seed)
	}
	s.steps = chosen(s.steps, *only)
	if len(s.steps) == 0 {
		return fmt.Errorf("no kind of fault has %q in its name; there are: %s", *only, strings.Join(kinds(), ", "))
	}
	if *show {
		for i, one := range s.steps[:min(len(s.steps), 100)] {
			fmt.Fprintf(out, "%3d  after %v: %v\n", i+1, one.rest, one)
		}
		return nil
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return chaos(ctx, s)
}

// chosen are the steps whose kinds have one of the words in their names.
func chosen(steps []step, words string) []step {
	if words == "" {
		return steps
	}
	var some []step
	for _, s := range steps {
		for word := range strings.SplitSeq(words, ",") {
			if strings.Contains(s.kind, word) {
				some = append(some, s)
				break
			}
		}
	}
	return some
}
