//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/test/hubtest"
)

// settle ends what is new, and waits until everything that was begun has come
// to an end: every conversation with every device works, queues and commands
// are empty.
func (r *run) settle(ctx context.Context) error {
	r.logf("no more faults; every conversation with every device has to work")
	r.checkTold(ctx)
	if err := r.probe(ctx); err != nil {
		return err
	}
	close(r.quiet)
	var busy []string
	if !until(ctx, func() bool {
		busy = busy[:0]
		for _, d := range r.devices {
			if !d.idle() {
				busy = append(busy, d.id)
			}
		}
		return len(busy) == 0
	}) {
		return fmt.Errorf("%d devices still wait for PUBACKs, such as %v", len(busy), busy[:min(len(busy), 5)])
	}
	var left string
	if !until(ctx, func() bool { left = r.left(ctx); return left == "" }) {
		r.verdict.broken("left over", "%s", left)
	}
	return nil
}

// checkTold waits until every device has heard of the last desired value that a
// back end was told to be stored, without another one being written.
func (r *run) checkTold(ctx context.Context) {
	var deaf []string
	if until(ctx, func() bool {
		deaf = deaf[:0]
		for _, d := range r.devices {
			if n := r.backend.lastDesired(d.id); !d.knows(n) {
				deaf = append(deaf, fmt.Sprintf("%s has not heard of the desired value %d", d.id, n))
			}
		}
		return len(deaf) == 0
	}) {
		return
	}
	for _, text := range deaf {
		r.verdict.broken("desired properties that were not told", "%s", text)
	}
}

// probe has one of each conversation with each device.
func (r *run) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var wg sync.WaitGroup
	var failed atomic.Int64
	todo := make(chan *device)
	for range 8 {
		wg.Go(func() {
			for d := range todo {
				if err := r.probeOne(ctx, d); err != nil {
					failed.Add(1)
					r.verdict.broken("deaf devices", "%s: %v", d.id, err)
				}
			}
		})
	}
	for _, d := range r.devices {
		todo <- d
	}
	close(todo)
	wg.Wait()
	if n := failed.Load(); n > 0 {
		return fmt.Errorf("%d devices do not converse any more", n)
	}
	return nil
}

func (r *run) probeOne(ctx context.Context, d *device) error {
	b := r.backend
	var err error
	try := func(what string, do func() error) error {
		for {
			if err = do(); err == nil {
				return nil
			}
			if !wait(ctx, 500*time.Millisecond) {
				return fmt.Errorf("%s: %w", what, err)
			}
		}
	}
	if err := try("a direct method", func() error { return b.invoke(ctx, d.id) }); err != nil {
		return err
	}
	var n int
	if err := try("a desired update", func() error { n, err = b.update(ctx, d.id); return err }); err != nil {
		return err
	}
	var id string
	if err := try("a C2D message", func() error { id, err = b.send(ctx, d.id); return err }); err != nil {
		return err
	}
	if !until(ctx, func() bool { return d.knows(n) }) {
		return fmt.Errorf("it has not heard of the desired value %d", n)
	}
	if !until(ctx, func() bool { return d.hasTaken(id) }) {
		return fmt.Errorf("the C2D message %s has not come", id)
	}
	return nil
}

// left is what is still in queues; empty: nothing.
func (r *run) left(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	s, err := r.backend.js.Stream(ctx, "HUB_C2D")
	if err != nil {
		return fmt.Sprintf("HUB_C2D: %v", err)
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter("hub.c2d.>"))
	if err != nil {
		return fmt.Sprintf("HUB_C2D: %v", err)
	}
	if info.State.Msgs > 0 {
		return fmt.Sprintf("%d messages in HUB_C2D: %v", info.State.Msgs, info.State.Subjects)
	}
	var commands []string
	err = r.eachKey(ctx, "hub_commands", func(key string, value []byte) error {
		commands = append(commands, fmt.Sprintf("%s: %.300s", key, value))
		return nil
	})
	switch {
	case err != nil:
		return err.Error()
	case len(commands) > 0:
		return fmt.Sprintf("%d commands in hub_commands, such as %v", len(commands), commands[:min(len(commands), 3)])
	}
	return ""
}

// checkOld finds that the nodes have closed every connection whose device has
// come back on another one: nobody has two owners.
func (r *run) checkOld() {
	until := time.Now().Add(patience)
	for _, d := range r.devices {
		d.mu.Lock()
		old := d.old
		d.old = nil
		d.mu.Unlock()
		for _, w := range old {
			if !w.ends(time.Until(until)) {
				r.verdict.broken("two owners", "%s has come back, and its connection of %v is still open", d.id, w.began.Format("15:04:05.000"))
			}
			w.leave()
		}
	}
}

// presenceOf reads the sessions of all devices.
func (r *run) presenceOf(ctx context.Context) (map[string]hubtest.Session, error) {
	all := map[string]hubtest.Session{}
	err := r.eachKey(ctx, "hub_presence", func(key string, value []byte) error {
		var s hubtest.Session
		if err := json.Unmarshal(value, &s); err != nil {
			return fmt.Errorf("read the session %s: %w", key, err)
		}
		all[key] = s
		return nil
	})
	return all, err
}

// eachKey calls visit for every key of a bucket, as its leader has it.
func (r *run) eachKey(ctx context.Context, bucket string, visit func(string, []byte) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	kv, err := r.backend.js.KeyValue(ctx, bucket)
	if err != nil {
		return fmt.Errorf("open %s: %w", bucket, err)
	}
	w, err := kv.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		return fmt.Errorf("watch %s: %w", bucket, err)
	}
	defer func() { _ = w.Stop() }()
	for {
		select {
		case e, open := <-w.Updates():
			if !open {
				return fmt.Errorf("the watch of %s has ended", bucket)
			}
			if e == nil {
				return nil
			}
			if err := visit(e.Key(), e.Value()); err != nil {
				return err
			}
		case <-ctx.Done():
			return fmt.Errorf("watch %s: %w", bucket, ctx.Err())
		}
	}
}

// checkPresence waits until nothing is wrong with any session.
func (r *run) checkPresence(ctx context.Context, wrongWith func(*device, hubtest.Session) string) {
	var wrong []string
	ok := until(ctx, func() bool {
		all, err := r.presenceOf(ctx)
		if err != nil {
			wrong = []string{err.Error()}
			return false
		}
		wrong = wrong[:0]
		for _, d := range r.devices {
			if text := wrongWith(d, all[hubtest.Key(d.id)]); text != "" {
				wrong = append(wrong, text)
			}
		}
		return len(wrong) == 0
	})
	if ok {
		return
	}
	for _, text := range wrong {
		r.verdict.broken("presence", "%s", text)
	}
}

// gone is what is wrong with the session of a device that has left.
func (r *run) gone(d *device, s hubtest.Session) string {
	if s.Connected {
		return fmt.Sprintf("%s has left, and its session says that it is connected to %s", d.id, s.Node)
	}
	return ""
}

// connected is what is wrong with the session of a device that is connected
// where the balancer has taken it.
func (r *run) connected(d *device, s hubtest.Session) string {
	d.mu.Lock()
	local := d.local
	d.mu.Unlock()
	b := r.plain
	if d.trusted != nil {
		b = r.secure
	}
	node, remote, found := b.find(local)
	switch {
	case !found:
		return d.id + " has no connection"
	case !s.Connected:
		return fmt.Sprintf("%s is connected to %s, and its session says that it has left: %s", d.id, nodeName(node), s.Reason)
	case s.Node != nodeName(node) || s.Remote != remote:
		return fmt.Sprintf("%s is connected to %s, and its session says %s", d.id, nodeName(node), s.Node)
	}
	return ""
}
