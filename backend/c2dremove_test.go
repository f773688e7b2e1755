package backend

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/hubgate/hubgate/c2d"
	"github.com/hubgate/hubgate/identity"
)

// Messages of a device that are alone go by one request, whoever's lie between
// them. Others go one by one, and so do some that lie far apart.
func TestC2DRemove(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		removal c2d.Removal
		apart   int // numbers of another device between two messages
		purges  int
		left    []uint64 // of 6 messages
	}{
		"alone":     {c2d.Removal{Sequences: []uint64{1, 2, 3, 4}, AloneSince: time.Now()}, 0, 1, []uint64{5, 6}},
		"not alone": {c2d.Removal{Sequences: []uint64{2, 3, 4, 5}}, 0, 0, []uint64{1, 6}},
		"few":       {c2d.Removal{Sequences: []uint64{1, 2, 3}, AloneSince: time.Now()}, 0, 0, []uint64{4, 5, 6}},
		"between":   {c2d.Removal{Sequences: []uint64{1, 12, 23, 34}, AloneSince: time.Now()}, 10, 1, []uint64{45, 56}},
		"apart":     {c2d.Removal{Sequences: []uint64{1, 402, 803, 1204}, AloneSince: time.Now()}, 400, 0, []uint64{1605, 2006}},
		"gone":      {c2d.Removal{Sequences: []uint64{1, 2, 3, 4, 50, 51}}, 0, 0, []uint64{5, 6}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := open(t, serve(t, "", 0), Config{C2D: c2d.Limits{Depth: 3000}})
			for n := range 2 {
				if _, err := (&identity.Registry{Store: b.Devices()}).Create(testContext(t), identity.Record{ID: device(n + 1)}); err != nil {
					t.Fatal(err)
				}
			}
			for range 6 {
				publish(t, b, "dev-1", "x")
				for range tt.apart {
					publish(t, b, "dev-2", "x")
				}
			}
			commands, err := b.nc.SubscribeSync("$JS.API.STREAM.PURGE.>")
			if err == nil {
				err = b.nc.Flush()
			}
			if err != nil {
				t.Fatal(err)
			}
			tt.removal.Device = "dev-1"
			store := b.C2D().Store.(*C2DStore)
			if err := store.RemoveAll(testContext(t), tt.removal); err != nil {
				t.Fatal(err)
			}
			if err := b.nc.Flush(); err != nil {
				t.Fatal(err)
			}
			if n, _, _ := commands.Pending(); n != tt.purges {
				t.Errorf("%d purges, want %d", n, tt.purges)
			}
			all := func(device string) (left []uint64) {
				more, after := true, uint64(0)
				for more {
					var first []c2d.Message
					if first, more, err = store.Waiting(testContext(t), device, after, c2d.Room{Messages: 500, Bytes: 1 << 20}); err != nil {
						t.Fatal(err)
					}
					for _, m := range first {
						left, after = append(left, m.Sequence), m.Sequence
					}
				}
				return left
			}
			if got := all("dev-1"); !slices.Equal(got, tt.left) {
				t.Errorf("left %v, want %v", got, tt.left)
			}
			if got := len(all("dev-2")); got != 6*tt.apart {
				t.Errorf("the other device has %d messages, want %d", got, 6*tt.apart)
			}
		})
	}
}

// A stream that refuses the one request, and answers that are none, keep nothing
// from going.
func TestC2DRemoveWithoutPurge(t *testing.T) {
	t.Parallel()
	b, _ := withDevice(t)
	config := queueConfig(t, b)
	name := config.Name
	if err := b.js.DeleteStream(testContext(t), name); err != nil {
		t.Fatal(err)
	}
	config.DenyPurge = true
	if _, err := b.js.CreateStream(testContext(t), config); err != nil {
		t.Fatal(err)
	}
	r := c2d.Removal{Device: "dev-1", AloneSince: time.Now()}
	for i := range 5 {
		r.Sequences = append(r.Sequences, publish(t, b, "dev-1", fmt.Sprint(i)))
	}
	if err := b.C2D().Bulk.RemoveAll(testContext(t), r); err != nil {
		t.Fatal(err)
	}
	if m, err := b.C2D().Store.Next(testContext(t), "dev-1", 0); err != nil || m.Sequence != 0 {
		t.Errorf("message %d is left, %v", m.Sequence, err)
	}
	if err := b.C2D().Store.(*C2DStore).command(testContext(t), "STREAM.NONE", nil); err == nil || err == nats.ErrTimeout { //nolint:errorlint // that one
		t.Errorf("a command that there is not: %v", err)
	}
}

// A NATS server that was away may have given the numbers of messages to others:
// what was known before is not used to remove several by one request.
func TestC2DRemoveAfterReconnect(t *testing.T) {
	t.Parallel()
	b, _ := withDevice(t)
	before := time.Now()
	last := uint64(0)
	for range 5 {
		last = publish(t, b, "dev-1", "x")
	}
	if err := b.nc.ForceReconnect(); err != nil {
		t.Fatal(err)
	}
	until(t, "a reconnect", func() bool { return b.nc.Stats().Reconnects > 0 && b.nc.IsConnected() })
	store := b.C2D().Store.(*C2DStore)
	r := c2d.Removal{Device: "dev-1", Sequences: []uint64{last - 3, last - 2, last - 1, last}, AloneSince: before}
	if err := store.RemoveAll(testContext(t), r); err != nil {
		t.Fatal(err)
	}
	if m, err := store.Next(testContext(t), "dev-1", 0); err != nil || m.Sequence != last-4 {
		t.Errorf("message %d is first, %v, want %d", m.Sequence, err, last-4)
	}
	r.AloneSince = time.Now()
	if err := store.RemoveAll(testContext(t), r); err != nil {
		t.Fatal(err)
	}
	if m, err := store.Next(testContext(t), "dev-1", 0); err != nil || m.Sequence != 0 {
		t.Errorf("message %d is left, %v", m.Sequence, err)
	}
}
