package faults

import (
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// otlpCollector is a collector of traces, which takes OTLP over HTTP.
type otlpCollector struct {
	URL string

	listener net.Listener
	server   *http.Server

	mu       sync.Mutex
	spans    []sentSpan // in the order in which they came
	raw      []byte     // all of it
	requests []http.Header
	faults   []error
	dialed   int           // connections
	changed  chan struct{} // closed by what comes next
}

// sentSpan is a span as it came, with what says who has sent it.
type sentSpan struct {
	*otlp.Span

	resource map[string]string
}

func newCollector(t *testing.T) *otlpCollector {
	t.Helper()
	return newCollectorAt(t, "127.0.0.1:0")
}

func newCollectorAt(t *testing.T, addr string) *otlpCollector {
	t.Helper()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	c := &otlpCollector{URL: "http://" + ln.Addr().String(), listener: ln, changed: make(chan struct{})}
	c.server = &http.Server{Handler: c, ReadHeaderTimeout: patience, ConnState: func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.dialed++
		}
	}}
	go c.server.Serve(ln)
	t.Cleanup(func() {
		c.server.Close()
		for _, err := range c.faults {
			t.Error(err)
		}
	})
	return c
}

// ServeHTTP implements [http.Handler].
func (c *otlpCollector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	err := c.take(r)
	if err != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.faults = append(c.faults, err)
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	answer, _ := proto.Marshal(&collector.ExportTraceServiceResponse{})
	w.Write(answer)
}

func (c *otlpCollector) take(r *http.Request) error {
	if r.Method != http.MethodPost || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" {
		return fmt.Errorf("%s %s with %q is no export of traces", r.Method, r.URL.Path, r.Header.Get("Content-Type"))
	}
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		var err error
		if body, err = gzip.NewReader(body); err != nil {
			return err
		}
	}
	text, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	var export collector.ExportTraceServiceRequest
	if err := proto.Unmarshal(text, &export); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.raw, c.requests = append(c.raw, text...), append(c.requests, r.Header)
	for _, rs := range export.GetResourceSpans() {
		who := values(rs.GetResource().GetAttributes())
		for _, ss := range rs.GetScopeSpans() {
			for _, s := range ss.GetSpans() {
				c.spans = append(c.spans, sentSpan{s, who})
			}
		}
	}
	close(c.changed)
	c.changed = make(chan struct{})
	return nil
}

// await waits for spans that are enough, and returns all that have come.
func (c *otlpCollector) await(t *testing.T, what string, enough func([]sentSpan) bool) []sentSpan {
	t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		c.mu.Lock()
		all, changed := slices.Clone(c.spans), c.changed
		c.mu.Unlock()
		if enough(all) {
			return all
		}
		select {
		case <-changed:
		case <-limit.C:
			t.Fatalf("no %s within %v; the collector has %v", what, patience, all)
		}
	}
}

// awaitTrace waits for n spans of a trace, and returns them by name.
func (c *otlpCollector) awaitTrace(t *testing.T, trace string, n int) map[string]sentSpan {
	t.Helper()
	found := map[string]sentSpan{}
	c.await(t, fmt.Sprintf("%d spans of the trace %s", n, trace), func(all []sentSpan) bool {
		clear(found)
		for _, s := range all {
			if s.trace() == trace {
				found[s.GetName()] = s
			}
		}
		return len(found) >= n
	})
	if len(found) != n {
		t.Errorf("the trace %s has %d spans, want %d: %v", trace, len(found), n, found)
	}
	return found
}

// connections is how often somebody has connected.
func (c *otlpCollector) connections() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dialed
}

// sent is all that was ever sent, and with which headers.
func (c *otlpCollector) sent() (raw string, headers []http.Header) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(c.raw), slices.Clone(c.requests)
}

func (s sentSpan) trace() string  { return fmt.Sprintf("%x", s.GetTraceId()) }
func (s sentSpan) id() string     { return fmt.Sprintf("%x", s.GetSpanId()) }
func (s sentSpan) parent() string { return fmt.Sprintf("%x", s.GetParentSpanId()) }

// has fails unless s has these attributes, in the form name=value.
func (s sentSpan) has(t *testing.T, want ...string) {
	t.Helper()
	got := values(s.GetAttributes())
	for _, w := range want {
		name, value, _ := strings.Cut(w, "=")
		if v, ok := got[name]; !ok || v != value {
			t.Errorf("%s has %s=%q (there: %v), want %q", s.GetName(), name, v, ok, value)
		}
	}
}

func values(all []*common.KeyValue) map[string]string {
	m := map[string]string{}
	for _, a := range all {
		switch v := a.GetValue().GetValue().(type) {
		case *common.AnyValue_IntValue:
			m[a.GetKey()] = fmt.Sprint(v.IntValue)
		default:
			m[a.GetKey()] = a.GetValue().GetStringValue()
		}
	}
	return m
}
