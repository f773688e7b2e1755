//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/twin"
)

const (
	twinConns  = 100
	kilobyte   = 1 << 10
	patchBody  = `{"temperature":{"value":20.5,"unit":"C"},"seq":"@"}`
	patchReply = 204
	getReply   = 200
)

// Rows of conversations that have one each.
const (
	rowBareGet    = "KV get"
	rowBareUpdate = "KV compare-and-set, known revision"
)

// twinCell is a load of twin requests: the body of each of them, and the status
// with which it is answered.
type twinCell struct {
	cell
	topic, body string
	status      int
}

func twinRow(verb string, window int) string {
	return fmt.Sprintf("twin %s N=%d w=%d", verb, twinConns, window)
}

func twinCells(quick bool) []twinCell {
	var cells []twinCell
	for _, window := range []int{16, 1} {
		if quick && window == 1 {
			continue
		}
		of := func(verb string) cell {
			return cell{row: twinRow(verb, window), conns: twinConns, window: window, clean: true}
		}
		cells = append(cells,
			twinCell{of("GET"), twinGet, " ", getReply},
			twinCell{of("PATCH"), twinPatch, patchBody, patchReply})
	}
	return cells
}

// gatewayOf is the running gateway, nil when it is not part of the run.
func (b *bench) gatewayOf() *server {
	for _, s := range b.servers {
		if s.name == nameHubgate {
			return s
		}
	}
	return nil
}

// twinRound measures the twin cells and what they are measured against, in
// another order each round.
func (b *bench) twinRound(ctx context.Context, round int) error {
	if !b.wants(sectionTwin) {
		return nil
	}
	var steps []func() error
	if s := b.gatewayOf(); s != nil {
		for _, c := range twinCells(b.quick) {
			steps = append(steps, func() error { return b.measureTwin(c, s) })
		}
	}
	for _, r := range bareKeys(b.quick) {
		steps = append(steps, func() error {
			return b.measureBare(ctx, r.row, r.target, bareRun{Kind: r.kind, Devices: twinConns, Value: r.value})
		})
	}
	for i := range steps {
		if err := errors.Join(steps[(i+round)%len(steps)](), ctx.Err()); err != nil {
			return err
		}
	}
	return nil
}

// bareKey is what a row of twins is measured against.
type bareKey struct {
	row, target string
	kind        bareKind
	value       int // bytes
}

func bareKeys(quick bool) []bareKey {
	keys := []bareKey{
		{rowBareGet, nameBareKV, bareGet, kilobyte},
		{rowBareUpdate, nameBareKV, bareUpdate, kilobyte},
		{rowBareUpdate, nameBareBig, bareUpdate, storedTwin()},
	}
	if quick {
		return keys[:2]
	}
	return keys
}

// measureTwin runs a cell on the gateway, whose twins have a kilobyte each.
func (b *bench) measureTwin(c twinCell, s *server) error {
	if !b.wantsRow(c.row) {
		return nil
	}
	clients, err := dialAll(s, c.cell)
	defer closeAll(clients)
	if err == nil {
		err = prepareTwins(clients)
	}
	if err != nil {
		return fmt.Errorf("%s: prepare %d clients: %w", c.row, c.conns, err)
	}
	asks := newRequest(c.topic, c.body, c.status)
	for _, client := range clients {
		client.asks = asks
	}
	s.proc.settle()
	defer b.profile(c.row, s)()
	l := load{window: c.window, warm: b.warm, measure: b.measure}
	l.probe = func() usage { return usageOf(s.proc.pid(), b.core) }
	events, err := newCounter(s.nats.url, s.nats.creds, subject.Names{}.EventsStream())
	if err != nil {
		return err
	}
	defer events.close()
	before, err := events.count()
	if err != nil {
		return err
	}
	out, err := run(clients, l)
	if err != nil {
		return err
	}
	b.book.recordTalk(c.row, s.name, out)
	b.progress(c.row, s.name)
	s.proc.settle()
	after, err := events.count()
	if c.topic == twinPatch && after-before < out.Acked {
		b.book.note(c.row, s.name, fmt.Sprintf("%d of %d changes left no event", out.Acked-(after-before), out.Acked))
	}
	return errors.Join(err, s.proc.fault())
}

// prepareTwins subscribes to answers and makes each document as long as it is to
// be.
func prepareTwins(clients []*client) error {
	fill := newRequest(twinPatch, document(), patchReply)
	for _, c := range clients {
		answer, err := c.ask(appendSubscribe(nil, 1, twinAnswers))
		if err != nil {
			return err
		}
		if err := checkSuback(answer); err != nil {
			return err
		}
		if answer, err = c.ask(fill.append(nil, 0)); err != nil {
			return err
		}
		topic, _, err := splitPublish(answer)
		if err != nil || !strings.HasPrefix(string(topic), string(fill.answer)) {
			return errors.Join(err, fmt.Errorf("the document was refused: %q", topic))
		}
	}
	return nil
}

// document is reported properties that make the twin a kilobyte long as its
// device gets it.
func document() string {
	var b strings.Builder
	b.WriteString(`{"temperature":{"value":19.5,"unit":"C"},"seq":"00000000"`)
	for i := 0; b.Len() < kilobyte-100; i++ {
		b.WriteString(`,"property` + strconv.Itoa(i) + `":"` + strings.Repeat("v", 40) + `"`)
	}
	return b.String() + "}"
}

// storedTwin is how long the gateway's JSON of such a twin is.
func storedTwin() int {
	t := twin.New(hub.Identity{Device: deviceName(0)}, "", time.Now())
	p, err := twin.ParseReported([]byte(document()))
	if err == nil {
		t, _, err = t.PatchReported(p, 0, time.Now())
	}
	if err != nil {
		return kilobyte
	}
	return len(t.AppendJSON(nil))
}

// recordTalk keeps the figures of a conversation and names what went wrong.
func (k *book) recordTalk(row, target string, out outcome) {
	seconds := out.Elapsed.Seconds()
	add := func(metric string, v float64) { k.add(row, target, metric, v) }
	add(metricOps, float64(out.Counted)/seconds)
	if out.Counted > 0 {
		add(metricOpCPU, float64(out.Used.server.Nanoseconds())/1e3/float64(out.Counted))
	}
	own, busy := out.Used.own.Seconds()/seconds, out.Used.server.Seconds()/seconds
	add(metricOwn, own)
	add(metricBusy, busy)
	if out.Used.core > 0 {
		add(metricOthers, max(0, (out.Used.core-out.Used.server).Seconds()/seconds))
	}
	add(metricDone, float64(out.Acked))
	if own > coreFull && busy < coreFull {
		k.note(row, target, "generator-bound")
	}
	k.talkFaults(row+", "+target, out)
}

func (k *book) talkFaults(where string, out outcome) {
	if out.Disorder > 0 {
		k.fault("%s: %d messages came out of order, or twice", where, out.Disorder)
	}
	if out.Dropped > 0 {
		k.fault("%s: %d connections were ended by the server", where, out.Dropped)
	}
	if out.Refused > 0 {
		k.fault("%s: %d requests were refused, the last one with %q", where, out.Refused, out.Refusal)
	}
	if out.Acked < out.Sent && out.Dropped == 0 {
		k.fault("%s: %d messages were never answered", where, out.Sent-out.Acked)
	}
}

// conversationGoals are the ratios of twins, methods and cloud-to-device
// messages. The figures that have no target are there to be watched.
func conversationGoals() []goal {
	ops := func(row, target string) figure { return figure{row, target, metricOps} }
	get, update := ops(rowBareGet, nameBareKV), ops(rowBareUpdate, nameBareKV)
	list := []goal{
		{id: "W1", what: "twin GET w=16 / KV get", over: ops(twinRow("GET", 16), nameHubgate), under: get, must: 0.35, aim: 0.55},
		{id: "W1a", what: "twin GET w=1 / KV get", over: ops(twinRow("GET", 1), nameHubgate), under: get},
		{id: "W2", what: "reported PATCH w=16 / KV compare-and-set", over: ops(twinRow("PATCH", 16), nameHubgate), under: update, must: 0.25, aim: 0.45},
		{id: "W2a", what: "reported PATCH w=1 / KV compare-and-set", over: ops(twinRow("PATCH", 1), nameHubgate), under: update},
		{id: "W2b", what: "reported PATCH w=16 / KV compare-and-set, as long as a twin", over: ops(twinRow("PATCH", 16), nameHubgate), under: ops(rowBareUpdate, nameBareBig)},
	}
	list = append(list, methodGoals()...)
	return append(list, mailGoals()...)
}
