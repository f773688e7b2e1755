package simulate

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	randv2 "math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hubgate/hubgate/gateway/mqtt"
)

const (
	drainTime = 30 * time.Second // how long the last acknowledgements may take
	lookEvery = 100 * time.Millisecond
)

// Account is a device that the hub knows.
type Account struct {
	ID  string
	Key []byte
}

// Fleet is a number of simulated devices. Its methods are for one goroutine.
type Fleet struct {
	cfg     Config
	target  *Target
	devices []*device
	run     string // distinguishes its messages from those of other runs
	padding []byte
	buffers sync.Pool

	stats   stats
	began   time.Time
	ended   time.Time
	closing atomic.Bool // nothing is sent any more
	calmAt  time.Time   // from then on the profile does nothing; zero: never

	atEnd, lowest int64 // connected
	proof         *Proof
	unproved      string
}

// NewFleet makes a fleet of the given devices. target is shared by all.
func NewFleet(cfg Config, target *Target, accounts []Account) *Fleet {
	var run [5]byte
	_, _ = rand.Read(run[:]) // never fails
	f := &Fleet{cfg: cfg, target: target, run: hex.EncodeToString(run[:]), lowest: -1}
	f.padding = []byte(strings.Repeat("x", cfg.Size))
	f.buffers.New = func() any { return new([]byte) }
	shapes := shapesOf(cfg.SDK)
	for i, a := range accounts {
		d := &device{
			fleet: f, index: i, id: a.ID, key: a.Key, shape: shapes[i%len(shapes)],
			rand: randv2.New(randv2.NewPCG(cfg.Seed, uint64(cfg.First+i))),
		}
		d.timer = time.AfterFunc(time.Hour, d.tick)
		d.timer.Stop()
		f.devices = append(f.devices, d)
	}
	return f
}

// Try connects and disconnects the first device, so that what is wrong for all
// is said once.
func (f *Fleet) Try(ctx context.Context) error {
	o, err := f.devices[0].open(ctx)
	if err != nil {
		return err
	}
	_ = o.link.send(&mqtt.Disconnect{})
	_ = o.link.conn.Close()
	return nil
}

// Run lets the devices work until ctx ends or the time is over; tell is called
// with the state of things every now and then.
func (f *Fleet) Run(ctx context.Context, every time.Duration, tell func(Progress)) {
	f.began = time.Now()
	if f.cfg.Duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, f.cfg.Duration)
		defer cancel()
		f.calmAt = f.began.Add(f.cfg.Duration - f.cfg.calm())
	}
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var all sync.WaitGroup
	for i, d := range f.devices {
		all.Go(func() {
			if wait(working, time.Duration(float64(i)/f.cfg.Connects*float64(time.Second))) {
				d.run(working)
			}
		})
	}
	f.attend(ctx, every, tell)
	f.ended = time.Now()
	f.finish()
	stop()
	f.dismiss()
	all.Wait()
}

// attend raises storms and tells what happens, until ctx ends.
func (f *Fleet) attend(ctx context.Context, every time.Duration, tell func(Progress)) {
	told := time.NewTicker(every)
	defer told.Stop()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	var storms <-chan time.Time
	if f.cfg.Profile == Storm {
		t := time.NewTicker(f.cfg.Storm)
		defer t.Stop()
		storms = t.C
	}
	last := f.mark()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
			f.look()
		case now := <-storms:
			if f.stirs(now) {
				f.storm()
			}
		case <-told.C:
			next := f.mark()
			tell(next.since(last))
			last = next
		}
	}
}

// storm cuts all connections at once.
func (f *Fleet) storm() {
	for _, d := range f.devices {
		d.mu.Lock()
		if d.link != nil {
			f.stats.upsets.Add(1)
		}
		d.cut()
		d.mu.Unlock()
	}
}

// stirs reports whether the profile may do something to connections.
func (f *Fleet) stirs(now time.Time) bool {
	return f.open() && (f.calmAt.IsZero() || now.Before(f.calmAt))
}

// open reports whether messages are sent.
func (f *Fleet) open() bool { return !f.closing.Load() }

// finish lets the hub acknowledge what was sent, and counts who is connected
// then: who is just coming back has that time too.
func (f *Fleet) finish() {
	defer func() { f.atEnd = f.stats.connected.Load() }()
	f.closing.Store(true)
	limit := time.NewTimer(drainTime)
	defer limit.Stop()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for f.waiting() {
		select {
		case <-limit.C:
			return
		case <-look.C:
		}
	}
}

// waiting reports whether a device is coming, or waits for a PUBACK.
func (f *Fleet) waiting() bool {
	for _, d := range f.devices {
		d.mu.Lock()
		waits := d.coming || d.link != nil && len(d.pending) > 0
		d.mu.Unlock()
		if waits {
			return true
		}
	}
	return false
}

// dismiss has all devices say DISCONNECT.
func (f *Fleet) dismiss() {
	for _, d := range f.devices {
		d.mu.Lock()
		d.leave()
		d.mu.Unlock()
	}
}

// openMute opens a socket that says nothing, and closes it after a while.
func (f *Fleet) openMute(i int) {
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), muteTime)
		defer cancel()
		conn, err := f.target.dialTCP(ctx, i, 0)
		if err != nil {
			return // the device's own connections tell what is wrong
		}
		<-ctx.Done()
		_ = conn.Close()
	}()
}

// messageID names a message of this run. It is a property of the message, and
// so a header of what the stream has.
func (f *Fleet) messageID(device int, number uint32) string {
	return f.run + "." + strconv.Itoa(device) + "." + strconv.FormatUint(uint64(number), 10)
}

// parseID is the inverse of messageID; ok is false for a message that is not of
// this run.
func (f *Fleet) parseID(id string) (device int, number uint32, ok bool) {
	rest, ok := strings.CutPrefix(id, f.run+".")
	if !ok {
		return 0, 0, false
	}
	first, second, _ := strings.Cut(rest, ".")
	i, err := strconv.Atoi(first)
	n, err2 := strconv.ParseUint(second, 10, 32)
	return i, uint32(n), err == nil && err2 == nil && i >= 0 && i < len(f.devices)
}

// body is the body of message n: JSON of the size asked for.
func (f *Fleet) body(n uint32) []byte {
	b := fmt.Appendf(make([]byte, 0, f.cfg.Size), `{"seq":%d,"temperature":%.2f,"pad":"`, n, 20+float64(n%1000)/100)
	return append(append(b, f.padding[:f.cfg.Size-len(b)-2]...), `"}`...)
}

func (f *Fleet) buffer() *[]byte {
	return f.buffers.Get().(*[]byte) //nolint:forcetypeassert // nothing else is in it
}

func (f *Fleet) release(b *[]byte) {
	if cap(*b) <= keepBuffer {
		f.buffers.Put(b)
	}
}
