//go:build unix

package backend

import (
	"fmt"
	"maps"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/backend/embedded"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/telemetry"
)

// benchWindow is how much each sender has in flight, as a connection does.
const benchWindow = 16

// sender is one device that keeps a window of messages in flight.
type sender struct {
	free chan struct{}
	m    *telemetry.Message
	err  error
}

func newSender(n int) *sender {
	m := message(hub.Identity{Device: "dev-" + strconv.Itoa(n)}, uint64(n))
	m.Body = make([]byte, 256)
	s := &sender{free: make(chan struct{}, benchWindow), m: m}
	for range benchWindow {
		s.free <- struct{}{}
	}
	return s
}

func (s *sender) Stored(_ uint64, err error) {
	if err != nil {
		s.err = err
	}
	s.free <- struct{}{}
}

// drive sends b.N messages from n senders and waits for their answers.
func drive(b *testing.B, n int, send func(*sender, uint64)) {
	b.Helper()
	senders := make([]*sender, n)
	for i := range senders {
		senders[i] = newSender(i)
	}
	b.ReportAllocs()
	b.ResetTimer()
	cpu := cpuTime(b)
	var wg sync.WaitGroup
	for i, s := range senders {
		count := b.N / n
		if i < b.N%n {
			count++
		}
		wg.Go(func() {
			for j := range count {
				<-s.free
				send(s, uint64(i)<<32|uint64(j))
			}
			for range benchWindow {
				<-s.free
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
	b.ReportMetric(float64((cpuTime(b)-cpu).Nanoseconds())/float64(b.N)/1000, "cpu-us/msg")
	for _, s := range senders {
		if s.err != nil {
			b.Fatal(s.err)
		}
	}
}

// cpuTime is what the process has used, server included: on a machine that
// others use too it says more than the clock.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// inProcess connects without a socket.
func inProcess(b *testing.B, cfg Config) (*Backbone, *nats.Conn) {
	b.Helper()
	s, err := embedded.Start(testContext(b), embedded.Config{DataDir: b.TempDir(), Log: zerolog.Nop()})
	if err != nil {
		b.Fatal(err)
	}
	cfg.URL, cfg.CredsFile = s.URL(), s.GatewayCreds()
	back, err := Connect(testContext(b), cfg, s.InProcess())
	if err != nil {
		b.Fatal(err)
	}
	nc, err := nats.Connect(s.URL(), nats.UserCredentials(s.HubCreds()), s.InProcess())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		nc.Close()
		shut(back)
		if err := s.Shutdown(); err != nil {
			b.Error(err)
		}
	})
	return back, nc
}

// headersOf is the message's headers made once, for those to compare with.
func headersOf(m *telemetry.Message) nats.Header {
	var h telemetry.Headers
	m.Headers(&h)
	all := nats.Header{}
	for i := range h.Len() {
		name, value := h.At(i)
		all[string(name)] = []string{string(value)}
	}
	return all
}

// BenchmarkStore compares the engine with what nats.go does at best, an inbox
// of one's own, and with its asynchronous publish, in one run: look at the
// ratios. The other two send headers that were made before.
func BenchmarkStore(b *testing.B) {
	for _, n := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("senders=%d/engine", n), func(b *testing.B) {
			back, _ := inProcess(b, Config{})
			drive(b, n, func(s *sender, tag uint64) { back.Telemetry().Store(s.m, s, tag) })
		})
		b.Run(fmt.Sprintf("senders=%d/raw", n), func(b *testing.B) { benchRaw(b, n) })
		b.Run(fmt.Sprintf("senders=%d/js", n), func(b *testing.B) { benchJS(b, n) })
	}
}

// BenchmarkShards is the engine with telemetry in one stream and in several.
func BenchmarkShards(b *testing.B) {
	for _, shards := range []int{1, 2, 4, 8} {
		b.Run(fmt.Sprintf("shards=%d", shards), func(b *testing.B) {
			back, _ := inProcess(b, Config{Shards: shards})
			drive(b, 200, func(s *sender, tag uint64) { back.Telemetry().Store(s.m, s, tag) })
		})
	}
}

func benchRaw(b *testing.B, n int) {
	b.Helper()
	_, nc := inProcess(b, Config{})
	inbox := nc.NewInbox() + "."
	var mu sync.Mutex
	waiting := map[string]*sender{}
	_, err := nc.Subscribe(inbox+"*", func(m *nats.Msg) {
		mu.Lock()
		s := waiting[m.Subject]
		delete(waiting, m.Subject)
		mu.Unlock()
		if _, ok := parseAck(m.Data); ok {
			s.Stored(0, nil)
		}
	})
	if err != nil {
		b.Fatal(err)
	}
	headers := headersOf(newSender(1).m)
	drive(b, n, func(s *sender, tag uint64) {
		m := &nats.Msg{Subject: "hub.telemetry." + s.m.From.Device, Reply: inbox + strconv.FormatUint(tag, 36), Header: headers, Data: s.m.Body}
		mu.Lock()
		waiting[m.Reply] = s
		mu.Unlock()
		if err := nc.PublishMsg(m); err != nil {
			s.Stored(tag, err)
		}
	})
}

func benchJS(b *testing.B, n int) {
	b.Helper()
	_, nc := inProcess(b, Config{})
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(n*benchWindow))
	if err != nil {
		b.Fatal(err)
	}
	headers := headersOf(newSender(1).m)
	drive(b, n, func(s *sender, tag uint64) {
		m := &nats.Msg{Subject: "hub.telemetry." + s.m.From.Device, Header: maps.Clone(headers), Data: s.m.Body}
		f, err := js.PublishMsgAsync(m, jetstream.WithStallWait(time.Minute))
		if err != nil {
			s.Stored(tag, err)
			return
		}
		go func() {
			select {
			case <-f.Ok():
				s.Stored(tag, nil)
			case err := <-f.Err():
				s.Stored(tag, err)
			}
		}()
	})
}

// BenchmarkFill is the engine's own share of a message, without NATS.
func BenchmarkFill(b *testing.B) {
	m := newSender(1).m
	var s slot
	subject := []byte("hub.telemetry.dev-1")
	b.ReportAllocs()
	for b.Loop() {
		m.Headers(&s.headers)
		s.fill(append(s.storage(), subject...), m.Body)
		s.empty()
	}
}
