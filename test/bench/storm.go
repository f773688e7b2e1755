//go:build linux

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A storm is what follows when the network of a whole fleet comes back: every
// device opens a connection at the same moment.

const (
	stormSpare   = 500 // files that bench and server need besides
	stormTries   = 8   // then a device gives up
	stormBackoff = time.Second
	stormShare   = 0.99 // of the devices are in when the clock of the rate stops
	stormTimeout = 60 * time.Second
)

// storms are the ways to come back.
func storms() []handshake {
	return []handshake{
		{row: "storm tls1.3", version: tls.VersionTLS13},
		{row: "storm tls1.3 resumed", version: tls.VersionTLS13, resumed: true},
	}
}

// storm is one of them. The devices' fields are their own.
type storm struct {
	handshake
	server  *server
	devices []*stormDevice
	resumed atomic.Int64
}

// stormDevice is a device of a storm.
type stormDevice struct {
	index  int
	config *tls.Config
	conn   net.Conn

	connack, puback time.Duration // since the beginning of the storm
	refused         int
	first           error // why it was refused the first time
	err             error // the last one, when it gave up
}

// stormSize is how many devices there may be: with each a file here, and one in
// the server.
func (b *bench) stormSize() int {
	var files unix.Rlimit
	n := b.storm
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &files) == nil && files.Cur < uint64(n+stormSpare) {
		n = max(int(files.Cur)-stormSpare, 1)
		b.book.skip("storm: the limit of open files is %d, so that %d devices come back instead of %d", files.Cur, n, b.storm)
	}
	return n
}

// stormRound has a fleet come back to the gateway and to a bare TLS server, each
// started afresh.
func (b *bench) stormRound(ctx context.Context, round int) error {
	if !b.wants(sectionStorm) {
		return nil
	}
	n := b.stormSize()
	list := []starter{
		{nameHubgate, b.gateway(gatewayRun{dir: "hubgate-storm", devices: n})},
		{nameTLSD, b.startTLSD},
	}
	if round%2 == 1 {
		slices.Reverse(list)
	}
	for _, h := range storms() {
		for _, st := range list {
			if err := b.stormOnce(ctx, h, st, n); err != nil {
				return fmt.Errorf("%s, %s: %w", h.row, st.name, err)
			}
		}
	}
	return nil
}

func (b *bench) stormOnce(ctx context.Context, h handshake, st starter, n int) error {
	if !b.wantsRow(h.row) {
		return nil
	}
	s, err := b.up(ctx, st)
	if err != nil || s == nil {
		return err
	}
	defer s.close()
	raiseFiles(s.proc.pid())
	w := newStorm(h, s, n)
	if err := w.before(); err != nil {
		return err
	}
	s.proc.rest(idleSettle)
	s.proc.settle()
	stop := b.profile(h.row, s)
	cpu := cpuTime(s.proc.pid())
	w.blow(n)
	s.proc.settle()
	spent := cpuTime(s.proc.pid()) - cpu
	stop()
	b.recordStorm(w, spent)
	w.close()
	b.progress(h.row, s.name)
	return s.proc.fault()
}

func newStorm(h handshake, s *server, n int) *storm {
	w := &storm{handshake: h, server: s}
	for i := range n {
		d := &stormDevice{index: i, config: s.config.Clone()}
		d.config.MinVersion, d.config.MaxVersion = h.version, h.version
		if h.resumed {
			d.config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		}
		w.devices = append(w.devices, d)
	}
	return w
}

// before connects each device once, a few at a time, so that it has a session
// in the hub and, to be resumed, one in TLS; then the network goes away.
func (w *storm) before() error {
	errs := make([]error, dialers)
	var wg sync.WaitGroup
	for k := range dialers {
		wg.Go(func() {
			for i := k; i < len(w.devices) && errs[k] == nil; i += dialers {
				d := w.devices[i]
				errs[k] = d.attempt(w, time.Now())
				d.drop()
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return fmt.Errorf("before the storm: %w", err)
		}
	}
	w.resumed.Store(0)
	return nil
}

// blow has all devices come back at once.
func (w *storm) blow(n int) {
	begin := make(chan struct{})
	var start time.Time
	var ready, done sync.WaitGroup
	ready.Add(n)
	for _, d := range w.devices {
		done.Go(func() {
			ready.Done()
			<-begin
			d.comeBack(w, start)
		})
	}
	ready.Wait()
	start = time.Now()
	close(begin)
	done.Wait()
}

// comeBack tries until the device is in, with the pauses of an SDK.
func (d *stormDevice) comeBack(w *storm, start time.Time) {
	for try := range stormTries {
		if d.err = d.attempt(w, start); d.err == nil {
			return
		}
		d.drop()
		if d.refused++; d.first == nil {
			d.first = d.err
		}
		pause := stormBackoff << try
		<-time.After(pause + rand.N(pause))
	}
}

// attempt connects, says CONNECT and publishes one message. A server that is no
// broker answers by something else than PUBACK.
func (d *stormDevice) attempt(w *storm, start time.Time) error {
	conn, err := net.DialTimeout("tcp4", w.server.secure.String(), stormTimeout)
	if err != nil {
		return fmt.Errorf("dial: %w", err)
	}
	_ = conn.SetDeadline(time.Now().Add(stormTimeout))
	_ = conn.(*net.TCPConn).SetLinger(0) // the network goes away without a word
	secure := tls.Client(conn, d.config)
	d.conn = secure
	if err := secure.Handshake(); err != nil {
		return fmt.Errorf("tls handshake: %w", err)
	}
	if secure.ConnectionState().DidResume {
		w.resumed.Add(1)
	}
	who := w.server.who(d.index)
	answer := make([]byte, 4)
	if err := converse(secure, who.connect, answer); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	if answer[0] != typeConnack || answer[3] != 0 {
		return fmt.Errorf("refused by % x", answer)
	}
	d.connack = time.Since(start)
	if err := converse(secure, who.message.append(nil, 1), answer); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	d.puback = time.Since(start)
	return nil
}

func converse(rw io.ReadWriter, packet, answer []byte) error {
	if _, err := rw.Write(packet); err != nil {
		return err
	}
	_, err := io.ReadFull(rw, answer)
	return err
}

// drop closes the socket below TLS.
func (d *stormDevice) drop() {
	if d.conn != nil {
		_ = d.conn.(*tls.Conn).NetConn().Close()
		d.conn = nil
	}
}

func (w *storm) close() {
	for _, d := range w.devices {
		d.drop()
	}
}

// recordStorm keeps the figures of a storm. That somebody was refused twice, or
// gave up, is a fault.
func (b *bench) recordStorm(w *storm, spent time.Duration) {
	var in, first []time.Duration
	var refused, twice int
	reasons := map[string]int{}
	for _, d := range w.devices {
		if d.err != nil {
			b.book.fault("%s, %s: device %d gave up: %v", w.row, w.server.name, d.index, d.err)
			continue
		}
		in, first = append(in, d.connack), append(first, d.puback)
		if d.refused > 0 {
			refused++
			reasons[brief(d.first)]++
		}
		if d.refused > 1 {
			twice++
		}
	}
	if len(in) == 0 {
		return
	}
	slices.Sort(in)
	all := int(stormShare * float64(len(in)))
	add := func(metric string, v float64) { b.book.add(w.row, w.server.name, metric, v) }
	add(metricStorm, float64(all)/in[max(all-1, 0)].Seconds())
	add(metricStormCPU, float64(spent.Nanoseconds())/1e3/float64(len(in)))
	p := percentiles(first, 0.50, 0.99)
	add(metricFirst50, float64(p[0].Nanoseconds())/1e6)
	add(metricFirst99, float64(p[1].Nanoseconds())/1e6)
	add(metricRefused, float64(refused))
	add(metricTwice, float64(twice))
	var notes []string
	for _, reason := range slices.Sorted(maps.Keys(reasons)) {
		notes = append(notes, fmt.Sprintf("%d times %s", reasons[reason], reason))
	}
	if w.handshake.resumed && int(w.resumed.Load()) < len(in)*9/10 {
		notes = append(notes, fmt.Sprintf("only %d of %d sessions resumed", w.resumed.Load(), len(in)))
	}
	b.book.note(w.row, w.server.name, strings.Join(notes, "; "))
	if w.server.name == nameHubgate && twice > 0 {
		b.book.fault("%s: %d devices were refused twice", w.row, twice)
	}
}

// brief is an error without the addresses in it.
func brief(err error) string {
	for text, known := range map[string]error{
		"reset": syscall.ECONNRESET, "timeout": os.ErrDeadlineExceeded, "end of the stream": io.EOF, "broken pipe": syscall.EPIPE,
	} {
		if errors.Is(err, known) {
			step, _, _ := strings.Cut(err.Error(), ":")
			return step + ": " + text
		}
	}
	return err.Error()
}
