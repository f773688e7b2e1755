package attack

import (
	"context"
	"crypto/tls"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
)

const (
	goodDevices = 500
	floodFor    = 6 * time.Second
	calmFor     = 4 * time.Second
	flooders    = 16
)

// TestFlood has one generator connect with bad credentials as fast as it can,
// while 500 devices publish: none of them is cut, devices that come meanwhile
// get in, and memory stays bounded. How much longer the devices wait for their
// PUBACKs is logged and not judged: generator and gateway share the machine.
func TestFlood(t *testing.T) {
	g := start(t, "--log-level", "info")
	victim, late := g.create(t, "victim"), g.create(t, "late")
	w := watchMany(t, g, goodDevices, time.Second)
	pause(t, calmFor)
	calm, n := w.p99()
	before := g.Memory(t)

	ctx, cancel := context.WithTimeout(t.Context(), floodFor)
	defer cancel()
	var f flood
	var wg sync.WaitGroup
	for i := range flooders {
		wg.Go(func() { f.run(ctx, g, victim, i) })
	}
	for ctx.Err() == nil { // the victim itself too: an attacker can't lock it out
		for _, d := range []*device{victim, late} {
			p := d.joinPlain(t)
			if err := p.publish(d.events(""), "x"); err != nil {
				t.Errorf("%s during the flood: %v", d.id, err)
			}
			_ = p.Close()
		}
	}
	wg.Wait()
	stormy, m := w.p99()
	after := g.Memory(t)
	t.Logf("%d connects with bad credentials in %v: %d refused by CONNACK, %d before it, %d let in",
		f.tried.Load(), floodFor, f.refused.Load(), f.turned.Load(), f.in.Load())
	t.Logf("p99 of %d devices: %v (%d messages) without the flood, %v (%d messages) with it: ratio %.1f",
		goodDevices, calm, n, stormy, m, float64(stormy)/float64(calm))
	if f.in.Load() > 0 || f.refused.Load() == 0 {
		t.Errorf("%d of the attackers got in, %d were refused", f.in.Load(), f.refused.Load())
	}
	if after > before+200<<20 {
		t.Errorf("resident memory grew from %d to %d MiB", before>>20, after>>20)
	}
	g.await(t, "entry about the victim", func() bool {
		r, err := g.client.Why(t.Context(), victim.id)
		return err == nil && tells(r.Entries, hub.Unauthorized, "neither key")
	})
	if n := g.Log.Len(); n > 3000 {
		t.Errorf("%d lines in the log", n)
	}
	w.finish(t)
}

func pause(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}

// watchMany is watch for many devices, which begin at different times.
func watchMany(t *testing.T, g *target, n int, every time.Duration) *bystanders {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w := &bystanders{g: g, stop: cancel}
	t.Cleanup(cancel)
	for i := range n {
		w.all = append(w.all, &bystander{device: g.create(t, "innocent-"+strconv.Itoa(i))})
	}
	from := anAddress()
	w.ready.Add(n)
	for i, b := range w.all {
		w.wg.Go(func() {
			pause(t, every*time.Duration(i)/time.Duration(n))
			nc, err := dialFrom(t.Context(), from, g.address(mqttPort))
			if err != nil {
				b.err = err
				w.ready.Done()
				return
			}
			p := newPeer(t, tls.Client(nc, g.tls))
			if code, err := p.ask(b.hello()); err != nil || code != 0 {
				t.Errorf("%s: CONNACK %d, %v", b.id, code, err)
			}
			b.err = b.run(ctx, p, every, w.ready.Done)
		})
	}
	w.ready.Wait()
	w.p99() // the first message of each
	return w
}

// flood counts what came of connects with bad credentials.
type flood struct {
	tried, refused, turned, in atomic.Int64
}

// run connects again and again, as the victim or as nobody, by TLS or without.
func (f *flood) run(ctx context.Context, g *target, victim *device, worker int) {
	from := anAddress()
	hello := victim.hello()
	hello.Password = []byte(forge(victim.sr(), inAnHour(), []byte("guess "+strconv.Itoa(worker)), ""))
	for n := 0; ctx.Err() == nil; n++ {
		if worker%4 == 3 {
			id := "nobody-" + strconv.Itoa(worker) + "-" + strconv.Itoa(n)
			hello.ClientID, hello.Username = []byte(id), []byte(g.Ready.HostName+"/"+id+"/")
		}
		f.tried.Add(1)
		switch code, err := f.once(ctx, g, from, hello, worker%2 == 0); {
		case err != nil:
			f.turned.Add(1)
		case code == 0:
			f.in.Add(1)
		default:
			f.refused.Add(1)
		}
	}
}

func (f *flood) once(ctx context.Context, g *target, from []byte, hello *mqtt.Connect, secure bool) (byte, error) {
	port := plainPort
	if secure {
		port = mqttPort
	}
	nc, err := dialFrom(ctx, from, g.address(port))
	if err != nil {
		return 0, err
	}
	defer func() { _ = nc.Close() }()
	if tcp, ok := nc.(interface{ SetLinger(sec int) error }); ok {
		_ = tcp.SetLinger(0) // no port is kept for it
	}
	if secure {
		nc = tls.Client(nc, g.tls)
	}
	p := &peer{Conn: nc, dec: mqtt.Decoder{Version: mqtt.V311, From: mqtt.FromServer}}
	return p.ask(hello)
}
