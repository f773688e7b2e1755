//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	hubclient "github.com/hubgate/hubgate/backend/client"
	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
)

const (
	scalePatience = 20 * time.Minute
	scalePoll     = 100 * time.Millisecond
	scaleSettle   = 10 * time.Second
	// scaleRest is how long idle devices are left alone at last: the runtime of
	// Go collects what the connects have left behind within two minutes, and
	// gives it back to the system.
	scaleRest = 150 * time.Second
	// scaleSpare is how many files a node or a fleet needs besides its devices.
	scaleSpare = 800
	// scaleMark is what hubgate simulate wants its devices to have.
	scaleMark = "made by hubgate simulate"

	rowScaleDevices  = "scale devices"
	rowScaleRegistry = "scale registry"
	nameNode         = "a node"
	nameStore        = "nats-server"
	nameFleet        = "hubgate simulate"
)

// scaleRound measures what a hub needs for connected devices, and what for a
// registry of many. It is done once, with the first round.
func (b *bench) scaleRound(ctx context.Context, round int) error {
	if round > 0 || !b.wants(sectionScale) {
		return nil
	}
	if b.wantsRow(rowScaleDevices) {
		if err := b.scaleDevices(ctx); err != nil {
			return fmt.Errorf("%s: %w", rowScaleDevices, err)
		}
	}
	if b.wantsRow(rowScaleRegistry) {
		if err := b.scaleRegistry(ctx); err != nil {
			return fmt.Errorf("%s: %w", rowScaleRegistry, err)
		}
	}
	return nil
}

// scaleTest is a hub whose devices are connected step by step.
type scaleTest struct {
	*bench
	store  *store
	nodes  []*scaleNode
	fleets []*process
	base   struct {
		store, node      int64
		cpu              time.Duration // of the node
		presence, events uint64        // sequences of the streams
	}
	in int // devices that are connected
}

// perNode is how many devices a node takes: with each a file, as with each of a
// fleet.
func (b *bench) perNode() int {
	var files unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &files) != nil || files.Max >= uint64(b.scale+scaleSpare) {
		return b.scale
	}
	n := max(int(files.Max)-scaleSpare, 1)
	b.book.skip("scale: the limit of open files is %d, so that a node has %d devices instead of %d", files.Max, n, b.scale)
	return n
}

// scaleDevices connects 1000 devices to a node, then 10,000, then as many as it
// takes, and after that as many to each other node.
func (b *bench) scaleDevices(ctx context.Context) error {
	t := &scaleTest{bench: b}
	defer t.stop()
	most := b.perNode()
	if err := t.start(ctx, most*b.nodes); err != nil {
		return err
	}
	for _, n := range slices.Compact([]int{min(1000, most), min(10_000, most), most}) {
		if err := t.connect(ctx, 0, n-t.in); err != nil {
			return err
		}
		t.record(ctx, fmt.Sprintf("%d connected", t.in))
	}
	for i := 1; i < len(t.nodes); i++ {
		if err := t.connect(ctx, i, most); err != nil {
			return err
		}
		t.record(ctx, fmt.Sprintf("%d connected", t.in))
	}
	t.nodes[0].proc.rest(scaleRest)
	t.record(ctx, fmt.Sprintf("%d connected for a while", t.in))
	return nil
}

// start runs the hub and makes the devices. What is there before the first
// connects is the base line.
func (t *scaleTest) start(ctx context.Context, devices int) error {
	var err error
	if t.store, err = t.startStore(ctx, filepath.Join(t.dir, "scale-store")); err != nil {
		return err
	}
	for i := range t.bench.nodes {
		n, err := t.startNode(ctx, t.store, fmt.Sprintf("n%d", i+1))
		if err != nil {
			return err
		}
		t.nodes = append(t.nodes, n)
	}
	if err := t.makeDevices(ctx, devices); err != nil {
		return err
	}
	if err := t.connect(ctx, 0, idleFirst); err != nil { // pools and tables are made by that
		return err
	}
	t.fleets[0].stop()
	t.fleets, t.in = nil, 0
	t.nodes[0].proc.rest(scaleRest)
	t.base.store, t.base.node = residentBytes(t.store.proc.pid()), residentBytes(t.nodes[0].proc.pid())
	t.base.cpu = cpuTime(t.nodes[0].proc.pid())
	if t.base.presence, t.base.events, err = t.written(ctx); err != nil {
		return err
	}
	t.note(fmt.Sprintf("%d made", devices), nameStore, t.base.store, 0)
	t.note(fmt.Sprintf("%d made", devices), nameNode, t.base.node, 0)
	return nil
}

func (t *scaleTest) stop() {
	for _, p := range t.fleets {
		_ = p.cmd.Process.Kill()
		p.stop()
	}
	for _, n := range t.nodes {
		n.proc.stop()
	}
	if t.store != nil && t.store.proc != nil {
		t.store.proc.stop()
	}
}

// makeDevices registers the devices of hubgate simulate.
func (t *scaleTest) makeDevices(ctx context.Context, devices int) error {
	c, _, err := t.store.client()
	if err != nil {
		return err
	}
	defer c.Close()
	begin := time.Now()
	errs := make([]error, dialers)
	var wg sync.WaitGroup
	for w := range dialers {
		wg.Go(func() {
			for i := w; i < devices && errs[w] == nil; i += dialers {
				errs[w] = t.makeDevice(ctx, c.Registry(), i)
			}
		})
	}
	wg.Wait()
	fmt.Fprintf(t.log, "  %d devices are made within %s\n", devices, time.Since(begin).Round(time.Second))
	return errors.Join(errs...)
}

func (t *scaleTest) makeDevice(ctx context.Context, registry *hubclient.Registry, i int) error {
	id := hub.Identity{Device: fmt.Sprintf("sim-%06d", i+1)}
	_, err := registry.Create(ctx, identity.Record{ID: id, Status: identity.StatusEnabled, StatusReason: scaleMark})
	return err
}

// connect has n more devices connect to a node and be idle, from addresses of
// their own.
func (t *scaleTest) connect(ctx context.Context, node, n int) error {
	if n <= 0 {
		return nil
	}
	begin := time.Now()
	p, err := startProcess(ctx, anyCore, nil, t.hubgate, "simulate", "--nats", t.store.NATS, "--host", scaleHost, "--ca", t.cert.certFile,
		"--address", t.nodes[node].secure.String(), "--devices", fmt.Sprint(n), "--first", fmt.Sprint(t.in+1), "--duration", "0",
		"--rate", "0", "--twin-every", "0", "--token-ttl", "12h", "--connect-rate", "400", "--progress", "1s",
		"--source", fmt.Sprintf("127.0.%d.0/24", len(t.fleets)+1))
	if err != nil {
		return err
	}
	t.fleets = append(t.fleets, p)
	all := fmt.Sprintf("connected %d/%d ", n, n)
	_, err = within(ctx, scalePatience, func() (bool, error) { return strings.Contains(p.tail.String(), all), p.fault() })
	if err != nil {
		return fmt.Errorf("connect %d devices: %w: %s", n, err, p.tail)
	}
	t.in += n
	fmt.Fprintf(t.log, "  %d devices more are connected within %s\n", n, time.Since(begin).Round(time.Second))
	t.nodes[node].proc.rest(scaleSettle)
	t.nodes[node].proc.settle()
	return t.nodes[node].proc.fault()
}

// record notes the memory of everybody. Of nodes it is the first, which has as
// many devices as the others at the end.
func (t *scaleTest) record(ctx context.Context, when string) {
	own := min(t.in, t.perNode())
	node, all := residentBytes(t.nodes[0].proc.pid()), residentBytes(t.store.proc.pid())
	t.note(when, nameNode, node, float64(node-t.base.node)/float64(own))
	spent := cpuTime(t.nodes[0].proc.pid()) - t.base.cpu
	t.book.note(rowScaleDevices+", "+when, nameNode, fmt.Sprintf("%.2f ms of processor time for a connect", 1e3*spent.Seconds()/float64(own)))
	t.note(when, nameStore, all, float64(all-t.base.store)/float64(t.in))
	subs, err := t.store.subscriptions(ctx)
	presence, events, failed := t.written(ctx)
	if err = errors.Join(err, failed); err != nil {
		t.book.fault("%s: %v", rowScaleDevices, err)
	}
	t.book.note(rowScaleDevices+", "+when, nameStore, fmt.Sprintf("%d subscriptions of all clients; %.1f writes of hub_presence and %.1f events for a device",
		subs, float64(presence-t.base.presence)/float64(t.in), float64(events-t.base.events)/float64(t.in)))
	var fleets int64
	for _, p := range t.fleets {
		fleets += residentBytes(p.pid())
	}
	t.note(when, nameFleet, fleets, float64(fleets)/float64(t.in))
	for _, p := range t.fleets {
		if lines := strings.Split(p.tail.String(), "\n"); !strings.HasSuffix(lines[len(lines)-1], "errors 0") {
			t.book.note(rowScaleDevices+", "+when, nameFleet, lines[len(lines)-1])
		}
	}
}

// written are the last sequences of the streams that connects write to.
func (t *scaleTest) written(ctx context.Context) (presence, events uint64, err error) {
	c, js, err := t.store.client()
	if err != nil {
		return 0, 0, err
	}
	defer c.Close()
	names := subject.Names{}
	first, err := js.Stream(ctx, "KV_"+names.PresenceBucket())
	if err != nil {
		return 0, 0, fmt.Errorf("read the sessions: %w", err)
	}
	second, err := js.Stream(ctx, names.EventsStream())
	if err != nil {
		return 0, 0, fmt.Errorf("read the events: %w", err)
	}
	return first.CachedInfo().State.LastSeq, second.CachedInfo().State.LastSeq, nil
}

// note keeps a resident memory, and how much of it is for a device.
func (t *scaleTest) note(when, target string, bytes int64, each float64) {
	t.bench.noteMemory(rowScaleDevices+", "+when, target, float64(bytes), each)
}

func (b *bench) noteMemory(row, target string, bytes, each float64) {
	b.book.add(row, target, metricMiB, bytes/(1<<20))
	if each != 0 {
		b.book.add(row, target, metricEach, each)
	}
	b.progress(row, target)
}

func (b *bench) noteTime(row, target string, d time.Duration) {
	b.book.add(row, target, metricSeconds, d.Seconds())
	b.progress(row, target)
}
