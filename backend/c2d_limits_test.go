package backend

import (
	"bytes"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/c2d"
	"github.com/hubgate/hubgate/identity"
)

// queueConfig is what the stream of the queues is like.
func queueConfig(t *testing.T, b *Backbone) jetstream.StreamConfig {
	t.Helper()
	s, err := b.js.Stream(testContext(t), b.names.C2DStream())
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().Config
}

// The depth is changed at the start, unless nobody asks for one; then it is what
// an operator has made of it.
func TestC2DDepth(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	var log bytes.Buffer
	for i, tt := range []struct{ asked, want int }{
		{0, 50}, {3, 3}, {0, 3}, {5, 5}, {4, 4}, {0, 4},
	} {
		b := open(t, s, Config{C2D: c2d.Limits{Depth: tt.asked}})
		if got := queueConfig(t, b).MaxMsgsPerSubject; got != int64(tt.want) {
			t.Errorf("start %d with the depth %d: got %d, want %d", i, tt.asked, got, tt.want)
		}
		shut(b)
	}
	b := open(t, s, Config{})
	if _, err := (&identity.Registry{Store: b.Devices()}).Create(testContext(t), identity.Record{ID: device(1)}); err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		publish(t, b, "dev-1", strconv.Itoa(i))
	}
	if _, err := b.js.Publish(testContext(t), b.names.C2D("dev-1"), nil); err == nil {
		t.Error("a message beyond the depth")
	}
	shut(b)
	b = open(t, s, Config{C2D: c2d.Limits{Depth: 2}, Log: zerolog.New(&log)})
	if got := queueConfig(t, b); got.MaxMsgsPerSubject != 4 || !hasAll(log.String(), "c2d.queue_depth", `"messages":4`) {
		t.Errorf("the depth is %d; logged %s", got.MaxMsgsPerSubject, log.String())
	}
	if n, err := b.C2D().Purge(testContext(t), "dev-1"); n != 4 || err != nil {
		t.Errorf("Purge = %d, %v: messages were thrown away", n, err)
	}
	shut(b)
	b = open(t, s, Config{C2D: c2d.Limits{Depth: 2}})
	if got := queueConfig(t, b).MaxMsgsPerSubject; got != 2 {
		t.Errorf("the depth is %d when there is nothing to lose", got)
	}
}

// The stream tells the limits to senders, and a start changes them.
func TestC2DLimits(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	b := open(t, s, Config{})
	if got := c2d.ParseMetadata(queueConfig(t, b).Metadata); got.Size != c2d.MaxSize || got.DefaultTTL != c2d.DefaultTTL || got.MaxTTL != c2d.MaxTTL {
		t.Errorf("the stream says %+v", got)
	}
	shut(b)
	limits := c2d.Limits{Size: 10, DefaultTTL: time.Minute, MaxTTL: 10 * 24 * time.Hour}
	b = open(t, s, Config{C2D: limits})
	if got := c2d.ParseMetadata(queueConfig(t, b).Metadata); got != limits {
		t.Errorf("the stream says %+v", got)
	}
	states, err := b.js.Stream(testContext(t), "KV_"+b.names.C2DBucket())
	if err != nil || states.CachedInfo().Config.MaxAge <= limits.MaxTTL {
		t.Errorf("the state of a device may go before its messages: %v", err)
	}
	if _, err := (&identity.Registry{Store: b.Devices()}).Create(testContext(t), identity.Record{ID: device(1)}); err != nil {
		t.Fatal(err)
	}
	publish(t, b, "dev-1", "12345678901")
	until(t, "a dead letter", func() bool { return len(outcomesOf(t, b, b.names.DeadLetterStream())) == 1 })
	if d := outcomesOf(t, b, b.names.DeadLetterStream())[0]; !hasAll(d.Header.Get(subject.DeadLetterDescription), "11 bytes", "10") {
		t.Errorf("the dead letter says %q", d.Header.Get(subject.DeadLetterDescription))
	}
	expiry := time.Now().Add(5 * 24 * time.Hour).UTC().Format(time.RFC3339)
	n := publish(t, b, "dev-1", "1234567890", "absolute-expiry-time", expiry)
	m, err := b.C2D().Store.Next(testContext(t), "dev-1", 0)
	if err != nil || m.Sequence != n {
		t.Fatalf("Next = %+v, %v", m, err)
	}
	if settled, err := b.C2D().Inspect(testContext(t), m); settled || err != nil {
		t.Errorf("Inspect = %v, %v of a message within the limits", settled, err)
	}
}
