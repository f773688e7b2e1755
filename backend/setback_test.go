package backend

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/hub"
)

// The answers of a stream that does not take a message.
const (
	tooMany  = `{"error":{"code":429,"err_code":10167,"description":"too many requests"},"stream":"HUB_TELEMETRY","seq":0}`
	noLeader = `{"error":{"code":503,"err_code":10008,"description":"JetStream system temporarily unavailable"},"stream":"HUB_TELEMETRY","seq":0}`
	full     = `{"error":{"code":503,"err_code":10077,"description":"maximum bytes exceeded"},"stream":"HUB_TELEMETRY","seq":0}`
)

// patientStore leaves a busy machine time for two silences of a stream, which
// last 5 s each.
const patientStore = 30 * time.Second

// stubborn stores messages with a fake stream, and asserts that all of them
// were accepted, those of each device in order.
func stubborn(t *testing.T, w way, cfg Config, answer func(tag uint64, before int) string) (*Engine, *fake) {
	t.Helper()
	s := serve(t, "", 0)
	f := newFake(t, s)
	f.answerBy(answer)
	e := w.engine(t, s, cfg)
	const devices, count = 5, 40
	l := newLedger(t)
	offer(e, l, devices, count)
	l.wait(devices * count)
	stored, codes := l.check()
	if len(stored) != devices*count {
		t.Errorf("codes = %v, want all stored", codes)
	}
	all := map[string][]uint64{}
	for _, tag := range f.accepted() {
		name := device(int(tag >> 32)).Device
		all[name] = append(all[name], tag)
	}
	seen, _ := inOrder(t, all)
	holds(t, seen, stored)
	return e, f
}

// The stream turns away all that comes, as one without a leader does, until the
// second attempt of the engine.
func TestTransientRefusalsAreRetriedInOrder(t *testing.T) {
	byEach(t, testTransientRefusalsAreRetriedInOrder)
}

func testTransientRefusalsAreRetriedInOrder(t *testing.T, w way) {
	t.Parallel()
	for name, reply := range map[string]string{"too many requests": tooMany, "no leader": noLeader, "silence": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			away, over := false, false
			e, _ := stubborn(t, w, Config{StoreTimeout: patientStore}, func(tag uint64, before int) string {
				away = away || tag&0xffffffff == 10
				over = over || before == 2 // the second time that it comes again
				if away && !over {
					return reply
				}
				return "ok"
			})
			if e.Retried() == 0 {
				t.Error("nothing was published again")
			}
		})
	}
}

// A lost acknowledgement is noticed although later ones come.
func TestLostAcknowledgement(t *testing.T) { byEach(t, testLostAcknowledgement) }

func testLostAcknowledgement(t *testing.T, w way) {
	t.Parallel()
	e, f := stubborn(t, w, Config{StoreTimeout: patientStore}, func(tag uint64, before int) string {
		if tag == tagOf(0, 0) && before == 0 {
			return lostAck
		}
		return "ok"
	})
	if f.accepted() == nil || w == byNATS && e.Retried() == 0 { // by wire, the next one tells as much
		t.Error("nothing was published again")
	}
}

// Somebody else who answers on the subject is not the stream.
func TestForeignAnswersAreNotAcknowledgements(t *testing.T) {
	byEach(t, testForeignAnswersAreNotAcknowledgements)
}

func testForeignAnswersAreNotAcknowledgements(t *testing.T, w way) {
	t.Parallel()
	tests := map[string]string{
		"other stream": `{"stream":"OTHER","seq":1}`,
		"no number":    `{"stream":"HUB_TELEMETRY"}`,
		"number 0":     `{"stream":"HUB_TELEMETRY","seq":0}`,
		"text":         "thank you",
		"array":        `[1]`,
		"empty object": `{}`,
	}
	for name, reply := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, "", 0)
			f := newFake(t, s)
			f.answerBy(func(uint64, int) string { return reply })
			e := w.engine(t, s, Config{StoreTimeout: 500 * time.Millisecond})
			l := newLedger(t)
			e.Store(message(device(0), 1), l, 1)
			l.wait(1)
			if _, codes := l.check(); codes[hub.ServiceUnavailable] != 1 {
				t.Errorf("codes = %v, want ServiceUnavailable", codes)
			}
		})
	}
}

// When one message of a device is given up, those behind it are too: they must
// not be stored in front of what the device will send again.
func TestGivenUpWithAllThatFollows(t *testing.T) { byEach(t, testGivenUpWithAllThatFollows) }

func testGivenUpWithAllThatFollows(t *testing.T, w way) {
	t.Parallel()
	s := serve(t, "", 0)
	f := newFake(t, s)
	f.answerBy(func(uint64, int) string { return "" })
	e := w.engine(t, s, Config{StoreTimeout: time.Second})
	l := newLedger(t)
	e.Store(message(device(0), tagOf(0, 0)), l, tagOf(0, 0))
	until(t, "half of the time is over", func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.now()-e.win.at(e.win.head).stored > int64(500*time.Millisecond)
	})
	for i := range 3 {
		e.Store(message(device(0), tagOf(0, i+1)), l, tagOf(0, i+1))
		e.Store(message(device(1), tagOf(1, i)), l, tagOf(1, i))
	}
	l.wait(4)
	l.mu.Lock()
	var early []uint64
	for tag := range l.got {
		early = append(early, tag)
	}
	l.mu.Unlock()
	slices.Sort(early)
	if want := []uint64{tagOf(0, 0), tagOf(0, 1), tagOf(0, 2), tagOf(0, 3)}; !slices.Equal(early, want) {
		t.Errorf("given up first: %v, want %v", early, want)
	}
	l.wait(7)
}

// After a setback one message goes alone until it is acknowledged.
func TestProbeGoesAlone(t *testing.T) { byEach(t, testProbeGoesAlone) }

func testProbeGoesAlone(t *testing.T, w way) {
	t.Parallel()
	s := serve(t, "", 0)
	f := newFake(t, s)
	f.shut()
	e := w.engine(t, s, Config{})
	l := newLedger(t)
	offer(e, l, 1, 20)
	until(t, "the engine has stalled", func() bool { return !e.Flowing() })
	var alone []uint64
	f.answerBy(func(tag uint64, _ int) string {
		if len(alone) < 3 { // hears them and does not answer at first
			alone = append(alone, tag)
			return noLeader
		}
		return "ok"
	})
	f.open()
	l.wait(20)
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, tag := range alone {
		if tag != tagOf(0, 0) {
			t.Errorf("message %d was published before the first was acknowledged", tag)
		}
	}
	if !slices.IsSorted(f.took) || len(f.took) != 20 {
		t.Errorf("accepted: %v", f.took)
	}
}

// What the caller does with its memory after Store does not show, even when
// the message is published later.
func TestStoreKeepsACopy(t *testing.T) { byEach(t, testStoreKeepsACopy) }

func testStoreKeepsACopy(t *testing.T, w way) {
	t.Parallel()
	s := serve(t, "", 0)
	f := newFake(t, s)
	f.shut()
	e := w.engine(t, s, Config{})
	l := newLedger(t)
	m := message(device(0), 0)
	for i := range 20 {
		tag := tagOf(0, i)
		m.Body = strconv.AppendUint(m.Body[:0], tag, 10)
		e.Store(m, l, tag)
	}
	clear(m.Body[:cap(m.Body)])
	f.open()
	l.wait(20)
	want := make([]uint64, 20)
	for i := range want {
		want[i] = tagOf(0, i)
	}
	if got := f.accepted(); !slices.Equal(got, want) {
		t.Errorf("accepted %v, want %v", got, want)
	}
}

// A small message does not overtake a large one that waits for room.
func TestStoreDoesNotJumpTheQueue(t *testing.T) { byEach(t, testStoreDoesNotJumpTheQueue) }

func testStoreDoesNotJumpTheQueue(t *testing.T, w way) {
	t.Parallel()
	s := serve(t, "", 0)
	f := newFake(t, s)
	f.shut()
	e := w.engine(t, s, Config{MaxInFlightBytes: 10_000})
	l := newLedger(t)
	var let atomic.Int32
	store := func(tag uint64, size int) {
		m := message(device(int(tag)), tag)
		m.AddProperty("padding", strings.Repeat("x", size))
		e.Store(m, l, tag)
		let.Add(1)
	}
	waiting := func() (n int) {
		e.mu.Lock()
		defer e.mu.Unlock()
		for k := e.win.waiting.first; k != nil; k = k.next {
			n++
		}
		return n
	}
	store(1, 6000)
	go store(2, 8000)
	until(t, "the large message waits", func() bool { return waiting() == 1 })
	go store(3, 10)
	until(t, "the small message waits behind it", func() bool { return waiting() == 2 || let.Load() == 2 })
	if n := let.Load(); n != 1 {
		t.Errorf("%d messages were let in, want the first alone", n)
	}
	f.open()
	l.wait(3)
}

// What a connection has lost goes before what is stored after it.
func TestNewMessagesDoNotOvertakeLostOnes(t *testing.T) {
	byEach(t, testNewMessagesDoNotOvertakeLostOnes)
}

func testNewMessagesDoNotOvertakeLostOnes(t *testing.T, w way) {
	t.Parallel()
	dir := t.TempDir()
	s := serve(t, dir, 0)
	port := s.Port()
	f := newFake(t, s)
	f.answerBy(func(tag uint64, _ int) string {
		if tag == 0 {
			return "ok"
		}
		return ""
	})
	e := w.engine(t, s, Config{})
	connected := func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.link == nil {
			return false
		}
		select {
		case <-e.link.lost():
			return false
		default:
			return true
		}
	}
	l := newLedger(t)
	e.Store(message(device(0), 0), l, 0)
	l.wait(1) // from here on everything is published at once
	e.Store(message(device(0), 1), l, 1)
	until(t, "the message is on its way", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.arrived) == 2
	})
	halt(t, s)
	until(t, "the connection is lost", func() bool { return !connected() })
	f = newFake(t, serve(t, dir, port))
	until(t, "the connection is back", connected)
	e.Store(message(device(0), 2), l, 2)
	l.wait(3)
	if got := f.accepted(); !slices.Equal(got, []uint64{1, 2}) {
		t.Errorf("accepted %v, want 1 and 2", got)
	}
}

func TestDefiniteRefusalIsForOneMessage(t *testing.T) { byEach(t, testDefiniteRefusalIsForOneMessage) }

func testDefiniteRefusalIsForOneMessage(t *testing.T, w way) {
	t.Parallel()
	s := serve(t, "", 0)
	f := newFake(t, s)
	f.answerBy(func(tag uint64, _ int) string {
		if tag == tagOf(0, 5) {
			return full
		}
		return "ok"
	})
	e := w.engine(t, s, Config{})
	l := newLedger(t)
	for i := range 10 {
		m := message(device(0), tagOf(0, i))
		if i == 5 { // one that JetStream may well refuse
			m.AddProperty("large", strings.Repeat("x", sparseHeaders))
		}
		e.Store(m, l, tagOf(0, i))
	}
	l.wait(10)
	stored, codes := l.check()
	if len(stored) != 9 || codes[hub.ServiceUnavailable] != 1 || e.Retried() != 0 {
		t.Errorf("codes = %v, %d repeated", codes, e.Retried())
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	cause, ok := errors.AsType[*jetstream.APIError](l.got[tagOf(0, 5)])
	if !ok || cause.ErrorCode != 10077 {
		t.Errorf("error = %v, want the server's own inside", l.got[tagOf(0, 5)])
	}
}

func TestParseAck(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		data, stream string
		ok           bool
	}{
		"plain":       {`{"stream":"S","seq":12}`, "S", true},
		"with space":  {`{"stream":"S", "seq": 12}`, "S", true},
		"domain":      {`{"stream":"S","domain":"D","seq":3}`, "S", true},
		"duplicate":   {`{"stream":"S","seq":3,"duplicate": true}`, "S", true},
		"zero":        {`{"stream":"S","seq":0}`, "S", false},
		"error":       {full, "", false},
		"error later": {`{"stream":"S","error":{"code":503},"seq":0}`, "S", false},
		"cut":         {`{"stream":"S","seq":`, "S", false},
		"cut name":    {`{"stream":"S`, "", false},
		"empty":       {"", "", false},
		"text":        {"+OK", "", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			by, ok := parseAck([]byte(tt.data))
			stream := by.stream
			if ok != tt.ok || ok && string(stream) != tt.stream {
				t.Errorf("parseAck(%s) = %q, %v, want %q, %v", tt.data, stream, ok, tt.stream, tt.ok)
			}
		})
	}
}

func TestBackoffGrowsAndStaysBounded(t *testing.T) {
	t.Parallel()
	for n := range 100 {
		full := min(reconnectMin<<min(max(n-1, 0), 16), reconnectMax)
		if d := backoff(n); d < full/2 || d > full+1 {
			t.Errorf("backoff(%d) = %v, want %v to %v", n, d, full/2, full)
		}
	}
}
