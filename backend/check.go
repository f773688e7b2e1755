package backend

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Level is how bad a finding is.
type Level string

// The levels.
const (
	Good Level = "ok"
	Warn Level = "warning" // it works, and not as well as it could
	Bad  Level = "error"   // it does not work
)

// Finding is what a check has found about one thing.
type Finding struct {
	Level  Level  `json:"level"`
	What   string `json:"what"`
	Text   string `json:"text"`
	Remedy string `json:"remedy,omitempty"` // what to do; empty if nothing
}

const (
	// clockWarn and clockBad are how far apart the clocks of node and NATS may
	// be. Tokens have a grace of minutes.
	clockWarn = 2 * time.Second
	clockBad  = time.Minute
)

// minVersion is the oldest nats-server with all that the hub needs: times to
// live of single messages, and markers of deleted keys.
const minVersion = "2.11"

// checker collects what it finds.
type checker struct {
	cfg   Config
	nc    *nats.Conn
	js    jetstream.JetStream
	found []Finding
}

// Check looks at NATS as [Connect] would need it, and changes nothing there:
// whether it answers, its version, limits, the rights of the user, the streams
// that are there, and its clock.
func Check(ctx context.Context, cfg Config, opts ...nats.Option) []Finding {
	cfg, err := cfg.validate()
	if err != nil {
		return []Finding{{Bad, "nats", err.Error(), "correct the configuration"}}
	}
	c := &checker{cfg: cfg}
	d := &dialer{cfg: cfg, extra: opts, faults: &faults{log: cfg.Log}}
	if c.nc, err = d.dial("check", nats.NoReconnect()); err != nil {
		c.bad("nats", err.Error(), "start NATS, or correct nats.url and the credentials")
		return c.found
	}
	defer c.nc.Close()
	c.good("nats", fmt.Sprintf("%s answers, version %s", redact(cfg.URL), c.nc.ConnectedServerVersion()))
	c.server()
	c.rights(d)
	if c.js, err = openJetStream(c.nc, cfg.Domain); err == nil {
		c.jetStream(ctx)
	}
	return c.found
}

func (c *checker) add(l Level, what, text, remedy string) {
	c.found = append(c.found, Finding{l, what, text, remedy})
}
func (c *checker) good(what, text string)         { c.add(Good, what, text, "") }
func (c *checker) bad(what, text, remedy string)  { c.add(Bad, what, text, remedy) }
func (c *checker) warn(what, text, remedy string) { c.add(Warn, what, text, remedy) }

// server checks what NATS says of itself at the beginning.
func (c *checker) server() {
	if limit := c.nc.MaxPayload(); limit < minPayload {
		c.bad("nats: max_payload", fmt.Sprintf("NATS takes messages of at most %d bytes, and a device message can have %d with its properties", limit, minPayload),
			fmt.Sprintf("set max_payload: %d in the configuration of the server, and in the limits of the account", minPayload))
	} else {
		c.good("nats: max_payload", fmt.Sprintf("%d bytes", limit))
	}
	if !c.nc.HeadersSupported() {
		c.bad("nats: headers", "NATS has headers turned off", "remove no_header_support from the configuration of the server")
	}
	if v := c.nc.ConnectedServerVersion(); olderThan(v, minVersion) {
		c.bad("nats: version", fmt.Sprintf("nats-server %s lacks what the hub needs", v), "use nats-server "+minVersion+" or newer")
	}
	if _, err := c.nc.TLSConnectionState(); err != nil && !isLocal(c.nc.ConnectedAddr()) {
		c.warn("nats: TLS", "the connection to NATS leaves this machine without TLS", "set up TLS in NATS, and write tls:// in nats.url")
	}
}

func isLocal(address string) bool {
	return address == "" || strings.HasPrefix(address, "127.") || strings.HasPrefix(address, "[::1]") || strings.Contains(address, "pipe")
}

// olderThan compares the first two numbers of versions.
func olderThan(version, least string) bool {
	var a, b [2]int
	_, err := fmt.Sscanf(version, "%d.%d", &a[0], &a[1])
	if _, err2 := fmt.Sscanf(least, "%d.%d", &b[0], &b[1]); err != nil || err2 != nil {
		return false
	}
	return slices.Compare(a[:], b[:]) < 0
}

// jetStream checks the account's JetStream, and the streams that are there.
func (c *checker) jetStream(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, assetTimeout)
	defer cancel()
	info, err := c.js.AccountInfo(ctx)
	switch {
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		c.bad("jetstream", "JetStream is not enabled, or not for this account", "enable JetStream, with a store_dir, for the server and the account")
		return
	case err != nil:
		c.bad("jetstream", fmt.Sprintf("JetStream does not answer: %v", err), "see whether JetStream runs, and whether the user may ask $JS.API.>")
		return
	}
	if text := tooOld(c.nc.ConnectedServerVersion(), info.API.Level); text != "" {
		c.bad("jetstream: version", text, "update all NATS servers, one after another")
	} else {
		c.good("jetstream: version", fmt.Sprintf("level %d of its API", info.API.Level))
	}
	missing := c.streams(ctx)
	c.limits(allowanceOf(info, c.cfg.Replicas), missing)
}

// streams checks the streams and buckets that are there, and returns those that
// are not.
func (c *checker) streams(ctx context.Context) []asset {
	var missing []asset
	var clock time.Time
	var asked time.Duration
	for _, a := range c.cfg.assets() {
		began := time.Now()
		s, err := c.js.Stream(ctx, a.want.Name)
		switch {
		case errors.Is(err, jetstream.ErrStreamNotFound):
			missing = append(missing, a)
		case err != nil:
			c.bad("jetstream: "+a.want.Name, fmt.Sprintf("it can't be looked up: %v", err), "see the rights above")
		default:
			info := s.CachedInfo()
			clock, asked = info.TimeStamp, time.Since(began)
			c.stream(a, info.Config)
		}
	}
	if n := len(c.cfg.assets()) - len(missing); n > 0 {
		c.good("jetstream: streams", fmt.Sprintf("%d of %d streams and buckets are there; what is missing is made at the start", n, len(c.cfg.assets())))
	} else {
		c.good("jetstream: streams", "none is there yet; the first start makes them")
	}
	c.clock(clock, asked)
	return missing
}

// stream checks one that is there.
func (c *checker) stream(a asset, have jetstream.StreamConfig) {
	known, _ := keeper{upgrades: upgrades()}.layout()
	if err := a.tooNew(have.Metadata, known); err != nil {
		c.bad("jetstream: "+a.want.Name, err.Error(), "use the newer Hubgate on all nodes")
	}
	if err := a.unfit(have); err != nil {
		c.bad("jetstream: "+a.want.Name, err.Error(), "move it out of the way")
	}
}

// clock compares the clock of NATS with that of this machine; what a question
// took is the tolerance.
func (c *checker) clock(theirs time.Time, took time.Duration) {
	if theirs.IsZero() {
		c.good("clock: nats", "not compared: NATS tells its time with the streams, which are not there yet")
		return
	}
	off := time.Since(theirs).Abs()
	text := fmt.Sprintf("this machine and NATS are %v apart", off.Round(time.Millisecond))
	remedy := "have both set their clocks by NTP: the expiry of tokens and of messages is judged by them"
	switch {
	case off > clockBad+took:
		c.bad("clock: nats", text, remedy)
	case off > clockWarn+took:
		c.warn("clock: nats", text, remedy)
	default:
		c.good("clock: nats", text)
	}
}
