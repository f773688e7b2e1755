package faults

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/test/hubtest"
	"github.com/hubgate/hubgate/timeline"
)

// evilAddress is where the flood comes from; all else comes from 127.0.0.1.
const evilAddress = "127.66.6.6"

// dialFrom is dial from one of this machine's loopback addresses.
func dialFrom(local, addr string, config *tls.Config) (*client, error) {
	dialer := &net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: net.ParseIP(local)}}
	nc, err := dialer.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	if config != nil {
		secure := tls.Client(nc, config)
		_ = secure.SetDeadline(time.Now().Add(patience))
		if err := secure.Handshake(); err != nil {
			_ = nc.Close()
			return nil, err
		}
		nc = secure
	}
	return newClient(nc), nil
}

// from is connect from an address.
func (d *device) from(local string) (*client, error) {
	c, err := dialFrom(local, d.addr, d.tls)
	if err != nil {
		return nil, err
	}
	k, err := c.handshake(d.hello())
	if err == nil && k.Code != 0 {
		err = &refusedError{k.Code}
	}
	if err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// badFlood connects with bad credentials, under ever new names, until it is
// stopped.
type badFlood struct {
	tries, answered, unheard atomic.Int64
	quit                     chan struct{}
	wg                       sync.WaitGroup
}

func newBadFlood(d *device, workers int) *badFlood {
	f := &badFlood{quit: make(chan struct{})}
	for range workers {
		f.wg.Go(func() {
			for {
				select {
				case <-f.quit:
					return
				default:
					f.try(d)
				}
			}
		})
	}
	return f
}

func (f *badFlood) try(d *device) {
	n := f.tries.Add(1)
	bad := *d
	bad.id.Device = fmt.Sprintf("nobody-%d", n)
	_, err := bad.from(evilAddress)
	if e, ok := err.(*refusedError); ok && e.code != 0 { //nolint:errorlint // from returns it bare
		f.answered.Add(1)
	} else {
		f.unheard.Add(1)
	}
}

func (f *badFlood) stop() {
	close(f.quit)
	f.wg.Wait()
}

// TestBadCredentialFlood floods the gateway with bad credentials from one
// address: it is refused before it costs a handshake. Devices that are connected,
// also from that address, publish as before; a device that is known there gets in
// again; at other addresses nobody notices.
func TestBadCredentialFlood(t *testing.T) {
	g := start(t, hubtest.Options{})
	elsewhere := newBystander(t, g, newDevice(t, g, "elsewhere"))
	neighbour := newDevice(t, g, "neighbour")
	here, err := neighbour.from(evilAddress)
	if err != nil {
		t.Fatal(err)
	}
	defer here.close()
	comes := newDevice(t, g, "comes")
	if c, err := comes.from(evilAddress); err != nil {
		t.Fatal(err)
	} else {
		c.close()
	}

	flood := newBadFlood(newDevice(t, g, "template"), 64)
	waitFor(t, "the flood to be refused unheard", func() bool { return flood.unheard.Load() > 500 })
	for i := range 20 {
		if err := here.publish(neighbour.eventsTopic(""), "x", uint16(i+1)); err != nil {
			t.Fatalf("a connected device of the same address, message %d: %v", i, err)
		}
		if err := newcomer(t, g, i); err != nil {
			t.Errorf("a newcomer at another address: %v", err)
		}
	}
	waitFor(t, "a good device to get in at the address of the flood", func() bool {
		c, err := comes.from(evilAddress)
		if err == nil {
			c.close()
		}
		return err == nil
	})
	flood.stop()
	t.Logf("%d tries: %d answered by CONNACK, %d not heard", flood.tries.Load(), flood.answered.Load(), flood.unheard.Load())
	if flood.unheard.Load() < flood.answered.Load() {
		t.Error("most of the flood got as far as CONNACK")
	}
	elsewhere.finish(t)
	var r timeline.AddressReport
	waitFor(t, "the address in the timeline", func() bool {
		if err := json.Unmarshal(g.CLI(t, "why", "--address", evilAddress, "-o", "json"), &r); err != nil {
			t.Fatal(err)
		}
		for _, e := range r.Entries {
			if e.Code == hub.Throttled && strings.Contains(e.Message, "bad credentials") {
				return true
			}
		}
		return false
	})
}

// newcomer connects a device by the name of number i at another address.
func newcomer(t *testing.T, g *hubtest.Gateway, i int) error {
	t.Helper()
	c, _, err := newDevice(t, g, fmt.Sprintf("newcomer-%d", i)).connect()
	if err != nil {
		return err
	}
	c.close()
	return nil
}

// TestVictimIsNotLockedOut has somebody try a device's id with wrong keys: the
// device gets in at its own address all the time.
func TestVictimIsNotLockedOut(t *testing.T) {
	g := start(t, hubtest.Options{})
	victim := newDevice(t, g, "victim").plain()
	wrong := victim.with(password(signed(victim, victim.id, key(t, otherKey), "")))
	codes := map[byte]int{}
	for range 30 {
		_, err := wrong.from(evilAddress)
		if e, ok := err.(*refusedError); ok { //nolint:errorlint // from returns it bare
			codes[e.code]++
		}
		c, _, err := victim.connect()
		if err != nil {
			t.Fatalf("the victim was refused: %v", err)
		}
		c.close()
	}
	if codes[5] < 5 || codes[3] < 10 {
		t.Errorf("the attacker's CONNACKs were %v, want a few 5 and then 3", codes)
	}
}

// TestMemoryBudget has devices begin large messages and not finish them: when
// that takes too much, those go who hold most, and nobody else.
func TestMemoryBudget(t *testing.T) {
	g := start(t, hubtest.Options{Flags: []string{"--set", "limits.memory=8MiB"}})
	innocent := newBystander(t, g, newDevice(t, g, "innocent"))
	var hungry []*client
	for i := range 40 {
		d := newDevice(t, g, fmt.Sprintf("hungry-%d", i)).plain()
		c := d.mustConnect(t)
		b := bytesOf(t, &mqtt.Publish{Topic: []byte(d.eventsTopic("")), Payload: make([]byte, 300_000)}, mqtt.V311)
		_ = c.write(b[:250_000]) // it may be cut already
		hungry = append(hungry, c)
	}
	cut := func() (n int) {
		for i := range hungry {
			r := why(t, g, fmt.Sprintf("hungry-%d", i), func(timeline.Report) bool { return true })
			if told(r, timeline.Closed, hub.Throttled, "limits.memory") {
				n++
			}
		}
		return n
	}
	waitFor(t, "connections to be cut", func() bool { return cut() > 0 })
	if n := cut(); n == len(hungry) {
		t.Error("all were cut")
	}
	innocent.finish(t)
}
