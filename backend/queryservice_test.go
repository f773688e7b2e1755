package backend

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// TestRefusedQueries are answered from their own goroutines, each with its
// reason; the race detector watches what micro does meanwhile.
func TestRefusedQueries(t *testing.T) {
	t.Parallel()
	b := open(t, serve(t, "", 0), Config{})
	service, err := b.ServeQueries()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = service.Stop() })
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 1000 {
				_, code, text := ask(t, b.nc, b.names.Query(), "", `{"query":"SELECT"}`)
				if code[:3] != "400" || text == "" {
					t.Errorf("answered with %q, %q", code, text)
				}
			}
		})
	}
	wg.Wait()
}

// TestQueriesWhileTheServiceStops: each request that comes is answered, or finds
// nobody, and the stop waits for those that are worked on.
func TestQueriesWhileTheServiceStops(t *testing.T) {
	t.Parallel()
	b := open(t, serve(t, "", 0), Config{})
	for range 20 {
		service, err := b.ServeQueries()
		if err != nil {
			t.Fatal(err)
		}
		var asked sync.WaitGroup
		for range 16 {
			asked.Go(func() {
				m, err := b.Conn().Request(b.Names().Query(), []byte(`{"query":"SELECT * FROM devices"}`), time.Minute)
				if err == nil && codeIn(m) != "" && codeIn(m) != "503001" {
					t.Errorf("%v", m.Header)
				}
				if err != nil && !errors.Is(err, nats.ErrNoResponders) {
					t.Error(err)
				}
			})
		}
		if err := service.Stop(); err != nil {
			t.Error(err)
		}
		asked.Wait()
	}
}
