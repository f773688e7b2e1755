package backend

import (
	"context"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/c2d"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/telemetry"
	"github.com/hubgate/hubgate/timeline"
)

// minPayload is what a NATS message must be allowed to hold: the largest
// device message, and JetStream's limit for headers.
const minPayload = telemetry.MaxSize + 64<<10

// Backbone is a hub's connection to NATS with everything that the gateway
// keeps there. It is safe for concurrent use.
type Backbone struct {
	cfg   Config
	names subject.Names
	nc    *nats.Conn
	js    jetstream.JetStream

	credentials *CredentialStore

	devices   *DeviceStore
	sessions  *SessionStore
	policies  *PolicyStore
	trusted   *AuthorityStore
	twins     *TwinStore
	telemetry *Engine
	events    *Events
	queues    *c2d.Queues
	timeline  *TimelineStore
	recorder  *timeline.Recorder

	stop context.CancelFunc
	wg   sync.WaitGroup
}

// Connect connects to NATS, makes or checks the streams and buckets, and
// starts the engines. ctx bounds all of that. opts come last and win, for
// example embedded's in-process option. Its errors are sentences for an
// operator; on an error nothing is left running.
func Connect(ctx context.Context, cfg Config, opts ...nats.Option) (*Backbone, error) {
	cfg, err := cfg.validate()
	if err != nil {
		return nil, err
	}
	d := &dialer{cfg: cfg, extra: opts, faults: &faults{log: cfg.Log}}
	nc, err := d.dial("", forEver(cfg.Log)...)
	if err != nil {
		return nil, err
	}
	b := &Backbone{cfg: cfg, names: cfg.names(), nc: nc}
	if err := b.open(ctx, d); err != nil {
		b.Close(ctx)
		return nil, err
	}
	return b, nil
}

func (b *Backbone) open(ctx context.Context, d *dialer) error {
	if limit := b.nc.MaxPayload(); limit < minPayload {
		return fmt.Errorf("NATS takes messages of at most %d bytes, and a device message can have %d with its properties; raise max_payload of the server or the account", limit, minPayload)
	}
	var err error
	if b.js, err = openJetStream(b.nc, b.cfg.Domain); err != nil {
		return err
	}
	k := keeper{js: b.js, faults: d.faults, log: b.cfg.Log}
	if err := k.ensureAll(ctx, b.cfg.assets()); err != nil {
		return err
	}
	if err := b.openStores(ctx); err != nil {
		return err
	}
	if err := b.startEngines(d); err != nil {
		return err
	}
	return b.openTwins(ctx)
}

func openJetStream(nc *nats.Conn, domain string) (jetstream.JetStream, error) {
	if domain == "" {
		return jetstream.New(nc)
	}
	return jetstream.NewWithDomain(nc, domain)
}

func (b *Backbone) openStores(ctx context.Context) error {
	devices, err := openBucket(ctx, b.js, b.names.DeviceBucket())
	if err != nil {
		return err
	}
	presence, err := openBucket(ctx, b.js, b.names.PresenceBucket())
	if err != nil {
		return err
	}
	policies, err := openBucket(ctx, b.js, b.names.PolicyBucket())
	if err != nil {
		return err
	}
	trusted, err := openBucket(ctx, b.js, b.names.AuthorityBucket())
	if err != nil {
		return err
	}
	credentials, err := openBucket(ctx, b.js, b.names.CredentialBucket())
	if err != nil {
		return err
	}
	b.credentials = &CredentialStore{credentials}
	b.sessions = &SessionStore{bucket: presence, names: b.names, nc: b.nc, log: b.cfg.Log}
	b.devices = &DeviceStore{bucket: devices, sessions: b.sessions, log: b.cfg.Log}
	if b.policies, err = openPolicies(ctx, policies, b.cfg.Log); err != nil {
		return err
	}
	if b.trusted, err = openAuthorities(ctx, trusted, b.cfg.Log); err != nil {
		return fmt.Errorf("load the certificate authorities: %w", err)
	}
	background, stop := context.WithCancel(context.Background())
	b.stop = stop
	b.wg.Go(func() { b.policies.follow(background) })
	b.wg.Go(func() { b.trusted.follow(background) })
	if err := b.openTimeline(ctx); err != nil {
		return err
	}
	return b.openQueues(ctx, background)
}

func (b *Backbone) startEngines(d *dialer) error {
	var err error
	dial := func(opts ...nats.Option) (*nats.Conn, error) { return d.dial("telemetry", opts...) }
	if b.telemetry, err = newEngine(b.cfg, b.names.TelemetryStream(), dial); err != nil {
		return err
	}
	dial = func(opts ...nats.Option) (*nats.Conn, error) { return d.dial("events", opts...) }
	b.events, err = newEvents(b.cfg, dial)
	return err
}

// Conn is the connection for everything but telemetry and events. It reconnects
// by itself for ever.
func (b *Backbone) Conn() *nats.Conn { return b.nc }

// JetStream is JetStream on [Backbone.Conn].
func (b *Backbone) JetStream() jetstream.JetStream { return b.js }

// Names gives the names of the hub's subjects, streams and buckets.
func (b *Backbone) Names() subject.Names { return b.names }

// Devices is the store of identities.
func (b *Backbone) Devices() *DeviceStore { return b.devices }

// Sessions is the store of sessions.
func (b *Backbone) Sessions() *SessionStore { return b.sessions }

// Policies is the hub's shared access policies.
func (b *Backbone) Policies() *PolicyStore { return b.policies }

// Authorities is the hub's certificate authorities.
func (b *Backbone) Authorities() *AuthorityStore { return b.trusted }

// Telemetry stores device-to-cloud messages.
func (b *Backbone) Telemetry() *Engine { return b.telemetry }

// Events stores connection and lifecycle events.
func (b *Backbone) Events() *Events { return b.events }

// Ready reports, as ServiceUnavailable, what keeps the hub from storing: no
// connection to NATS, or no answer from JetStream.
func (b *Backbone) Ready(ctx context.Context) error {
	if !b.nc.IsConnected() {
		return hub.Errorf(hub.ServiceUnavailable, "there is no connection to NATS at %s", redact(b.cfg.URL))
	}
	if !b.telemetry.Flowing() {
		return hub.Errorf(hub.ServiceUnavailable, "JetStream does not store telemetry at the moment")
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if _, err := b.js.Stream(ctx, b.names.TelemetryStream()); err != nil {
		return hub.Errorf(hub.ServiceUnavailable, "look up stream %s: %w", b.names.TelemetryStream(), err)
	}
	return nil
}

// Close waits until what is in flight is stored or ctx ends, and closes the
// connections. Nothing may be used after it.
func (b *Backbone) Close(ctx context.Context) {
	if b.queues != nil {
		b.queues.Wait(ctx)
	}
	if b.telemetry != nil {
		b.telemetry.Close(ctx)
	}
	if b.events != nil {
		b.events.close(ctx)
	}
	if b.stop != nil {
		b.stop()
	}
	b.wg.Wait()
	if b.recorder != nil {
		b.recorder.Close()
		_ = b.nc.FlushWithContext(ctx) // its last entries
	}
	b.nc.Close()
}
