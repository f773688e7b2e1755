package backend

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/telemetry"
)

const telemetryStream = "HUB_TELEMETRY"

func TestStoreKeepsOrderAndAnswersOnce(t *testing.T) { byEach(t, testStoreKeepsOrderAndAnswersOnce) }

func testStoreKeepsOrderAndAnswersOnce(t *testing.T, w way) {
	t.Parallel()
	b := w.open(t, serve(t, "", 0), Config{})
	const devices, count = 40, 250
	l := newLedger(t)
	offer(b.Telemetry(), l, devices, count)
	l.wait(devices * count)
	stored, _ := l.check()
	all := contents(t, b.JetStream(), telemetryStream)
	seen, copies := inOrder(t, all)
	holds(t, seen, stored)
	if len(stored) != devices*count || len(seen) != devices*count || copies != 0 {
		t.Errorf("%d acknowledged, %d in the stream, %d copies; want %d, %d, 0", len(stored), len(seen), copies, devices*count, devices*count)
	}
	e := b.Telemetry()
	if e.Stored() != devices*count || e.Failed() != 0 || e.Retried() != 0 || e.InFlight() != 0 {
		t.Errorf("counters: stored %d, failed %d, retried %d, in flight %d", e.Stored(), e.Failed(), e.Retried(), e.InFlight())
	}
}

func TestStoredMessageIsWhatWasSent(t *testing.T) { byEach(t, testStoredMessageIsWhatWasSent) }

func testStoredMessageIsWhatWasSent(t *testing.T, w way) {
	t.Parallel()
	b := w.open(t, serve(t, "", 0), Config{})
	m := &telemetry.Message{
		From: hub.Identity{Device: "a.b*", Module: "$edgeHub"}, Body: []byte("body \x00\xff"),
		AuthMethod: telemetry.AuthMethodModule, Generation: "1", Source: telemetry.SourceTelemetry, ModelID: "dtmi:x;1",
		Enqueued: time.UnixMilli(1700000000123),
	}
	m.System[telemetry.MessageID] = []byte("id 1")
	m.AddProperty("a b=&%", " ä\r\n% ")
	m.AddProperty("empty", "")
	l := newLedger(t)
	b.Telemetry().Store(m, l, 7)
	m.Body[0], m.System[telemetry.MessageID][0] = 'X', 'X' // the caller's memory is its own again
	l.wait(1)
	s, err := b.JetStream().Stream(testContext(t), telemetryStream)
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.GetMsg(testContext(t), 1)
	if err != nil {
		t.Fatal(err)
	}
	if want := "hub.telemetry.a=2Eb=2A.=24edgeHub"; got.Subject != want {
		t.Errorf("subject = %q, want %q", got.Subject, want)
	}
	e := telemetry.ParseHeaders(got.Header)
	if string(got.Data) != "body \x00\xff" || e.System[telemetry.MessageID] != "id 1" {
		t.Errorf("body %q, message-id %q", got.Data, e.System[telemetry.MessageID])
	}
	if e.From != m.From || e.Properties["a b=&%"] != " ä\r\n% " || !e.Enqueued.Equal(m.Enqueued) || e.ModelID != m.ModelID {
		t.Errorf("headers say %+v", e)
	}
	if v, ok := e.Properties["empty"]; !ok || v != "" {
		t.Errorf("the empty property is %q, %v", v, ok)
	}
}

// A slot is used again and again: nothing of one message may show in the next.
func TestSlotsForget(t *testing.T) { byEach(t, testSlotsForget) }

func testSlotsForget(t *testing.T, w way) {
	t.Parallel()
	b := w.open(t, serve(t, "", 0), Config{})
	l := newLedger(t)
	long := &telemetry.Message{From: device(1), Body: []byte(strings.Repeat("x", 10_000))}
	long.AddProperty("secret", strings.Repeat("s", 9000))
	short := &telemetry.Message{From: device(2), Body: []byte("y")}
	for i := range 10 {
		m := long
		if i%2 == 1 {
			m = short
		}
		b.Telemetry().Store(m, l, uint64(i))
		l.wait(i + 1)
	}
	s, err := b.JetStream().Stream(testContext(t), telemetryStream)
	if err != nil {
		t.Fatal(err)
	}
	for seq := range uint64(10) {
		got, err := s.GetMsg(testContext(t), seq+1)
		if err != nil {
			t.Fatal(err)
		}
		e := telemetry.ParseHeaders(got.Header)
		wantBody, wantProperties := 10_000, 1
		if seq%2 == 1 {
			wantBody, wantProperties = 1, 0
		}
		if len(got.Data) != wantBody || len(e.Properties) != wantProperties {
			t.Errorf("message %d has %d bytes and %d properties, want %d and %d", seq, len(got.Data), len(e.Properties), wantBody, wantProperties)
		}
	}
}

func TestServerRestartsInTheMiddle(t *testing.T) { byEach(t, testServerRestartsInTheMiddle) }

func testServerRestartsInTheMiddle(t *testing.T, w way) {
	t.Parallel()
	dir := t.TempDir()
	s := serve(t, dir, 0)
	port := s.Port()
	b := w.open(t, s, Config{MaxInFlight: 500})
	const devices, count, restarts = 8, 2500, 3
	l := newLedger(t)
	offered := make(chan struct{})
	go func() {
		defer close(offered)
		offer(b.Telemetry(), l, devices, count)
	}()
	for i := range restarts {
		l.wait((i + 1) * devices * count / (restarts + 2))
		halt(t, s)
		s = serve(t, dir, port)
	}
	<-offered
	l.wait(devices * count)
	stored, codes := l.check()
	if len(stored) != devices*count {
		t.Errorf("%d of %d stored; codes %v", len(stored), devices*count, codes)
	}
	until(t, "the other connection is back", b.Conn().IsConnected)
	seen, copies := inOrder(t, contents(t, b.JetStream(), telemetryStream))
	holds(t, seen, stored)
	t.Logf("%d copies, %d publications repeated", copies, b.Telemetry().Retried())
}

func TestStreamGoneAndBack(t *testing.T) { byEach(t, testStreamGoneAndBack) }

func testStreamGoneAndBack(t *testing.T, w way) {
	t.Parallel()
	b := w.open(t, serve(t, "", 0), Config{})
	ctx := testContext(t)
	cfg := streamConfig(t, b)
	l := newLedger(t)
	offer(b.Telemetry(), l, 4, 50)
	l.wait(200)
	if err := b.JetStream().DeleteStream(ctx, telemetryStream); err != nil {
		t.Fatal(err)
	}
	late := newLedger(t)
	began := time.Now()
	offer(b.Telemetry(), late, 4, 50)
	until(t, "the engine notices", func() bool { return !b.Telemetry().Flowing() })
	if took := time.Since(began); took >= b.Telemetry().engines[0].timing.ack {
		t.Errorf("the engine noticed after %v, by the silence only", took)
	}
	if n := late.len(); n != 0 {
		t.Fatalf("%d messages were answered without a stream", n)
	}
	if err := b.Ready(ctx); hub.CodeOf(err) != hub.ServiceUnavailable {
		t.Errorf("Ready = %v, want ServiceUnavailable", err)
	}
	arrived(t, b.Telemetry().engines[0])
	if _, err := b.JetStream().CreateStream(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	late.wait(200)
	stored, _ := late.check()
	seen, _ := inOrder(t, contents(t, b.JetStream(), telemetryStream))
	holds(t, seen, stored)
	if len(stored) != 200 || len(seen) != 200 {
		t.Errorf("%d acknowledged, %d in the new stream, want 200", len(stored), len(seen))
	}
}

// arrived waits until the server has seen all that the engine has published: a
// stream that comes back before that has later messages first, as the comment
// on Engine says.
func arrived(t *testing.T, e *Engine) {
	t.Helper()
	e.mu.Lock()
	l := e.link
	e.mu.Unlock()
	switch l := l.(type) {
	case *natsLink:
		if err := l.nc.FlushTimeout(requestTimeout); err != nil {
			t.Fatal(err)
		}
	case *wireLink:
		for range 2 { // the first answer may be to an earlier question
			select {
			case <-l.pong:
			default:
			}
			l.owe(&l.pinging)
			<-l.pong
		}
	}
}

func streamConfig(t *testing.T, b *Backbone) jetstream.StreamConfig {
	t.Helper()
	s, err := b.JetStream().Stream(testContext(t), telemetryStream)
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().Config
}

func TestStreamStaysAway(t *testing.T) { byEach(t, testStreamStaysAway) }

func testStreamStaysAway(t *testing.T, w way) {
	t.Parallel()
	b := w.open(t, serve(t, "", 0), Config{StoreTimeout: 700 * time.Millisecond})
	if err := b.JetStream().DeleteStream(testContext(t), telemetryStream); err != nil {
		t.Fatal(err)
	}
	l := newLedger(t)
	offer(b.Telemetry(), l, 4, 25)
	l.wait(100)
	_, codes := l.check()
	if codes[hub.ServiceUnavailable] != 100 {
		t.Errorf("codes = %v, want 100 ServiceUnavailable", codes)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.got[tagOf(0, 0)]; !hasAll(err.Error(), "did not store the message within 700ms") {
		t.Errorf("error = %q", err)
	}
}

func TestFullStreamRefuses(t *testing.T) { byEach(t, testFullStreamRefuses) }

func testFullStreamRefuses(t *testing.T, w way) {
	t.Parallel()
	b := w.open(t, serve(t, "", 0), Config{})
	cfg := streamConfig(t, b)
	cfg.MaxBytes, cfg.Discard = 64<<10, jetstream.DiscardNew
	if _, err := b.JetStream().UpdateStream(testContext(t), cfg); err != nil {
		t.Fatal(err)
	}
	l := newLedger(t)
	offer(b.Telemetry(), l, 10, 100)
	l.wait(1000)
	stored, codes := l.check()
	if codes[hub.ServiceUnavailable] == 0 || len(stored) == 0 || len(stored)+codes[hub.ServiceUnavailable] != 1000 {
		t.Fatalf("codes = %v", codes)
	}
	seen, _ := inOrder(t, contents(t, b.JetStream(), telemetryStream))
	holds(t, seen, stored)
	// By wire, what was stored just before the first refusal may be refused when it is
	// published again: JetStream does not tell.
	if len(seen) < len(stored) || len(seen) >= len(stored)+sparseGroup || w == byNATS && len(seen) != len(stored) {
		t.Errorf("%d messages in the stream, %d acknowledged", len(seen), len(stored))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, err := range l.got {
		if err != nil && !hasAll(err.Error(), "maximum bytes exceeded") {
			t.Fatalf("error = %q, want the server's own words", err)
		}
	}
}

func TestTooLarge(t *testing.T) { byEach(t, testTooLarge) }

func testTooLarge(t *testing.T, w way) {
	t.Parallel()
	b := w.open(t, serve(t, "", 0), Config{})
	cfg := streamConfig(t, b)
	cfg.MaxMsgSize = 100 << 10
	if _, err := b.JetStream().UpdateStream(testContext(t), cfg); err != nil {
		t.Fatal(err)
	}
	properties := &telemetry.Message{From: device(0)}
	for i := range 80 {
		properties.AddProperty("p"+string(rune('A'+i)), strings.Repeat("v", 1000))
	}
	tests := map[string]*telemetry.Message{
		"for the stream":  {From: device(0), Body: make([]byte, 101<<10)},
		"for NATS":        {From: device(0), Body: make([]byte, 2<<20)},
		"for a header":    properties,
		"larger than all": {From: device(0), Body: make([]byte, 70<<20)},
	}
	for name, m := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLedger(t)
			b.Telemetry().Store(m, l, 1)
			b.Telemetry().Store(message(device(0), 2), l, 2)
			l.wait(2)
			stored, codes := l.check()
			if codes[hub.MessageTooLarge] != 1 || !stored[2] {
				t.Errorf("codes = %v, want one MessageTooLarge and one stored", codes)
			}
		})
	}
}

func TestCloseAnswersEverything(t *testing.T) { byEach(t, testCloseAnswersEverything) }

func testCloseAnswersEverything(t *testing.T, w way) {
	t.Parallel()
	s := serve(t, "", 0)
	b := w.open(t, s, Config{MaxInFlight: 100})
	l := newLedger(t)
	offer(b.Telemetry(), l, 2, 10)
	l.wait(20)
	halt(t, s)
	// 100 have a place, 100 wait for one.
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() { b.Telemetry().Store(message(device(i), tagOf(9, i)), l, tagOf(9, i)) })
	}
	until(t, "the window is full", func() bool { return b.Telemetry().InFlight() == 100 })
	ctx, cancel := context.WithTimeout(testContext(t), 100*time.Millisecond)
	defer cancel()
	b.Telemetry().Close(ctx)
	wg.Wait()
	l.wait(220)
	stored, codes := l.check()
	if len(stored) != 20 || codes[hub.ServiceUnavailable] != 200 {
		t.Errorf("codes = %v, want 20 stored and 200 ServiceUnavailable", codes)
	}
	b.Telemetry().Store(message(device(1), tagOf(50, 0)), l, tagOf(50, 0))
	l.wait(221)
	if n := b.Telemetry().InFlight(); n != 0 {
		t.Errorf("%d in flight after Close", n)
	}
}

func TestCloseWaitsForAcknowledgements(t *testing.T) { byEach(t, testCloseWaitsForAcknowledgements) }

func testCloseWaitsForAcknowledgements(t *testing.T, w way) {
	t.Parallel()
	b := w.open(t, serve(t, "", 0), Config{})
	l := newLedger(t)
	offer(b.Telemetry(), l, 10, 200)
	b.Telemetry().Close(testContext(t))
	if stored, codes := l.check(); len(stored) != 2000 {
		t.Errorf("codes = %v, want 2000 stored", codes)
	}
}

func TestMoreOfferedThanPlaces(t *testing.T) { byEach(t, testMoreOfferedThanPlaces) }

func testMoreOfferedThanPlaces(t *testing.T, w way) {
	t.Parallel()
	b := w.open(t, serve(t, "", 0), Config{MaxInFlight: 1000})
	const senders, count = 4000, 16 // 64,000
	l := newLedger(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		offer(b.Telemetry(), l, senders, count)
	}()
	most := 0
	for running := true; running; {
		select {
		case <-done:
			running = false
		case <-l.more:
			most = max(most, b.Telemetry().InFlight())
		}
	}
	l.wait(senders * count)
	stored, codes := l.check()
	if len(stored) != senders*count {
		t.Errorf("codes = %v", codes)
	}
	if most > 1000 {
		t.Errorf("%d in flight, want at most 1000", most)
	}
	seen, copies := inOrder(t, contents(t, b.JetStream(), telemetryStream))
	holds(t, seen, stored)
	// A machine that is so busy that the stream is silent for seconds makes the
	// engine publish again, and only that does.
	if again := b.Telemetry().Retried(); uint64(copies) > again {
		t.Errorf("%d copies, and %d publications were repetitions", copies, again)
	}
}
