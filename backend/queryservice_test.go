package backend

import (
	"sync"
	"testing"
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
