package client

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/hub"
)

// lookEvery is how often a consumption looks for streams that are new.
const lookEvery = 5 * time.Second

// source is a stream of telemetry, and how it is to be read.
type source struct {
	stream  string
	options TelemetryOptions
}

// consumption reads all streams of telemetry.
type consumption struct {
	client  *Client
	options TelemetryOptions
	handle  func(Event) error

	began   time.Time // on the clock of NATS; a stream that is younger is read from its start
	reading map[string]bool
	ended   chan error // of readers
	running int

	mu   sync.Mutex // held while handle runs
	over bool       // handle is not to be called again
}

func newConsumption(c *Client, o TelemetryOptions, handle func(Event) error) *consumption {
	return &consumption{client: c, options: o, handle: handle, reading: map[string]bool{}, ended: make(chan error)}
}

// run reads until ctx ends, or a reader does.
func (g *consumption) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	err := g.watch(ctx)
	cancel()
	for ; g.running > 0; g.running-- { // those too have something to acknowledge
		if other := <-g.ended; !errors.Is(other, context.Canceled) {
			err = errors.Join(err, other)
		}
	}
	return err
}

// watch begins to read all streams, and those that come, until a reader ends.
func (g *consumption) watch(ctx context.Context) error {
	if err := g.look(ctx); err != nil {
		return err
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case err := <-g.ended:
			g.running--
			return err
		case <-tick.C:
			// While NATS is away, the readers wait too.
			if err := g.look(ctx); err != nil && hub.CodeOf(err) != hub.ServiceUnavailable {
				return err
			}
		}
	}
}

// errOver refuses a message when nothing more is to be handled.
var errOver = errors.New("the consumption is over")

// look begins to read streams that are not read yet.
func (g *consumption) look(ctx context.Context) error {
	names, err := g.client.telemetryStreams(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		if g.reading[name] {
			continue
		}
		s, err := g.source(ctx, name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			continue // it was just removed
		}
		if err != nil {
			return err
		}
		g.reading[name] = true
		g.running++
		go func() { g.ended <- g.client.consumeAll(ctx, s, g.deliver) }()
	}
	if len(g.reading) == 0 {
		return hub.Errorf(hub.ServiceUnavailable, "there is no stream %s; does the hub run, and with this prefix?", names[0])
	}
	return nil
}

// deliver calls handle, for one stream at a time.
func (g *consumption) deliver(e Event) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.over {
		return errOver
	}
	err := g.handle(e)
	g.over = err != nil
	return err
}

// source says how a stream is read. One that was made after the consumption began,
// or after its durable consumer, is read from its start: all that is in it came
// later than that.
func (g *consumption) source(ctx context.Context, stream string) (source, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	s := source{stream: stream, options: g.options}
	info, err := g.client.js.Stream(ctx, stream)
	if err != nil {
		return s, streamFault(stream, err)
	}
	if err := g.begin(ctx, info); err != nil {
		return s, streamFault(stream, err)
	}
	if info.CachedInfo().Created.After(g.began) {
		s.options.FromStart = true
	}
	return s, nil
}

// begin notes, by the first stream, when the consumption began.
func (g *consumption) begin(ctx context.Context, first jetstream.Stream) error {
	if !g.began.IsZero() {
		return nil
	}
	g.began = first.CachedInfo().TimeStamp
	if g.options.Durable == "" {
		return nil
	}
	c, err := first.Consumer(ctx, g.options.Durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return nil
	}
	if err == nil && c.CachedInfo().Created.Before(g.began) {
		g.began = c.CachedInfo().Created
	}
	return err
}

func streamFault(stream string, err error) error {
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return err
	}
	return hub.Errorf(hub.ServiceUnavailable, "look up stream %s: %w", stream, err)
}

// telemetryStreams lists the streams of telemetry, the first one first.
func (c *Client) telemetryStreams(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	ctx, done := c.denied.watch(ctx, c.api("STREAM.NAMES"))
	defer done()
	lister := c.js.StreamNames(ctx, jetstream.WithStreamListSubject(c.names.TelemetryAll()))
	first := c.names.TelemetryStream()
	names := []string{first} // whoever lacks it hears so when it is looked up
	for name := range lister.Name() {
		if shard, ok := c.names.ShardOf(name); ok && shard > 0 {
			names = append(names, name)
		}
	}
	if denied := context.Cause(ctx); lister.Err() != nil && hub.CodeOf(denied) == hub.Unauthorized {
		return nil, denied
	}
	if err := lister.Err(); err != nil {
		return nil, hub.Errorf(hub.ServiceUnavailable, "list the streams of telemetry: %w", err)
	}
	slices.Sort(names[1:])
	return names, nil
}

// api is a subject of JetStream's API.
func (c *Client) api(name string) string {
	if domain := c.js.Options().Domain; domain != "" {
		return "$JS." + domain + ".API." + name
	}
	return "$JS.API." + name
}
