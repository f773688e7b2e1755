package backend

import (
	"errors"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// pullOf makes a stream with some messages, and reads it.
func pullOf(t *testing.T, messages int) (*pull, jetstream.Stream, jetstream.Consumer) {
	t.Helper()
	ctx := testContext(t)
	js := open(t, serve(t, "", 0), Config{}).JetStream()
	s, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "PULLED", Subjects: []string{"pulled"}})
	if err != nil {
		t.Fatal(err)
	}
	for range messages {
		if _, err := js.PublishAsync("pulled", nil); err != nil {
			t.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
	c, err := s.CreateConsumer(ctx, jetstream.ConsumerConfig{AckPolicy: jetstream.AckNonePolicy})
	if err != nil {
		t.Fatal(err)
	}
	p, err := newPull(js, c.CachedInfo())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.stop)
	return p, s, c
}

// counts reads batches until all messages have come.
func counts(t *testing.T, p *pull, messages int) (batches []int) {
	t.Helper()
	for all := 0; all < messages; {
		n := 0
		if err := p.batch(testContext(t), func(*nats.Msg) error { n++; return nil }); err != nil {
			t.Fatal(err)
		}
		batches = append(batches, n)
		all += n
	}
	return batches
}

func TestPullTakesWhatIsThere(t *testing.T) {
	t.Parallel()
	const messages = 2*pullMessages + 10
	p, _, _ := pullOf(t, messages)
	if got := counts(t, p, messages); len(got) != 3 || got[0] != pullMessages || got[2] != 10 {
		t.Errorf("the batches have %v messages", got)
	}
}

// Who waits hears of what comes, and of the end of the consumer.
func TestPullWaits(t *testing.T) {
	t.Parallel()
	p, s, c := pullOf(t, 0)
	ctx := testContext(t)
	got := make(chan string)
	read := func() {
		said := ""
		err := p.batch(ctx, func(m *nats.Msg) error { said = string(m.Data); return nil })
		if err != nil {
			said = err.Error()
		}
		got <- said
	}
	asked := func() {
		until(t, "it waits", func() bool {
			info, err := c.Info(ctx)
			return err == nil && info.NumWaiting == 1
		})
	}
	go read()
	asked()
	if err := p.nc.Publish("pulled", []byte("late")); err != nil {
		t.Fatal(err)
	}
	if said := <-got; said != "late" {
		t.Errorf("it has read %q", said)
	}
	go read()
	asked()
	if err := s.DeleteConsumer(ctx, c.CachedInfo().Name); err != nil {
		t.Fatal(err)
	}
	if said := <-got; !strings.Contains(said, "Consumer Deleted") {
		t.Errorf("it has read %q", said)
	}
	if err := p.batch(ctx, func(*nats.Msg) error { return nil }); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("without the consumer: %v", err)
	}
}

// Of a key that was written several times in one batch, the last is told.
func TestFeedTellsTheLast(t *testing.T) {
	t.Parallel()
	var told []string
	f := &feed{visit: func(w written) { told = append(told, w.key+string(w.value)) }}
	r := reading{feed: f, done: true, latest: map[string]int{}}
	for i, w := range []written{{key: "a", value: []byte("1")}, {key: "b", value: []byte("1")}, {key: "a", gone: true}, {key: "a", value: []byte("3")}} {
		w.revision = uint64(i + 7)
		r.latest[w.key] = len(r.batch)
		r.batch = append(r.batch, w)
	}
	if err := r.visit(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(told, " "); got != "b1 a3" || f.position() != 10 {
		t.Errorf("told %s, and is at %d", got, f.position())
	}
}

// A write that comes while a feed begins is waited for; one to a bucket that is no
// more is not.
func TestFeedKnowsWhatWasWritten(t *testing.T) {
	t.Parallel()
	f := &feed{bucket: &bucket{}, begin: func() {}}
	f.bucket.wrote(9)
	if f.restart(4, 5); f.bucket.written.Load() != 9 {
		t.Errorf("revision 9 came after 5 was the last, and %d is waited for", f.bucket.written.Load())
	}
	if f.restart(9, 5); f.bucket.written.Load() != 5 {
		t.Errorf("5 is the last of another bucket, and %d is waited for", f.bucket.written.Load())
	}
}
