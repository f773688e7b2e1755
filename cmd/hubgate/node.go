package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/backend"
	"github.com/hubgate/hubgate/backend/embedded"
	"github.com/hubgate/hubgate/c2d"
	"github.com/hubgate/hubgate/cmd/hubgate/internal/admin"
	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
	"github.com/hubgate/hubgate/cmd/hubgate/internal/monitor"
	"github.com/hubgate/hubgate/cmd/hubgate/internal/tracing"
	"github.com/hubgate/hubgate/configuration"
	"github.com/hubgate/hubgate/credential"
	"github.com/hubgate/hubgate/gateway"
	"github.com/hubgate/hubgate/gateway/iothub"
	"github.com/hubgate/hubgate/gateway/rest"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/jobs"
	"github.com/hubgate/hubgate/methods"
	"github.com/hubgate/hubgate/sas"
	"github.com/hubgate/hubgate/trust"
	"github.com/hubgate/hubgate/twin"
)

// stopTimeout bounds a clean stop, besides limits.drain.
const stopTimeout = 10 * time.Second

// node is one running node of a hub: it wires the packages together and holds
// nothing else.
type node struct {
	cfg *config.Config
	log zerolog.Logger

	encryption embedded.Encryption // of the embedded server
	tracing    *tracing.Config     // nil: nothing is traced

	faults   *faultLog
	tracer   *tracing.Tracer  // nil: nothing is traced
	nats     *embedded.Server // nil: an external one
	back     *backend.Backbone
	registry *identity.Registry
	policies *policies
	certs    *certificates
	twins    *twin.Twins
	trust    *trust.Pool
	issuer   *credential.Issuer
	face     *iothub.Face
	gateway  *gateway.Server
	limiter  *gateway.Limiter
	methods  *backend.MethodService
	jobs     *jobs.Jobs
	configs  *configuration.Service
	https    *http.Server
	api      *apiDoor
	rest     *rest.Server
	admin    *admin.Server // nil: there is no administrative listener

	controller *configuration.Controller
	twinCounts *monitor.Twins
	stopping   atomic.Bool
	broken     chan struct{} // closed when the disk does not store
	breaks     sync.Once

	pulse       pulse
	supervision *supervision // nil: nobody is told how the node is

	ports  ports
	failed chan error // of what runs in the background; the first counts
	stops  []func(context.Context)
}

// ports are what the listeners of a node are bound to.
type ports struct {
	MQTT  int `json:"mqtt"`
	HTTPS int `json:"https"`
	NATS  int `json:"nats,omitempty"`
	Plain int `json:"plain,omitempty"`
	Admin int `json:"admin,omitempty"`
}

// secrets are the certificates that a node shows, and the policies that its
// configuration gives.
type secrets struct {
	certs    *certificates
	tls      *tls.Config
	ca       []byte // served to whoever asks; nil: not
	policies []sas.Policy
	issuer   *credential.Issuer // of certificates for devices; nil: none
}

// startNode starts all parts of a node, of which its configuration is given and
// what was read for that. open reads or makes its certificates;
// it is called when the data directory belongs to this process. On an error
// nothing is left running.
func startNode(ctx context.Context, n *node, bound *listeners, open func() (secrets, error)) (*node, error) {
	n.failed, n.broken = make(chan error, 8), make(chan struct{})
	n.faults = new(faultLog)
	n.log = n.log.Hook(n.faults)
	n.onStop(func(context.Context) { bound.close() })
	err := n.serveAdmin(bound)
	if err == nil {
		err = n.start(ctx, bound, open)
	}
	if err != nil {
		n.stop()
		return nil, err
	}
	return n, nil
}

func (n *node) start(ctx context.Context, bound *listeners, open func() (secrets, error)) error {
	if err := n.startTracing(); err != nil {
		return err
	}
	if err := n.startNATS(ctx); err != nil {
		return err
	}
	s, err := open()
	if err != nil {
		return err
	}
	if err := n.connect(ctx, bound); err != nil {
		return err
	}
	n.issuer = s.issuer
	n.certs, n.policies = s.certs, newPolicies(s.policies, n.back.Policies())
	if err := n.openTrust(); err != nil {
		return err
	}
	n.buildJobs()
	n.configs = n.configurations()
	n.build(s)
	n.face.Renewal = n.renewal()
	if err := n.serveMethods(ctx); err != nil {
		return err
	}
	if err := n.serveDrain(); err != nil {
		return err
	}
	if err := n.serveConfigurations(); err != nil {
		return err
	}
	n.watch()
	n.portsOf(bound)
	if err := n.back.Nodes().Join(ctx, membership{n}); err != nil {
		return err
	}
	n.takePulse()
	n.paceHeap()
	n.serve(bound, s)
	if err := n.startJobs(); err != nil {
		return err
	}
	n.startedAdmin()
	return nil
}

// startNATS starts the embedded server, if there is to be one.
func (n *node) startNATS(ctx context.Context) error {
	if !n.cfg.NATS.Embedded {
		return nil
	}
	var err error
	n.nats, err = embedded.Start(ctx, embedded.Config{
		DataDir:      n.cfg.DataDir,
		Host:         n.cfg.NATS.Address,
		Port:         n.cfg.NATS.Port,
		MaxStore:     int64(n.cfg.NATS.MaxStore),
		SyncAlways:   n.cfg.Durability.Sync == config.SyncAlways,
		SyncInterval: time.Duration(n.cfg.Durability.Interval),
		Syncs:        n.cfg.Durability.Sync == config.SyncGroup,
		StartTimeout: time.Duration(n.cfg.NATS.Wait),
		Backend:      embedded.Rights(embeddedNames(n.cfg).BackendRights()),
		Domain:       n.cfg.NATS.Domain,
		Leaf:         leafOf(n.cfg.NATS),
		Encryption:   n.encryption,
		Log:          n.log,
	})
	if err != nil {
		return err
	}
	n.ports.NATS = n.nats.Port()
	n.onStop(func(context.Context) {
		if err := n.nats.Shutdown(); err != nil {
			n.log.Error().Err(err).Msg("the NATS server did not stop cleanly")
		}
	})
	n.awaitRoom()
	return nil
}

// connect opens the hub's streams and buckets.
func (n *node) connect(ctx context.Context, bound *listeners) error {
	cfg := backboneConfig(n.cfg, n.log)
	cfg.Tracer = n.tracer.Seam()
	var opts []nats.Option
	if n.nats != nil {
		cfg.URL, cfg.CredsFile, cfg.NKeySeedFile = n.nats.URL(), n.nats.GatewayCreds(), ""
		cfg.Domain = "" // it is in this process
		opts = append(opts, n.nats.InProcess())
		if n.cfg.Durability.Sync == config.SyncGroup {
			cfg.Sync = n.nats.Sync
		}
	}
	var err error
	if n.back, err = n.reach(ctx, bound, cfg, opts...); err != nil {
		return err
	}
	n.onStop(n.back.Close)
	n.background(func() error {
		err := n.back.Broken()
		if err != nil {
			n.breakOff()
		}
		return err
	})
	n.registry = &identity.Registry{Store: n.back.Devices(), Events: n.back.Events()}
	service, err := n.back.ServeRegistry(n.registry)
	if err != nil {
		return err
	}
	n.onStop(func(context.Context) { _ = service.Stop() })
	n.twinCounts = &monitor.Twins{}
	n.twins = &twin.Twins{Store: n.back.Twins(), Observed: n.twinCounts.Observe}
	twins, err := n.back.ServeTwins(n.twins)
	if err != nil {
		return err
	}
	n.onStop(func(context.Context) { _ = twins.Stop() })
	why, err := n.back.ServeWhy(n.registry)
	if err != nil {
		return err
	}
	n.onStop(func(context.Context) { _ = why.Stop() })
	if err := n.serveQueries(); err != nil {
		return err
	}
	messages, err := n.back.ServeC2D()
	if err != nil {
		return err
	}
	n.onStop(func(context.Context) { _ = messages.Stop() })
	return nil
}

// backboneConfig is what the configuration says of NATS.
func backboneConfig(all *config.Config, log zerolog.Logger) backend.Config {
	c := all.NATS
	return backend.Config{
		URL: c.URL, Name: "hubgate " + all.Node, Node: all.Node, HostName: all.Hub.Host, Version: semver(),
		CredsFile: c.Creds, NKeySeedFile: c.NKey, CAFile: c.CA, CertFile: c.Cert, KeyFile: c.Key,
		Domain: c.Domain, Prefix: c.Prefix, Replicas: c.Replicas,
		Placement:        backend.Placement(c.Placement),
		Shards:           all.Telemetry.Shards,
		Telemetry:        backend.Limits{MaxAge: time.Duration(all.Telemetry.MaxAge), MaxBytes: int64(all.Telemetry.MaxBytes)},
		Events:           backend.Limits{MaxAge: time.Duration(all.Events.MaxAge), MaxBytes: int64(all.Events.MaxBytes)},
		C2D:              c2dLimits(all.C2D),
		Commands:         methods.Limits{Device: all.Methods.MaxPending, All: all.Methods.MaxPendingAll},
		NodeTimeout:      time.Duration(c.NodeTimeout),
		StoreTimeout:     time.Duration(all.Telemetry.StoreTimeout),
		MaxInFlight:      all.Telemetry.MaxInFlight,
		MaxInFlightBytes: int64(all.Telemetry.MaxInFlightBytes),
		Log:              log,
	}
}

func c2dLimits(c config.C2D) c2d.Limits {
	return c2d.Limits{
		Deliveries: c.MaxDeliveryCount, Lock: time.Duration(c.LockDuration), Depth: c.QueueDepth, Size: int(c.MaxSize),
		DefaultTTL: time.Duration(c.DefaultTTL), MaxTTL: time.Duration(c.MaxTTL),
	}
}

// build makes the front end.
func (n *node) build(s secrets) {
	n.limiter = gateway.NewLimiter(ratesOf(n.cfg.Rates))
	n.face = &iothub.Face{
		Limiter:  n.limiter,
		HostName: n.cfg.Hub.Host, Aliases: n.cfg.Hub.Aliases, Log: n.log,
		Devices: n.registry, Policies: n.policies, Trust: n.trust, Telemetry: n.back.Telemetry(), Twins: n.twins,
		Timeline: n.back.Recorder(), Tracer: n.tracer.Seam(),
		C2D: n.back.C2D(), DiscardC2D: n.cfg.C2D.Unsubscribed == config.UnsubscribedDiscard,
		ReplayDesired: n.cfg.Twins.ReplayDesired, MaxCalls: n.cfg.Methods.MaxInFlight,
		Callable: func(id hub.Identity) { n.methods.Callable(id) },
	}
	l := n.cfg.Limits
	halfOpen, connections := fitFiles(l.HalfOpen, l.Connections, openFiles())
	if halfOpen < l.HalfOpen {
		n.log.Warn().Int("half_open", halfOpen).Int("connections", connections).
			Msg("this process may open few files; the limits of connections are lowered to leave some for storing")
	}
	n.gateway = &gateway.Server{
		Face: n.face, Sessions: n.back.Sessions(), Events: n.back.Events(), Timeline: n.back.Recorder(), Node: n.cfg.Node,
		TLS: s.tls, Log: n.log, Limiter: n.limiter, Penalty: penaltyOf(l),
		Room: n.back.Telemetry().Room,
		Limits: gateway.Limits{
			MaxPacket:        int(l.MaxPacket),
			HandshakeTimeout: time.Duration(l.HandshakeTimeout),
			ConnectTimeout:   time.Duration(l.ConnectTimeout),
			HalfOpen:         halfOpen,
			Connections:      connections,
			Window:           l.Window,
			WindowBytes:      int(l.WindowBytes),
			WriteTimeout:     time.Duration(l.WriteTimeout),
			Memory:           memoryOf(l),
			Duplicates:       gateway.Duplicates(l.Duplicates),
			Quarantine:       time.Duration(l.Quarantine),
		},
	}
	n.rest = n.serviceAPI()
	n.api = newAPIDoor(n.rest, n.cfg.API)
	n.https = newHTTPServer(n.gateway, n.api, s.ca, n.cfg, n.log)
}

// serve starts to accept devices.
func (n *node) serve(bound *listeners, s secrets) {
	patience := stuckAfter + time.Duration(n.cfg.Limits.HandshakeTimeout) + time.Duration(n.cfg.Limits.ConnectTimeout)
	for _, ln := range bound.mqtt {
		ln = n.pulse.listen("accepting MQTT over TLS", ln, patience)
		n.background(func() error { return n.gateway.ServeTLS(ln) })
	}
	for _, ln := range bound.plain {
		ln = n.pulse.listen("accepting MQTT without TLS", ln, patience)
		n.background(func() error { return n.gateway.ServePlain(ln) })
	}
	for _, ln := range bound.https {
		ln = n.pulse.listen("accepting HTTPS", ln, patience)
		secure := tls.NewListener(n.gateway.GateListener(ln), httpsConfig(s.tls))
		n.background(func() error { return n.serveHTTPS(secure) })
	}
	n.onStop(func(ctx context.Context) {
		n.gateway.StopAccepting()
		n.api.close(n.https) // WebSockets are the gateway's by then
		if err := n.gateway.Drain(ctx, drainTime(n.cfg.Limits, n.gateway.Connected())); err != nil {
			n.log.Warn().Err(err).Msg("not all connections ended in time")
		}
	})
}

func (n *node) serveHTTPS(ln net.Listener) error {
	err := n.https.Serve(ln)
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// background runs what must run as long as the node does.
func (n *node) background(f func() error) {
	go func() {
		if err := f(); err != nil {
			n.failed <- err
		}
	}()
}

// paceHeap looks after the heap until the node stops.
func (n *node) paceHeap() {
	ctx, cancel := context.WithCancel(context.Background())
	n.onStop(func(context.Context) { cancel() })
	n.background(func() error {
		newHeapPace(usableMemory(), n.gateway.Connected).run(ctx)
		return nil
	})
}

// breakOff has the stop wait for nothing.
func (n *node) breakOff() { n.breaks.Do(func() { close(n.broken) }) }

// onStop adds a step to the stop; the last one added is the first to run.
func (n *node) onStop(f func(context.Context)) { n.stops = append(n.stops, f) }

// wait returns when ctx ends, or with the error of a part that failed.
func (n *node) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-n.failed:
		return fmt.Errorf("the node cannot go on: %w", err)
	}
}

// stop ends all parts: first the connections of devices, then what they need.
// It waits no longer than stopTimeout and limits.drain. It does not
// wait when the disk is broken, as each step would for the disk: what is left behind
// then is what a node that is killed leaves.
func (n *node) stop() {
	n.stopping.Store(true)
	longest := stopTimeout + time.Duration(n.cfg.Limits.Drain)
	ctx, cancel := context.WithTimeout(context.Background(), longest)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, f := range slices.Backward(n.stops) {
			f(ctx)
		}
	}()
	select {
	case <-done:
	case <-n.broken:
	case <-ctx.Done():
		n.log.Error().Dur("after", longest).Msg("the stop takes too long; leaving without the rest of it")
	}
}
