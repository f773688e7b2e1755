package backend

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/c2d"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
)

// withDevice opens a backbone whose registry has the device dev-1.
func withDevice(t *testing.T) (*Backbone, identity.Record) {
	t.Helper()
	b := open(t, serve(t, "", 0), Config{})
	r, err := (&identity.Registry{Store: b.Devices()}).Create(testContext(t), identity.Record{ID: device(1)})
	if err != nil {
		t.Fatal(err)
	}
	return b, r
}

// publish does what any NATS client may do.
func publish(t *testing.T, b *Backbone, device, body string, headers ...string) uint64 {
	t.Helper()
	m := nats.NewMsg(b.names.C2D(device))
	m.Data = []byte(body)
	for i := 0; i < len(headers); i += 2 {
		m.Header.Set(headers[i], headers[i+1])
	}
	ack, err := b.js.PublishMsg(testContext(t), m)
	if err != nil {
		t.Fatalf("publish: %v", err)
	}
	return ack.Sequence
}

// outcomesOf reads feedback or dead letters.
func outcomesOf(t *testing.T, b *Backbone, stream string) []*jetstream.RawStreamMsg {
	t.Helper()
	s, err := b.js.Stream(testContext(t), stream)
	if err != nil {
		t.Fatal(err)
	}
	var all []*jetstream.RawStreamMsg
	for n := uint64(1); ; n++ {
		m, err := s.GetMsg(testContext(t), n)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
}

func TestC2DDelivery(t *testing.T) {
	t.Parallel()
	b, r := withDevice(t)
	publish(t, b, "dev-1", "a", "iothub-ack", "full", "message-id", "m1")
	var mu sync.Mutex
	var got []string
	box := b.C2D().Open(c2d.Owner{Device: "dev-1", Generation: r.GenerationID, Epoch: 7}, func(d c2d.Delivery) (uint16, error) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, string(d.Payload))
		return uint16(len(got)), nil
	})
	count := func(n int) func() bool {
		return func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(got) == n
		}
	}
	box.Start()
	until(t, "the queued message", count(1))
	if err := b.nc.Publish(b.names.C2D("dev-1"), []byte("b")); err != nil { // as nats pub does
		t.Fatal(err)
	}
	until(t, "the message that wakes the mailbox", count(2))
	box.Acked(1)
	box.Acked(2)
	store := b.C2D().Store
	until(t, "an empty queue", func() bool {
		m, err := store.Next(testContext(t), "dev-1", 0)
		return err == nil && m.Sequence == 0
	})
	feedback := outcomesOf(t, b, b.names.FeedbackStream())
	var f c2d.Feedback
	if len(feedback) != 1 || json.Unmarshal(feedback[0].Data, &f) != nil || feedback[0].Subject != "hub.feedback.dev-1" {
		t.Fatalf("feedback %v", feedback)
	}
	if f.OriginalMessageID != "m1" || f.Status != c2d.Success || f.Device != "dev-1" || f.Generation != r.GenerationID || f.Time.IsZero() {
		t.Errorf("feedback %s", feedback[0].Data)
	}
	box.Close()
	names := []string{}
	consumers := must(b.js.Stream(testContext(t), b.names.C2DStream())).ListConsumers(testContext(t))
	for c := range consumers.Info() {
		names = append(names, c.Name)
	}
	if len(names) > 0 {
		t.Errorf("stream has consumers %v", names)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestC2DQueueIsBounded(t *testing.T) {
	t.Parallel()
	b, _ := withDevice(t)
	for i := range c2d.MaxDepth {
		publish(t, b, "dev-1", strconv.Itoa(i))
	}
	_, err := b.js.Publish(testContext(t), b.names.C2D("dev-1"), nil)
	if e, ok := errors.AsType[*jetstream.APIError](err); !ok || e.ErrorCode != 10077 || !strings.Contains(e.Description, "per subject") {
		t.Errorf("the message beyond the depth: %v", err)
	}
	if n, err := b.C2D().Purge(testContext(t), "dev-1"); n != c2d.MaxDepth || err != nil {
		t.Errorf("Purge = %d, %v", n, err)
	}
	publish(t, b, "dev-1", "there is room again")
	if _, err := b.C2D().Purge(testContext(t), "nobody"); hub.CodeOf(err) != hub.DeviceNotFound {
		t.Errorf("Purge = %v, want DeviceNotFound", err)
	}
}

// What nobody can deliver becomes a dead letter at once, whoever published it.
func TestC2DRefusals(t *testing.T) {
	t.Parallel()
	b, _ := withDevice(t)
	large := strings.Repeat("x", c2d.MaxSize+1)
	publish(t, b, "dev-1", large, "iothub-ack", "negative", "message-id", "large")
	publish(t, b, "dev-1", "x", "iothub-ack", "perhaps", "iothub-app-p", "50%25")
	publish(t, b, "dev-1", "x", "absolute-expiry-time", "tomorrow")
	publish(t, b, "nobody", "x", "iothub-ack", "full", "message-id", "lost")
	if err := b.nc.Publish("hub.c2d.a=b", []byte("x")); err != nil {
		t.Fatal(err)
	}
	good := publish(t, b, "dev-1", "good")
	var dead []*jetstream.RawStreamMsg
	until(t, "five dead letters", func() bool {
		dead = outcomesOf(t, b, b.names.DeadLetterStream())
		return len(dead) == 5
	})
	var subjects []string
	for _, m := range dead {
		subjects = append(subjects, m.Subject)
		if m.Header.Get(subject.DeadLetterStatus) != "Rejected" || m.Header.Get(subject.DeadLetterDescription) == "" || m.Header.Get(subject.DeadLetterSequence) == "" {
			t.Errorf("dead letter on %s has the headers %v", m.Subject, m.Header)
		}
	}
	slices.Sort(subjects)
	want := []string{"hub.deadletter.a=3Db", "hub.deadletter.dev-1", "hub.deadletter.dev-1", "hub.deadletter.dev-1", "hub.deadletter.nobody"}
	if !slices.Equal(subjects, want) {
		t.Errorf("dead letters on %q, want %q", subjects, want)
	}
	if n := len(outcomesOf(t, b, b.names.FeedbackStream())); n != 2 {
		t.Errorf("%d feedbacks, want 2", n)
	}
	until(t, "only the good one left", func() bool {
		return must(b.js.Stream(testContext(t), b.names.C2DStream())).CachedInfo().State.Msgs == 1
	})
	if m, err := b.C2D().Store.Next(testContext(t), "dev-1", 0); err != nil || m.Sequence != good {
		t.Errorf("Next = %d, %v, want %d", m.Sequence, err, good)
	}
}

// The sweep tells the senders of what has expired while the device was away,
// and one node does it.
func TestC2DSweep(t *testing.T) {
	t.Parallel()
	b, r := withDevice(t)
	past := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	publish(t, b, "dev-1", "old", "absolute-expiry-time", past, "iothub-ack", "negative", "message-id", "m1")
	publish(t, b, "dev-1", "silent", "absolute-expiry-time", past)
	publish(t, b, "dev-1", "young")
	w := &c2dKeeper{backbone: b, store: b.C2D().Store.(*C2DStore), queues: b.C2D()}
	now := time.Now()
	if err := w.sweep(testContext(t), now); err != nil {
		t.Fatal(err)
	}
	feedback, dead := outcomesOf(t, b, b.names.FeedbackStream()), outcomesOf(t, b, b.names.DeadLetterStream())
	var f c2d.Feedback
	if len(feedback) != 1 || json.Unmarshal(feedback[0].Data, &f) != nil || f.Status != c2d.Expired || f.Generation != r.GenerationID || len(dead) != 2 {
		t.Fatalf("feedback %v, dead letters %v", feedback, dead)
	}
	publish(t, b, "dev-1", "late", "absolute-expiry-time", past)
	if err := w.sweep(testContext(t), now.Add(time.Second)); err != nil { // another node has just done it
		t.Fatal(err)
	}
	if n := len(outcomesOf(t, b, b.names.DeadLetterStream())); n != 2 {
		t.Errorf("a second node has swept: %d dead letters", n)
	}
	if err := w.sweep(testContext(t), now.Add(2*sweepEvery)); err != nil {
		t.Fatal(err)
	}
	if n := len(outcomesOf(t, b, b.names.DeadLetterStream())); n != 3 {
		t.Errorf("the next sweep has not swept: %d dead letters", n)
	}
}

func TestC2DState(t *testing.T) {
	t.Parallel()
	b, _ := withDevice(t)
	store, ctx := b.C2D().Store, testContext(t)
	s, err := store.Load(ctx, "a.b")
	if err != nil || s.Revision != 0 {
		t.Fatalf("Load = %+v, %v", s, err)
	}
	s.Epoch, s.Failures, s.Settled = 3, map[uint64]int{9: 2}, map[uint64]c2d.Status{8: c2d.Success}
	if err := store.Save(ctx, "a.b", s); err != nil {
		t.Fatal(err)
	}
	if err := store.Save(ctx, "a.b", s); hub.CodeOf(err) != hub.PreconditionFailed {
		t.Errorf("Save of a stale state = %v", err)
	}
	got, err := store.Load(ctx, "a.b")
	if err != nil || got.Epoch != 3 || got.Failures[9] != 2 || got.Settled[8] != c2d.Success || got.Revision == 0 {
		t.Errorf("Load = %+v, %v", got, err)
	}
	if err := store.Remove(ctx, 12345); err != nil {
		t.Errorf("Remove of nothing = %v", err)
	}
}

// A feedback or a dead letter that is stored again is there once.
func TestC2DOutcomesOnce(t *testing.T) {
	t.Parallel()
	b, _ := withDevice(t)
	out := b.C2D().Outcomes
	for range 2 {
		if err := out.Report(testContext(t), c2d.Feedback{Device: "dev-1", Sequence: 4, Status: c2d.Success}); err != nil {
			t.Fatal(err)
		}
		d := c2d.DeadLetter{Message: c2d.Message{Device: "dev-1", Sequence: 4, Body: make([]byte, 2<<20)}, Status: c2d.Rejected, Description: "a\r\nb"}
		if err := out.Bury(testContext(t), d); err != nil {
			t.Fatal(err)
		}
	}
	dead := outcomesOf(t, b, b.names.DeadLetterStream())
	if n := len(outcomesOf(t, b, b.names.FeedbackStream())); n != 1 || len(dead) != 1 {
		t.Fatalf("%d feedbacks, %d dead letters", n, len(dead))
	}
	if cut, _ := strconv.Atoi(dead[0].Header.Get(subject.DeadLetterTruncated)); cut == 0 || cut+len(dead[0].Data) != 2<<20 {
		t.Errorf("%d bytes are left, %d are missing", len(dead[0].Data), cut)
	}
}

func TestC2DPurgeService(t *testing.T) {
	t.Parallel()
	b, r := withDevice(t)
	s, err := b.ServeC2D()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop() })
	publish(t, b, "dev-1", "x")
	answer := must(b.nc.RequestWithContext(testContext(t), "hub.c2d.purge.dev-1", nil))
	if string(answer.Data) != `{"deviceId":"dev-1","totalMessagesPurged":1}` {
		t.Errorf("answer %s", answer.Data)
	}
	answer = must(b.nc.RequestWithContext(testContext(t), "hub.c2d.purge.nobody", nil))
	if got := answer.Header.Get("Nats-Service-Error-Code"); got != "404001" {
		t.Errorf("error code %q", got)
	}
	publish(t, b, "dev-1", "x")
	if err := (&identity.Registry{Store: b.Devices()}).Delete(context.WithoutCancel(testContext(t)), r.ID, "*"); err != nil {
		t.Fatal(err)
	}
	if m, err := b.C2D().Store.Next(testContext(t), "dev-1", 0); err != nil || m.Sequence != 0 {
		t.Errorf("the queue of a deleted device has message %d, %v", m.Sequence, err)
	}
}
