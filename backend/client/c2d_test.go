package client_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/hubgate/hubgate/backend"
	"github.com/hubgate/hubgate/backend/client"
	"github.com/hubgate/hubgate/c2d"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
)

// mailHub runs a hub with the devices dev1 and a.b and the service of
// cloud-to-device messages.
func mailHub(t *testing.T) (*backend.Backbone, *client.Client) {
	t.Helper()
	b, c := hubAndClient(t)
	if _, err := b.ServeC2D(); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"dev1", "a.b"} {
		if _, err := c.Registry().Create(testContext(t), identity.Record{ID: hub.Identity{Device: id}}); err != nil {
			t.Fatal(err)
		}
	}
	return b, c
}

// queued are the bodies that wait for a device.
func queued(t *testing.T, c *client.Client, device string) []string {
	t.Helper()
	var all []string
	for m, err := range c.C2D().Queue(testContext(t), device) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(m.Body))
	}
	return all
}

// eventually waits for what a gateway does in the background.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	within(t, patience, what, ok)
}

func within(t *testing.T, longest time.Duration, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(longest)
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("gave up waiting: %s", what)
		}
	}
}

func TestSendAndQueue(t *testing.T) {
	t.Parallel()
	_, c := mailHub(t)
	ctx, s := testContext(t), c.C2D()
	expires := time.Now().Add(2 * time.Hour).UTC().Truncate(time.Second)
	sent, err := s.Send(ctx, c2d.Message{
		Device: "a.b", MessageID: " m\r\n", CorrelationID: "50%", UserID: "ü", ContentType: "text/plain", ContentEncoding: "utf-8",
		Created: expires, Expires: expires, Ack: c2d.AckFull, Body: []byte("one"), Properties: map[string]string{"k ey": "v\x00", "empty": ""},
	})
	if err != nil || sent.Sequence == 0 {
		t.Fatalf("Send = %+v, %v", sent, err)
	}
	second, err := s.Send(ctx, c2d.Message{Device: "a.b"})
	if err != nil || len(second.MessageID) != 32 || second.Sequence <= sent.Sequence {
		t.Errorf("Send = %+v, %v", second, err)
	}
	var all []c2d.Message
	for m, err := range s.Queue(ctx, "a.b") {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	if len(all) != 2 || all[1].MessageID != second.MessageID || len(all[1].Body) != 0 {
		t.Fatalf("the queue is %+v", all)
	}
	got := all[0]
	if got.Device != "a.b" || got.MessageID != " m\r\n" || got.CorrelationID != "50%" || got.UserID != "ü" || got.Ack != c2d.AckFull ||
		got.ContentType != "text/plain" || got.ContentEncoding != "utf-8" || !got.Created.Equal(expires) || !got.Expires.Equal(expires) ||
		string(got.Body) != "one" || got.Properties["k ey"] != "v\x00" || got.Sequence != sent.Sequence || time.Since(got.Enqueued) > time.Minute {
		t.Errorf("got %+v", got)
	}
	if _, there := got.Properties["empty"]; !there || len(got.Properties) != 2 {
		t.Errorf("properties %q", got.Properties)
	}
	if all := queued(t, c, "dev1"); len(all) > 0 {
		t.Errorf("another queue has %q", all)
	}
	for range s.Queue(ctx, "a.b") {
		break // is allowed
	}
}

// manyProperties are short, so that the headers that they make are much longer.
func manyProperties(count int) map[string]string {
	all := map[string]string{}
	for i := range count {
		all[fmt.Sprint("p", i)] = "1"
	}
	return all
}

func TestSendRefuses(t *testing.T) {
	t.Parallel()
	_, c := mailHub(t)
	ctx, s := testContext(t), c.C2D()
	for name, tt := range map[string]struct {
		m    c2d.Message
		code hub.Code
	}{
		"no id":        {c2d.Message{Device: "a b"}, hub.ArgumentInvalid},
		"no device":    {c2d.Message{Device: ""}, hub.ArgumentInvalid},
		"an ack word":  {c2d.Message{Device: "dev1", Ack: "FULL"}, hub.ArgumentInvalid},
		"too large":    {c2d.Message{Device: "dev1", Body: make([]byte, c2d.MaxSize+1)}, hub.MessageTooLarge},
		"too long":     {c2d.Message{Device: "dev1", Expires: time.Now().Add(49 * time.Hour)}, hub.InvalidExpiry},
		"no UTF-8":     {c2d.Message{Device: "dev1", Properties: map[string]string{"p": "\xff"}}, hub.ArgumentInvalid},
		"IoT Hub's":    {c2d.Message{Device: "dev1", Properties: map[string]string{"$.mid": "x"}}, hub.ArgumentInvalid},
		"a large id":   {c2d.Message{Device: "dev1", MessageID: strings.Repeat("x", 200)}, hub.ArgumentInvalid},
		"a long topic": {c2d.Message{Device: "dev1", Properties: map[string]string{"p": strings.Repeat(" ", 30000)}}, hub.MessageTooLarge},
		"long headers": {c2d.Message{Device: "dev1", Properties: manyProperties(4000)}, hub.MessageTooLarge},
	} {
		if _, err := s.Send(ctx, tt.m); hub.CodeOf(err) != tt.code {
			t.Errorf("%s: Send = %v, want %d", name, err, tt.code)
		}
	}
	if all := queued(t, c, "dev1"); len(all) > 0 {
		t.Errorf("the queue has %q", all)
	}
}

// A message at the limit goes through: it has no room for an id that the sender has
// not given.
func TestSendAtTheLimit(t *testing.T) {
	t.Parallel()
	b, c := mailHub(t)
	ctx, s := testContext(t), c.C2D()
	limits := b.C2D().Limits
	for name, m := range map[string]c2d.Message{
		"of the size":  {Device: "dev1", Body: make([]byte, c2d.MaxSize)},
		"of the topic": {Device: "dev1", Properties: map[string]string{"p": strings.Repeat(" ", (65535-len((&c2d.Message{Device: "dev1"}).Topic()+"&p="))/3)}},
	} {
		sent, err := s.Send(ctx, m)
		if err != nil {
			t.Errorf("%s: Send = %v", name, err)
		}
		for m, err := range s.Queue(ctx, "dev1") {
			if err == nil {
				err = limits.Validate(&m, m.Enqueued)
			}
			if m.MessageID != sent.MessageID || err != nil {
				t.Errorf("%s: the id is %q, and %q was told; %v", name, m.MessageID, sent.MessageID, err)
			}
			if _, err := s.Purge(ctx, "dev1"); err != nil {
				t.Fatal(err)
			}
		}
	}
	for d := range s.DeadLetters(ctx, "") {
		t.Errorf("a dead letter: %s", d.Description)
	}
}

func TestSendToAFullQueue(t *testing.T) {
	t.Parallel()
	_, c := mailHub(t)
	ctx, s := testContext(t), c.C2D()
	for range c2d.MaxDepth {
		if _, err := s.Send(ctx, c2d.Message{Device: "dev1"}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Send(ctx, c2d.Message{Device: "dev1"}); hub.CodeOf(err) != hub.QueueFull || !strings.Contains(err.Error(), "dev1") {
		t.Errorf("Send = %v", err)
	}
	if _, err := s.Send(ctx, c2d.Message{Device: "a.b"}); err != nil {
		t.Errorf("to another device: %v", err)
	}
	if n, err := s.Purge(ctx, "dev1"); n != c2d.MaxDepth || err != nil {
		t.Errorf("Purge = %d, %v", n, err)
	}
	if n, err := s.Purge(ctx, "dev1"); n != 0 || err != nil {
		t.Errorf("Purge of nothing = %d, %v", n, err)
	}
	if _, err := s.Send(ctx, c2d.Message{Device: "dev1"}); err != nil {
		t.Errorf("after the purge: %v", err)
	}
	if _, err := s.Purge(ctx, "nobody"); hub.CodeOf(err) != hub.DeviceNotFound {
		t.Errorf("Purge of nobody = %v", err)
	}
	if _, err := s.Purge(ctx, "a b"); hub.CodeOf(err) != hub.ArgumentInvalid {
		t.Errorf("Purge of no id = %v", err)
	}
}

// A sender learns the limits of the hub; without them it takes IoT Hub's.
func TestC2DLimitsOfAHub(t *testing.T) {
	t.Parallel()
	b, c := mailHub(t)
	ctx := testContext(t)
	stream, err := b.JetStream().Stream(ctx, b.Names().C2DStream())
	if err != nil {
		t.Fatal(err)
	}
	cfg := stream.CachedInfo().Config
	cfg.Metadata = c2d.Limits{Size: 10, DefaultTTL: time.Minute, MaxTTL: 72 * time.Hour}.Metadata()
	if _, err := b.JetStream().UpdateStream(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	s := c.C2D()
	if got := s.Limits(ctx); got.Size != 10 || got.DefaultTTL != time.Minute || got.MaxTTL != 72*time.Hour {
		t.Errorf("Limits = %+v", got)
	}
	if _, err := s.Send(ctx, c2d.Message{Device: "dev1", Body: []byte("12345678901")}); hub.CodeOf(err) != hub.MessageTooLarge {
		t.Errorf("Send = %v", err)
	}
	if _, err := s.Send(ctx, c2d.Message{Device: "dev1", Expires: time.Now().Add(71 * time.Hour)}); err != nil {
		t.Errorf("Send = %v", err)
	}
	if err := b.JetStream().DeleteStream(ctx, b.Names().C2DStream()); err != nil {
		t.Fatal(err)
	}
	other, err := client.New(c.Conn(), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := other.C2D().Limits(ctx); got.MaxSize() != c2d.MaxSize {
		t.Errorf("Limits without a stream = %+v", got)
	}
	if _, err := other.C2D().Send(ctx, c2d.Message{Device: "dev1"}); hub.CodeOf(err) != hub.ServiceUnavailable {
		t.Errorf("Send without a stream = %v", err)
	}
	for _, err := range other.C2D().Queue(ctx, "dev1") {
		if hub.CodeOf(err) != hub.ServiceUnavailable {
			t.Errorf("Queue without a stream = %v", err)
		}
	}
}

// While NATS does not say what the limits are, nobody waits for longer than he wants
// to because another one does.
func TestC2DLimitsAreNotWaitedFor(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(file, []byte(`listen: "127.0.0.1:-1"`), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := client.Connect(client.Options{URL: startServer(t, file).ClientURL()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	asked, err := c.Conn().SubscribeSync("$JS.API.STREAM.INFO." + c.Names().C2DStream()) // and there is no answer
	if err != nil {
		t.Fatal(err)
	}
	first, stop := context.WithCancel(testContext(t))
	defer stop()
	over := make(chan struct{})
	go func() {
		defer close(over)
		c.C2D().Limits(first)
	}()
	if _, err := asked.NextMsgWithContext(testContext(t)); err != nil {
		t.Fatal(err)
	}
	gaveUp, cancel := context.WithCancel(testContext(t))
	cancel()
	if _, err := c.C2D().Send(gaveUp, c2d.Message{Device: "dev1"}); !errors.Is(err, context.Canceled) {
		t.Errorf("Send = %v", err)
	}
	select {
	case <-over:
		t.Error("who had given up has waited for the other one")
	default:
	}
	stop()
	<-over
}

func TestDeadLettersAndRequeue(t *testing.T) {
	t.Parallel()
	b, c := mailHub(t)
	ctx, s := testContext(t), c.C2D()
	if _, err := s.Send(ctx, c2d.Message{Device: "nobody", MessageID: "m1", Body: []byte("lost"), Properties: map[string]string{"p": "1"}}); err != nil {
		t.Fatal(err)
	}
	large := nats.NewMsg("hub.c2d.dev1")
	large.Data = make([]byte, c2d.MaxSize+1)
	if err := c.Conn().PublishMsg(large); err != nil {
		t.Fatal(err)
	}
	letters := func(device string) (all []c2d.DeadLetter) {
		for d, err := range s.DeadLetters(ctx, device) {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, d)
		}
		return all
	}
	eventually(t, "two dead letters", func() bool { return len(letters("")) == 2 })
	all := letters("nobody")
	if len(all) != 1 || len(letters("a.b")) != 0 {
		t.Fatalf("dead letters %+v", all)
	}
	d := all[0]
	if d.Status != c2d.Rejected || !strings.Contains(d.Description, "nobody") || d.Sequence == 0 || d.Message.Device != "nobody" || d.Message.MessageID != "m1" ||
		string(d.Message.Body) != "lost" || d.Message.Properties["p"] != "1" || d.Message.Sequence != 1 || time.Since(d.Message.Enqueued) > time.Minute || time.Since(d.Time) > time.Minute {
		t.Errorf("got %+v", d)
	}
	if _, err := s.Requeue(ctx, d.Sequence+100); hub.CodeOf(err) != hub.NotFound {
		t.Errorf("Requeue of nothing = %v", err)
	}
	if _, err := s.Requeue(ctx, letters("dev1")[0].Sequence); hub.CodeOf(err) != hub.MessageTooLarge || len(letters("dev1")) != 1 {
		t.Errorf("Requeue of what is too large = %v", err)
	}
	if _, err := c.Registry().Create(ctx, identity.Record{ID: hub.Identity{Device: "nobody"}}); err != nil {
		t.Fatal(err)
	}
	m, err := s.Requeue(ctx, d.Sequence)
	if err != nil || m.Device != "nobody" || m.MessageID != "m1" || len(letters("nobody")) != 0 {
		t.Fatalf("Requeue = %+v, %v", m, err)
	}
	if all := queued(t, c, "nobody"); !slices.Equal(all, []string{"lost"}) {
		t.Errorf("the queue has %q", all)
	}
	if _, err := s.Requeue(ctx, d.Sequence); hub.CodeOf(err) != hub.NotFound {
		t.Errorf("Requeue twice = %v", err)
	}
	cut := nats.NewMsg(b.Names().DeadLetter("dev1"))
	cut.Header.Set("Hub-Dead-Letter-Truncated", "5")
	ack, err := b.JetStream().PublishMsg(ctx, cut)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Requeue(ctx, ack.Sequence); hub.CodeOf(err) != hub.MessageTooLarge {
		t.Errorf("Requeue of what is incomplete = %v", err)
	}
}

func TestFeedback(t *testing.T) {
	t.Parallel()
	_, c := mailHub(t)
	ctx, s := testContext(t), c.C2D()
	for _, device := range []string{"dev1", "a.b"} {
		for i := range 3 {
			if _, err := s.Send(ctx, c2d.Message{Device: device, MessageID: fmt.Sprint(device, i), Ack: c2d.AckNegative}); err != nil {
				t.Fatal(err)
			}
		}
		if n, err := s.Purge(ctx, device); n != 3 || err != nil {
			t.Fatalf("Purge = %d, %v", n, err)
		}
	}
	read := func(o client.FeedbackOptions, count int) (ids []string, err error) {
		err = s.Feedback(ctx, o, func(f c2d.Feedback) error {
			if f.Status != c2d.Purged || f.Generation == "" || f.Description == "" || time.Since(f.Time) > time.Minute {
				t.Errorf("feedback %+v", f)
			}
			if ids = append(ids, f.OriginalMessageID); len(ids) == count {
				return client.ErrStop
			}
			return nil
		})
		return ids, err
	}
	if ids, err := read(client.FeedbackOptions{FromStart: true}, 6); err != nil || len(ids) != 6 {
		t.Errorf("Feedback = %q, %v", ids, err)
	}
	if ids, err := read(client.FeedbackOptions{FromStart: true, Device: "a.b"}, 3); err != nil || !slices.Equal(ids, []string{"a.b0", "a.b1", "a.b2"}) {
		t.Errorf("Feedback = %q, %v", ids, err)
	}
	durable := client.FeedbackOptions{FromStart: true, Device: "dev1", Durable: "app"}
	failed := errors.New("the handler fails")
	if err := s.Feedback(ctx, durable, func(c2d.Feedback) error { return failed }); !errors.Is(err, failed) {
		t.Errorf("Feedback = %v", err)
	}
	stopped, stop := context.WithCancel(ctx)
	stop()
	if err := s.Feedback(stopped, client.FeedbackOptions{}, func(c2d.Feedback) error { return nil }); err == nil {
		t.Error("Feedback goes on after its context")
	}
}

// A durable consumer gets again what its handler failed for, and goes on where
// it was.
func TestDurableFeedback(t *testing.T) {
	t.Parallel()
	b, c := mailHub(t)
	ctx := testContext(t)
	for i := range 3 {
		if _, err := b.JetStream().Publish(ctx, b.Names().Feedback("dev1"), fmt.Appendf(nil, `{"originalMessageId":"%d"}`, i)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.JetStream().Publish(ctx, b.Names().Feedback("dev1"), []byte("no feedback")); err != nil {
		t.Fatal(err)
	}
	o := client.FeedbackOptions{FromStart: true, Durable: "app"}
	var ids []string
	failed := errors.New("the handler fails")
	take := func(f c2d.Feedback) error {
		switch ids = append(ids, f.OriginalMessageID); len(ids) {
		case 1, 4:
			return client.ErrStop
		case 2:
			return failed
		default:
			return nil
		}
	}
	if err := c.C2D().Feedback(ctx, o, take); err != nil {
		t.Fatal(err)
	}
	eventually(t, "one acknowledgement, and nothing that waits for one", func() bool {
		info, err := b.JetStream().Consumer(ctx, b.Names().FeedbackStream(), "app")
		if err != nil {
			t.Fatal(err)
		}
		return info.CachedInfo().AckFloor.Stream == 1 && info.CachedInfo().NumAckPending == 0
	})
	if err := c.C2D().Feedback(ctx, o, take); !errors.Is(err, failed) {
		t.Fatal(err)
	}
	if err := c.C2D().Feedback(ctx, o, take); err != nil {
		t.Fatal(err)
	}
	if want := []string{"0", "1", "1", "2"}; !slices.Equal(ids, want) {
		t.Errorf("handled %q, want %q", ids, want)
	}
}
