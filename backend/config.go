package backend

import (
	"cmp"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/c2d"
	"github.com/hubgate/hubgate/methods"
	"github.com/hubgate/hubgate/span"
)

// Limits bound a stream. A zero field means the default when the stream is
// made, and leaves an existing stream as an operator has set it.
type Limits struct {
	// MaxAge is how long messages are kept.
	MaxAge time.Duration
	// MaxBytes is how much is kept; the oldest messages go first. When a
	// default is more than JetStream has room for, it is halved until it fits.
	MaxBytes int64
}

// Placement is where JetStream puts streams: in a cluster of a supercluster, on
// servers that have all of these tags.
type Placement struct {
	Cluster string
	Tags    []string
}

func (p Placement) isSet() bool { return p.Cluster != "" || len(p.Tags) > 0 }

func (p Placement) String() string {
	return fmt.Sprintf("nats.placement: cluster %q, tags %v", p.Cluster, p.Tags)
}

// Stream is p as a stream has it; nil if it is not set.
func (p Placement) Stream() *jetstream.Placement {
	if !p.isSet() {
		return nil
	}
	return &jetstream.Placement{Cluster: p.Cluster, Tags: p.Tags}
}

// Config says which NATS to use and how. Only URL is required, and not even
// that when a nats.Option leads to an in-process server.
type Config struct {
	// URL of NATS, or several separated by commas.
	URL string
	// Name is what NATS shows of the connections. Empty: hubgate.
	Name string
	// CredsFile holds the user's JWT and seed; NKeySeedFile a bare seed. At
	// most one is set.
	CredsFile, NKeySeedFile string
	// CAFile verifies the server in place of the system's roots; CertFile and
	// KeyFile are the client certificate.
	CAFile, CertFile, KeyFile string
	// Domain of JetStream, where leaf nodes have one.
	Domain string
	// Prefix of all names; see [subject.Names]. Empty: hub.
	Prefix string
	// Node is the name of this node in the entries of timelines.
	Node string
	// HostName is what devices call the hub. The registry service tells it, so
	// that back-end apps and the CLI can make connection strings; events have
	// its first label. May be empty.
	HostName string
	// Version of the program, for the NATS services; empty: 0.0.0.
	Version string
	// Patience is how long Connect waits for NATS to be there, and for the leaders
	// of its streams. 0: it fails at once.
	Patience time.Duration
	// Replicas of every stream and bucket that is made, 1 to 5. 0: 1, and
	// existing ones stay as they are.
	Replicas int
	// Placement says on which servers of a NATS cluster streams are. The zero value:
	// JetStream chooses.
	Placement Placement
	// Telemetry bounds each stream of device messages; default 7 days, and 10 GiB
	// for all of them.
	Telemetry Limits
	// Shards is into how many streams telemetry is divided, 1 to 64. 0: 1.
	Shards int
	// Events bounds the stream of events; default 7 days, 1 GiB.
	Events Limits
	// Timeline bounds the stream of timelines of devices; default 30 days,
	// 256 MiB.
	Timeline Limits
	// C2D is the limits of cloud-to-device messages. Its Depth is given to the
	// stream of the queues; 0: 50 when that is made, and an existing one stays as
	// an operator has set it.
	C2D c2d.Limits
	// Commands bounds the calls that wait for their devices.
	Commands methods.Limits
	// StoreTimeout is how long a message may wait for its acknowledgement
	// before its sender hears of a failure. 0: 30 s.
	StoreTimeout time.Duration
	// Sync returns when the disk has all that the server had written to its files
	// before the call. With it nothing is promised to anybody before the disk has
	// it: one call serves all that wait. It is not called again after an error. It
	// needs the server to be in this process, and is nil where an acknowledgement
	// of JetStream is enough.
	Sync func() error
	// MaxInFlight is how many messages may wait for their acknowledgement
	// before Store blocks. 0: 16384.
	MaxInFlight int
	// MaxInFlightBytes bounds the same in bytes. 0: 64 MiB, which is half of
	// what an external server queues for one stream before it refuses.
	MaxInFlightBytes int64
	// NodeTimeout is how long a node may give no sign of life until the others end
	// its connections in its place. All nodes of a hub should have the same. 0: 10 s.
	NodeTimeout time.Duration
	// Tracer shows what happens to messages and calls. nil: nobody does.
	Tracer span.Tracer
	// Log gets what happens to the connection. The zero value discards it.
	Log zerolog.Logger
}

const (
	defaultMaxAge           = 7 * 24 * time.Hour
	defaultTelemetryBytes   = 10 << 30
	defaultEventsBytes      = 1 << 30
	defaultStoreTimeout     = 30 * time.Second
	defaultMaxInFlight      = 16384
	defaultMaxInFlightBytes = 64 << 20
	maxInFlight             = 1 << 20
)

// validate fills in the defaults.
func (c Config) validate() (Config, error) {
	if err := c.names().Validate(); err != nil {
		return c, err
	}
	if c.CredsFile != "" && c.NKeySeedFile != "" {
		return c, fmt.Errorf("both a credentials file (%s) and an nkey seed file (%s) are given for NATS; give one", c.CredsFile, c.NKeySeedFile)
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		return c, fmt.Errorf("a client certificate for NATS needs both its file (%q) and its key (%q)", c.CertFile, c.KeyFile)
	}
	if c.Replicas < 0 || c.Replicas > 5 {
		return c, fmt.Errorf("%d replicas are asked for; JetStream has 1 to 5", c.Replicas)
	}
	if c.Shards < 0 || c.Shards > subject.MaxShards {
		return c, fmt.Errorf("%d streams of telemetry are asked for; there can be 1 to %d", c.Shards, subject.MaxShards)
	}
	if c.MaxInFlight < 0 || c.MaxInFlight > maxInFlight {
		return c, fmt.Errorf("%d messages in flight are asked for; the limit is %d", c.MaxInFlight, maxInFlight)
	}
	c.Name = cmp.Or(c.Name, "hubgate")
	c.Version = cmp.Or(c.Version, "0.0.0")
	c.StoreTimeout = cmp.Or(max(c.StoreTimeout, 0), defaultStoreTimeout)
	c.NodeTimeout = cmp.Or(max(c.NodeTimeout, 0), defaultNodeTimeout)
	c.MaxInFlight = cmp.Or(c.MaxInFlight, defaultMaxInFlight)
	c.MaxInFlightBytes = cmp.Or(max(c.MaxInFlightBytes, 0), defaultMaxInFlightBytes)
	return c, nil
}

func (c Config) names() subject.Names { return subject.Names{Prefix: c.Prefix, Shards: c.Shards} }

// hubName is the hub's name as IoT Hub has it: example of example.azure.net.
func (c Config) hubName() string {
	if net.ParseIP(c.HostName) != nil {
		return c.HostName
	}
	name, _, _ := strings.Cut(c.HostName, ".")
	return name
}
