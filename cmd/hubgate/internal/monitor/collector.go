package monitor

import (
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/hubgate/hubgate/meter"
)

// scrapeTime bounds a scrape: Prometheus gives up after ten seconds by default.
const scrapeTime = 9 * time.Second

// Handler serves the metrics of a node, of the Go runtime and of the process.
func Handler(s Sources) http.Handler {
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(New(s), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError, Timeout: scrapeTime, EnableOpenMetrics: true,
	})
}

// Collector turns what a node has counted into metrics. It is a
// [prometheus.Collector].
type Collector struct {
	sources Sources
	table   map[string]described
}

type described struct {
	Metric

	desc *prometheus.Desc
}

var _ prometheus.Collector = (*Collector)(nil)

// New returns the collector of a node.
func New(s Sources) *Collector {
	c := &Collector{sources: s, table: map[string]described{}}
	for _, section := range Sections() {
		for _, m := range section.Metrics {
			c.table[m.Name] = described{m, prometheus.NewDesc(m.Name, m.Help, m.Labels, nil)}
		}
	}
	return c
}

// Describe implements [prometheus.Collector].
func (c *Collector) Describe(to chan<- *prometheus.Desc) {
	for _, m := range c.table {
		to <- m.desc
	}
}

// Collect implements [prometheus.Collector].
func (c *Collector) Collect(to chan<- prometheus.Metric) {
	s := &scrape{c, to}
	s.node()
	s.connections()
	s.messages()
	s.store()
	s.features()
	s.services()
	s.hub()
}

// scrape is one collection.
type scrape struct {
	*Collector

	to chan<- prometheus.Metric
}

// number is what metrics are made of.
type number interface {
	~int | ~int64 | ~uint64 | ~float64
}

// set gives a counter or a gauge its value. A name that is not in the table is a
// fault of this package, which its tests find.
func set[N number](s *scrape, name string, value N, labels ...string) {
	m := s.row(name)
	kind := prometheus.GaugeValue
	if m.Kind == Counter {
		kind = prometheus.CounterValue
	}
	s.to <- prometheus.MustNewConstMetric(m.desc, kind, float64(value), labels...)
}

// took gives a histogram its values.
func (s *scrape) took(name string, d meter.Durations, labels ...string) {
	s.to <- prometheus.MustNewConstHistogram(s.row(name).desc, d.Count, d.Sum, d.Upto, labels...)
}

// flag is set for what is or is not.
func (s *scrape) flag(name string, is bool, labels ...string) { //nolint:revive // it writes a bool
	value := 0
	if is {
		value = 1
	}
	set(s, name, value, labels...)
}

func (s *scrape) row(name string) described {
	m, known := s.table[name]
	if !known {
		panic(fmt.Sprintf("the metric %s is not in the table", name))
	}
	return m
}
