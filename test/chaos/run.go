//go:build linux

package main

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/hubgate/hubgate/test/hubtest"
)

// settings is what a run is given.
type settings struct {
	seed    uint64
	devices int
	steps   []step
	length  time.Duration // of the schedule; 0: when all steps are done
	clocks  choice        // whether clocks jump, for which everything is compiled once more
	out     io.Writer
}

// choice is yes or no.
type choice bool

// run is one hub with its devices, back ends and faults.
type run struct {
	settings
	dir     string
	net     network
	verdict *verdict

	cluster  *cluster
	programs programs
	nodes    [size]*process
	clocks   [size]*clock // of the nodes
	plain    *balancer
	secure   *balancer
	backend  *backend
	devices  []*device
	names    []string
	quiet    chan struct{}
	trusted  *tls.Config // what devices trust
	noDisk   error       // why there is no disk to fill
	injected []injection
	sums     sums
	fates    map[string]int // of commands, by outcome

	crowd sync.WaitGroup
}

func (r *run) logf(format string, args ...any) {
	fmt.Fprintf(r.out, "%s %s\n", time.Now().Format("15:04:05.000"), fmt.Sprintf(format, args...))
}

// chaos is a whole run: hub, faults, and what is left in the end.
func chaos(ctx context.Context, s settings) (err error) {
	dir, err := os.MkdirTemp(os.Getenv("HUBGATE_CHAOS_DIR"), "hubgate-chaos-")
	if err != nil {
		return err
	}
	r := &run{settings: s, dir: dir, verdict: newVerdict(s.out), quiet: make(chan struct{})}
	r.logf("seed %d; logs and stores in %s", s.seed, dir)
	defer func() {
		r.stop()
		if err != nil {
			err = fmt.Errorf("seed %d, logs in %s: %w", s.seed, dir, err)
			r.dropStores()
			return
		}
		_ = os.RemoveAll(dir)
	}()
	if err := r.start(ctx); err != nil {
		return err
	}
	err = errors.Join(r.live(ctx), r.verdict.err())
	r.table()
	if err != nil {
		r.dump()
	}
	return err
}

// live is what happens between start and stop.
func (r *run) live(ctx context.Context) error {
	work, rest := context.WithCancel(ctx)
	defer rest()
	devices, leave := context.WithCancel(ctx)
	defer leave()
	for _, d := range r.devices {
		r.crowd.Go(func() { d.run(devices) })
	}
	if err := r.await(ctx, time.Now()); err != nil {
		return fmt.Errorf("before the first fault: %w", err)
	}
	r.logf("%d devices are in", len(r.devices))
	workers := r.backend.work(work, r.names)
	err := r.harm(ctx)
	rest()
	workers.Wait()
	if err == nil {
		err = r.settle(ctx)
	}
	if err == nil {
		r.checkPresence(ctx, r.connected)
		r.checkOld()
		err = r.part(leave)
	}
	leave()
	r.crowd.Wait()
	if err == nil {
		r.checkPresence(ctx, r.gone)
		err = r.check(ctx)
	}
	return err
}

// part ends a node for good, and then all devices: those that were connected to
// it can't say so any more. The other nodes have to.
func (r *run) part(leave func()) error {
	last := r.nodes[r.seed%size]
	r.logf("%s is killed for good, and all devices leave", last.name)
	err := last.stop(syscall.SIGKILL)
	leave()
	return err
}

// start runs the hub and makes the devices.
func (r *run) start(ctx context.Context) error {
	if err := r.startNATS(ctx); err != nil {
		return err
	}
	if err := r.startNodes(ctx); err != nil {
		return err
	}
	var err error
	if r.backend, err = newBackend(r.cluster.direct(), r.verdict); err != nil {
		return err
	}
	for i := range r.settings.devices {
		if err := r.addDevice(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) startNATS(ctx context.Context) error {
	var err error
	if r.net, err = freeNetwork(r.seed); err != nil {
		return err
	}
	if r.programs, err = r.program(ctx); err != nil {
		return err
	}
	d, err := newDisk(filepath.Join(r.dir, "disk"), 4<<30)
	if r.noDisk = err; err != nil {
		if os.Getenv("HUBGATE_REQUIRE_SDK") == "1" {
			return fmt.Errorf("HUBGATE_REQUIRE_SDK=1, but %w", err)
		}
		d = nil
		fmt.Fprintf(r.out, "SKIPPED: chaos: a full disk and a slow one: %v\n", err)
	}
	if r.cluster, err = newCluster(r.net, r.dir, r.programs, d); err != nil {
		return err
	}
	if err := r.cluster.start(ctx); err != nil {
		return err
	}
	for _, s := range r.cluster.servers {
		s.died = r.died
	}
	r.logf("three NATS servers are one cluster")
	return nil
}

func (r *run) startNodes(ctx context.Context) error {
	var err error
	if r.nodes, r.trusted, err = newNodes(r.net, r.dir, r.programs.hubgate, r.cluster); err != nil {
		return err
	}
	for i, n := range r.nodes {
		n.died = r.died
		if r.clocks[i], err = newClock(clockOf(r.dir, i)); err != nil {
			return err
		}
		if err := n.start(ctx); err != nil {
			return err
		}
	}
	r.logf("three nodes are ready")
	if r.plain, err = newBalancer(r.net.at(hostBalancer, plainPort), doorsOf(r.net, plainPort)); err != nil {
		return err
	}
	r.secure, err = newBalancer(r.net.at(hostBalancer, mqttPort), doorsOf(r.net, mqttPort))
	return err
}

// addDevice creates device number i; one in five connects by TLS.
func (r *run) addDevice(ctx context.Context, i int) error {
	d := &device{id: fmt.Sprintf("device-%03d", i), addr: r.plain.addr(), verdict: r.verdict, ledger: newLedger(), quiet: r.quiet}
	d.hoards = i%7 == 1
	if i%5 == 0 {
		d.addr, d.trusted = r.secure.addr(), r.trusted
	}
	text, err := r.backend.create(ctx, d.id)
	if err != nil {
		return fmt.Errorf("create %s: %w", d.id, err)
	}
	if d.key, err = base64.StdEncoding.DecodeString(text); err != nil {
		return err
	}
	r.devices, r.names = append(r.devices, d), append(r.names, d.id)
	return nil
}

// program finds or makes what is started.
func (r *run) program(ctx context.Context) (programs, error) {
	if r.settings.clocks && os.Getenv("HUBGATE_BIN") == "" {
		r.logf("compiling programs whose clocks can be moved")
		p, err := compile(ctx, r.dir)
		if err == nil {
			return p, nil
		}
		fmt.Fprintf(r.out, "SKIPPED: chaos: clocks that jump: %v\n", err)
	}
	path, err := hubtest.Program()
	if err != nil {
		return programs{}, err
	}
	self, err := os.Executable()
	return programs{hubgate: path, nats: self}, err
}

// died is called for a process that ends without having been told to: no fault
// may have that consequence.
func (r *run) died(name string, err error) {
	r.verdict.broken("processes that ended", "%s ended by itself: %v", name, err)
}

// freeNetwork looks for loopback addresses that nobody uses.
func freeNetwork(seed uint64) (network, error) {
	source := rand.New(rand.NewPCG(seed, uint64(os.Getpid())))
	var last error
	for range 20 {
		n := network{fmt.Sprintf("127.%d.%d.", 1+source.IntN(250), source.IntN(250))}
		var lc net.ListenConfig
		ln, err := lc.Listen(context.Background(), "tcp", n.at(hostNATS, natsPort))
		if err == nil {
			_ = ln.Close()
			return n, nil
		}
		last = err
	}
	return network{}, fmt.Errorf("no loopback addresses are free: %w", last)
}

// stop ends everything that runs.
func (r *run) stop() {
	if r.backend != nil {
		r.backend.nc.Close()
	}
	for _, b := range []*balancer{r.plain, r.secure} {
		if b != nil {
			b.close()
		}
	}
	if r.cluster == nil {
		return
	}
	r.cluster.heal()
	for _, p := range append(r.nodes[:], r.cluster.servers[:]...) {
		if p != nil {
			_ = p.signal(syscall.SIGCONT)
			_ = p.stop(syscall.SIGKILL)
		}
	}
	r.cluster.close()
	if r.cluster.disk != nil {
		r.cluster.disk.close()
	}
}

// dump has every node write its goroutines into its log, and end.
func (r *run) dump() {
	for _, n := range r.nodes {
		n.died = nil
		_ = n.stop(syscall.SIGQUIT)
	}
}

// dropStores leaves the logs alone.
func (r *run) dropStores() {
	if os.Getenv("HUBGATE_CHAOS_KEEP") != "" {
		return
	}
	for i := range size {
		_ = os.RemoveAll(filepath.Join(r.dir, fmt.Sprintf("nats-%d", i)))
	}
}

// await waits until every device has had an acknowledgement of a message and
// of a patch that it has made after t.
func (r *run) await(ctx context.Context, t time.Time) error {
	var late []string
	ok := until(ctx, func() bool {
		late = late[:0]
		for _, d := range r.devices {
			if !d.well(t) {
				late = append(late, d.id)
			}
		}
		return len(late) == 0
	})
	if ok {
		return nil
	}
	return fmt.Errorf("%d devices have had no acknowledgement for %v, such as %v", len(late), time.Since(t).Round(time.Second), late[:min(len(late), 5)])
}
