//go:build linux

package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hubgate/hubgate/query"
)

const nameSQLite = "sqlite json"

// asked is a query in both languages, with what is asked for.
type asked struct {
	name      string
	text, sql string // text has one %s
	arguments []string
	times     int
}

// fleetSizes are how many twins are asked.
func fleetSizes() []int { return []int{100_000, 1_000_000} }

func queryRow(twins int, name string) string { return fmt.Sprintf("query %dk %s", twins/1000, name) }

// askedOf are the queries, with what to look for among so many twins.
func askedOf(twins int) []asked {
	var ids, customers []string
	for i := range 50 {
		ids = append(ids, twinID(i*7919%twins))
		customers = append(customers, "customer-"+strconv.Itoa(i*17%1000))
	}
	return []asked{
		{
			name: "point", times: 2000, arguments: ids,
			text: "SELECT * FROM devices WHERE deviceId = '%s'",
			sql:  "SELECT doc FROM twins WHERE id = ?",
		},
		{
			name: "indexed equality", times: 200, arguments: customers,
			text: "SELECT * FROM devices WHERE tags.customer = '%s'",
			sql:  "SELECT doc FROM twins WHERE json_extract(doc, '$.tags.customer') = ? ORDER BY id LIMIT 100",
		},
		{
			name: "GROUP BY", times: max(1, 500_000/twins), arguments: []string{"nowhere"},
			text: "SELECT tags.region AS region, COUNT() AS n, AVG(properties.reported.temperature) AS t FROM devices WHERE tags.site != '%s' GROUP BY tags.region",
			sql: "SELECT json_extract(doc, '$.tags.region') AS region, COUNT(*), AVG(json_extract(doc, '$.properties.reported.temperature')) " +
				"FROM twins WHERE json_extract(doc, '$.tags.site') != ? GROUP BY region",
		},
	}
}

// answers is what a series of the same query came to.
type answers struct {
	taken []time.Duration
	cpu   time.Duration
	rows  int
}

// queryRound asks a fleet of twins in memory, beside SQLite's json functions
// over the same documents. Both are on the bench's core, one after another. All
// rounds are done with the first, as making the fleets takes longest.
func (b *bench) queryRound(ctx context.Context, round int) error {
	if round > 0 || !b.wants(sectionQuery) {
		return nil
	}
	for _, twins := range fleetSizes() {
		wanted := slices.ContainsFunc(askedOf(twins), func(q asked) bool { return b.wantsRow(queryRow(twins, q.name)) })
		if !wanted || b.quick && twins > 100_000 {
			continue
		}
		if err := b.queryFleet(ctx, twins); err != nil {
			return fmt.Errorf("queries of %d twins: %w", twins, err)
		}
	}
	return nil
}

func (b *bench) queryFleet(ctx context.Context, twins int) error {
	own, err := b.ownFleet(twins)
	if err != nil {
		return err
	}
	other, err := b.startSQLite(ctx, twins)
	if err != nil {
		return err
	}
	defer other.close()
	for range b.rounds {
		for _, q := range askedOf(twins) {
			row := queryRow(twins, q.name)
			if !b.wantsRow(row) {
				continue
			}
			mine, err := own.ask(ctx, q)
			if err != nil {
				return err
			}
			b.recordAnswers(row, nameHubgate, mine)
			b.book.note(row, nameHubgate, own.note)
			if other == nil {
				continue
			}
			theirs, err := other.ask(q)
			if err != nil {
				return err
			}
			b.recordAnswers(row, nameSQLite, theirs)
			b.book.note(row, nameSQLite, other.note)
			if mine.rows != theirs.rows {
				b.book.fault("%s: %d rows, and %d of SQLite", row, mine.rows, theirs.rows)
			}
		}
	}
	return nil
}

func (b *bench) recordAnswers(row, target string, a answers) {
	count := float64(len(a.taken))
	total := time.Duration(0)
	for _, d := range a.taken {
		total += d
	}
	p := percentiles(a.taken, 0.50, 0.99)
	b.book.add(row, target, metricTrip50, float64(p[0].Nanoseconds())/1e3)
	b.book.add(row, target, metricTrip99, float64(p[1].Nanoseconds())/1e3)
	b.book.add(row, target, metricOps, count/total.Seconds())
	b.book.add(row, target, metricOpCPU, float64(a.cpu.Nanoseconds())/1e3/count)
	b.book.add(row, target, metricDone, count)
	b.progress(row, target)
}

// ownFleet is a collection with its twins.
type ownFleet struct {
	c    *query.Collection
	note string
}

func (b *bench) ownFleet(twins int) (*ownFleet, error) {
	before := heapBytes()
	own := &ownFleet{c: query.NewCollection(query.Config{Source: query.Devices, Order: []string{"deviceId", "etag", "status"}})}
	begin := time.Now()
	fleet := newTwinFleet(twins)
	length := 0
	for d, ok := fleet.next(); ok; d, ok = fleet.next() {
		for i, part := range d.parts {
			if err := own.c.Set(d.id, i, []byte("{"+part+"}")); err != nil {
				return nil, err
			}
			length += len(part)
		}
	}
	took := time.Since(begin)
	own.note = fmt.Sprintf("%d bytes of memory for a twin of %d", (heapBytes()-before)/uint64(twins), length/twins)
	fmt.Fprintf(b.log, "  %d twins in %s, %s\n", twins, took.Round(time.Millisecond), own.note)
	return own, nil
}

func heapBytes() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// ask reads first pages, from the text on. The first is not counted: it makes
// the index, which SQLite has already.
func (o *ownFleet) ask(ctx context.Context, q asked) (answers, error) {
	var a answers
	for i := -1; i < q.times; i++ {
		before, begin := ownCPU(), time.Now()
		parsed, err := query.Parse(strings.Replace(q.text, "%s", q.arguments[max(i, 0)%len(q.arguments)], 1))
		if err != nil {
			return a, err
		}
		r, err := o.c.Run(ctx, parsed, query.Page{})
		if err != nil {
			return a, err
		}
		if i < 0 {
			continue
		}
		a.taken = append(a.taken, time.Since(begin))
		a.cpu += ownCPU() - before
		a.rows += len(r.Rows)
	}
	return a, nil
}

// ownCPU is the processor time of this process.
func ownCPU() time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func queryGoals() []goal {
	var list []goal
	for i, twins := range fleetSizes() {
		for n, q := range askedOf(twins) {
			row := queryRow(twins, q.name)
			list = append(list, goal{
				id: "Q" + strconv.Itoa(n+1) + string(rune('a'+i)), what: row + " / " + nameSQLite, atMost: true,
				over: figure{row, nameHubgate, metricTrip50}, under: figure{row, nameSQLite, metricTrip50},
			})
		}
	}
	return list
}
