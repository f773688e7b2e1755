//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// The rows of durability. `sync: always` has the first one alone: with more in
// flight it only queues longer.
const (
	rowSync     = "sync N=100 w=16"
	rowSyncMany = "sync N=1000 w=16"
	rowSyncOpen = "sync open loop 5k/s N=1000"
	rowDisk     = "one sync of the disk"
)

// syncMeasure is the measured time of the rows with a sync for each message:
// JetStream answers a whole queue at once, and with that it takes a good second.
const syncMeasure = 4 * time.Second

// syncGateways are the gateway with each setting of durability.sync, and what is
// measured of it.
func syncGateways() []struct {
	name, sync string
	cells      []cell
} {
	few := cell{row: rowSync, conns: 100, window: 16, measure: syncMeasure}
	many := cell{row: rowSyncMany, conns: maxConns, window: 16, measure: syncMeasure}
	open := cell{row: rowSyncOpen, conns: maxConns, rate: 5000}
	return []struct {
		name, sync string
		cells      []cell
	}{
		{nameHubgate, "interval", []cell{few, many, open}},
		{nameGroup, "group", []cell{few, many, open}},
		{nameAlways, "always", []cell{few}},
	}
}

// syncRound measures what acknowledgements cost that a power failure does not take
// back, beside those that it may.
func (b *bench) syncRound(ctx context.Context) error {
	if !b.wants(sectionSync) {
		return nil
	}
	for _, g := range syncGateways() {
		if err := b.syncGateway(ctx, g.name, g.sync, g.cells); err != nil {
			return err
		}
	}
	if err := b.measureRaw(ctx, rowSync, nameRawInbox, rawRun{SyncAlways: true, Measure: syncMeasure}); err != nil {
		return err
	}
	return b.measureDisk()
}

func (b *bench) syncGateway(ctx context.Context, name, sync string, cells []cell) error {
	var wanted []cell
	for _, c := range cells {
		if b.wantsRow(c.row) {
			wanted = append(wanted, c)
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	s, err := b.up(ctx, starter{name, b.gateway(gatewayRun{dir: "hubgate-sync-" + sync, devices: maxConns, sync: sync})})
	if err != nil || s == nil {
		return err
	}
	defer s.close()
	s.name = name
	for _, c := range wanted {
		if err := b.measureCell(c, s); err != nil {
			return fmt.Errorf("%s, %s: %w", c.row, name, err)
		}
		b.progress(c.row, name)
	}
	return nil
}

// measureDisk appends messages to a file, and syncs it after each.
func (b *bench) measureDisk() error {
	if !b.wantsRow(rowDisk) || !b.wantsTarget(nameDisk) {
		return nil
	}
	f, err := os.CreateTemp(b.dir, "disk-")
	if err != nil {
		return fmt.Errorf("make a file: %w", err)
	}
	defer os.Remove(f.Name())
	const syncs = 1000
	message, took := bytes.Repeat([]byte("x"), len(b.payload)), make([]time.Duration, syncs)
	for i := range took {
		if _, err = f.Write(message); err != nil {
			break
		}
		began := time.Now()
		if err = unix.Fdatasync(int(f.Fd())); err != nil {
			break
		}
		took[i] = time.Since(began)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("sync a file: %w", err)
	}
	p := percentiles(took, 0.5, 0.99)
	b.book.add(rowDisk, nameDisk, metricP50, float64(p[0].Nanoseconds())/1e3)
	b.book.add(rowDisk, nameDisk, metricP99, float64(p[1].Nanoseconds())/1e3)
	b.progress(rowDisk, nameDisk)
	return nil
}

// syncGoals are what a sync for many messages has to be worth.
func syncGoals() []goal {
	group := figure{rowSyncMany, nameGroup, metricRate}
	always := figure{rowSync, nameAlways, metricRate}
	return []goal{
		{id: "T7a", what: "group sync / interval, N=1000 w=16", over: group, under: figure{rowSyncMany, nameHubgate, metricRate}, must: 0.4, aim: 0.7},
		{id: "T7b", what: "group sync, N=1000 w=16 / sync always, N=100 w=16", over: group, under: always, must: 12, aim: 30},
		{id: "T7c", what: "group sync / interval, N=100 w=16", over: figure{rowSync, nameGroup, metricRate}, under: figure{rowSync, nameHubgate, metricRate}},
		{id: "T7d", what: "sync always, N=100 w=16 / raw JetStream, sync always", over: always, under: figure{rowSync, nameRawInbox, metricRate}},
		{
			id: "L3", what: "group sync p50 at 5k/s / one sync of the disk", atMost: true, must: 6, aim: 3.5,
			over: figure{rowSyncOpen, nameGroup, metricP50}, under: figure{rowDisk, nameDisk, metricP50},
		},
		{
			id: "L3a", what: "group sync p50 at 5k/s / interval", atMost: true,
			over: figure{rowSyncOpen, nameGroup, metricP50}, under: figure{rowSyncOpen, nameHubgate, metricP50},
		},
	}
}
