//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"

	hubclient "github.com/hubgate/hubgate/backend/client"
	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/sas"
	"github.com/hubgate/hubgate/twin"
)

// scaleBuckets are those with a value for each device.
func scaleBuckets() []string {
	n := subject.Names{}
	return []string{n.DeviceBucket(), n.TwinBucket(), n.PresenceBucket()}
}

// scaleRegistry gives a hub as many devices as -fleet says, each with a twin and
// a session, and measures what that needs, and how long everything takes to
// start.
func (b *bench) scaleRegistry(ctx context.Context) error {
	row := fmt.Sprintf("%s, %d devices", rowScaleRegistry, b.fleet)
	s, err := b.startStore(ctx, filepath.Join(b.dir, "scale-registry"))
	if err != nil {
		return err
	}
	defer func() { s.proc.stop() }()
	n, err := b.startNode(ctx, s, "first")
	if err != nil {
		return err
	}
	b.noteTime(row+": an empty hub's node starts", nameNode, n.ready)
	b.noteMemory(row+": before", nameNode, float64(residentBytes(n.proc.pid())), 0)
	b.noteMemory(row+": before", nameStore, float64(residentBytes(s.proc.pid())), 0)
	begin := time.Now()
	err = b.fillRegistry(ctx, s, n)
	n.proc.stop()
	if err != nil {
		return err
	}
	b.noteTime(row+": written", nameStore, time.Since(begin))
	if err := b.noteBuckets(ctx, row, s); err != nil {
		return err
	}
	if err := b.restartNode(ctx, row, s); err != nil {
		return err
	}
	if err := b.watchTwins(ctx, row, s); err != nil {
		return err
	}
	return b.restartStore(ctx, row, &s)
}

// fillRegistry makes the first device with its twin and its session, and copies
// of what the buckets have of it then.
func (b *bench) fillRegistry(ctx context.Context, s *store, n *scaleNode) error {
	c, js, err := s.client()
	if err != nil {
		return err
	}
	defer c.Close()
	id := hub.Identity{Device: fleetName(0)}
	r, err := c.Registry().Create(ctx, identity.Record{ID: id})
	if err != nil {
		return err
	}
	body := fmt.Sprintf(`{"tags":{"plant":%q,"model":%q,"serial":%q},"properties":{"desired":{"interval":30,"mode":"auto","threshold":19.5}}}`, anyPlant, anyModel, anySerial)
	if _, err := c.Twins().Update(ctx, id, twin.Write{Body: []byte(body)}); err != nil {
		return err
	}
	if err := b.firstSession(n, &r); err != nil {
		return fmt.Errorf("connect the first device: %w", err)
	}
	f := newFiller(js)
	for _, bucket := range scaleBuckets() {
		kv, err := js.KeyValue(ctx, bucket)
		if err != nil {
			return fmt.Errorf("open %s: %w", bucket, err)
		}
		first, err := kv.Get(ctx, fleetName(0))
		if err != nil {
			return fmt.Errorf("read the first device in %s: %w", bucket, err)
		}
		fmt.Fprintf(b.log, "  %s has %d bytes of a device\n", bucket, len(first.Value()))
		for i := 1; i < b.fleet; i++ {
			if err := f.put(ctx, nats.Msg{Subject: "$KV." + bucket + "." + fleetName(i), Data: copyOf(first.Value(), i)}); err != nil {
				return err
			}
		}
	}
	return f.wait(ctx)
}

// firstSession connects a device as an SDK does, has it report properties, and
// leaves its session behind.
func (b *bench) firstSession(n *scaleNode, r *identity.Record) error {
	keys, err := r.Keys()
	if err != nil {
		return err
	}
	token := sas.Sign(sas.Resource(scaleHost, r.ID), keys[0], time.Now().Add(tokenLife), "")
	hello := connect{ClientID: r.ID.Device, Username: scaleHost + "/" + r.ID.Device + agentOption, Password: token, KeepAlive: 240}
	c, err := dialClient(n.secure, b.cert.client(), login{connect: hello.append(nil)})
	if err != nil {
		return err
	}
	defer c.close()
	for i, filter := range []string{"devices/" + r.ID.Device + "/messages/devicebound/#", "$iothub/methods/POST/#", twinAnswers, "$iothub/twin/PATCH/properties/desired/#"} {
		if _, err := c.ask(appendSubscribe(nil, uint16(i+1), filter)); err != nil {
			return err
		}
	}
	report := newRequest(twinPatch, `{"temperature":19.5,"firmware":"1.4","battery":80,"state":"ok","address":"10.1.2.3"}`, patchReply)
	_, err = c.ask(report.append(nil, 0))
	return err
}

// noteBuckets tells how large everything is.
func (b *bench) noteBuckets(ctx context.Context, row string, s *store) error {
	c, js, err := s.client()
	if err != nil {
		return err
	}
	defer c.Close()
	for _, bucket := range scaleBuckets() {
		stream, err := js.Stream(ctx, "KV_"+bucket)
		if err != nil {
			return fmt.Errorf("read %s: %w", bucket, err)
		}
		state := stream.CachedInfo().State
		b.noteMemory(row+": "+bucket+" on disk", nameStore, float64(state.Bytes), float64(state.Bytes)/float64(b.fleet))
	}
	disk, err := s.onDisk()
	if err != nil {
		return fmt.Errorf("measure the store: %w", err)
	}
	b.noteMemory(row+": all files", nameStore, float64(disk), float64(disk)/float64(b.fleet))
	memory := float64(residentBytes(s.proc.pid()))
	b.noteMemory(row+": in memory", nameStore, memory, memory/float64(b.fleet))
	return nil
}

// restartNode starts a node beside the full buckets.
func (b *bench) restartNode(ctx context.Context, row string, s *store) error {
	n, err := b.startNode(ctx, s, "second")
	if err != nil {
		return err
	}
	defer n.proc.stop()
	b.noteTime(row+": start until devices are taken", nameNode, n.ready)
	c, _, err := s.client()
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := within(ctx, scalePatience, func() (bool, error) { return b.seen(ctx, c), n.proc.fault() }); err != nil {
		return fmt.Errorf("wait for the index: %w", err)
	}
	b.noteTime(row+": start until queries see all", nameNode, time.Since(n.began))
	b.noteTime(row+": processor time for that", nameNode, cpuTime(n.proc.pid()))
	memory := float64(residentBytes(n.proc.pid()))
	b.noteMemory(row+": in memory", nameNode, memory, memory/float64(b.fleet))
	n.proc.rest(scaleRest)
	memory = float64(residentBytes(n.proc.pid()))
	b.noteMemory(row+": in memory after a while", nameNode, memory, memory/float64(b.fleet))
	return nil
}

// seen reports whether queries see all devices. While the index is being
// loaded they are refused.
func (b *bench) seen(ctx context.Context, c *hubclient.Client) bool {
	page, err := c.QueryPage(ctx, "SELECT COUNT() AS n FROM devices", 0, "")
	return err == nil && len(page.Items) == 1 && bytes.Contains(page.Items[0], fmt.Appendf(nil, `{"n":%d}`, b.fleet))
}

// watchTwins reads a bucket as a watcher does, from its first value to its last.
func (b *bench) watchTwins(ctx context.Context, row string, s *store) error {
	c, js, err := s.client()
	if err != nil {
		return err
	}
	defer c.Close()
	kv, err := js.KeyValue(ctx, subject.Names{}.TwinBucket())
	if err != nil {
		return err
	}
	begin, values := time.Now(), 0
	w, err := kv.WatchAll(ctx)
	if err != nil {
		return fmt.Errorf("watch the twins: %w", err)
	}
	defer w.Stop()
	for e := range w.Updates() {
		if e == nil {
			break
		}
		values++
	}
	b.noteTime(row+": a watch of hub_twins gives all", nameStore, time.Since(begin))
	if values < b.fleet {
		b.book.fault("%s: the watch gave %d values", row, values)
	}
	return nil
}

// restartStore starts the NATS server again on what it has.
func (b *bench) restartStore(ctx context.Context, row string, s **store) error {
	dir := (*s).dir
	(*s).proc.stop()
	begin := time.Now()
	again, err := b.startStore(ctx, dir)
	if err != nil {
		return err
	}
	*s = again
	c, js, err := again.client()
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = within(ctx, scalePatience, func() (bool, error) {
		stream, err := js.Stream(ctx, "KV_"+subject.Names{}.TwinBucket())
		return err == nil && stream.CachedInfo().State.Msgs >= uint64(b.fleet), again.proc.fault()
	})
	if err != nil {
		return fmt.Errorf("start the server again: %w", err)
	}
	b.noteTime(row+": NATS starts", nameStore, time.Since(begin))
	memory := float64(residentBytes(again.proc.pid()))
	b.noteMemory(row+": in memory after a start", nameStore, memory, memory/float64(b.fleet))
	return nil
}
