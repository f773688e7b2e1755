//go:build linux

package main

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// What is measured, by the names that the JSON output uses.
const (
	metricRate    = "messages_per_second"
	metricCPU     = "server_cpu_us_per_message"
	metricOwn     = "generator_core_share"
	metricBusy    = "server_core_share"
	metricOthers  = "others_share_of_server_core"
	metricAcked   = "acknowledged"
	metricStored  = "stored"
	metricDropped = "dropped_connections"
	metricTaken   = "delivered_per_second"
	metricTakeCPU = "server_cpu_us_per_delivered_message"
	metricP50     = "latency_p50_us"
	metricP99     = "latency_p99_us"
	metricConnCPU = "server_cpu_us_per_connect"
	metricConns   = "connects_per_second"
	metricIdle    = "idle_bytes_per_connection"
	metricOps     = "operations_per_second"
	metricOpCPU   = "server_cpu_us_per_operation"
	metricDone    = "operations"
	metricTrip50  = "round_trip_p50_us"
	metricTrip99  = "round_trip_p99_us"

	metricStorm    = "storm_connects_per_second"
	metricStormCPU = "storm_server_cpu_us_per_device"
	metricFirst50  = "storm_first_puback_p50_ms"
	metricFirst99  = "storm_first_puback_p99_ms"
	metricRefused  = "storm_refused_once"
	metricTwice    = "storm_refused_twice"

	metricMiB     = "mebibytes"
	metricEach    = "bytes_per_device"
	metricSeconds = "seconds"
)

// key names a figure.
type key struct{ Row, Target, Metric string }

// book holds every figure of every round. It is safe for concurrent use.
type book struct {
	mu      sync.Mutex
	figures map[key][]float64 // one value per round
	rows    []string          // in the order they came
	targets map[string][]string
	notes   map[[2]string]string
	faults  []string
	skipped []string
}

func newBook() *book {
	return &book{figures: map[key][]float64{}, targets: map[string][]string{}, notes: map[[2]string]string{}}
}

// add records the figure of one round.
func (k *book) add(row, target, metric string, v float64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !slices.Contains(k.rows, row) {
		k.rows = append(k.rows, row)
	}
	if !slices.Contains(k.targets[row], target) {
		k.targets[row] = append(k.targets[row], target)
	}
	id := key{row, target, metric}
	k.figures[id] = append(k.figures[id], v)
}

// note puts a remark beside a row; the last one stays.
func (k *book) note(row, target, text string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.notes[[2]string{row, target}] = text
}

// noteToo puts a remark behind the one that is there.
func (k *book) noteToo(row, target, text string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	id := [2]string{row, target}
	if have := k.notes[id]; have != "" && have != text {
		text = strings.TrimSuffix(have, "; "+text) + "; " + text
	}
	k.notes[id] = text
}

// fault records something that makes the run a failure.
func (k *book) fault(format string, args ...any) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.faults = append(k.faults, fmt.Sprintf(format, args...))
}

// skip records what was not measured.
func (k *book) skip(format string, args ...any) {
	k.mu.Lock()
	defer k.mu.Unlock()
	text := fmt.Sprintf(format, args...)
	if !slices.Contains(k.skipped, text) {
		k.skipped = append(k.skipped, text)
	}
}

// values are the figures of all rounds, in their order.
func (k *book) values(row, target, metric string) []float64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.figures[key{row, target, metric}]
}

// summary is the median of some figures and how far they spread.
type summary struct {
	Median float64 `json:"median"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
	Rounds int     `json:"rounds"`
}

// summarize sorts a copy of values; it is the zero summary for none.
func summarize(values []float64) summary {
	n := len(values)
	if n == 0 {
		return summary{}
	}
	sorted := slices.Sorted(slices.Values(values))
	s := summary{Median: sorted[n/2], Low: sorted[0], High: sorted[n-1], Rounds: n}
	if n%2 == 0 {
		s.Median = (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return s
}

// divide gives the ratio of two series round by round, as far as both go.
func divide(over, under []float64) []float64 {
	var ratios []float64
	for i := range min(len(over), len(under)) {
		if under[i] > 0 {
			ratios = append(ratios, over[i]/under[i])
		}
	}
	return ratios
}

// percentiles sorts samples and returns the wanted ones by nearest rank; zeros
// when there are no samples.
func percentiles(samples []time.Duration, wanted ...float64) []time.Duration {
	slices.Sort(samples)
	found := make([]time.Duration, len(wanted))
	if len(samples) == 0 {
		return found
	}
	for i, w := range wanted {
		rank := int(w*float64(len(samples))+0.999999) - 1
		found[i] = samples[min(max(rank, 0), len(samples)-1)]
	}
	return found
}
