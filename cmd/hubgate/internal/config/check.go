package config

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/internal/pki"
)

// Role is what a configuration is for.
type Role string

// The roles.
const (
	Dev   Role = "dev"   // one node with everything in it
	Serve Role = "serve" // a node in production
)

// DevHost is the host of a development hub that was given none. It has a dot,
// which the C SDK insists on, needs no resolver, and leads to the machine
// itself.
const DevHost = "127.0.0.1"

// Complete fills in what depends on the role and on the machine, and then
// checks what the values mean together. The error joins all that is wrong.
func (c *Config) Complete(role Role) error {
	var errs []error
	if role == Dev {
		c.Hub.Host = cmp.Or(c.Hub.Host, DevHost)
		if c.NATS.URL != "" {
			errs = append(errs, c.wrong("nats.url", "hubgate dev runs a NATS server of its own; unset it, or use hubgate serve"))
		}
		if len(c.TLS.CertFiles) > 0 {
			errs = append(errs, c.wrong("tls.cert_files", "hubgate dev makes its own certificates; unset it, or use hubgate serve"))
		}
		c.NATS.Embedded = c.NATS.URL == ""
	}
	if c.Node == "" {
		c.Node, _ = os.Hostname()
		c.Node = cmp.Or(c.Node, "node")
	}
	if c.DataDir == "" {
		dir, err := DefaultDataDir()
		if err != nil && c.NATS.Embedded {
			errs = append(errs, c.wrong("data_dir", "%w", err))
		}
		c.DataDir = dir
	}
	if dir, err := filepath.Abs(c.DataDir); err == nil && c.DataDir != "" {
		c.DataDir = dir
	}
	c.completeAdmin(role)
	if role == Serve {
		errs = append(errs, c.checkServe()...)
	}
	errs = append(errs, c.checkHub()...)
	errs = append(errs, c.checkListeners()...)
	errs = append(errs, c.checkNATS()...)
	errs = append(errs, c.checkLimits()...)
	errs = append(errs, c.checkFeatures()...)
	errs = append(errs, c.checkRates()...)
	errs = append(errs, c.checkAPI()...)
	errs = append(errs, c.checkOIDC()...)
	errs = append(errs, c.checkAdmin()...)
	errs = append(errs, c.checkTracing()...)
	return errors.Join(errs...)
}

// wrong says what is the matter with the value of a path, and where it stands.
func (c *Config) wrong(path, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	f, _ := c.find(path)
	switch origin := c.origins[path]; {
	case origin != "":
		return fmt.Errorf("%s: %s: %w", origin, path, err)
	case f.Flag != "":
		return fmt.Errorf("%s (--%s): %w", path, f.Flag, err)
	default:
		return fmt.Errorf("%s: %w", path, err)
	}
}

func (c *Config) checkServe() []error {
	var errs []error
	if c.Hub.Host == "" {
		errs = append(errs, c.wrong("hub.host", "a hub needs the name that devices dial"))
	}
	if c.NATS.URL == "" && !c.NATS.Embedded {
		errs = append(errs, c.wrong("nats.url", "a node needs the URL of its NATS server, or --embedded to run one itself"))
	}
	if len(c.TLS.CertFiles) == 0 {
		errs = append(errs, c.wrong("tls.cert_files", "a node needs certificates for the hub's name; hubgate dev makes its own"))
	}
	return errs
}

func (c *Config) checkHub() []error {
	var errs []error
	for _, host := range append([]string{c.Hub.Host}, c.Hub.Aliases...) {
		if host == "" {
			continue // reported by checkServe
		}
		path := "hub.aliases"
		if host == c.Hub.Host {
			path = "hub.host"
		}
		if err := checkName(host); err != nil {
			errs = append(errs, c.wrong(path, "%w", err))
		}
	}
	if len(c.TLS.CertFiles) != len(c.TLS.KeyFiles) {
		errs = append(errs, c.wrong("tls.cert_files", "%d certificate files and %d key files are given; each certificate needs its key", len(c.TLS.CertFiles), len(c.TLS.KeyFiles)))
	}
	return append(errs, c.checkIssuer()...)
}

func (c *Config) checkIssuer() []error {
	var errs []error
	if (c.TLS.IssuerCertFile == "") != (c.TLS.IssuerKeyFile == "") {
		errs = append(errs, c.wrong("tls.issuer_cert_file", "the issuing authority needs both its certificate and its key"))
	}
	const hour, years = 3600 * Second, 3650 * 24 * 3600 * Second
	if c.TLS.IssuedLifetime < hour || c.TLS.IssuedLifetime > years {
		errs = append(errs, c.wrong("tls.issued_lifetime", "%v is not from 1h to %v", c.TLS.IssuedLifetime, years))
	}
	return errs
}

// checkName refuses what no connection string can hold as HostName.
func checkName(host string) error {
	addr, err := netip.ParseAddr(host)
	if err == nil && addr.IsUnspecified() {
		return fmt.Errorf("%q is no address that devices can dial; use a name or an address of this machine, and --listen to choose where to listen", host)
	}
	if err == nil && !addr.Is4() {
		return fmt.Errorf("%q is an IPv6 address, which SDKs cannot dial by HostName; use a name or an IPv4 address", host)
	}
	if !pki.ValidName(host) || strings.HasPrefix(host, "*") {
		return fmt.Errorf("%s is not a host name; use a DNS name or an IPv4 address, without scheme and port", shown(host))
	}
	return nil
}

func (c *Config) checkNATS() []error {
	var errs []error
	n := &c.NATS
	if n.URL != "" && n.Embedded {
		errs = append(errs, c.wrong("nats.embedded", "a node uses either its own NATS server or the one at nats.url, not both"))
	}
	if n.Creds != "" && n.NKey != "" {
		errs = append(errs, c.wrong("nats.nkey", "there is nats.creds too; give one of them"))
	}
	if (n.Cert == "") != (n.Key == "") {
		errs = append(errs, c.wrong("nats.cert", "a client certificate needs both nats.cert and nats.key"))
	}
	if n.URL != "" && c.Durability.Sync != SyncInterval {
		errs = append(errs, c.wrong("durability.sync", "%s is for the embedded NATS server; write sync_interval: always in the configuration of the server at nats.url", c.Durability.Sync))
	}
	if err := (subject.Names{Prefix: n.Prefix}).Validate(); err != nil {
		errs = append(errs, c.wrong("nats.prefix", "%q is not 1 to 64 characters of a-z 0-9 _ -", n.Prefix))
	}
	return append(errs, c.checkEmbedded()...)
}

// checkEmbedded refuses what the kind of NATS server can't do.
func (c *Config) checkEmbedded() []error {
	var errs []error
	n := &c.NATS
	if n.EncryptionKey != "" && !n.Embedded {
		errs = append(errs, c.wrong("nats.encryption_key", "this is for the embedded NATS server; write the key into the jetstream section of the configuration of the server at nats.url"))
	}
	errs = append(errs, c.checkLeaf()...)
	if n.Replicas > 5 {
		errs = append(errs, c.wrong("nats.replicas", "JetStream keeps 1 to 5 copies, not %d", n.Replicas))
	}
	if timeout := time.Duration(n.NodeTimeout); timeout < time.Second || timeout > 10*time.Minute {
		errs = append(errs, c.wrong("nats.node_timeout", "nodes may be silent for 1s to 10m, not %v", n.NodeTimeout))
	}
	if n.Embedded && (n.Placement.Cluster != "" || len(n.Placement.Tags) > 0) {
		errs = append(errs, c.wrong("nats.placement.tags", "there is one place; this is for a NATS cluster at nats.url"))
	}
	if n.Embedded && n.Replicas > 1 {
		errs = append(errs, c.wrong("nats.replicas", "%d copies need a NATS cluster; the embedded server keeps 1", n.Replicas))
	}
	return errs
}

// checkLeaf completes and checks the link of the embedded server.
func (c *Config) checkLeaf() []error {
	var errs []error
	n := &c.NATS
	if !isPlainName(n.Domain) {
		errs = append(errs, c.wrong("nats.domain", "%q is not up to 64 characters of A-Z a-z 0-9 _ -", n.Domain))
	}
	if n.Leaf.URL == "" {
		if n.Leaf.Creds != "" || n.Leaf.CA != "" {
			errs = append(errs, c.wrong("nats.leaf.url", "there is nats.leaf.creds or nats.leaf.ca, and no URL to use it for"))
		}
		return errs
	}
	if !n.Embedded {
		errs = append(errs, c.wrong("nats.leaf.url", "this is for the embedded NATS server; write the remote into the leafnodes section of the configuration of the server at nats.url"))
	}
	if n.Prefix == subject.DefaultPrefix {
		errs = append(errs, c.wrong("nats.prefix", "a hub at the edge needs a prefix of its own, for its names are seen at the other end of nats.leaf.url; give each edge another one, such as plant7"))
	}
	if c.Telemetry.Shards > 1 {
		errs = append(errs, c.wrong("telemetry.shards", "a hub at the edge has one stream of telemetry, which is copied to the other end of nats.leaf.url; leave it at 1"))
	}
	n.Domain = cmp.Or(n.Domain, n.Prefix)
	return errs
}

// isPlainName reports whether text, which may be empty, is fit for a token.
func isPlainName(text string) bool {
	return len(text) <= 64 && strings.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") == ""
}

// minPacket lets a CONNECT with a long token pass.
const minPacket = 4 * KiB

func (c *Config) checkLimits() []error {
	l, t := &c.Limits, &c.Telemetry
	var errs []error
	if l.MaxPacket < minPacket || l.MaxPacket > 256*MiB {
		errs = append(errs, c.wrong("limits.max_packet", "%v is not from %v to 256MiB", l.MaxPacket, minPacket))
	}
	for _, v := range []struct {
		path string
		zero bool
	}{
		{"limits.handshake_timeout", l.HandshakeTimeout == 0},
		{"limits.connect_timeout", l.ConnectTimeout == 0},
		{"limits.half_open", l.HalfOpen == 0},
		{"limits.window", l.Window == 0},
		{"limits.window_bytes", l.WindowBytes == 0},
		{"limits.write_timeout", l.WriteTimeout == 0},
		{"limits.quarantine", l.Quarantine == 0},
		{"telemetry.store_timeout", t.StoreTimeout == 0},
		{"telemetry.max_in_flight_bytes", t.MaxInFlightBytes == 0},
		{"durability.interval", c.Durability.Interval == 0},
	} {
		if v.zero {
			errs = append(errs, c.wrong(v.path, "0 leaves no room to work; give it a value, or leave it out"))
		}
	}
	return append(errs, c.checkStreams()...)
}

const (
	minInterval = Second / 1000 // below, the timers of the NATS server do not work
	minAge      = Second / 10   // of what JetStream keeps
)

// checkStreams refuses times that JetStream does not take.
func (c *Config) checkStreams() []error {
	var errs []error
	if i := c.Durability.Interval; i > 0 && i < minInterval {
		errs = append(errs, c.wrong("durability.interval", "%v is not %v or more", i, minInterval))
	}
	for _, v := range []struct {
		path string
		age  Duration
	}{{"telemetry.max_age", c.Telemetry.MaxAge}, {"events.max_age", c.Events.MaxAge}} {
		if v.age > 0 && v.age < minAge {
			errs = append(errs, c.wrong(v.path, "%v is not %v or more, nor 0 to leave the stream as it is", v.age, minAge))
		}
	}
	return errs
}
