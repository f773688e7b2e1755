package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/hubgate/hubgate/backend/client"
	"github.com/hubgate/hubgate/c2d"
	"github.com/hubgate/hubgate/hub"
)

// clientOf connects to the NATS of a hub.
func clientOf(t *testing.T, p *process) *client.Client {
	t.Helper()
	c, err := client.Connect(client.Options{URL: p.ready.NATSURL, CredsFile: p.ready.NATSCreds})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestC2DTranscript(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := startDev(t, dir)
	c := clientOf(t, p)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := c.C2D().Send(ctx, c2d.Message{Device: "gone", MessageID: "lost", Body: []byte("x"), Properties: map[string]string{"p": "1"}}); err != nil {
		t.Fatal(err)
	}
	awaitDeadLetter(ctx, t, c)
	for _, id := range []string{"away", "full", "odd.id*"} {
		create(t, dir, "device", id)
	}
	for range c2d.MaxDepth {
		if _, err := c.C2D().Send(ctx, c2d.Message{Device: "full"}); err != nil {
			t.Fatal(err)
		}
	}
	transcript(t, "c2d.txt", p, dir)
	p.stopCleanly(t)
}

// awaitDeadLetter waits until the first dead letter is stored.
func awaitDeadLetter(ctx context.Context, t *testing.T, c *client.Client) {
	t.Helper()
	stream, err := c.Conn().JetStream()
	if err != nil {
		t.Fatal(err)
	}
	sub, err := stream.SubscribeSync(c.Names().DeadLetterAll())
	if err == nil {
		_, err = sub.NextMsgWithContext(ctx)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestC2DToDevice sends to a device that is there, and hears that it got it.
func TestC2DToDevice(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := startDev(t, dir)
	env := []string{"HUBGATE_DATA_DIR=" + dir}
	d := connectDevice(t, p, p.ready.DeviceConnectionString, p.ready.Ports.MQTT)
	got := make(chan paho.Message, 10)
	token := d.Subscribe("devices/dev1/messages/devicebound/#", 1, func(_ paho.Client, m paho.Message) { got <- m })
	if !token.WaitTimeout(patience) || token.Error() != nil {
		t.Fatalf("SUBSCRIBE: %v", token.Error())
	}
	large := strings.Repeat("x", c2d.MaxSize+1)
	if r := hubgate(t, env, "c2d", "send", "dev1", large); r.code != exitFailure || !strings.Contains(r.err, "65537 bytes") {
		t.Errorf("too large: %d, %.200s", r.code, r.err)
	}
	if r := hubgate(t, env, "c2d", "send", "dev1", "x", "-p", "p="+strings.Repeat(" ", 30000)); r.code != exitFailure || !strings.Contains(r.err, "topic") {
		t.Errorf("a long topic: %d, %s", r.code, r.err)
	}
	r := hubgate(t, env, "c2d", "send", "dev1", "a b", "--ack", "positive", "--message-id", " 50%\r\n", "-p", "k=a=b", "-o", "json")
	var sent struct {
		DeviceID  string `json:"deviceId"`
		MessageID string `json:"messageId"`
		Sequence  uint64 `json:"sequence"`
	}
	if err := json.Unmarshal([]byte(r.out), &sent); err != nil || r.code != exitOK || sent.DeviceID != "dev1" || sent.MessageID != " 50%\r\n" || sent.Sequence == 0 {
		t.Fatalf("got %d %q %q: %v", r.code, r.out, r.err, err)
	}
	select {
	case m := <-got:
		if string(m.Payload()) != "a b" || !strings.Contains(m.Topic(), "%24.mid=%2050%25%0D%0A&") || !strings.HasSuffix(m.Topic(), "&iothub-ack=positive&k=a%3Db") {
			t.Errorf("the device got %q on %s", m.Payload(), m.Topic())
		}
	case <-time.After(patience):
		t.Fatal("the device got nothing")
	}
	var f c2d.Feedback
	r = hubgate(t, env, "c2d", "feedback", "--from-start", "-n", "1", "-o", "json")
	if err := json.Unmarshal([]byte(r.out), &f); err != nil || f.OriginalMessageID != sent.MessageID || f.Status != c2d.Success {
		t.Errorf("feedback %s %s", r.out, r.err)
	}
	p.stopCleanly(t)
}

// TestC2DProfile: with IoT Hub's rules a device that connects with clean session
// 1 gets nothing that is older.
func TestC2DProfile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := startDev(t, dir, "--profile", "strict-azure", "--set", "c2d.queue_depth=2", "--set", "c2d.max_size=1KiB")
	env := []string{"HUBGATE_DATA_DIR=" + dir}
	for n, want := range []int{exitOK, exitOK, exitFailure} {
		if r := hubgate(t, env, "c2d", "send", "dev1", "old"); r.code != want {
			t.Fatalf("message %d: exit code %d, %s", n, r.code, r.err)
		}
	}
	if r := hubgate(t, env, "c2d", "send", "dev1", strings.Repeat("x", 1025)); r.code != exitFailure || !strings.Contains(r.err, "1024") {
		t.Errorf("too large: %d, %s", r.code, r.err)
	}
	d, err := dialDeviceWith(t, p, p.ready.DeviceConnectionString, func(o *paho.ClientOptions) { o.SetCleanSession(true) })
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 10)
	token := d.Subscribe("devices/dev1/messages/devicebound/#", 1, func(_ paho.Client, m paho.Message) { got <- string(m.Payload()) })
	if !token.WaitTimeout(patience) || token.Error() != nil {
		t.Fatalf("SUBSCRIBE: %v", token.Error())
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c := clientOf(t, p)
	for { // until the old ones have made room
		_, err := c.C2D().Send(ctx, c2d.Message{Device: "dev1", Body: []byte("new")})
		if err == nil {
			break
		}
		if !errors.Is(err, &hub.Error{Code: hub.QueueFull}) {
			t.Fatal(err)
		}
	}
	select {
	case body := <-got:
		if body != "new" {
			t.Errorf("the device got %q", body)
		}
	case <-ctx.Done():
		t.Fatal("the device got nothing")
	}
	r := hubgate(t, env, "c2d", "dead-letters", "dev1")
	if n := strings.Count(r.out, "without a subscription"); n != 2 {
		t.Errorf("%d dead letters:\n%s", n, r.out)
	}
	p.stopCleanly(t)
}

func TestC2DMessage(t *testing.T) {
	t.Parallel()
	id := hub.Identity{Device: "d"}
	m, err := (&c2dSendCmd{Body: "-", Expires: "90m"}).message(id, strings.NewReader("from\nstdin"))
	if err != nil || string(m.Body) != "from\nstdin" || time.Until(m.Expires) > 90*time.Minute || time.Until(m.Expires) < 80*time.Minute {
		t.Errorf("got %+v, %v", m, err)
	}
	m, err = (&c2dSendCmd{Body: "-"}).message(id, strings.NewReader(strings.Repeat("x", 2*maxBody)))
	if err != nil || hub.CodeOf((c2d.Limits{Size: maxBody - 1}).Validate(&m, time.Now())) != hub.MessageTooLarge {
		t.Errorf("a huge body: %d bytes, %v", len(m.Body), err)
	}
	if _, err := (&c2dSendCmd{Body: "-"}).message(id, broken{}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

// broken is a standard input that is closed.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, os.ErrClosed }

func TestC2DViews(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"a":1}`: `{"a":1}`, "text\x1b[31m\n": `text\x1b[31m\n`, "\xff\x00": "/wA=", "": "", strings.Repeat("ü", 70): strings.Repeat("ü", 60) + "…",
	} {
		if got := viewOf(c2d.Message{Body: []byte(body)}, c2d.Limits{}).text(); got != want {
			t.Errorf("%q is shown as %q, want %q", body, got, want)
		}
	}
	v := viewOf(c2d.Message{Body: []byte("\x1b]0;x\a")}, c2d.Limits{})
	if text, err := json.Marshal(v); err != nil || !strings.Contains(string(text), `"bodyText":"\u001b]0;x\u0007"`) {
		t.Errorf("as JSON: %s, %v", text, err)
	}
	now := time.Now()
	if got := viewOf(c2d.Message{Enqueued: now}, c2d.Limits{DefaultTTL: time.Minute}).ExpiryTime; !got.Equal(now.Add(time.Minute)) {
		t.Errorf("it expires %v", fmt.Sprint(got))
	}
}
