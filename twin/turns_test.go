package twin

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// A back end gets its turn although the device patches without pause: its read
// and its write take longer than the one write of the device.
func TestBackEndIsNotStarved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := connect(t)
		d.get()
		d.m.latency = time.Millisecond
		stop := make(chan struct{})
		var device sync.WaitGroup
		device.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_, _ = d.c.PatchReported(t.Context(), []byte(`{"n":1}`), 0)
				}
			}
		})
		begun := time.Now()
		for i := range 20 {
			update(t, d.s, desired(fmt.Sprintf(`{"k":%d}`, i)))
		}
		if took := time.Since(begun); took > time.Second {
			t.Errorf("20 writes of a back end took %v", took)
		}
		close(stop)
		device.Wait()
	})
}

func TestTurns(t *testing.T) {
	t.Parallel()
	var s turns
	first, err := s.take(t.Context(), dev)
	if err != nil {
		t.Fatal(err)
	}
	other, err := s.take(t.Context(), mod)
	if err != nil {
		t.Fatalf("another twin: %v", err)
	}
	s.give(mod, other)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.take(over, dev); hub.CodeOf(err) != hub.GatewayTimeout {
		t.Errorf("a request whose time is over: %v", err)
	}
	got := make(chan *turn)
	go func() {
		v, _ := s.take(t.Context(), dev)
		got <- v
	}()
	s.give(dev, first)
	s.give(dev, <-got)
	if len(s.byID) != 0 {
		t.Errorf("%d turns are left", len(s.byID))
	}
}
