package tracing

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

const (
	// exportTime is how long the collector may take to answer one request.
	exportTime = 10 * time.Second
	// maxAnswer is how much of an answer is read, maxAnswerHeader how long its
	// headers may be: what a collector has to say takes a hundred bytes.
	maxAnswer, maxAnswerHeader = 64 << 10, 64 << 10
	// minSecret is the length of the shortest part of a header that is looked for in
	// errors: a shorter one would be found in them by chance.
	minSecret = 8
	protobuf  = "application/x-protobuf"
)

var errStopped = errors.New("the node stops")

// client takes batches to the collector, by OTLP over HTTP with protobuf. That of
// OpenTelemetry would bring all of gRPC into the binary, and read variables that a
// hub does not go by. Several goroutines may use it.
type client struct {
	url     string
	headers http.Header // of each request; has secrets
	secrets []string    // parts of headers that no error may have
	http    *http.Client
	retries retries
	packers sync.Pool     // of *gzip.Writer, which are large
	stopped chan struct{} // closed by Stop
}

var _ otlptrace.Client = (*client)(nil)

func newClient(cfg Config) *client {
	c := &client{url: cfg.URL, headers: http.Header{}, retries: realRetries(), stopped: make(chan struct{})}
	c.packers.New = func() any { return gzip.NewWriter(nil) }
	c.headers.Set("User-Agent", "hubgate/"+cfg.Version)
	for name, value := range cfg.Headers {
		c.headers.Set(name, value)
		for part := range strings.FieldsSeq(value) {
			if len(part) >= minSecret {
				c.secrets = append(c.secrets, part)
			}
		}
	}
	c.headers.Set("Content-Type", protobuf)
	c.headers.Set("Content-Encoding", "gzip")
	c.http = &http.Client{
		Timeout: exportTime,
		// A redirect is an answer like any other that is no success: whoever it leads to
		// was not configured, and gets no header.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSClientConfig: cfg.TLS.Clone(), ForceAttemptHTTP2: true,
			// Not MaxIdleConns: by that, one request that is answered could break another's
			// connection, whose answer nobody has taken yet.
			MaxIdleConnsPerHost: 1, IdleConnTimeout: 90 * time.Second, MaxResponseHeaderBytes: maxAnswerHeader,
		},
	}
	return c
}

// Start implements [otlptrace.Client]. The first batch connects.
func (*client) Start(context.Context) error { return nil }

// Stop implements [otlptrace.Client]. It ends what is under way.
func (c *client) Stop(context.Context) error {
	close(c.stopped)
	c.http.CloseIdleConnections()
	return nil
}

// UploadTraces implements [otlptrace.Client]: it sends a batch, again if that may
// help. A [*refusedError] says that the collector has taken a part of it. No error
// has the value of a header.
func (c *client) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	body, err := c.pack(spans)
	if err != nil {
		return fmt.Errorf("encode traces: %w", err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-c.stopped:
			cancel(errStopped)
		case <-ctx.Done():
		}
	}()
	return c.retries.do(ctx, func() error { return c.post(ctx, body) })
}

// pack is the body of a request. Its message, ExportTraceServiceRequest, has the
// one field of TracesData (OTLP, trace_service.proto).
func (c *client) pack(spans []*tracepb.ResourceSpans) ([]byte, error) {
	plain, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: spans})
	if err != nil {
		return nil, err
	}
	var body bytes.Buffer
	packer := c.packers.Get().(*gzip.Writer)
	defer c.packers.Put(packer)
	packer.Reset(&body)
	_, err = packer.Write(plain)
	err = errors.Join(err, packer.Close())
	return body.Bytes(), err
}

// post sends a body once.
func (c *client) post(ctx context.Context, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header = c.headers.Clone()
	resp, err := c.http.Do(req)
	if err != nil {
		return c.unanswered(err)
	}
	defer resp.Body.Close()                                     //nolint:errcheck // it was read
	said, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer)) // the status counts, with the rest or without it
	return judge(resp, said, c.retries.now())
}

// unanswered is why a request has no answer. Another try is worth while after what
// net/http takes for temporary, such as a timeout; a collector that refuses
// connections is away, and the queue does better to wait for one that is there.
func (c *client) unanswered(err error) error {
	text := err.Error()
	if slices.ContainsFunc(c.secrets, func(part string) bool { return strings.Contains(text, part) }) {
		return errors.New("what answers at tracing.otlp_endpoint does not speak HTTP (its answer is not shown: it has what tracing.headers holds)")
	}
	if failed, ok := errors.AsType[*url.Error](err); ok && failed.Temporary() {
		return &laterError{err: err}
	}
	return err
}
