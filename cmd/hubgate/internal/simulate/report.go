package simulate

import (
	"fmt"
	"time"
)

// Report is what came of a run.
type Report struct {
	Run             string    `json:"run"` // begins the message-id of each message
	Profile         Profile   `json:"profile"`
	SDK             SDK       `json:"sdk"`
	Seed            uint64    `json:"seed"`
	Began           time.Time `json:"began"`
	Seconds         float64   `json:"seconds"`
	Devices         int       `json:"devices"`
	Connected       int64     `json:"connected"`       // at the end
	LowestConnected *int64    `json:"lowestConnected"` // since all were; null: they never were

	Connects  int64     `json:"connects"`
	Losses    int64     `json:"losses"` // connections that ended and should not have
	Upsets    int64     `json:"upsets"` // what the profile has done
	Handshake Quantiles `json:"handshake"`
	Comeback  Quantiles `json:"comeback"` // from the end of a connection to the next CONNACK

	Sent          int64     `json:"sent"`
	Acked         int64     `json:"acked"`
	Unanswered    int64     `json:"unanswered"`
	Resent        int64     `json:"resent"`
	Held          int64     `json:"held"` // not sent, as too many waited
	AckedPerSec   float64   `json:"ackedPerSecond"`
	Puback        Quantiles `json:"puback"`
	TwinReads     int64     `json:"twinReads"`
	TwinReports   int64     `json:"twinReports"`
	DesiredUpdate int64     `json:"desiredUpdates"`
	MethodCalls   int64     `json:"methodCalls"`
	CloudMessages int64     `json:"cloudToDevice"`

	Errors int64   `json:"errors"`
	Faults []Fault `json:"faults"`
	// Verified is null when nothing was compared; Unverified says why.
	Verified   *Proof `json:"verified"`
	Unverified string `json:"unverified,omitempty"`
	// Failures are the thresholds that were not kept, a sentence each.
	Failures []string `json:"failures"`
}

// Report says what came of the run that is over.
func (f *Fleet) Report() Report {
	s := &f.stats
	r := Report{
		Run: f.run, Profile: f.cfg.Profile, SDK: f.cfg.SDK, Seed: f.cfg.Seed, Began: f.began.UTC(), Seconds: f.ended.Sub(f.began).Seconds(),
		Devices: len(f.devices), Connected: f.atEnd,
		Connects: s.connects.Load(), Losses: s.losses.Load(), Upsets: s.upsets.Load(),
		Handshake: s.handshake.tally().quantiles(), Comeback: s.comeback.tally().quantiles(),
		Sent: s.sent.Load(), Acked: s.acked.Load(), Resent: s.resent.Load(), Held: s.held.Load(), Puback: s.puback.tally().quantiles(),
		TwinReads: s.reads.Load(), TwinReports: s.reports.Load(), DesiredUpdate: s.desired.Load(),
		MethodCalls: s.methods.Load(), CloudMessages: s.mail.Load(),
		Verified: f.proof, Unverified: f.unproved, Failures: []string{},
	}
	if f.lowest >= 0 {
		r.LowestConnected = &f.lowest
	}
	r.Unanswered = r.Sent - r.Acked
	if r.Seconds > 0 {
		r.AckedPerSec = float64(r.Acked) / r.Seconds
	}
	r.Faults, r.Errors = s.errors()
	if r.Faults == nil {
		r.Faults = []Fault{}
	}
	return r
}

// Thresholds are what a run has to keep. A nil one is not asked for.
type Thresholds struct {
	P99       *time.Duration // to PUBACK, at most
	Errors    *int64         // at most
	Connected *int64         // at the end, at least
	// Lost is how many acknowledged messages may be missing from the streams.
	// Nil: none may, but a run that could not be verified passes.
	Lost *int64
}

// Check returns a sentence for each threshold that the run has not kept.
func (t Thresholds) Check(r *Report) []string {
	failures := []string{}
	fail := func(format string, args ...any) { failures = append(failures, fmt.Sprintf(format, args...)) }
	if t.P99 != nil {
		switch p99 := r.Puback.P99; {
		case r.Puback.Count == 0:
			fail("--max-p99 is %v, and no message was acknowledged, so that there is none to judge by", *t.P99)
		case p99 > milliseconds(*t.P99):
			fail("--max-p99 is %v, and the p99 to PUBACK was %.1f ms", *t.P99, p99)
		}
	}
	if t.Errors != nil && r.Errors > *t.Errors {
		fail("--max-errors is %d, and there were %d; the most frequent: %s (%d)", *t.Errors, r.Errors, r.Faults[0].Reason, r.Faults[0].Count)
	}
	if t.Connected != nil && r.Connected < *t.Connected {
		fail("--min-connected is %d, and %d of %d devices were connected at the end", *t.Connected, r.Connected, r.Devices)
	}
	return append(failures, t.checkLost(r)...)
}

func (t Thresholds) checkLost(r *Report) []string {
	most := int64(0)
	if t.Lost != nil {
		most = *t.Lost
	}
	switch {
	case r.Verified == nil && t.Lost != nil:
		return []string{fmt.Sprintf("--max-lost is %d, and it could not be verified that nothing was lost: %s", most, r.Unverified)}
	case r.Verified != nil && r.Verified.Lost > most:
		return []string{fmt.Sprintf("--max-lost is %d, and %d messages that were acknowledged are in no stream: %s, …", most, r.Verified.Lost, r.Verified.Examples[0])}
	}
	return nil
}
