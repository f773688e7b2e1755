package backend

import (
	"context"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/c2d"
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
	desk  *desk // nil: the server is not in this process

	credentials    *CredentialStore
	jobs           *JobStore
	configurations *ConfigurationStore

	devices   *DeviceStore
	sessions  *SessionStore
	nodes     *Nodes
	policies  *PolicyStore
	trusted   *AuthorityStore
	twins     *TwinStore
	telemetry *Shards
	events    *Events
	queues    *c2d.Queues
	feedback  *FeedbackQueue
	timeline  *TimelineStore
	recorder  *timeline.Recorder
	fleet     *Fleet

	commits  *commits // nil: an acknowledgement of JetStream is enough
	requests requests
	settled  settlements

	stop context.CancelFunc
	wg   sync.WaitGroup
}

// Connect connects to NATS, makes or checks the streams and buckets, and
// starts the engines. While NATS is not ready it tries again, for Patience of
// the configuration. ctx bounds all of that. opts come last and win, for
// example embedded's in-process option. Its errors are sentences for an
// operator; on an error nothing is left running.
func Connect(ctx context.Context, cfg Config, opts ...nats.Option) (*Backbone, error) {
	cfg, err := cfg.validate()
	if err != nil {
		return nil, err
	}
	return patiently(ctx, cfg, opts)
}

// connect is one attempt of Connect.
func connect(ctx context.Context, cfg Config, opts []nats.Option) (*Backbone, error) {
	d := &dialer{cfg: cfg, extra: opts, faults: &faults{log: cfg.Log}}
	nc, err := d.dial("", forEver(cfg.Log)...)
	if err != nil {
		return nil, err
	}
	b := &Backbone{cfg: cfg, names: cfg.names(), nc: nc, commits: newCommits(cfg.Sync)}
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
	if err := b.openDesk(d); err != nil {
		return err
	}
	b.js = durably(b.js, b.commits)
	k := keeper{js: b.js, names: b.names, faults: d.faults, log: b.cfg.Log, upgrades: upgrades()}
	if _, err := k.checkServer(ctx); err != nil {
		return err
	}
	if err := b.whole(ctx); err != nil {
		return err
	}
	if err := k.ensureAll(ctx, b.cfg.assets()); err != nil {
		return err
	}
	if err := k.keepRetired(ctx, b.cfg); err != nil {
		return err
	}
	if err := b.openStores(ctx); err != nil {
		return err
	}
	if err := b.startEngines(d); err != nil {
		return err
	}
	if err := b.openTwins(ctx); err != nil {
		return err
	}
	if err := b.openJobs(ctx); err != nil {
		return err
	}
	return b.openFleet(ctx, d)
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
	configurations, err := openBucket(ctx, b.js, b.names.ConfigurationBucket())
	if err != nil {
		return err
	}
	b.credentials = &CredentialStore{credentials}
	b.configurations = &ConfigurationStore{bucket: configurations, log: b.cfg.Log}
	if err := b.openSessions(ctx, presence); err != nil {
		return err
	}
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
	if b.telemetry, err = newShards(b.cfg, b.commits, solely(d.linker("telemetry"))); err != nil {
		return err
	}
	b.sessions.wills.alone = b.telemetry.alone
	if b.events, err = newEvents(b.cfg, d.linker("events")); err != nil {
		return err
	}
	b.sessions.ends = newEnds(b.events, &eventLog{b.events, b.js}, b.cfg.Events)
	b.nodes.repair = newRepair(b.sessions, b.cfg.Node)
	return nil
}

// Conn is the connection for everything but telemetry and events. It reconnects
// by itself for ever.
func (b *Backbone) Conn() *nats.Conn { return b.nc }

// JetStream is JetStream on [Backbone.Conn]. What writes returns when it is as
// durable as the hub promises.
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
func (b *Backbone) Telemetry() *Shards { return b.telemetry }

// Events stores connection and lifecycle events.
func (b *Backbone) Events() *Events { return b.events }

// Close waits until what is in flight is stored or ctx ends, and closes the
// connections. Nothing may be used after it. When a sync has failed it waits for
// nothing: no disk takes what is in flight.
func (b *Backbone) Close(ctx context.Context) {
	if b.commits.fault() != nil {
		over, cancel := context.WithCancel(ctx)
		cancel()
		ctx = over
	}
	if b.queues != nil {
		b.queues.Wait(ctx)
	}
	if b.sessions != nil {
		b.nodes.leave(ctx, b.sessions.settle(ctx))
		b.sessions.debts.close(ctx)
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
	b.commits.close(ctx)
	if b.desk != nil {
		b.desk.close()
	}
	b.nc.Close()
}
