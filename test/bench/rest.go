//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

const restConns = 64

// Rows of the REST API, and of what its operations need at least.
const (
	rowRESTGet    = "REST twin GET, 64 connections"
	rowRESTPatch  = "REST twin PATCH, 64 connections"
	rowRESTPut    = "REST registry PUT, 64 connections"
	rowBare64Get  = "KV get, 64 callers"
	rowBare64CAS  = "KV compare-and-set, 64 callers"
	rowBare64Make = "KV create, 64 callers"
)

// restRow is a load of the REST API.
type restRow struct {
	row  string
	next func(conn, n int) question
}

func restRows(round int) []restRow {
	own := func(conn int) string { return "/twins/" + deviceName(conn) }
	return []restRow{
		{rowRESTGet, func(conn, _ int) question { return question{verb: "GET", path: own(conn), status: okStatus} }},
		{rowRESTPatch, func(conn, n int) question {
			body := fmt.Sprintf(`{"properties":{"desired":{"temperature":{"value":20.5,"unit":"C"},"seq":"%08x"}}}`, n)
			return question{verb: "PATCH", path: own(conn), body: body, status: okStatus}
		}},
		{rowRESTPut, func(conn, n int) question {
			id := fmt.Sprintf("put-%d-%d-%d", round, conn, n)
			return question{verb: "PUT", path: "/devices/" + id, body: `{"deviceId":"` + id + `"}`, status: okStatus}
		}},
	}
}

// restRound measures the REST API and what it is measured against, in another
// order each round.
func (b *bench) restRound(ctx context.Context, round int) error {
	if !b.wants(sectionREST) {
		return nil
	}
	var steps []func() error
	if s := b.gatewayOf(); s != nil {
		for _, r := range restRows(round) {
			steps = append(steps, func() error { return b.measureREST(ctx, r, s) })
		}
	}
	for _, r := range []bareKey{{rowBare64Get, nameBare64, bareGet, 0}, {rowBare64CAS, nameBare64, bareUpdate, 0}, {rowBare64Make, nameBare64, bareCreate, 0}} {
		steps = append(steps, func() error {
			return b.measureBare(ctx, r.row, r.target, bareRun{Kind: r.kind, Callers: restConns, Devices: restConns, Value: storedDesired()})
		})
	}
	for i := range steps {
		if err := errors.Join(steps[(i+round)%len(steps)](), ctx.Err()); err != nil {
			return err
		}
	}
	return nil
}

// measureREST runs a load on the gateway, whose twins have a kilobyte each.
func (b *bench) measureREST(ctx context.Context, r restRow, s *server) error {
	if !b.wantsRow(r.row) {
		return nil
	}
	if err := fillDesired(ctx, s.web); err != nil {
		return fmt.Errorf("%s: %w", r.row, err)
	}
	s.proc.settle()
	defer b.profile(r.row, s)()
	l := webLoad{web: s.web, conns: restConns, next: r.next, warm: b.warm, measure: b.measure}
	l.probe = func() usage { return usageOf(s.proc.pid(), b.core) }
	out, err := l.run(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", r.row, err)
	}
	b.book.recordTalk(r.row, s.name, out)
	b.book.recordTrips(r.row, s.name, out)
	b.progress(r.row, s.name)
	s.proc.settle()
	return s.proc.fault()
}

// recordTrips keeps how long requests took.
func (k *book) recordTrips(row, target string, out outcome) {
	p := percentiles(out.Latency, 0.50, 0.99)
	k.add(row, target, metricTrip50, float64(p[0].Nanoseconds())/1e3)
	k.add(row, target, metricTrip99, float64(p[1].Nanoseconds())/1e3)
}

// fillDesired makes the twins as long as they are to be.
func fillDesired(ctx context.Context, web webSide) error {
	c, err := web.dial(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	body := `{"properties":{"desired":` + document() + `}}`
	for i := range restConns {
		if _, err := c.ask(question{verb: "PUT", path: "/twins/" + deviceName(i), body: body, status: okStatus}); err != nil {
			return err
		}
	}
	return nil
}

// storedDesired is about how long the gateway's JSON of such a twin is: desired
// properties have their metadata twice over.
func storedDesired() int {
	return storedTwin() + strings.Count(document(), ":")*len(`,"$lastUpdatedVersion":12`)
}

func restGoals() []goal {
	pair := func(id, what, row, bare string) []goal {
		return []goal{
			{id: id, what: what + ", per second", over: figure{row, nameHubgate, metricOps}, under: figure{bare, nameBare64, metricOps}},
			{id: id, what: what + ", p99", atMost: true, over: figure{row, nameHubgate, metricTrip99}, under: figure{bare, nameBare64, metricTrip99}},
		}
	}
	list := pair("H1", "REST twin GET / KV get", rowRESTGet, rowBare64Get)
	list = append(list, pair("H2", "REST twin PATCH / KV compare-and-set", rowRESTPatch, rowBare64CAS)...)
	return append(list, pair("H3", "REST registry PUT / KV create", rowRESTPut, rowBare64Make)...)
}
