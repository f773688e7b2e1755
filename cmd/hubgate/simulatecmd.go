package main

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
	"github.com/hubgate/hubgate/cmd/hubgate/internal/simulate"
)

type simulateCmd struct {
	clientFlags `embed:""`

	Devices int    `name:"devices" default:"100" placeholder:"N" help:"How many devices (100)."`
	Profile string `name:"profile" enum:"steady,storm,diurnal,flaky" default:"steady" placeholder:"NAME" help:"steady; storm, where all connections break at once; diurnal, with a rate that follows a sine; or flaky, with bad networks."`
	SDK     string `name:"sdk" enum:"mixed,node,python,c" default:"mixed" placeholder:"NAME" help:"Whose devices they are like: node, python, c, or mixed."`
	First   int    `name:"first" default:"1" placeholder:"N" help:"Number of the first device, for several processes at a time (1)."`
	Prefix  string `name:"prefix" default:"sim-" help:"Begin of their ids (sim-)."`
	Cleanup bool   `name:"cleanup" help:"Delete the devices at the end."`

	Duration    config.Duration `name:"duration" default:"1m" help:"How long, such as 30m (1m); 0: until Ctrl-C."`
	Rate        float64         `name:"rate" default:"0.1" placeholder:"N" help:"Messages per second of each device (0.1)."`
	Size        int             `name:"size" default:"256" placeholder:"BYTES" help:"Bytes of a message's body (256)."`
	TwinEvery   config.Duration `name:"twin-every" default:"1m" help:"Time between two reported patches of a device (1m); 0: none."`
	ConnectRate float64         `name:"connect-rate" default:"200" placeholder:"N" help:"Connects per second at the start (200)."`
	TokenTTL    config.Duration `name:"token-ttl" default:"1h" help:"How long tokens are valid; devices connect anew before (1h)."`
	StormEvery  config.Duration `name:"storm-every" default:"1m" help:"Of the profile storm: time from one to the next (1m)."`
	UpsetEvery  config.Duration `name:"upset-every" default:"1m" help:"Of the profile flaky: mean time between two upsets of a device (1m)."`
	Period      config.Duration `name:"period" default:"10m" help:"Of the profile diurnal: length of the day (10m)."`
	Seed        uint64          `name:"seed" placeholder:"N" help:"Begin of the random numbers. Default: another each time."`

	Service    string   `name:"service" placeholder:"WHERE" help:"Make the devices by the REST API: env:NAME or the file of a service connection string. Default: by NATS."`
	API        string   `name:"api" placeholder:"HOST:PORT" help:"Where the REST API is, in place of the host name at 443."`
	Address    []string `name:"address" placeholder:"HOST:PORT" help:"Where devices connect to, in place of the host name at 8883, or at 443 with --websockets. Repeatable."`
	CA         string   `name:"ca" placeholder:"FILE" help:"Authority of the hub's certificate, in place of the system's."`
	WebSockets bool     `name:"websockets" help:"Connect by MQTT over WebSockets."`
	TLSResume  bool     `name:"tls-resume" help:"Resume TLS sessions, as the Azure SDKs do not."`
	Source     []string `name:"source" placeholder:"ADDRESS" help:"Local address or network, such as 127.0.0.0/24, to connect from. Repeatable."`

	Progress     config.Duration  `name:"progress" default:"5s" help:"Time from one line of progress to the next (5s)."`
	MaxP99       *config.Duration `name:"max-p99" placeholder:"TIME" help:"Fail when the p99 from PUBLISH to PUBACK is longer."`
	MaxErrors    *int64           `name:"max-errors" placeholder:"N" help:"Fail when there are more errors."`
	MinConnected string           `name:"min-connected" placeholder:"N" help:"Fail when fewer devices are connected at the end: a number, or a share such as 99%."`
	MaxLost      *int64           `name:"max-lost" placeholder:"N" help:"Fail when more acknowledged messages are in no stream, or when that can't be verified. Default: fail when one is known to be lost."`
}

// Run simulates devices until the time is over, or ctx ends.
func (c *simulateCmd) Run(ctx context.Context, a *app) error {
	cfg, limits, err := c.check()
	if err != nil {
		return err
	}
	s, err := c.prepare(ctx, a)
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.run(ctx, cfg); err != nil {
		return err
	}
	r := s.fleet.Report()
	r.Failures = limits.Check(&r)
	if err := a.writeSimulation(&r); err != nil {
		return err
	}
	for _, f := range r.Failures {
		s.say("hubgate: %s", f)
	}
	if len(r.Failures) > 0 {
		return findingsError{}
	}
	return nil
}

// check reads the flags.
func (c *simulateCmd) check() (simulate.Config, simulate.Thresholds, error) {
	seed := c.Seed
	if seed == 0 {
		seed = rand.Uint64N(1<<32-1) + 1
	}
	cfg := simulate.Config{
		Devices: c.Devices, First: c.First, Prefix: c.Prefix, SDK: simulate.SDK(c.SDK), Profile: simulate.Profile(c.Profile),
		Rate: c.Rate, Size: c.Size, Twins: time.Duration(c.TwinEvery), TTL: time.Duration(c.TokenTTL),
		Duration: time.Duration(c.Duration), Connects: c.ConnectRate,
		Storm: time.Duration(c.StormEvery), Upset: time.Duration(c.UpsetEvery), Period: time.Duration(c.Period), Seed: seed,
	}
	limits := simulate.Thresholds{P99: (*time.Duration)(c.MaxP99), Errors: c.MaxErrors, Lost: c.MaxLost}
	if err := cfg.Check(); err != nil {
		return cfg, limits, usageError{err}
	}
	if c.Progress < config.Second {
		return cfg, limits, usagef("--progress is %v: give 1s at least", c.Progress)
	}
	var err error
	limits.Connected, err = c.leastConnected()
	return cfg, limits, errors.Join(err, c.checkFiles())
}

// leastConnected reads --min-connected.
func (c *simulateCmd) leastConnected() (*int64, error) {
	if c.MinConnected == "" {
		return nil, nil //nolint:nilnil // not asked for
	}
	wrong := usagef("--min-connected %.60q is neither a number of devices, %d at most, nor a share such as 99%%", c.MinConnected, c.Devices)
	if text, ok := strings.CutSuffix(c.MinConnected, "%"); ok {
		share, err := strconv.ParseFloat(text, 64)
		if err != nil || share < 0 || share > 100 || math.IsNaN(share) {
			return nil, wrong
		}
		n := int64(math.Ceil(share / 100 * float64(c.Devices)))
		return &n, nil
	}
	n, err := strconv.ParseInt(c.MinConnected, 10, 64)
	if err != nil || n < 0 || n > int64(c.Devices) {
		return nil, wrong
	}
	return &n, nil
}

// simulateFiles is how many files the command needs besides its devices: half-open
// sockets of the profile flaky, NATS, the REST API.
const simulateFiles = 100

func (c *simulateCmd) checkFiles() error {
	need := c.Devices + simulateFiles
	if c.Profile == string(simulate.Flaky) {
		need += c.Devices
	}
	most := openFiles()
	if most == 0 || need <= most {
		return nil
	}
	return usagef("%d devices need up to %d open files, and this process may have %d: raise the limit (ulimit -n), or run several processes with fewer devices each, with --first", c.Devices, need, most)
}
