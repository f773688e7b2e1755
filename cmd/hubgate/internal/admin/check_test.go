package admin

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubgate/hubgate/hub"
)

func TestSharedLooksOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var looks atomic.Int32
		look := Shared(time.Second, func(context.Context) (string, error) {
			looks.Add(1)
			<-time.After(100 * time.Millisecond)
			return "", errors.New("ill")
		})
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if _, err := look(t.Context()); err == nil || err.Error() != "ill" {
					t.Errorf("got %v", err)
				}
			})
		}
		wg.Wait()
		_, _ = look(t.Context())
		if n := looks.Load(); n != 1 {
			t.Errorf("%d looks for those who ask at the same time", n)
		}
		<-time.After(1100 * time.Millisecond)
		_, _ = look(t.Context())
		if n := looks.Load(); n != 2 {
			t.Errorf("%d looks, want another one after a while", n)
		}
	})
}

// A look that never ends, as in a deadlock, fails for all who ask, and no other
// one is begun.
func TestSharedThatNeverEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var looks atomic.Int32
		end := make(chan struct{})
		check := Check{"locks", Shared(0, func(context.Context) (string, error) {
			looks.Add(1)
			<-end
			return "it went on", nil
		})}
		for range 3 {
			results, ok := look(t.Context(), []Check{check}, nil)
			if ok || results[0].OK {
				t.Errorf("%v", results)
			}
		}
		if n := looks.Load(); n != 1 {
			t.Errorf("%d looks stand still", n)
		}
		close(end)
		synctest.Wait()
		if results, ok := look(t.Context(), []Check{check}, nil); !ok || results[0].Text != "it went on" {
			t.Errorf("when it goes on again: %v", results)
		}
	})
}

func TestLookTellsTheSentence(t *testing.T) {
	check := Check{"nats", func(context.Context) (string, error) {
		return "", hub.Errorf(hub.ServiceUnavailable, "there is no connection: %w", errors.New("dial"))
	}}
	results, ok := look(t.Context(), []Check{check, {"ping", well}}, map[string]bool{"ping": true})
	if ok || results[0].Text != "there is no connection: dial" || !results[1].Excluded || !results[1].OK {
		t.Errorf("%v", results)
	}
}
