package backend

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/c2d"
	"github.com/hubgate/hubgate/hub"
)

// reports stores count records of feedback, numbered from first.
func reports(t *testing.T, b *Backbone, first, count int) {
	t.Helper()
	for i := first; i < first+count; i++ {
		body := fmt.Sprintf(`{"originalMessageId":"m%d","description":"Success","statusCode":"Success","deviceId":"dev-1","deviceGenerationId":"1","enqueuedTimeUtc":"2026-11-21T08:00:00Z"}`, i)
		if _, err := b.js.Publish(testContext(t), b.names.Feedback("dev-1"), []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
}

func take(t *testing.T, q *FeedbackQueue) c2d.Batch {
	t.Helper()
	batch, err := q.Take(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	if (len(batch.Records) == 0) != (batch.Token == "") {
		t.Fatalf("%d records and the token %q", len(batch.Records), batch.Token)
	}
	return batch
}

// takeSome takes until something comes: what was just stored, the server's
// consumer may not know yet.
func takeSome(t *testing.T, q *FeedbackQueue) c2d.Batch {
	t.Helper()
	for ctx := testContext(t); ; {
		if batch := take(t, q); len(batch.Records) > 0 {
			return batch
		}
		if !wait(ctx, 10*time.Millisecond) {
			t.Fatal("nothing came")
		}
	}
}

// wantLeft compares with what the consumer has not been told of.
func wantLeft(t *testing.T, b *Backbone, locked int, waiting uint64) {
	t.Helper()
	c, err := b.js.Consumer(testContext(t), b.names.FeedbackStream(), b.names.FeedbackConsumer())
	if err != nil {
		t.Fatal(err)
	}
	if i := c.CachedInfo(); i.NumAckPending != locked || i.NumPending != waiting {
		t.Errorf("%d are locked and %d wait, want %d and %d", i.NumAckPending, i.NumPending, locked, waiting)
	}
}

// untilPending waits until the consumer knows of what is stored.
func untilPending(t *testing.T, b *Backbone, count uint64) {
	t.Helper()
	until(t, "the consumer knows of all", func() bool {
		c, err := b.js.Consumer(testContext(t), b.names.FeedbackStream(), b.names.FeedbackConsumer())
		if err != nil {
			t.Fatal(err)
		}
		return c.CachedInfo().NumPending == count
	})
}

func TestFeedbackBatches(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	b, other := open(t, s, Config{}), open(t, s, Config{})
	if got := take(t, b.Feedback()); len(got.Records) > 0 {
		t.Fatalf("there is %v already", got)
	}
	reports(t, b, 0, 70)
	untilPending(t, b, 70)
	first, second := takeSome(t, b.Feedback()), takeSome(t, other.Feedback())
	if len(first.Records) != c2d.MaxBatch || len(second.Records) != 6 || first.Records[0].OriginalMessageID != "m0" || second.Records[0].OriginalMessageID != "m64" {
		t.Fatalf("got batches of %d and %d", len(first.Records), len(second.Records))
	}
	if got := take(t, b.Feedback()); len(got.Records) > 0 {
		t.Fatalf("what is locked came to another reader: %v", got.Records)
	}
	wantLeft(t, b, 70, 0)
	if err := other.Feedback().Complete(testContext(t), first.Token); err != nil { // on another node
		t.Fatal(err)
	}
	wantLeft(t, b, 6, 0)
	if err := b.Feedback().Abandon(testContext(t), second.Token); err != nil {
		t.Fatal(err)
	}
	again := takeSome(t, b.Feedback())
	if len(again.Records) != 6 || again.Token == second.Token {
		t.Fatalf("after it was abandoned there came %d", len(again.Records))
	}
	for name, settle := range map[string]func(context.Context, string) error{"complete": b.Feedback().Complete, "abandon": other.Feedback().Abandon} {
		for _, token := range []string{first.Token, second.Token, "", "x", "ff000000-0000-0000-0000-000000000000", "00000000-0000-0000-0000-000000000000", again.Token[:35] + "x"} {
			if err := settle(testContext(t), token); hub.CodeOf(err) != hub.LockLost {
				t.Errorf("%s %q: got %v, want LockLost", name, token, err)
			}
		}
	}
	if err := b.Feedback().Complete(testContext(t), again.Token); err != nil {
		t.Fatal(err)
	}
	wantLeft(t, b, 0, 0)
}

// A lock can be settled by a node that is started later, and not when its time
// is over.
func TestFeedbackLockSurvives(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	b := open(t, s, Config{})
	reports(t, b, 0, 2)
	batch := takeSome(t, b.Feedback())
	shut(b)
	later := open(t, s, Config{})
	q := later.Feedback()
	q.now = func() time.Time { return time.Now().Add(feedbackLock + time.Second) }
	for _, settle := range []func(context.Context, string) error{q.Complete, q.Abandon} {
		if err := settle(testContext(t), batch.Token); hub.CodeOf(err) != hub.LockLost {
			t.Errorf("got %v after the time of the lock, want LockLost", err)
		}
	}
	q.now = time.Now
	if err := q.Complete(testContext(t), batch.Token); err != nil {
		t.Error(err)
	}
	wantLeft(t, later, 0, 0)
}

// What the reader of a node that is gone has had comes again.
func TestFeedbackOfTheDead(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	b := open(t, s, Config{})
	reports(t, b, 0, 3)
	takeSome(t, b.Feedback())
	shut(b)
	other := open(t, s, Config{})
	c, err := other.js.Consumer(testContext(t), other.names.FeedbackStream(), other.names.FeedbackConsumer())
	if err != nil {
		t.Fatal(err)
	}
	cfg := c.CachedInfo().Config
	if cfg.AckWait != feedbackLock+lockGrace || cfg.MaxDeliver != -1 || cfg.AckPolicy != jetstream.AckExplicitPolicy {
		t.Errorf("the consumer is %+v", cfg)
	}
	cfg.AckWait = 100 * time.Millisecond // of this test: nobody waits a minute
	if _, err := other.js.UpdateConsumer(testContext(t), other.names.FeedbackStream(), cfg); err != nil {
		t.Fatal(err)
	}
	for came := 0; came < 3; {
		came += len(takeSome(t, other.Feedback()).Records)
	}
}

// Anybody may publish to the subjects of feedback. What is none is passed over,
// for good.
func TestFeedbackThatIsNone(t *testing.T) {
	t.Parallel()
	b := open(t, serve(t, "", 0), Config{})
	for _, body := range []string{``, `x`, `[]`, `{"enqueuedTimeUtc":"never"}`, `{"enqueuedTimeUtc":"9999-12-31T23:00:00-02:00"}`, `{"enqueuedTimeUtc":"0000-01-01T01:00:00+02:00"}`, `{"description":"` + string(make([]byte, maxRecord)) + `"}`} {
		if _, err := b.js.Publish(testContext(t), b.names.Feedback("dev-1"), []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	reports(t, b, 0, 1)
	batch := takeSome(t, b.Feedback())
	if len(batch.Records) != 1 || batch.Records[0].OriginalMessageID != "m0" {
		t.Errorf("got %+v", batch)
	}
	wantLeft(t, b, 1, 0)
}

// A batch of nothing but that does not say that there is no feedback.
func TestFeedbackBehindWhatIsNone(t *testing.T) {
	t.Parallel()
	b := open(t, serve(t, "", 0), Config{})
	take(t, b.Feedback()) // makes the consumer
	for range 2 * c2d.MaxBatch {
		if _, err := b.js.Publish(testContext(t), b.names.Feedback("dev-1"), []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	reports(t, b, 0, 1)
	untilPending(t, b, 2*c2d.MaxBatch+1)
	if batch := take(t, b.Feedback()); len(batch.Records) != 1 || batch.Records[0].OriginalMessageID != "m0" {
		t.Errorf("got %+v", batch)
	}
	wantLeft(t, b, 1, 0)
}

// There are only so many locks; a value that is damaged is none.
func TestFeedbackPlaces(t *testing.T) {
	t.Parallel()
	b := open(t, serve(t, "", 0), Config{})
	q := b.Feedback()
	tokens := map[string]bool{}
	for i := range lockPlaces {
		reports(t, b, i, 1)
		tokens[takeSome(t, q).Token] = true
	}
	reports(t, b, lockPlaces, 1)
	if _, err := q.Take(testContext(t)); hub.CodeOf(err) != hub.Throttled || len(tokens) != lockPlaces {
		t.Errorf("after %d locks: got %v, want Throttled", len(tokens), err)
	}
	wantLeft(t, b, lockPlaces, 1)
	rev, err := q.states.kv.Put(testContext(t), placeKey(7), []byte("damaged"))
	if err != nil {
		t.Fatal(err)
	}
	if batch := takeSome(t, q); batch.Records[0].OriginalMessageID != fmt.Sprint("m", lockPlaces) || batch.Token[:2] != "07" {
		t.Errorf("got %+v at revision %d", batch, rev)
	}
	info, err := b.js.Stream(testContext(t), "KV_"+b.names.C2DBucket())
	if err != nil || info.CachedInfo().State.Msgs > lockPlaces {
		t.Errorf("the bucket has %d values, %v", info.CachedInfo().State.Msgs, err)
	}
}

// TestFeedbackReaders has readers on two nodes complete and abandon, at the same
// time, the same batch even: every record is completed once.
func TestFeedbackReaders(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	nodes := []*Backbone{open(t, s, Config{}), open(t, s, Config{})}
	const records = 600
	reports(t, nodes[0], 0, records)
	var mu sync.Mutex
	completed := map[string]int{}
	done := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(completed) == records
	}
	read := func(q *FeedbackQueue) error {
		batch, err := q.Take(testContext(t))
		if err != nil || len(batch.Records) == 0 {
			return err
		}
		var wg sync.WaitGroup
		verdicts := make([]error, 2)
		settles := []func(context.Context, string) error{nodes[0].Feedback().Complete, nodes[1].Feedback().Abandon}
		isOne := rand.IntN(4) > 0 // else both verdicts at once
		if isOne {
			settles[1] = nodes[1].Feedback().Complete
		}
		for i, settle := range settles {
			wg.Go(func() { verdicts[i] = settle(testContext(t), batch.Token) })
		}
		wg.Wait()
		for _, err := range verdicts {
			if err != nil && hub.CodeOf(err) != hub.LockLost {
				return err
			}
		}
		mu.Lock()
		defer mu.Unlock()
		if (verdicts[0] == nil) == (verdicts[1] == nil) && !isOne {
			return fmt.Errorf("both verdicts ended with %w", errors.Join(verdicts...))
		}
		if verdicts[0] == nil || isOne && verdicts[1] == nil {
			for _, r := range batch.Records {
				completed[r.OriginalMessageID]++
			}
		}
		return nil
	}
	var wg sync.WaitGroup
	failed := make([]error, 6)
	for i := range failed {
		wg.Go(func() {
			for !done() && failed[i] == nil {
				failed[i] = read(nodes[i%2].Feedback())
			}
		})
	}
	wg.Wait()
	if err := errors.Join(failed...); err != nil {
		t.Fatal(err)
	}
	for id, n := range completed {
		if n != 1 {
			t.Errorf("%s was completed %d times", id, n)
		}
	}
	wantLeft(t, nodes[0], 0, 0)
}
