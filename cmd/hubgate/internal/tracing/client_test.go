package tracing

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/hubgate/hubgate/span"
)

const secret = "Bearer s3cret-of-the-collector"

// batch has one span of that name.
func batch(name string) []*tracepb.ResourceSpans {
	return []*tracepb.ResourceSpans{{ScopeSpans: []*tracepb.ScopeSpans{{Spans: []*tracepb.Span{{Name: name}}}}}}
}

// lent is time that passes when somebody waits.
type lent struct {
	mu     sync.Mutex
	time   time.Time
	pauses []time.Duration
}

func (l *lent) now() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.time
}

func (l *lent) wait(_ context.Context, pause time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pauses, l.time = append(l.pauses, pause), l.time.Add(pause)
	return nil
}

// at returns a client of the collector at url whose time is lent, and whose pauses
// are the longest ones.
func at(t *testing.T, url string) (*client, *lent) {
	t.Helper()
	c := newClient(Config{URL: url + "/v1/traces", Headers: map[string]string{"Authorization": secret}, Version: "1.2.3"})
	clock := &lent{time: time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)}
	c.retries = retries{clock.now, clock.wait, func(below time.Duration) time.Duration { return below - 1 }}
	t.Cleanup(c.http.CloseIdleConnections)
	return c, clock
}

// serve runs a collector, and returns its URL.
func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// taken is the export in a request.
func taken(r *http.Request) (*collector.ExportTraceServiceRequest, error) {
	plain, err := gzip.NewReader(r.Body)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(plain)
	if err != nil {
		return nil, err
	}
	var export collector.ExportTraceServiceRequest
	return &export, proto.Unmarshal(text, &export)
}

// TestUpload: what a collector gets is OTLP over HTTP, on one connection, with the
// headers that it wants.
func TestUpload(t *testing.T) {
	t.Parallel()
	var got []*http.Request
	var exports []*collector.ExportTraceServiceRequest
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		export, err := taken(r)
		if err != nil {
			t.Error(err)
		}
		got, exports = append(got, r), append(exports, export)
	})
	c, clock := at(t, url+"/base")
	for _, name := range []string{"first", "second"} {
		if err := c.UploadTraces(t.Context(), batch(name)); err != nil {
			t.Fatal(err)
		}
	}
	for i, name := range []string{"first", "second"} {
		if want := (&collector.ExportTraceServiceRequest{ResourceSpans: batch(name)}); !proto.Equal(exports[i], want) {
			t.Errorf("the collector got %v, want %v", exports[i], want)
		}
		if r := got[i]; r.Method != http.MethodPost || r.URL.Path != "/base/v1/traces" || r.RemoteAddr != got[0].RemoteAddr {
			t.Errorf("the request was %s %s from %s", r.Method, r.URL, r.RemoteAddr)
		}
		for header, want := range map[string]string{
			"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip", "Authorization": secret, "User-Agent": "hubgate/1.2.3",
		} {
			if values := got[i].Header.Values(header); !slices.Equal(values, []string{want}) {
				t.Errorf("the header %s is %q, want %q", header, values, want)
			}
		}
	}
	if len(clock.pauses) != 0 {
		t.Errorf("pauses of %v, want none", clock.pauses)
	}
}

// TestUploadTLS: a collector is trusted by the authority that is configured, and by
// no other.
func TestUploadTLS(t *testing.T) {
	t.Parallel()
	var versions []int
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { versions = append(versions, r.ProtoMajor) }))
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // it would complain of the client that does not trust it
	s.StartTLS()
	t.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	c := newClient(Config{URL: s.URL + "/v1/traces", TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}})
	t.Cleanup(c.http.CloseIdleConnections)
	if err := c.UploadTraces(t.Context(), batch("x")); err != nil {
		t.Error(err)
	}
	if !slices.Equal(versions, []int{2}) {
		t.Errorf("requests by HTTP %v, want one by HTTP/2", versions)
	}
	other, _ := at(t, s.URL)
	if _, ok := errors.AsType[*tls.CertificateVerificationError](other.UploadTraces(t.Context(), batch("x"))); !ok {
		t.Error("a collector of an unknown authority is trusted")
	}
}

// TestStatus: what the collector's statuses mean, and that no error has what it
// could have read in the request.
func TestStatus(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]struct {
		again bool
		says  string // empty: it was taken
	}{
		200: {}, 202: {}, 204: {},
		301: {says: "tracing.otlp_endpoint"}, 304: {says: "304"}, 307: {says: "tracing.otlp_endpoint"}, 308: {says: "tracing.otlp_endpoint"},
		400: {says: "400 (Bad Request)"}, 401: {says: "tracing.headers"}, 403: {says: "tracing.headers"}, 404: {says: "base URL"}, 408: {says: "408"},
		413: {says: "413"}, 500: {says: "500"}, 501: {says: "501"}, 599: {says: "599"},
		429: {true, "429"}, 502: {true, "502"}, 503: {true, "503 (Service Unavailable)"}, 504: {true, "504"},
	} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			asked := 0
			c, _ := at(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
				asked++
				if export, err := taken(r); err != nil || len(export.GetResourceSpans()) != 1 {
					t.Errorf("try %d has %v, %v", asked, export, err)
				}
				if asked > 1 {
					return
				}
				w.Header().Set("Location", "http://"+strings.TrimPrefix(secret, "Bearer ")+"/")
				w.WriteHeader(status)
				io.WriteString(w, secret)
			}))
			err := c.UploadTraces(t.Context(), batch("x"))
			if (err == nil) != (want.says == "" || want.again) || asked > 1 != want.again {
				t.Fatalf("asked %d times, and then: %v", asked, err)
			}
			if err != nil && (!strings.Contains(err.Error(), want.says) || strings.Contains(err.Error(), "s3cret")) {
				t.Errorf("the error is %v, want %s", err, want.says)
			}
		})
	}
}

// TestPauses: they get longer, and a batch is given up after some.
func TestPauses(t *testing.T) {
	t.Parallel()
	asked := 0
	c, clock := at(t, serve(t, func(w http.ResponseWriter, _ *http.Request) {
		asked++
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	err := c.UploadTraces(t.Context(), batch("x"))
	if err == nil || !strings.Contains(err.Error(), "given up after try 5") || !strings.Contains(err.Error(), "503") {
		t.Errorf("the error is %v", err)
	}
	if want := []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 5 * time.Second}; !slices.Equal(clock.pauses, want) || asked != 5 {
		t.Errorf("asked %d times with pauses of %v, want %v", asked, clock.pauses, want)
	}
}

// TestPauseByChance: nodes that were refused together do not come again together.
func TestPauseByChance(t *testing.T) {
	t.Parallel()
	r := realRetries()
	seen := map[time.Duration]bool{}
	for range 100 {
		for n, most := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second, 4: 5 * time.Second, 1 << 30: 5 * time.Second} {
			got := r.pause(n)
			if got < most/2 || got > most {
				t.Errorf("the pause after try %d is %v, want %v at most and half of it at least", n, got, most)
			}
			seen[got] = true
		}
	}
	if len(seen) < 100 {
		t.Errorf("500 pauses have %d lengths", len(seen))
	}
}

// TestRetryAfter: a collector is not asked before it wants to be, and not at all if
// that is too late for the batch.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	date := func(after time.Duration) string {
		return time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC).Add(after).Format(http.TimeFormat)
	}
	for name, tt := range map[string]struct {
		value  string
		pauses []time.Duration // before it is taken; none: it is given up
	}{
		"seconds":      {"7", []time.Duration{7 * time.Second}},
		"0":            {"0", []time.Duration{time.Second}},
		"the most":     {"15", []time.Duration{15 * time.Second}},
		"too many":     {"16", nil},
		"far too many": {"99999999999999999999999", nil},
		"negative":     {"-7", []time.Duration{time.Second}},
		"a date":       {date(9 * time.Second), []time.Duration{9 * time.Second}},
		"of yesterday": {date(-24 * time.Hour), []time.Duration{time.Second}},
		"of next year": {date(365 * 24 * time.Hour), nil},
		"nonsense":     {"soon", []time.Duration{time.Second}},
		"empty":        {"", []time.Duration{time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked := 0
			c, clock := at(t, serve(t, func(w http.ResponseWriter, _ *http.Request) {
				if asked++; asked == 1 {
					w.Header().Set("Retry-After", tt.value)
					w.WriteHeader(http.StatusTooManyRequests)
				}
			}))
			err := c.UploadTraces(t.Context(), batch("x"))
			if (err != nil) != (tt.pauses == nil) || !slices.Equal(clock.pauses, tt.pauses) || asked != 1+len(tt.pauses) {
				t.Errorf("asked %d times with pauses of %v, and then: %v", asked, clock.pauses, err)
			}
		})
	}
}

// TestRedirect: nobody but the collector of the configuration gets a request.
func TestRedirect(t *testing.T) {
	t.Parallel()
	var elsewhere atomic.Int64
	target := serve(t, func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) })
	for _, to := range []string{target + "/v1/traces", "/other"} {
		asked := 0
		c, _ := at(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
			asked++
			http.Redirect(w, r, to, http.StatusTemporaryRedirect)
		}))
		if err := c.UploadTraces(t.Context(), batch("x")); err == nil || asked != 1 || elsewhere.Load() != 0 {
			t.Errorf("a redirect to %s: asked %d times, %d elsewhere, and then: %v", to, asked, elsewhere.Load(), err)
		}
	}
}

// endless is the body of an answer that does not end.
type endless struct {
	read   int
	closed bool
}

func (e *endless) Read(b []byte) (int, error) {
	if e.read > 10*maxAnswer {
		return 0, io.EOF // it has failed
	}
	e.read += len(b)
	return len(b), nil
}

func (e *endless) Close() error {
	e.closed = true
	return nil
}

// RoundTrip implements [http.RoundTripper].
func (e *endless) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: e, Request: r}, nil
}

// TestAnswerIsBounded: of an endless answer, what is enough is read, and no more is
// waited for.
func TestAnswerIsBounded(t *testing.T) {
	t.Parallel()
	c, _ := at(t, "http://localhost")
	answer := &endless{}
	c.http.Transport = answer
	if err := c.UploadTraces(t.Context(), batch("x")); err != nil {
		t.Error(err)
	}
	if answer.read != maxAnswer || !answer.closed {
		t.Errorf("%d bytes were read, and the answer is closed: %v", answer.read, answer.closed)
	}
}

// TestAnswerIsNoHTTP: what somebody else at that address says of the request is in
// no error, for it may have a secret.
func TestAnswerIsNoHTTP(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"no HTTP": secret + "\r\n\r\n", "a bad header": "HTTP/1.1 200 OK\r\n" + strings.Replace(secret, " ", "_", 1) + "\r\n\r\n", "nothing": "",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, clock := at(t, serve(t, func(w http.ResponseWriter, _ *http.Request) {
				conn, _, err := w.(http.Hijacker).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				io.WriteString(conn, answer)
			}))
			err := c.UploadTraces(t.Context(), batch("x"))
			if err == nil || strings.Contains(err.Error(), "s3cret") || len(clock.pauses) != 0 {
				t.Errorf("after pauses of %v: %v", clock.pauses, err)
			}
		})
	}
}

// failing is a network that fails so many times.
type failing struct {
	times int
	err   error
	then  http.RoundTripper
}

func (f *failing) RoundTrip(r *http.Request) (*http.Response, error) {
	if f.times--; f.times >= 0 {
		return nil, f.err
	}
	return f.then.RoundTrip(r)
}

// TestNetwork: what passes is tried again, and what is away is told of at once.
func TestNetwork(t *testing.T) {
	t.Parallel()
	url := serve(t, func(http.ResponseWriter, *http.Request) {})
	c, clock := at(t, url)
	c.http.Transport = &failing{2, &net.DNSError{Err: "the resolver is busy", IsTemporary: true}, c.http.Transport}
	if err := c.UploadTraces(t.Context(), batch("x")); err != nil || len(clock.pauses) != 2 {
		t.Errorf("after pauses of %v: %v", clock.pauses, err)
	}
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	c, clock = at(t, gone.URL)
	if err := c.UploadTraces(t.Context(), batch("x")); err == nil || len(clock.pauses) != 0 {
		t.Errorf("after pauses of %v: %v", clock.pauses, err)
	}
}

// TestTimeout: a collector that hangs is left, and asked again while there is time.
func TestTimeout(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	c, clock := at(t, serve(t, func(_ http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		io.Copy(io.Discard, r.Body) // else net/http does not see that the client goes
		<-r.Context().Done()
	}))
	if c.http.Timeout != exportTime {
		t.Errorf("a request has %v, want %v", c.http.Timeout, exportTime)
	}
	c.http.Timeout = 10 * time.Millisecond
	err := c.UploadTraces(t.Context(), batch("x"))
	if failed, ok := errors.AsType[net.Error](err); !ok || !failed.Timeout() || len(clock.pauses) != 4 {
		t.Errorf("asked %d times with pauses of %v, and then: %v", asked.Load(), clock.pauses, err)
	}
}

// TestUploadEnds: with its context or with the client, whether it is under way or
// waits for another try.
func TestUploadEnds(t *testing.T) {
	t.Parallel()
	gone := errors.New("gone")
	for name, tt := range map[string]struct {
		hangs bool
		end   func(c *client, cancel context.CancelCauseFunc)
		want  error
	}{
		"under way, context": {true, func(_ *client, cancel context.CancelCauseFunc) { cancel(gone) }, gone},
		"under way, stop":    {true, func(c *client, _ context.CancelCauseFunc) { c.Stop(t.Context()) }, errStopped},
		"waiting, context":   {false, func(_ *client, cancel context.CancelCauseFunc) { cancel(gone) }, gone},
		"waiting, stop":      {false, func(c *client, _ context.CancelCauseFunc) { c.Stop(t.Context()) }, errStopped},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := make(chan struct{}, 1)
			c, _ := at(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
				if !tt.hangs {
					w.Header().Set("Retry-After", "15")
					w.WriteHeader(http.StatusServiceUnavailable)
					return
				}
				io.Copy(io.Discard, r.Body)
				began <- struct{}{}
				<-r.Context().Done()
			}))
			c.retries.wait = func(ctx context.Context, pause time.Duration) error {
				began <- struct{}{}
				err := wait(ctx, pause)
				if !errors.Is(err, tt.want) {
					t.Errorf("the pause ends with %v", err)
				}
				return err
			}
			ctx, cancel := context.WithCancelCause(t.Context())
			go func() {
				<-began
				tt.end(c, cancel)
			}()
			if err := c.UploadTraces(ctx, batch("x")); !errors.Is(err, tt.want) {
				t.Errorf("it ends with %v, want %v", err, tt.want)
			}
		})
	}
}

// TestWait: a pause is over when its time is.
func TestWait(t *testing.T) {
	t.Parallel()
	if err := wait(t.Context(), time.Nanosecond); err != nil {
		t.Error(err)
	}
}

// TestConcurrentUploads: each batch comes whole.
func TestConcurrentUploads(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	got := map[string]int{}
	c, _ := at(t, serve(t, func(_ http.ResponseWriter, r *http.Request) {
		export, err := taken(r)
		if err != nil {
			t.Error(err)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		got[export.GetResourceSpans()[0].GetScopeSpans()[0].GetSpans()[0].GetName()]++
	}))
	want := map[string]int{}
	var all sync.WaitGroup
	for i := range 16 {
		name := fmt.Sprint("span ", i)
		want[name] = 1
		all.Go(func() {
			if err := c.UploadTraces(t.Context(), batch(name)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if !maps.Equal(got, want) {
		t.Errorf("the collector got %v", got)
	}
}

// TestStart: a tracer sends by this client, whatever the variables of
// OpenTelemetry's exporters say.
func TestStart(t *testing.T) {
	names := make(chan string, 1)
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		export, err := taken(r)
		if err != nil {
			t.Error(err)
			return
		}
		names <- export.GetResourceSpans()[0].GetScopeSpans()[0].GetSpans()[0].GetName()
	})
	for name, value := range map[string]string{
		"ENDPOINT": "http://127.0.0.1:1", "TRACES_ENDPOINT": "http://127.0.0.1:1", "COMPRESSION": "none", "CERTIFICATE": "/nowhere", "TIMEOUT": "1",
	} {
		t.Setenv("OTEL_EXPORTER_OTLP_"+name, value)
	}
	tracer, err := Start(Config{URL: url + "/v1/traces", Sample: 1})
	if err != nil {
		t.Fatal(err)
	}
	s, _ := tracer.Begin(span.Message, device("d"), span.Context{})
	s.End(span.Outcome{})
	if err := tracer.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := <-names; got != "process "+deviceEvents || tracer.Stats() != (Stats{Exported: 1}) {
		t.Errorf("the span %s came, and %+v", got, tracer.Stats())
	}
}

// A call whose method is no text takes no others with it: a batch is encoded whole.
func TestMethodThatIsNoText(t *testing.T) {
	t.Parallel()
	names := make(chan string, 10)
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		defer close(names)
		got, err := taken(r)
		if err != nil {
			t.Error(err)
			return
		}
		for _, s := range got.GetResourceSpans()[0].GetScopeSpans()[0].GetSpans() {
			names <- s.GetName()
		}
	})
	tracer, err := Start(Config{URL: url + "/v1/traces", Sample: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, method := range []string{"reboot", "a\xffb"} {
		s, _ := tracer.Begin(span.Call, span.About{Method: method}, span.Context{})
		s.End(span.Outcome{})
	}
	if err := tracer.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := tracer.Stats(); s != (Stats{Exported: 2}) {
		t.Fatalf("got %+v", s)
	}
	if first, second := <-names, <-names; first != "call reboot" || second != "call a\ufffdb" {
		t.Errorf("got %q and %q", first, second)
	}
}
