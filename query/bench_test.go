package query

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// fleetConfig is what the hub keeps of devices.
func fleetConfig() Config {
	return Config{
		Source: Devices,
		Order: strings.Fields("deviceId moduleId etag deviceEtag status statusReason statusUpdateTime connectionState lastActivityTime " +
			"cloudToDeviceMessageCount authenticationType x509Thumbprint modelId version tags properties capabilities configurations deviceScope parentScopes"),
		Aliases:  map[string]string{"id": "deviceId"},
		Defaults: map[string]string{"cloudToDeviceMessageCount": "0"},
	}
}

// typical is the parts of a twin as fleets have them: 6 tags, 6 desired and 8
// reported properties, with their metadata.
func typical(r *rand.Rand, i int) (key string, parts [3][]byte) {
	key = fmt.Sprintf("device-%07d", i)
	n := func(most int) string { return strconv.Itoa(r.IntN(most)) }
	stamp := func() string {
		return string(appendInstant(nil, (secondsAt1970+1_790_000_000+r.Int64N(10_000_000))*perSecond+r.Int64N(perSecond)))
	}
	version := func() string { return `"1.` + n(10) + "." + n(10) + `"` }
	parts[0] = []byte(`{"deviceId":"` + key + `","deviceEtag":"` + b64(strconv.Itoa(100_000_000+r.IntN(900_000_000))) + `","status":"enabled","statusUpdateTime":"0001-01-01T00:00:00Z","authenticationType":"sas",` +
		`"x509Thumbprint":{"primaryThumbprint":null,"secondaryThumbprint":null},"capabilities":{"iotEdge":` + strconv.FormatBool(i%50 == 0) + `}}`)
	parts[2] = []byte(`{"connectionState":"` + []string{"Connected", "Disconnected"}[r.IntN(2)] + `","lastActivityTime":"` + stamp() + `","modelId":"dtmi:com:example:Thermostat;1"}`)

	section := func(names, values []string, extra string) string {
		at, meta, all := stamp(), "", ""
		for i, name := range names {
			all += `"` + name + `":` + values[i] + ","
			meta += `,"` + name + `":{"$lastUpdated":"` + at + `"` + extra + "}"
		}
		return "{" + all + `"$metadata":{"$lastUpdated":"` + at + `"` + extra + meta + "}"
	}
	desired := section(
		[]string{"interval", "mode", "threshold", "firmware", "enabled", "server"},
		[]string{n(60), `"auto"`, n(100) + "." + n(10), version(), "true", `"mqtt.example.com"`}, `,"$lastUpdatedVersion":3`)
	reported := section(
		[]string{"temperature", "humidity", "battery", "firmware", "uptime", "state", "signal", "address"},
		[]string{n(50) + "." + n(100), n(100), n(100), version(), n(1e7), `"` + []string{"ok", "warning", "error"}[r.IntN(3)] + `"`, "-" + n(90), `"10.` + n(256) + "." + n(256) + "." + n(256) + `"`}, "")
	parts[1] = []byte(`{"etag":"AAAAAAAAAAM=","version":` + n(100) + `,"tags":{"region":"region-` + n(8) + `","site":"site-` + n(500) + `","building":"B` + n(20) + `","floor":` + n(30) +
		`,"customer":"customer-` + n(1000) + `","serial":"SN` + n(1e8) + `"},"properties":{"desired":` + desired + `,"$version":3},"reported":` + reported + `,"$version":7}}}`)
	return key, parts
}

// fill makes a collection of n typical twins.
func fill(tb testing.TB, n int) *Collection {
	tb.Helper()
	c := NewCollection(fleetConfig())
	r := rand.New(rand.NewPCG(1, 2))
	for _, i := range r.Perm(n) { // the order in which a store tells of them is no order
		key, parts := typical(r, i)
		for part, text := range parts {
			if err := c.Set(key, part, text); err != nil {
				tb.Fatal(err)
			}
		}
	}
	return c
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// resident is the memory of the process that is not given back.
func resident(tb testing.TB) int {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	if err != nil {
		tb.Fatal(err)
	}
	return pages * os.Getpagesize()
}

// sizes are the numbers of documents to measure with: 100000, and a million
// with HUBGATE_QUERY_MILLION set.
func benchSizes() []int {
	if os.Getenv("HUBGATE_QUERY_MILLION") != "" {
		return []int{100_000, 1_000_000}
	}
	return []int{100_000}
}

func BenchmarkCollection(b *testing.B) {
	for _, n := range benchSizes() {
		b.Run(strconv.Itoa(n), func(b *testing.B) { benchCollection(b, n) })
	}
}

func benchCollection(b *testing.B, n int) {
	before, begin := heap(), time.Now()
	c := fill(b, n)
	took := time.Since(begin)
	after := heap()
	b.Run("memory", func(b *testing.B) {
		for b.Loop() {
		}
		s := c.Stats()
		b.ReportMetric(float64(after-before)/float64(n), "heap-B/doc")
		b.ReportMetric(s.BytesPerDocument, "stats-B/doc")
		b.ReportMetric(float64(resident(b))/(1<<20), "process-MiB")
		b.ReportMetric(float64(took.Microseconds())/float64(3*n), "us/Set")
	})
	latency := func(name string, text func(i int) string) {
		b.Run(name, func(b *testing.B) { benchQuery(b, c, text) })
	}
	latency("point", func(i int) string {
		return fmt.Sprintf("SELECT * FROM devices WHERE deviceId = 'device-%07d'", i*7919%n)
	})
	latency("many points", func(i int) string {
		return fmt.Sprintf("SELECT * FROM devices WHERE deviceId IN ['device-%07d', 'device-%07d', 'device-%07d']", i%n, i*31%n, i*7919%n)
	})
	latency("indexed, unique", func(i int) string {
		return fmt.Sprintf("SELECT * FROM devices WHERE tags.serial = 'SN%d'", i)
	})
	latency("indexed, 1 of 1000", func(i int) string {
		return fmt.Sprintf("SELECT * FROM devices WHERE tags.customer = 'customer-%d'", i%1000)
	})
	latency("indexed, 1 of 8", func(i int) string {
		return fmt.Sprintf("SELECT * FROM devices WHERE tags.region = 'region-%d'", i%8)
	})
	latency("two indexes", func(i int) string {
		return fmt.Sprintf("SELECT * FROM devices WHERE tags.region = 'region-%d' AND tags.floor = %d", i%8, i%30)
	})
	latency("prefix", func(i int) string {
		return fmt.Sprintf("SELECT * FROM devices WHERE STARTSWITH(deviceId, 'device-%05d')", i%(n/100))
	})
	latency("scan, GROUP BY", func(int) string {
		return "SELECT tags.region AS region, COUNT() AS n, AVG(properties.reported.temperature) AS t FROM devices GROUP BY tags.region"
	})
	latency("scan, GROUP BY count", func(int) string {
		return "SELECT tags.site AS site, COUNT() AS n FROM devices GROUP BY tags.site"
	})
	latency("scan, two conditions", func(int) string {
		return "SELECT COUNT() AS n FROM devices WHERE properties.reported.temperature > 40 AND properties.reported.state != 'ok'"
	})
	b.Run("set", func(b *testing.B) {
		r := rand.New(rand.NewPCG(3, 4))
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			b.StopTimer()
			key, parts := typical(r, i%n)
			b.StartTimer()
			if err := c.Set(key, 1, parts[1]); err != nil {
				b.Fatal(err)
			}
		}
	})
	runtime.KeepAlive(c)
}

// benchQuery runs first pages, and tells the percentiles.
func benchQuery(b *testing.B, c *Collection, text func(int) string) {
	b.ReportAllocs()
	var samples []time.Duration
	spent := func() float64 {
		var u syscall.Rusage
		_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
		return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e3
	}
	run := func(i int) {
		q, err := Parse(text(i))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := c.Run(context.Background(), q, Page{}); err != nil {
			b.Fatal(err)
		}
	}
	run(0) // makes the index
	runtime.GC()
	before := spent()
	for i := 0; b.Loop(); i++ {
		begin := time.Now()
		run(i)
		samples = append(samples, time.Since(begin))
	}
	b.ReportMetric((spent()-before)/float64(len(samples)), "cpu-us/op") // counts where others take the processor
	slices.Sort(samples)
	at := func(p int) float64 { return float64(samples[(len(samples)-1)*p/100].Nanoseconds()) / 1e3 }
	b.ReportMetric(at(50), "p50-us")
	b.ReportMetric(at(99), "p99-us")
}

// What happens for each document must not allocate for each of its values.
func TestAllocations(t *testing.T) {
	c := fill(t, 1000)
	r := rand.New(rand.NewPCG(1, 2))
	key, parts := typical(r, 7)
	other := bytes.Replace(parts[1], []byte(`"$version":7`), []byte(`"$version":8`), 1)
	i := 0
	if n := testing.AllocsPerRun(50, func() {
		i++
		if err := c.Set(key, 1, [][]byte{parts[1], other}[i%2]); err != nil {
			t.Fatal(err)
		}
	}); n > 20 {
		t.Errorf("a Set makes %v allocations, want 20 at most", n)
	}
	perRow := func(text string, most float64) {
		q := parsed(t, text)
		if n := testing.AllocsPerRun(5, func() {
			if _, err := c.Run(t.Context(), q, Page{Size: MaxPage}); err != nil {
				t.Fatal(err)
			}
		}) / 1000; n > most {
			t.Errorf("%s: %.2f allocations for a document, want %v at most", text, n, most)
		}
	}
	perRow("SELECT * FROM devices", 1.2)
	perRow("SELECT deviceId, properties.reported.temperature AS t FROM devices WHERE tags.floor >= 0", 1.2)
	perRow("SELECT tags.region, COUNT() AS n, AVG(properties.reported.temperature) AS t FROM devices WHERE status = 'enabled' GROUP BY tags.region", 0.2)
}
