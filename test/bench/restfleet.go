//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/backend/subject"
)

// The fleet that is queried: every twin is of one of many plants, and of one of
// a few models.
const (
	plants       = 1000
	models       = 10
	firstQueries = 3 // that are not counted: they may make an index
)

// fleetQuery is a row of queries.
type fleetQuery struct {
	row  string
	text func(n, fleet int) string
	rows func(fleet int) int // of the first page
	asks int                 // how often in a round
}

const (
	rowPoint    = "query by deviceId"
	rowEquality = "query by a tag"
	rowAnd      = "query by a tag and a property"
	rowPage     = "query all, first page"
	rowCount    = "query COUNT() of all"
	rowGroup    = "query GROUP BY a tag"
	rowScan     = "query by the end of a tag, a scan"
	rowTwinOf   = "REST twin GET of the fleet"
)

func fleetQueries() []fleetQuery {
	page := func(n int) func(int) int { return func(fleet int) int { return min(n, max(fleet, 1)) } }
	perPlant := func(fleet int) int { return min(100, fleet/plants) }
	return []fleetQuery{
		{row: rowPoint, asks: 200, rows: page(1), text: func(n, fleet int) string {
			return "SELECT * FROM devices WHERE deviceId = '" + fleetName(n*7919%fleet) + "'"
		}},
		{row: rowEquality, asks: 100, rows: perPlant, text: func(n, _ int) string {
			return fmt.Sprintf("SELECT * FROM devices WHERE tags.plant = 'p%d'", n*31%plants)
		}},
		{row: rowAnd, asks: 100, rows: func(fleet int) int { return min(100, fleet/plants) }, text: func(n, _ int) string {
			return fmt.Sprintf("SELECT deviceId FROM devices WHERE tags.plant = 'p%d' AND properties.desired.interval >= 0", n*17%plants)
		}},
		{row: rowPage, asks: 50, rows: page(100), text: func(int, int) string { return "SELECT * FROM devices" }},
		{row: rowCount, asks: 10, rows: page(1), text: func(int, int) string { return "SELECT COUNT() AS n FROM devices" }},
		{row: rowGroup, asks: 5, rows: page(models), text: func(int, int) string {
			return "SELECT tags.model AS model, COUNT() AS n FROM devices WHERE IS_DEFINED(tags.model) GROUP BY tags.model"
		}},
		{row: rowScan, asks: 5, rows: page(1), text: func(int, int) string {
			return "SELECT COUNT() AS n FROM devices WHERE ENDSWITH(tags.serial, '77')"
		}},
	}
}

func fleetName(i int) string { return fmt.Sprintf("fleet-%07d", i) }

// What stands in the first twin where others have values of their own.
const (
	anyPlant  = "PLANT"
	anyModel  = "MODEL"
	anySerial = "SERIAL"
)

// firstTwin is the request that makes the twin of which all others are copies.
func firstTwin() question {
	body := fmt.Sprintf(`[{"id":%q,"importMode":"createOrUpdate","status":"enabled","tags":{"plant":%q,"model":%q,"serial":%q},"properties":{"desired":{"interval":30,"name":%q}}}]`,
		fleetName(0), anyPlant, anyModel, anySerial, strings.Repeat("n", 40))
	return question{verb: "POST", path: "/devices", body: body, status: okStatus}
}

// copyOf makes of what a bucket has of the first twin what it has of another.
func copyOf(value []byte, i int) []byte {
	return []byte(strings.NewReplacer(
		fleetName(0), fleetName(i), anyPlant, fmt.Sprintf("p%d", i%plants), anyModel, fmt.Sprintf("m%d", i%models), anySerial, fmt.Sprintf("s%07d", i),
	).Replace(string(value)))
}

// fleetRound measures queries over a fleet, which the first round makes.
func (b *bench) fleetRound(ctx context.Context, _ int) error {
	if !b.wants(sectionFleet) || !b.wantsTarget(nameHubgate) {
		return nil
	}
	s, err := b.startHubgate(ctx, gatewayRun{dir: "hubgate-fleet", devices: 1})
	if err != nil {
		return err
	}
	defer s.close()
	if err := b.makeFleet(ctx, s); err != nil {
		return fmt.Errorf("make the fleet: %w", err)
	}
	c, err := s.web.dial(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	for _, q := range fleetQueries() {
		if !b.wantsRow(q.row) {
			continue
		}
		err := b.measureSeries(ctx, s, c, series{q.row, q.asks, q.rows(b.fleet), func(n int) question {
			body, _ := json.Marshal(map[string]string{"query": q.text(n, b.fleet)}) // of text
			return question{verb: "POST", path: "/devices/query", body: string(body), headers: "x-ms-max-item-count: 100\r\n", status: okStatus}
		}})
		if err != nil {
			return err
		}
	}
	if !b.wantsRow(rowTwinOf) {
		return nil
	}
	return b.measureSeries(ctx, s, c, series{rowTwinOf, 200, noRows, func(n int) question {
		return question{verb: "GET", path: "/twins/" + fleetName(n*7919%b.fleet), status: okStatus}
	}})
}

// series is what one connection asks, one thing after the other.
type series struct {
	row  string
	asks int
	rows int // of each answer
	of   func(n int) question
}

// noRows is for answers that are no list.
const noRows = -1

func (b *bench) measureSeries(ctx context.Context, s *server, c *webClient, q series) error {
	s.proc.settle()
	var out outcome
	var begin time.Time
	var before usage
	for n := range q.asks + firstQueries {
		if n == firstQueries {
			begin, before = time.Now(), usageOf(s.proc.pid(), b.core)
		}
		start := time.Now()
		body, err := c.ask(q.of(n))
		if err = errors.Join(err, ctx.Err()); err != nil {
			return fmt.Errorf("%s: %w", q.row, err)
		}
		if n >= firstQueries {
			out.Latency = append(out.Latency, time.Since(start))
		}
		if err := q.check(body); err != nil {
			return err
		}
	}
	out.Elapsed, out.Used = time.Since(begin), usageOf(s.proc.pid(), b.core).since(before)
	out.Sent, out.Acked, out.Counted = uint64(q.asks), uint64(q.asks), uint64(q.asks)
	b.book.recordTalk(q.row, s.name, out)
	b.book.recordTrips(q.row, s.name, out)
	b.book.note(q.row, s.name, fmt.Sprintf("%d twins", b.fleet))
	b.progress(q.row, s.name)
	return s.proc.fault()
}

func (q series) check(body []byte) error {
	if q.rows == noRows {
		return nil
	}
	var got []json.RawMessage
	if err := json.Unmarshal(body, &got); err != nil {
		return fmt.Errorf("%s: %w", q.row, err)
	}
	if len(got) != q.rows {
		return fmt.Errorf("%s: %d rows, want %d: %.200q", q.row, len(got), q.rows, body)
	}
	return nil
}

// makeFleet makes the devices unless they are there already, and waits until
// queries see all of them. The first one is made by the API; the others are
// copies of what is in the buckets then, for the API would take its time.
func (b *bench) makeFleet(ctx context.Context, s *server) error {
	all := question{verb: "POST", path: "/devices/query", body: `{"query":"SELECT COUNT() AS n FROM devices WHERE STARTSWITH(deviceId, 'fleet-')"}`, status: okStatus}
	want := fmt.Appendf(nil, `{"n":%d}`, b.fleet)
	ask := func(q question) ([]byte, error) { // a connection that waits is closed by the gateway in time
		c, err := s.web.dial(ctx)
		if err != nil {
			return nil, err
		}
		defer c.close()
		return c.ask(q)
	}
	have, err := ask(all)
	if err != nil || bytes.Contains(have, want) {
		return err
	}
	if _, err := ask(firstTwin()); err != nil {
		return err
	}
	begin := time.Now()
	if err := b.copyFleet(ctx, s); err != nil {
		return err
	}
	for tick := time.NewTicker(200 * time.Millisecond); ; <-tick.C {
		have, err = ask(all)
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		if bytes.Contains(have, want) {
			fmt.Fprintf(b.log, "  %d twins are written and seen within %s\n", b.fleet, time.Since(begin).Round(time.Second))
			return nil
		}
	}
}

func (b *bench) copyFleet(ctx context.Context, s *server) error {
	conn, err := s.nats.connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	js, err := jetstream.New(conn, jetstream.WithPublishAsyncMaxPending(fillInFlight))
	if err != nil {
		return fmt.Errorf("open jetstream: %w", err)
	}
	names := subject.Names{}
	f := newFiller(js)
	for _, bucket := range []string{names.DeviceBucket(), names.TwinBucket()} {
		kv, err := js.KeyValue(ctx, bucket)
		if err != nil {
			return fmt.Errorf("open %s: %w", bucket, err)
		}
		first, err := kv.Get(ctx, fleetName(0))
		if err != nil {
			return fmt.Errorf("read the first twin in %s: %w", bucket, err)
		}
		for i := range b.fleet {
			m := nats.Msg{Subject: "$KV." + bucket + "." + fleetName(i), Data: copyOf(first.Value(), i)}
			if err := f.put(ctx, m); err != nil {
				return err
			}
		}
	}
	return f.wait(ctx)
}

func fleetGoals() []goal {
	over := func(id, row string) goal {
		return goal{
			id: id, what: row + " p50 / twin GET p50", atMost: true,
			over: figure{row, nameHubgate, metricTrip50}, under: figure{rowTwinOf, nameHubgate, metricTrip50},
		}
	}
	return []goal{over("F1", rowPoint), over("F2", rowEquality), over("F3", rowPage)}
}
