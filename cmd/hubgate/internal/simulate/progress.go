package simulate

import "time"

// Progress is how a fleet does, in an interval of time.
type Progress struct {
	Since     time.Duration // the beginning of the run
	Connected int64
	Devices   int
	Opening   int64   // connections that are being opened
	Rate      float64 // messages that were acknowledged, per second
	Acked     int64   // of the whole run
	Sent      int64
	Puback    Quantiles // of the interval
	Upsets    int64     // what the profile has done
	Errors    int64
	// Faults are those of the whole run, the most frequent first.
	Faults []Fault
}

// mark is a moment of a run.
type mark struct {
	at     time.Time
	acked  int64
	puback *tally
	state  Progress
}

// look takes note of the fewest devices that are connected, since all were.
func (f *Fleet) look() {
	n := f.stats.connected.Load()
	if f.lowest < 0 && n == int64(len(f.devices)) || f.lowest > n {
		f.lowest = n
	}
}

// mark takes note of the state of things.
func (f *Fleet) mark() mark {
	s := &f.stats
	m := mark{at: time.Now(), acked: s.acked.Load(), puback: s.puback.tally()}
	m.state = Progress{
		Since: m.at.Sub(f.began), Connected: s.connected.Load(), Devices: len(f.devices), Opening: s.opening.Load(),
		Acked: m.acked, Sent: s.sent.Load(), Upsets: s.upsets.Load(),
	}
	m.state.Faults, m.state.Errors = s.errors()
	return m
}

// since is what has happened since an earlier mark.
func (m mark) since(before mark) Progress {
	p := m.state
	p.Puback = m.puback.since(before.puback).quantiles()
	if seconds := m.at.Sub(before.at).Seconds(); seconds > 0 {
		p.Rate = float64(m.acked-before.acked) / seconds
	}
	return p
}
