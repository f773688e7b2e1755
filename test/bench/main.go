//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The bench starts itself again to be pinned as a whole; these carry what it
// had prepared.
const (
	envDir  = "HUBGATE_BENCH_DIR"
	envCore = "HUBGATE_BENCH_SERVER_CORE"
)

// options are the flags.
type options struct {
	settings
	output  string
	pin     bool
	dir     string
	hubgate string
	payload int
	timeout time.Duration
}

func main() {
	err := start(os.Args[1:])
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func start(args []string) error {
	if len(args) > 1 && args[0] == "child" {
		return child(args[1:])
	}
	o, err := parse(args)
	if err != nil {
		return err
	}
	if dir := os.Getenv(envDir); dir != "" {
		return o.run(dir)
	}
	return o.prepare()
}

func parse(args []string) (options, error) {
	var o options
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.IntVar(&o.rounds, "rounds", 3, "rounds; the table shows their medians")
	f.DurationVar(&o.warm, "warm", 400*time.Millisecond, "time before a cell is measured")
	f.DurationVar(&o.measure, "measure", 1200*time.Millisecond, "measured time of a cell")
	f.IntVar(&o.connects, "connects", 480, "connects per way to connect and round")
	f.IntVar(&o.idle, "idle", 4000, "idle connections")
	f.IntVar(&o.queues, "queues", 100_000, "idle queues of cloud-to-device messages")
	f.IntVar(&o.storm, "storm", 10_000, "devices that come back at once")
	f.IntVar(&o.fleet, "fleet", 100_000, "twins that are queried")
	f.IntVar(&o.scale, "scale", 10_000, "devices that are connected to each node, in the section scale")
	f.IntVar(&o.nodes, "nodes", 1, "nodes of the section scale")
	f.BoolVar(&o.quick, "quick", false, "one round of the main rows, within a minute")
	f.StringVar(&o.only, "only", "", "sections to run, of "+strings.Join(sections(), ","))
	f.StringVar(&o.targets, "targets", "", "targets to run: parts of their names, comma-separated")
	f.StringVar(&o.rows, "rows", "", "rows to run: parts of their names, comma-separated")
	f.StringVar(&o.output, "o", "table", "output: table or json")
	f.BoolVar(&o.pin, "pin", true, "servers on one core, generator on another, where there are two")
	f.StringVar(&o.dir, "dir", "", "directory for stores, on a real disk (default: the system's temporary one)")
	f.StringVar(&o.profiles, "profile", "", "directory for CPU profiles of the gateway in the rows of conversations")
	f.StringVar(&o.hubgate, "hubgate", "", "gateway binary (default: built from ./cmd/hubgate)")
	f.IntVar(&o.payload, "payload", 256, "bytes of a message's body")
	f.DurationVar(&o.timeout, "timeout", 15*time.Minute, "upper bound of the whole run")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if o.quick {
		o.rounds, o.connects, o.idle = 1, min(o.connects, 160), min(o.idle, 1500)
		o.measure, o.storm, o.fleet = min(o.measure, 800*time.Millisecond), min(o.storm, 1000), min(o.fleet, 5000)
	}
	return o, o.check(f.Args())
}

func (o options) check(rest []string) error {
	switch {
	case len(rest) > 0:
		return fmt.Errorf("unexpected argument %q", rest[0])
	case o.output != "table" && o.output != "json":
		return fmt.Errorf("-o is table or json, not %q", o.output)
	case o.profiles != "" && o.hubgate != "":
		return errors.New("-profile is for a gateway that the bench builds: leave out -hubgate")
	case min(o.rounds, o.connects, o.idle, o.queues, o.payload, o.storm, o.fleet, o.scale, o.nodes) < 1 || o.measure <= 0:
		return errors.New("-rounds, -connects, -idle, -queues, -payload, -storm, -fleet, -scale, -nodes and -measure must be positive")
	}
	for _, section := range o.sections() {
		if !slices.Contains(sections(), section) {
			return fmt.Errorf("no section %q: -only takes %s", section, strings.Join(sections(), ","))
		}
	}
	return nil
}

// prepare makes the work directory, builds the gateway with every core, and
// starts the bench again on the generator's core. It cleans up itself when
// that is not to be done.
func (o options) prepare() error {
	dir, err := os.MkdirTemp(o.dir, "hubgate-bench-")
	if err != nil {
		return fmt.Errorf("make work directory: %w", err)
	}
	if err := o.build(dir); err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	serverCore, ownCore, ok := cores()
	if !o.pin || !ok {
		return o.run(dir)
	}
	runtime.LockOSThread()
	var mask unix.CPUSet
	mask.Set(ownCore)
	if err := unix.SchedSetaffinity(0, &mask); err != nil {
		return errors.Join(fmt.Errorf("pin generator: %w", err), os.RemoveAll(dir))
	}
	self, err := os.Executable()
	if err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	env := append(os.Environ(), envDir+"="+dir, envCore+"="+strconv.Itoa(serverCore))
	return fmt.Errorf("start pinned: %w", syscall.Exec(self, os.Args, env))
}

// build puts the gateway's binary into dir.
func (o options) build(dir string) error {
	if o.hubgate != "" || !o.wantsTarget(nameHubgate) || o.only == sectionQuery {
		return nil
	}
	args, err := o.overlay(dir)
	if err != nil {
		return err
	}
	args = append(append([]string{"build"}, args...), "-o", binaryIn(dir), "./cmd/hubgate")
	out, err := exec.Command("go", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("build hubgate: %w: %s", err, out)
	}
	return nil
}

func binaryIn(dir string) string { return filepath.Join(dir, "hubgate-bin") }

// cores picks a core for the servers and one for the generator from those this
// process may use.
func cores() (serverCore, ownCore int, ok bool) {
	var mask unix.CPUSet
	if unix.SchedGetaffinity(0, &mask) != nil || mask.Count() < 2 {
		return 0, 0, false
	}
	var found []int
	for i := 0; len(found) < 2; i++ {
		if mask.IsSet(i) {
			found = append(found, i)
		}
	}
	return found[0], found[1], true
}

func (o options) run(dir string) error {
	defer os.RemoveAll(dir)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	b, err := o.bench(dir)
	if err != nil {
		return err
	}
	begin := time.Now()
	if err := b.run(ctx); err != nil {
		b.book.fault("the run was cut short: %v", err)
	}
	fmt.Fprintf(b.log, "took %s\n", time.Since(begin).Round(time.Second))
	r := b.book.report(machine(dir), b.rounds, b.core != anyCore)
	if err := r.write(os.Stdout, o.output); err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	if len(r.Faults) > 0 {
		return fmt.Errorf("%d faults, see above", len(r.Faults))
	}
	return nil
}

func (r report) write(w io.Writer, format string) error {
	if format == "json" {
		return r.writeJSON(w)
	}
	return r.writeTable(w)
}

func (o options) bench(dir string) (*bench, error) {
	cert, err := newCertificate(dir)
	if err != nil {
		return nil, err
	}
	b := &bench{settings: o.settings, book: newBook(), log: os.Stderr}
	b.host = host{
		dir: dir, core: anyCore, cert: cert, hubgate: o.hubgate,
		payload: []byte(strings.Repeat("x", o.payload)), profiled: o.profiles != "",
	}
	if b.hubgate == "" {
		b.hubgate = binaryIn(dir)
	}
	core, err := strconv.Atoi(os.Getenv(envCore))
	if err == nil {
		b.core = core
	} else if o.pin {
		b.book.skip("pinning: this process may use one core only, so generator and servers share it")
	}
	return b, nil
}

// machine describes what the figures belong to.
func machine(dir string) string {
	model := "unknown processor"
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, found := strings.CutPrefix(line, "model name"); found {
			model = strings.Trim(name, "\t: \n")
			break
		}
	}
	var u unix.Utsname
	_ = unix.Uname(&u)
	var fs unix.Statfs_t
	store := ""
	if unix.Statfs(dir, &fs) == nil && fs.Type == unix.TMPFS_MAGIC {
		store = ", stores on tmpfs (no disk: sync rows mean nothing)"
	}
	return fmt.Sprintf("%s, Linux %s, %s%s", model, unix.ByteSliceToString(u.Release[:]), runtime.Version(), store)
}
