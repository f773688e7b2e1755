//go:build unix

package backend

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/query"
	"github.com/hubgate/hubgate/session"
	"github.com/hubgate/hubgate/twin"
)

// BenchmarkFleetLoad is how long a node needs until it answers queries, and how
// much memory the index takes, with devices that have nothing but their
// identity, and with devices that have sessions and twins of a kilobyte too.
func BenchmarkFleetLoad(b *testing.B) {
	for _, n := range []int{10_000, 100_000, 1_000_000} {
		for _, kind := range []string{"registered", "twins"} {
			b.Run(fmt.Sprintf("%s/%d", kind, n), func(b *testing.B) {
				s := serve(b, "", 0)
				first := open(b, s, Config{})
				populate(b, first, n, kind == "twins")
				shut(first)
				b.ResetTimer()
				for range b.N {
					loadFleet(b, func() *Backbone { return open(b, s, Config{}) }, n)
				}
			})
		}
	}
}

func loadFleet(b *testing.B, open func() *Backbone, n int) {
	b.Helper()
	began, cpu := time.Now(), processorTime(b)
	node := open()
	for node.Fleet().missing.Load() > 0 {
		<-time.After(time.Millisecond)
	}
	b.ReportMetric(time.Since(began).Seconds(), "s/load")
	b.ReportMetric((processorTime(b) - cpu).Seconds(), "cpu-s/load")
	if r, err := node.Fleet().Query(b.Context(), "SELECT COUNT() AS n FROM devices", query.Page{}); err != nil || string(r.Rows[0]) != fmt.Sprintf(`{"n":%d}`, n) {
		b.Fatalf("%s, %v", r.Rows, err)
	}
	b.ReportMetric(node.Fleet().Stats().Devices.BytesPerDocument, "doc-B/device")
	shut(node)
	full := heap()
	node.fleet = nil
	b.ReportMetric(float64(full-heap())/float64(n), "heap-B/device")
}

// heap is what is in use, in bytes.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// processorTime is what this process has used, the NATS server included.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// populate writes n devices, and twins and sessions if they are wanted.
func populate(b *testing.B, hb *Backbone, n int, all bool) {
	b.Helper()
	js := must(jetstream.New(hb.Conn(), jetstream.WithPublishAsyncMaxPending(1000)))
	key, now := "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", time.Now().UTC()
	send := func(bucket *bucket, id hub.Identity, generation string, value []byte) {
		m := nats.NewMsg(bucket.putSubject(subject.Key(id)))
		m.Data = value
		m.Header.Set(subject.GenerationHeader, generation)
		if _, err := js.PublishMsgAsync(m, jetstream.WithStallWait(5*time.Minute)); err != nil {
			b.Fatal(err)
		}
	}
	for i := range n {
		id := hub.Identity{Device: fmt.Sprintf("device-%07d", i)}
		generation := strconv.Itoa(638_000_000_000_000_000 + i)
		r := identity.Record{
			ID: id, GenerationID: generation, ETag: "NzI3ODk0ODYz", Status: identity.StatusEnabled,
			Authentication: identity.Authentication{Type: identity.AuthSAS, SymmetricKey: identity.SymmetricKey{PrimaryKey: key, SecondaryKey: key}},
		}
		send(hb.devices.bucket, id, generation, must(r.MarshalJSON()))
		if !all {
			continue
		}
		send(hb.twins.bucket, id, generation, benchTwin(id, generation, now))
		value := must(json.Marshal(stored{Session: session.Session{ID: id, Generation: generation, Connected: i%2 == 0, Node: "n1", Connection: "c", Remote: "192.0.2.1:1234", ConnectedTime: now}}))
		send(hb.sessions.bucket, id, generation, value)
	}
	select {
	case <-js.PublishAsyncComplete():
	case <-time.After(10 * time.Minute):
		b.Fatal("the devices were not written")
	}
}

// BenchmarkFleetVisit is what a node does with one message of each bucket.
func BenchmarkFleetVisit(b *testing.B) {
	f := &Fleet{catalog: newCatalog(), log: zerolog.Nop()}
	now := time.Now().UTC()
	id := func(i int) (hub.Identity, string) {
		return hub.Identity{Device: fmt.Sprintf("device-%07d", i%100_000)}, strconv.Itoa(638_000_000_000_000_000 + i%100_000)
	}
	for name, visit := range map[string]func(i int){
		"1/record": func(i int) {
			id, generation := id(i)
			r := identity.Record{ID: id, GenerationID: generation, ETag: "NzI3ODk0ODYz", Status: identity.StatusEnabled, Authentication: identity.Authentication{Type: identity.AuthSAS}}
			f.visitRecord(written{key: subject.Key(id), value: must(r.MarshalJSON())}, 1)
		},
		"2/twin": func(i int) {
			id, generation := id(i)
			h := nats.Header{subject.GenerationHeader: {generation}}
			f.visitTwin(written{key: subject.Key(id), header: h, value: benchTwin(id, generation, now)}, 1)
		},
		"3/session": func(i int) {
			id, generation := id(i)
			value := must(json.Marshal(stored{Session: session.Session{ID: id, Generation: generation, Connected: i%2 == 0, Node: "n1", Connection: "c", Remote: "192.0.2.1:1234", ConnectedTime: now}}))
			f.visitSession(written{key: subject.Key(id), value: value}, 1)
		},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			cpu := processorTime(b)
			for i := 0; b.Loop(); i++ {
				visit(i)
			}
			b.ReportMetric(float64(processorTime(b)-cpu)/float64(b.N), "cpu-ns/op")
		})
	}
}

// benchTwin is a twin of a kilobyte.
func benchTwin(id hub.Identity, generation string, now time.Time) []byte {
	i := len(generation) + int(generation[len(generation)-1])
	t := twin.New(id, generation, identity.CreatedTime(generation))
	p := must(twin.ParseUpdate(fmt.Appendf(nil, `{"tags":{"plant":"P%d","floor":%d},"properties":{"desired":{"interval":%d,"firmware":{"version":"1.%d.0","url":"https://example.net/fw"}}}}`, i%50, i%7, i%60, i%9)))
	t, _, err := t.Patch(p, "", now)
	if err != nil {
		panic(err)
	}
	p = must(twin.ParseReported(fmt.Appendf(nil, `{"temperature":%d.5,"firmware":{"version":"1.%d.0","status":"current"},"battery":%d}`, i%40, i%9, i%100)))
	if t, _, err = t.PatchReported(p, 0, now); err != nil {
		panic(err)
	}
	return t.AppendJSON(nil)
}
