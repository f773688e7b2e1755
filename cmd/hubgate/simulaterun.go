package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/cmd/hubgate/internal/simulate"
	"github.com/hubgate/hubgate/hub"
)

const (
	verifyTime  = 15 * time.Minute
	cleanupTime = 15 * time.Minute
	tellStep    = 2 * time.Second // between two lines about devices that are made
)

// say tells the user how it goes, where it does not disturb a script that reads
// the report.
func (s *simulation) say(format string, args ...any) {
	_, _ = fmt.Fprintf(s.app.errOut, format+"\n", args...)
}

// run makes the devices, lets them work, and cleans up.
func (s *simulation) run(ctx context.Context, cfg simulate.Config) error {
	witness, unproved := s.witness(ctx)
	if unproved != nil && s.cmd.MaxLost != nil {
		return unproved
	}
	ids := cfg.IDs()
	accounts, err := s.registry.Make(ctx, ids, s.counter("devices", len(ids)))
	if err != nil {
		if ctx.Err() != nil {
			return errors.New("interrupted while the devices were made; those that are there stay: run it again, with --cleanup if they are to go")
		}
		return err
	}
	err = s.work(ctx, cfg, accounts)
	if err == nil {
		s.verify(ctx, witness, unproved)
	}
	return errors.Join(err, s.cleanup(ctx, ids))
}

// witness remembers where the streams end before the run.
func (s *simulation) witness(ctx context.Context) (*simulate.Witness, error) {
	if s.hub == nil {
		return nil, errors.New("without NATS the streams can't be read")
	}
	cfg, err := s.app.load(s.cmd.configFlags)
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(s.hub.Conn())
	if cfg.NATS.Domain != "" {
		js, err = jetstream.NewWithDomain(s.hub.Conn(), cfg.NATS.Domain)
	}
	if err != nil {
		return nil, fmt.Errorf("open JetStream: %w", err)
	}
	return simulate.NewWitness(ctx, js, s.hub.Names().TelemetryAll())
}

// work connects one device, and then all.
func (s *simulation) work(ctx context.Context, cfg simulate.Config, accounts []simulate.Account) error {
	s.fleet = simulate.NewFleet(cfg, &s.target, accounts)
	if err := s.fleet.Try(ctx); err != nil {
		return s.unreachable(accounts[0].ID, err)
	}
	s.say("%d devices, profile %s, SDK %s, seed %d, to %s", cfg.Devices, cfg.Profile, cfg.SDK, cfg.Seed, strings.Join(s.target.Addresses, " "))
	s.fleet.Run(ctx, time.Duration(s.cmd.Progress), func(p simulate.Progress) { s.say("%s", progressLine(p)) })
	return nil
}

// unreachable says why the first device did not get in, and what to do.
func (s *simulation) unreachable(device string, err error) error {
	where := strings.Join(s.target.Addresses, ", ")
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return usagef("the certificate at %s is not trusted, or is not for %s: give its authority with --ca, and the name of the hub with --host (%w)", where, s.target.Host, err)
	}
	return hub.Errorf(hub.ServiceUnavailable, "the first device, %s, can't connect to %s: %w; give the place with --address", device, where, err)
}

// verify compares what was acknowledged with the streams. An end by a signal is
// no reason not to.
func (s *simulation) verify(ctx context.Context, w *simulate.Witness, unproved error) {
	if unproved != nil {
		s.fleet.Unproved(unproved.Error())
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), verifyTime)
	defer cancel()
	if err := s.fleet.Verify(ctx, w); err != nil {
		s.say("the streams could not be read to the end: %s", sentence(err))
	}
}

func (s *simulation) cleanup(ctx context.Context, ids []string) error {
	if !s.cmd.Cleanup {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
	defer cancel()
	if err := s.registry.Remove(ctx, ids, s.counter("deleted", len(ids))); err != nil {
		return fmt.Errorf("clean up: %w", err)
	}
	return nil
}

// counter tells now and then how many of all are done.
func (s *simulation) counter(what string, all int) func(done int) {
	tick := time.NewTicker(tellStep)
	return func(done int) {
		select {
		case <-tick.C:
			s.say("%s: %d of %d", what, done, all)
		default:
		}
		if done == all {
			tick.Stop()
		}
	}
}

// progressLine is the state of a run in a line.
func progressLine(p simulate.Progress) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  connected %d/%d", clock(p.Since), p.Connected, p.Devices)
	if p.Opening > 0 {
		fmt.Fprintf(&b, " (%d on their way)", p.Opening)
	}
	if p.Upsets > 0 {
		fmt.Fprintf(&b, "  disturbed %d", p.Upsets)
	}
	fmt.Fprintf(&b, "  %.1f msg/s  %d sent  %d acked  puback p50 %s p99 %s  errors %d", p.Rate, p.Sent, p.Acked, span(p.Puback.P50), span(p.Puback.P99), p.Errors)
	for i, f := range p.Faults[:min(len(p.Faults), 3)] {
		b.WriteString([]string{" (", ", ", ", "}[i])
		fmt.Fprintf(&b, "%s: %d", f.Reason, f.Count)
	}
	if len(p.Faults) > 0 {
		b.WriteString(")")
	}
	return b.String()
}

// clock writes how long a run lasts: 01:23, or 1:02:03.
func clock(d time.Duration) string {
	s := int(d.Seconds())
	if s < 3600 {
		return fmt.Sprintf("%02d:%02d", s/60, s%60)
	}
	return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
}

// span writes milliseconds.
func span(ms float64) string {
	switch {
	case ms == 0:
		return "-"
	case ms < 10:
		return strconv.FormatFloat(ms, 'f', 1, 64) + " ms"
	case ms < 10_000:
		return strconv.FormatFloat(ms, 'f', 0, 64) + " ms"
	}
	return strconv.FormatFloat(ms/1000, 'f', 1, 64) + " s"
}

// writeSimulation prints the report of a run.
func (a *app) writeSimulation(r *simulate.Report) error {
	if a.format == formatJSON {
		return writeJSON(a.out, r)
	}
	lowest := "they never were all connected"
	if r.LowestConnected != nil {
		lowest = fmt.Sprintf("%d at the least since all were", *r.LowestConnected)
	}
	times := func(q simulate.Quantiles) string {
		if q.Count == 0 {
			return ""
		}
		return fmt.Sprintf("p50 %s, p99 %s, most %s, of %d", span(q.P50), span(q.P99), span(q.Max), q.Count)
	}
	rows := []row{
		{"Run", fmt.Sprintf("%s, profile %s, SDK %s, seed %d, %.0f s", r.Run, r.Profile, r.SDK, r.Seed, r.Seconds)},
		{"Connected at the end", fmt.Sprintf("%d of %d; %s", r.Connected, r.Devices, lowest)},
		{"Connections", fmt.Sprintf("%d made, %d lost, %d disturbed by the profile", r.Connects, r.Losses, r.Upsets)},
		{"Dial to CONNACK", times(r.Handshake)},
		{"Loss to CONNACK", times(r.Comeback)},
		{"Messages", fmt.Sprintf("%d sent, %d acknowledged (%.1f/s), %d sent again, %d held back", r.Sent, r.Acked, r.AckedPerSec, r.Resent, r.Held)},
		{"PUBLISH to PUBACK", times(r.Puback)},
		{"Twins", fmt.Sprintf("%d read, %d reported patches, %d desired updates", r.TwinReads, r.TwinReports, r.DesiredUpdate)},
		{"From the cloud", fmt.Sprintf("%d method calls, %d messages", r.MethodCalls, r.CloudMessages)},
		{"In the streams", proofText(r)},
		{"Errors", strconv.FormatInt(r.Errors, 10)},
	}
	if err := writePairs(a.out, rows); err != nil {
		return err
	}
	if len(r.Faults) == 0 {
		return nil
	}
	faults := make([]row, 0, len(r.Faults))
	for _, f := range r.Faults {
		faults = append(faults, row{strconv.FormatInt(f.Count, 10), f.Reason, visible(f.Example)})
	}
	return writeTable(a.out, row{"ERRORS", "REASON", "THE FIRST"}, faults)
}

func proofText(r *simulate.Report) string {
	p := r.Verified
	if p == nil {
		return "not verified: " + cmp.Or(r.Unverified, "the run was cut short")
	}
	text := fmt.Sprintf("%d messages, %d of them more than once; %d acknowledged, %d of them lost", p.Stored, p.Duplicates, p.Acked, p.Lost)
	return strings.Join(append([]string{text}, p.Examples...), "; ")
}
