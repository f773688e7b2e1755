package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/test/hubtest"
)

// patchWindow is how many patches of a device are in flight, and how many
// reported properties it has.
const patchWindow = 8

// patcher is a device that sets one reported property after another to a
// number that rises, with several patches in flight, and hears of desired
// properties, in which back ends do the same. Its fields are for its own
// goroutine, and for everybody once run has returned.
type patcher struct {
	*device
	warm func()
	done atomic.Int64 // acknowledgements so far, for everybody

	sessions int
	ends     []error
	next     int            // number of the next patch
	flying   map[string]int // by request id
	acked    map[string]int // the greatest number that was acknowledged, by property
	version  int64          // the last one that was acknowledged
	patches  int            // acknowledged
	refused  map[string]int // answers that were none, by status
	notices  int            // of desired properties
	desired  int64          // their last version
	heard    map[string]float64
	faults   []string
}

func newPatchers(t *testing.T, g *hubtest.Gateway, n int) (all []*patcher, w *warmth) {
	t.Helper()
	w = newWarmth(n)
	for i := range n {
		all = append(all, &patcher{
			device: newDevice(t, g, fmt.Sprintf("patcher-%02d", i)), warm: w.note, next: 1,
			acked: map[string]int{}, refused: map[string]int{}, heard: map[string]float64{},
		})
	}
	return all, w
}

func (p *patcher) fault(format string, args ...any) {
	p.faults = append(p.faults, fmt.Sprintf(format, args...))
}

// run converses until ctx ends, over as many connections as that takes.
func (p *patcher) run(ctx context.Context, l *lives) {
	for l.next() != nil {
		err := p.session(ctx)
		p.ends = append(p.ends, err)
		if err == nil {
			return
		}
	}
}

func (p *patcher) session(ctx context.Context) error {
	c, err := p.join(twinAnswers, desiredWrites)
	if err != nil {
		return err
	}
	defer c.close()
	p.sessions++
	p.flying = map[string]int{}
	if err := c.say(twinGet+"get", ""); err != nil {
		return err
	}
	p.flying["get"] = 0
	for begin := p.patches; ; {
		if err := p.fill(ctx, c); err != nil {
			return err
		}
		if len(p.flying) == 0 {
			return c.send(&mqtt.Disconnect{})
		}
		m, err := c.hear()
		if err != nil {
			return err
		}
		p.hear(m)
		if p.patches == begin+warmAfter && p.warm != nil {
			p.warm()
			begin = -warmAfter - 1 // once for each connection
		}
	}
}

// fill sends patches when there are none in flight: after a while, or back ends
// would hardly ever be the first to write.
func (p *patcher) fill(ctx context.Context, c *client) error {
	if len(p.flying) > 0 {
		return nil
	}
	select {
	case <-ctx.Done():
		return nil
	case <-time.After(rand.N(20 * time.Millisecond)):
	}
	for range patchWindow {
		if err := p.patch(c); err != nil {
			return err
		}
	}
	return nil
}

func property(n int) string { return "k" + strconv.Itoa(n%patchWindow) }

func (p *patcher) patch(c *client) error {
	rid := strconv.Itoa(p.next)
	p.flying[rid] = p.next
	body := fmt.Sprintf(`{%q:%d}`, property(p.next), p.next)
	p.next++
	return c.say(twinReported+rid, body)
}

func (p *patcher) hear(m *mqtt.Publish) {
	if strings.HasPrefix(string(m.Topic), strings.TrimSuffix(desiredWrites, "#")) {
		p.notice(m)
		return
	}
	r, ok := twinResult(m)
	n, asked := p.flying[r.rid]
	switch {
	case !ok || !asked:
		p.fault("nobody asked for %s", m.Topic)
		return
	case r.rid == "get" && r.status == "200":
		p.compare(r.body)
	case n > 0 && r.status == "204":
		if r.version <= p.version {
			p.fault("patch %d was acknowledged with version %d after version %d", n, r.version, p.version)
		}
		p.version, p.acked[property(n)] = r.version, n
		p.patches++
		p.done.Add(1)
	default:
		p.refused[r.status]++
		if _, err := r.refusal(); err != nil {
			p.fault("%v", err)
		}
	}
	delete(p.flying, r.rid)
}

// notice takes a write of desired properties: neither its version nor the
// number of any writer may be older than what came before, on any connection.
func (p *patcher) notice(m *mqtt.Publish) {
	p.notices++
	var body map[string]any
	if err := json.Unmarshal(m.Payload, &body); err != nil {
		p.fault("the notification %s %s: %v", m.Topic, m.Payload, err)
		return
	}
	version := number(body["$version"])
	if !strings.HasSuffix(string(m.Topic), "$version="+strconv.FormatFloat(version, 'f', -1, 64)) {
		p.fault("the notification %s has the version of %s", m.Topic, m.Payload)
	}
	if int64(version) <= p.desired {
		p.fault("version %v of the desired properties came after version %d", version, p.desired)
	}
	p.desired = int64(version)
	delete(body, "$version")
	for name, v := range body {
		if number(v) < p.heard[name] {
			p.fault("%s became %v after %v", name, v, p.heard[name])
		}
		p.heard[name] = number(v)
	}
}

// compare checks the twin, as its device gets it, against what is known.
func (p *patcher) compare(body []byte) {
	var t struct{ Desired, Reported map[string]any }
	if err := json.Unmarshal(body, &t); err != nil {
		p.fault("read the twin %.200s: %v", body, err)
		return
	}
	p.faults = append(p.faults, p.lacks(t.Reported)...)
	if number(t.Desired["$version"]) < float64(p.desired) {
		p.fault("GET answers version %v of the desired properties after a notification of %d", t.Desired["$version"], p.desired)
	}
}

// lacks says what was acknowledged and is not in the reported properties.
func (p *patcher) lacks(reported map[string]any) (faults []string) {
	for name, n := range p.acked {
		if number(reported[name]) < float64(n) {
			faults = append(faults, fmt.Sprintf("the twin has %s=%v, and %d was acknowledged", name, reported[name], n))
		}
	}
	if number(reported["$version"]) < float64(p.version) {
		faults = append(faults, fmt.Sprintf("the reported properties have version %v, and %d was acknowledged", reported["$version"], p.version))
	}
	return faults
}

// number is a JSON number, 0 for anything else.
func number(v any) float64 {
	n, _ := v.(float64)
	return n
}

// storedTwin is a value of hub_twins, as far as it is looked at.
type storedTwin struct {
	DeviceID   string                              `json:"deviceId"`
	Version    float64                             `json:"version"`
	Properties struct{ Desired, Reported section } `json:"properties"`
}

type section map[string]any

// readTwin reads a twin from its bucket.
func readTwin(js jetstream.JetStream, id string) (storedTwin, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var t storedTwin
	kv, err := js.KeyValue(ctx, "hub_twins")
	if err != nil {
		return t, err
	}
	e, err := kv.Get(ctx, hubtest.Key(id))
	if err != nil {
		return t, err
	}
	if err := json.Unmarshal(e.Value(), &t); err != nil {
		return t, fmt.Errorf("the twin is damaged: %w: %.200s", err, e.Value())
	}
	if r, d := number(t.Properties.Reported["$version"]), number(t.Properties.Desired["$version"]); t.DeviceID != id || t.Version != r+d {
		return t, fmt.Errorf("the twin is of %q, with version %v, %v reported and %v desired", t.DeviceID, t.Version, r, d)
	}
	return t, nil
}

// desirer is a back-end app that sets a desired property of its own, of one
// device after another, to a number that rises.
type desirer struct {
	name    string
	all     []*patcher
	next    int
	acked   map[*patcher]int
	writes  int
	refused map[string]int
	faults  []string
}

func newDesirers(n int, all []*patcher) (desirers []*desirer) {
	for i := range n {
		desirers = append(desirers, &desirer{name: fmt.Sprintf("w%d", i), all: all, next: 1, acked: map[*patcher]int{}, refused: map[string]int{}})
	}
	return desirers
}

// run writes until ctx ends. At the beginning of each life it looks whether
// what it was told is there.
func (d *desirer) run(ctx context.Context, l *lives) {
	last := 0
	for {
		now := l.next()
		if now == nil || ctx.Err() != nil {
			return
		}
		if now.number != last {
			d.check(now.js)
			last = now.number
		}
		if !d.write(now, d.all[d.next%len(d.all)]) {
			rest(ctx)
		}
	}
}

// write writes once, and reports whether somebody has answered.
func (d *desirer) write(now *life, p *patcher) bool {
	n := d.next
	d.next++
	answer, err := now.request("hub.twin.update."+hubtest.Key(p.id.String()), nil, fmt.Sprintf(`{"properties":{"desired":{%q:%d}}}`, d.name, n))
	if err != nil {
		return false // the gateway has ended
	}
	if code, text := serviceError(answer); code != "" {
		d.refused[code]++
		if len(text) < 10 {
			d.faults = append(d.faults, fmt.Sprintf("the error %s has the sentence %q", code, text))
		}
		return true
	}
	var t storedTwin
	if err := json.Unmarshal(answer.Data, &t); err != nil || number(t.Properties.Desired[d.name]) < float64(n) {
		d.faults = append(d.faults, fmt.Sprintf("the write of %s=%d was answered %.200s: %v", d.name, n, answer.Data, err))
		return true
	}
	d.acked[p] = n
	d.writes++
	return true
}

// check looks for what was acknowledged in the bucket.
func (d *desirer) check(js jetstream.JetStream) {
	for p, n := range d.acked {
		t, err := readTwin(js, p.id.String())
		if js.Conn().IsClosed() {
			return // killed again
		}
		if err != nil {
			d.faults = append(d.faults, fmt.Sprintf("%s: %v", p.id, err))
		} else if number(t.Properties.Desired[d.name]) < float64(n) {
			d.faults = append(d.faults, fmt.Sprintf("%s has the desired property %s=%v, and %d was acknowledged", p.id, d.name, t.Properties.Desired[d.name], n))
		}
	}
}

// checkTwins checks that everything acknowledged is in the bucket, and that
// nobody has seen anything that can't be.
func checkTwins(t *testing.T, g *hubtest.Gateway, all []*patcher, writers []*desirer) {
	t.Helper()
	patches, writes, notices, refused := 0, 0, 0, map[string]int{}
	for _, p := range all {
		patches, notices = patches+p.patches, notices+p.notices
		stored, err := readTwin(g.JS, p.id.String())
		if err != nil {
			t.Errorf("%s: %v", p.id, err)
			continue
		}
		for status, n := range p.refused {
			refused[status] += n
		}
		report(t, p.id.String(), append(p.faults, p.lacks(stored.Properties.Reported)...))
	}
	for _, d := range writers {
		writes += d.writes
		d.check(g.JS)
		for code, n := range d.refused {
			refused[code] += n
		}
		report(t, d.name, d.faults)
	}
	t.Logf("%d patches and %d writes of desired properties acknowledged, %d notifications; refused: %v", patches, writes, notices, refused)
	if notices == 0 {
		t.Error("no device has heard of any desired property")
	}
}

// report fails t with the first of some faults.
func report(t *testing.T, who string, faults []string) {
	t.Helper()
	if len(faults) > 0 {
		t.Errorf("%s: %d faults, the first: %s", who, len(faults), strings.Join(faults[:min(3, len(faults))], "; "))
	}
}

// TestKilledAmidTwinPatches kills the gateway amid devices that patch their
// twins and back ends that write to them: each acknowledged write is there,
// and what a device hears of desired properties only gets newer.
func TestKilledAmidTwinPatches(t *testing.T) {
	g := start(t, hubtest.Options{})
	all, warm := newPatchers(t, g, 20)
	writers := newDesirers(6, all)
	l, s := newLives(g), newStaff(t)
	for _, p := range all {
		s.do(func(ctx context.Context) { p.run(ctx, l) })
	}
	for _, d := range writers {
		s.do(func(ctx context.Context) { d.run(ctx, l) })
	}
	const kills = 10
	for range kills {
		warm.await(t, "every device to patch its twin")
		<-time.After(rand.N(150 * time.Millisecond)) // anywhere in the work of the gateway
		l.kill(t, nil)
	}
	warm.await(t, "every device to patch its twin after the last kill")
	s.finish()
	for _, p := range all {
		if p.sessions != kills+1 || p.ends[len(p.ends)-1] != nil {
			t.Errorf("%s had %d connections over %d kills, which ended by %v", p.id, p.sessions, kills, p.ends)
		}
		for status, n := range p.refused {
			t.Errorf("%s was refused %d patches with status %s", p.id, n, status)
		}
	}
	checkTwins(t, g, all, writers)
}
