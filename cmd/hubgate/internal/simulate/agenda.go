package simulate

import (
	"time"

	"github.com/hubgate/hubgate/gateway/mqtt"
)

// Times that the SDKs have built in.
const (
	ackWait  = time.Minute
	pingWait = 30 * time.Second
	askWait  = time.Minute
)

// watchEvery is how often a device looks whether answers are late.
const watchEvery = 5 * time.Second

// agenda is when what is due. A zero time is never.
type agenda struct{ telemetry, twin, upset, renew, watch time.Time }

// next is when the first thing is due.
func (a *agenda) next() time.Time {
	first := a.watch
	for _, t := range [...]time.Time{a.telemetry, a.twin, a.upset, a.renew} {
		if !t.IsZero() && t.Before(first) {
			first = t
		}
	}
	return first
}

// isDue reports whether t has come, and is not never.
func isDue(t, now time.Time) bool { return !t.IsZero() && !t.After(now) }

// plan fills the agenda of a new connection. d.mu is held.
func (d *device) plan(now time.Time) {
	cfg := &d.fleet.cfg
	a := &d.agenda
	a.watch = now.Add(watchEvery)
	a.renew = now.Add(d.shape.renewal(cfg.TTL))
	if every := cfg.interval(); every > 0 && a.telemetry.Before(now) {
		a.telemetry = now.Add(time.Duration(d.rand.Float64() * float64(every)))
	}
	if cfg.Twins > 0 && a.twin.Before(now) {
		a.twin = now.Add(time.Duration(d.rand.Float64() * float64(cfg.Twins)))
	}
	if after, ok := cfg.untilUpset(d.rand); ok {
		a.upset = now.Add(after)
	}
	d.timer.Reset(time.Until(a.next()))
}

// tick does what is due.
func (d *device) tick() {
	d.mu.Lock()
	defer d.mu.Unlock()
	u := d.link
	if u == nil || u.ours() {
		return
	}
	now := time.Now()
	if err := d.overdue(u, now); err != nil {
		d.fail(u, err)
		return
	}
	if isDue(d.agenda.renew, now) {
		d.leave()
		return
	}
	if isDue(d.agenda.upset, now) && d.fleet.stirs(now) {
		d.disturb(u)
	}
	if u.ours() {
		return
	}
	buf := d.fleet.buffer()
	defer d.fleet.release(buf)
	*buf = d.appendDue((*buf)[:0], now)
	if len(*buf) > 0 {
		u.wrote = now
	}
	if err := u.write(*buf); err != nil {
		d.fail(u, err)
		return
	}
	d.timer.Reset(max(time.Until(d.agenda.next()), 0))
}

// overdue says what the hub has not answered in time. d.mu is held.
func (d *device) overdue(u *live, now time.Time) error {
	switch {
	case len(d.pending) > 0 && now.Sub(d.pending[0].at) > ackWait:
		return noPuback
	case !u.pinged.IsZero() && now.Sub(u.pinged) > pingWait:
		return noPingresp
	case d.asked.rid != "" && now.Sub(d.asked.at) > askWait:
		return noAnswer
	}
	return nil
}

// appendDue appends the packets that are due. d.mu is held.
func (d *device) appendDue(b []byte, now time.Time) []byte {
	a, cfg := &d.agenda, &d.fleet.cfg
	every := cfg.interval()
	for isDue(a.telemetry, now) {
		if d.fleet.open() && d.rand.Float64() < cfg.chance(now.Sub(d.fleet.began)) {
			b = d.appendTelemetry(b, now)
		}
		a.telemetry = a.telemetry.Add(every)
	}
	if isDue(a.twin, now) {
		a.twin = time.Time{}
		switch {
		case d.asked.rid != "":
			a.twin = now.Add(time.Second) // one request at a time
		case cfg.Twins > 0:
			a.twin = now.Add(cfg.Twins)
		}
		if d.asked.rid == "" && d.fleet.open() {
			b = d.appendReport(b, now)
		}
	}
	if isDue(a.watch, now) {
		a.watch = now.Add(watchEvery)
		b = d.appendPing(b, now)
	}
	if isDue(a.upset, now) {
		after, _ := cfg.untilUpset(d.rand)
		a.upset = now.Add(after)
	}
	return b
}

// appendPing appends a PINGREQ if nothing was written for as long as the keep
// alive says. d.mu is held.
func (d *device) appendPing(b []byte, now time.Time) []byte {
	u := d.link
	if len(b) > 0 || !u.pinged.IsZero() || now.Sub(u.wrote) < d.shape.keepAlive-watchEvery {
		return b
	}
	u.pinged = now
	return d.appendPacket(b, &mqtt.Pingreq{})
}

// disturb does something to the connection. d.mu is held.
func (d *device) disturb(u *live) {
	d.fleet.stats.upsets.Add(1)
	switch upset(d.rand.IntN(int(upsets))) {
	case cut:
		d.cut()
	case goodbye:
		d.leave()
	case halfOpen:
		u.finish(nil)
		u.wire.hush(halfOpenTime)
	case slow:
		u.lull = slowLeast + time.Duration(d.rand.Int64N(int64(slowMost-slowLeast)))
		u.lullEnd = time.Now().Add(u.lull)
	case mute:
		d.fleet.openMute(d.index)
	default:
	}
}
