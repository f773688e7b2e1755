package query

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"testing/synctest"

	"github.com/hubgate/hubgate/hub"
)

// watching starts a watch; its events come one by one.
func watching(t *testing.T, c *Collection, text string) (events <-chan Event, ended <-chan error) {
	t.Helper()
	told, end := make(chan Event), make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	q := parsed(t, text)
	go func() {
		end <- c.Watch(ctx, q, func(e Event) {
			select {
			case told <- e:
			case <-ctx.Done():
			}
		})
	}()
	return told, end
}

func TestWatch(t *testing.T) {
	t.Parallel()
	c := devices(t, 3)
	events, _ := watching(t, c, "SELECT deviceId, tags.b AS b FROM devices WHERE tags.a = 1")
	expect := func(kind EventKind, key, row string) {
		t.Helper()
		if e := <-events; e.Kind != kind || e.Key != key || string(e.Row) != row {
			t.Fatalf("got %s of %s: %s, want %s of %s: %s", e.Kind, e.Key, e.Row, kind, key, row)
		}
	}
	expect(Added, "d001", `{"deviceId":"d001","b":1}`)
	expect(Loaded, "", "")
	setDevice(t, c, 1, `{"tags":{"a":1,"b":9}}`)
	expect(Changed, "d001", `{"deviceId":"d001","b":9}`)
	setDevice(t, c, 2, `{"tags":{"a":1}}`)
	expect(Added, "d002", `{"deviceId":"d002"}`)
	setDevice(t, c, 1, `{"tags":{"a":2}}`)
	expect(Removed, "d001", "")
	c.Delete("d000") // was none of its rows
	c.Delete("d002")
	expect(Removed, "d002", "")
	setDevice(t, c, 9, `{"tags":{"a":1}}`) // has the number of one that has gone
	expect(Added, "d009", `{"deviceId":"d009"}`)
	c.Drop("d009", 0)
	expect(Removed, "d009", "")
}

// While the receiver is busy, changes of a document become one, and one that
// comes and goes is none.
func TestWatchCoalesces(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := devices(t, 2)
		events, _ := watching(t, c, "SELECT * FROM devices")
		for (<-events).Kind != Loaded {
		}
		setDevice(t, c, 0, `{"tags":{"first":true}}`)
		synctest.Wait() // it is about to be told of the first
		for i := range 100 {
			setDevice(t, c, 1, fmt.Sprintf(`{"tags":{"a":%d}}`, i))
			setDevice(t, c, 5, `{}`)
			c.Delete("d005")
		}
		c.Delete("d000")
		setDevice(t, c, 0, `{"tags":{"again":true}}`)
		var got []string
		for range 4 {
			e := <-events
			got = append(got, string(e.Kind)+" "+e.Key)
		}
		synctest.Wait()
		select {
		case e := <-events:
			t.Errorf("and then %s of %s", e.Kind, e.Key)
		default:
		}
		if want := "[changed d000 removed d000 changed d001 added d000]"; fmt.Sprint(got) != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

// A receiver that applies what it is told has, in the end, what a query returns.
func TestWatchConverges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := devices(t, 40)
		ctx, cancel := context.WithCancel(t.Context())
		q := parsed(t, "SELECT * FROM devices WHERE tags.a > 2")
		has := map[string]string{}
		done := make(chan error, 1)
		go func() {
			done <- c.Watch(ctx, q, func(e Event) {
				_, had := has[e.Key]
				switch e.Kind {
				case Loaded:
				case Removed:
					delete(has, e.Key)
				default:
					has[e.Key] = string(e.Row)
				}
				if e.Kind != Loaded && had == (e.Kind == Added) {
					t.Errorf("%s of %s, and it was there: %v", e.Kind, e.Key, had)
				}
			})
		}()
		r := rand.New(rand.NewPCG(7, 8))
		for range 5000 {
			i := r.IntN(60)
			if r.IntN(4) == 0 {
				c.Delete(fmt.Sprintf("d%03d", i))
			} else {
				setDevice(t, c, i, fmt.Sprintf(`{"tags":{"a":%d}}`, r.IntN(6)))
			}
		}
		synctest.Wait() // until nothing is left to tell
		want := map[string]string{}
		for _, row := range rows(t, c, q, 100) {
			want[row[len(`{"deviceId":"`):len(`{"deviceId":"`)+4]] = row
		}
		if !maps.Equal(has, want) {
			t.Errorf("the receiver has %v, want %v", has, want)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if len(c.watchers) != 0 {
			t.Error("the watch has ended and is kept")
		}
	})
}

func TestWatchIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := devices(t, 20)
		c.limits.removed = 10
		events, ended := watching(t, c, "SELECT * FROM devices")
		for (<-events).Kind != Loaded {
		}
		setDevice(t, c, 0, `{"tags":{}}`)
		synctest.Wait()
		for i := range 20 {
			c.Delete(fmt.Sprintf("d%03d", i))
		}
		<-events
		if err := <-ended; hub.CodeOf(err) != hub.ServiceUnavailable {
			t.Errorf("got %v, want ServiceUnavailable", err)
		}
	})
}

func TestWatchRefuses(t *testing.T) {
	t.Parallel()
	c := devices(t, 1)
	for _, text := range []string{"SELECT TOP 1 * FROM devices", "SELECT COUNT() AS n FROM devices", "SELECT status FROM devices GROUP BY status"} {
		if err := c.Watch(t.Context(), parsed(t, text), nil); hub.CodeOf(err) != hub.ArgumentInvalid {
			t.Errorf("%s: got %v, want ArgumentInvalid", text, err)
		}
	}
}
