//go:build linux

package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// bareKind is which operations of JetStream a bare run makes.
type bareKind string

const (
	bareGet    bareKind = "get"    // the value of a key
	bareUpdate bareKind = "update" // write a key whose revision is known
	bareCreate bareKind = "create" // write a key that there is not
	bareQueue  bareKind = "queue"  // the next message of a subject, and delete it

	bareCallers = 16
	bareBucket  = "BARE"
	bareSubject = "bare.c2d."
)

// bareRun is one run of bare operations, as a child is told of it. Callers and
// server are one process, as in the gateway.
type bareRun struct {
	Dir     string
	Kind    bareKind
	Callers int // 0: bareCallers. Told how many, the run tells how long each operation took
	Devices int // keys, or queues
	Value   int // bytes of a value or a message
	Depth   int // messages in a queue
	Idle    int // queues beside them
	Warm    time.Duration
	Measure time.Duration
}

// bareResult is what the child answers.
type bareResult struct {
	Counted      uint64
	Elapsed, CPU time.Duration
	P50, P99     time.Duration // with Callers
}

// measureBare runs a child and records what it says.
func (b *bench) measureBare(ctx context.Context, row, target string, r bareRun) error {
	if !b.wantsTarget(target) || !b.wantsRow(row) {
		return nil
	}
	var err error
	if r.Dir, err = os.MkdirTemp(b.dir, "bare-"); err != nil {
		return fmt.Errorf("make store directory: %w", err)
	}
	defer os.RemoveAll(r.Dir)
	r.Warm, r.Measure = b.warm, b.measure
	text, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode run: %w", err)
	}
	var result bareResult
	p, err := b.startSlowChild(ctx, fillTime, &result, "bare", string(text))
	if err != nil {
		return fmt.Errorf("%s, %s: %w", row, target, err)
	}
	p.stop()
	add := func(metric string, v float64) { b.book.add(row, target, metric, v) }
	add(metricOps, float64(result.Counted)/result.Elapsed.Seconds())
	add(metricOpCPU, float64(result.CPU.Nanoseconds())/1e3/float64(max(result.Counted, 1)))
	add(metricDone, float64(result.Counted))
	if r.Callers > 0 {
		add(metricTrip50, float64(result.P50.Nanoseconds())/1e3)
		add(metricTrip99, float64(result.P99.Nanoseconds())/1e3)
	}
	b.progress(row, target)
	return nil
}

// childBare makes operations on an embedded server in this process.
func childBare(ctx context.Context, text string) error {
	var r bareRun
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return fmt.Errorf("parse run: %w", err)
	}
	s, err := startNATS(natsOptions(r.Dir))
	if err != nil {
		return err
	}
	defer s.WaitForShutdown()
	defer s.Shutdown()
	conn, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		return fmt.Errorf("connect in process: %w", err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return fmt.Errorf("open jetstream: %w", err)
	}
	measured := r.keys
	if r.Kind == bareQueue {
		measured = r.mail
	}
	result, err := measured(ctx, js)
	if err != nil {
		return err
	}
	return announce(result)
}

// keys reads or writes keys, each caller its own.
func (r bareRun) keys(ctx context.Context, js jetstream.JetStream) (bareResult, error) {
	kv, err := js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: bareBucket, Storage: jetstream.FileStorage})
	if err != nil {
		return bareResult{}, fmt.Errorf("create bucket: %w", err)
	}
	value := bytes.Repeat([]byte("x"), r.Value)
	revisions := make([]uint64, r.Devices)
	for i := range revisions {
		if revisions[i], err = kv.Put(ctx, deviceName(i), value); err != nil {
			return bareResult{}, fmt.Errorf("put: %w", err)
		}
	}
	var fresh atomic.Int64
	switch r.Kind {
	case bareUpdate:
		return r.timed(func(i int) (err error) {
			revisions[i], err = kv.Update(ctx, deviceName(i), value, revisions[i])
			return err
		})
	case bareCreate:
		return r.timed(func(int) error {
			_, err := kv.Create(ctx, idleName(int(fresh.Add(1))), value)
			return err
		})
	default:
		return r.timed(func(i int) error {
			_, err := kv.Get(ctx, deviceName(i))
			return err
		})
	}
}

// timed has the callers go through their devices until the time is over.
func (r bareRun) timed(operation func(device int) error) (bareResult, error) {
	callers := cmp.Or(r.Callers, bareCallers)
	var done atomic.Uint64
	var measured, over atomic.Bool
	errs := make(chan error, callers)
	trips := make([][]time.Duration, callers)
	for c := range callers {
		go func() {
			var err error
			for i := c; !over.Load() && err == nil; i += callers {
				if i >= r.Devices {
					i = c
				}
				begin := time.Now()
				if err = operation(i); err == nil {
					done.Add(1)
				}
				if r.Callers > 0 && measured.Load() {
					trips[c] = append(trips[c], time.Since(begin))
				}
			}
			errs <- err
		}()
	}
	<-time.After(r.Warm)
	measured.Store(true)
	begin, cpu, before := time.Now(), ownTime(), done.Load()
	<-time.After(r.Measure)
	result := bareResult{Counted: done.Load() - before, Elapsed: time.Since(begin), CPU: ownTime() - cpu}
	over.Store(true)
	var err error
	for range callers {
		if e := <-errs; err == nil {
			err = e
		}
	}
	if r.Callers > 0 {
		p := percentiles(slices.Concat(trips...), 0.50, 0.99)
		result.P50, result.P99 = p[0], p[1]
	}
	return result, err
}

// mail takes the messages of queues: what a delivery needs at least.
func (r bareRun) mail(ctx context.Context, js jetstream.JetStream) (bareResult, error) {
	stream, err := js.CreateStream(ctx, jetstream.StreamConfig{
		Name: bareBucket, Subjects: []string{bareSubject + "*"}, Storage: jetstream.FileStorage, AllowDirect: true,
		Discard: jetstream.DiscardNew, DiscardNewPerSubject: true, MaxMsgsPerSubject: queueDepth,
	})
	if err != nil {
		return bareResult{}, fmt.Errorf("create stream: %w", err)
	}
	if err := r.fill(ctx, js); err != nil {
		return bareResult{}, err
	}
	devices := make(chan int, r.Devices)
	for i := range r.Devices {
		devices <- i
	}
	close(devices)
	begin, cpu := time.Now(), ownTime()
	errs := make([]error, bareCallers)
	var wg sync.WaitGroup
	for c := range bareCallers {
		wg.Go(func() {
			for i := range devices {
				if errs[c] == nil {
					errs[c] = r.empty(ctx, stream, bareSubject+deviceName(i))
				}
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return bareResult{}, err
		}
	}
	return bareResult{Counted: uint64(r.Devices * r.Depth), Elapsed: time.Since(begin), CPU: ownTime() - cpu}, nil
}

// fill puts a message into each idle queue, and all queues to their depth.
func (r bareRun) fill(ctx context.Context, js jetstream.JetStream) error {
	f := newFiller(js)
	body := bytes.Repeat([]byte("x"), r.Value)
	for i := range r.Idle {
		if err := f.put(ctx, nats.Msg{Subject: bareSubject + idleName(i), Data: body}); err != nil {
			return err
		}
	}
	for range r.Depth {
		for i := range r.Devices {
			if err := f.put(ctx, nats.Msg{Subject: bareSubject + deviceName(i), Data: body}); err != nil {
				return err
			}
		}
	}
	return f.wait(ctx)
}

func (r bareRun) empty(ctx context.Context, stream jetstream.Stream, subject string) error {
	for range r.Depth {
		m, err := stream.GetMsg(ctx, 1, jetstream.WithGetMsgSubject(subject))
		if err != nil {
			return fmt.Errorf("read %s: %w", subject, err)
		}
		if err := stream.DeleteMsg(ctx, m.Sequence); err != nil {
			return fmt.Errorf("delete %d: %w", m.Sequence, err)
		}
	}
	return nil
}
