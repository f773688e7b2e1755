package backend

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
)

const (
	listWorkers = 16 // records that are read at the same time
	// How long a sorted list of ids is kept for the next page. It is used only
	// while nothing has been written to the bucket.
	indexAge    = 10 * time.Second
	listTimeout = 30 * time.Second
)

// List implements [identity.Store].
func (d *DeviceStore) List(ctx context.Context, q identity.Query) ([]identity.Record, error) {
	limit := q.Limit
	if limit <= 0 || limit > identity.MaxList {
		limit = identity.MaxList
	}
	ids, err := d.ids(ctx, q.Device)
	if err != nil {
		return nil, err
	}
	start, found := slices.BinarySearchFunc(ids, q.After, func(id hub.Identity, after string) int {
		return strings.Compare(own(id), after)
	})
	if found {
		start++
	}
	records := make([]identity.Record, 0, min(limit, len(ids)-start))
	for ids = ids[start:]; len(ids) > 0 && len(records) < limit; {
		n := min(limit-len(records), len(ids))
		page, err := d.read(ctx, ids[:n])
		if err != nil {
			return nil, err
		}
		records = append(records, page...)
		ids = ids[n:]
	}
	return records, nil
}

// own is the id that a list is ordered by: the module's or the device's.
func own(id hub.Identity) string {
	if id.IsModule() {
		return id.Module
	}
	return id.Device
}

// read gets the records of ids, leaving out those that are gone.
func (d *DeviceStore) read(ctx context.Context, ids []hub.Identity) ([]identity.Record, error) {
	records := make([]identity.Record, len(ids))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(listWorkers)
	for i, id := range ids {
		g.Go(func() error {
			r, err := d.Get(ctx, id)
			if code := hub.CodeOf(err); code == hub.DeviceNotFound || code == hub.ModuleNotFound {
				return nil
			}
			records[i] = r
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(records, func(r identity.Record) bool { return r.Revision == 0 }), nil
}

// index is the sorted ids of all devices as of one sequence of the bucket.
type index struct {
	mu     sync.Mutex
	seq    uint64
	ids    []hub.Identity
	forget *time.Timer
}

// ids returns all devices, or all modules of a device, by ascending id. Some
// may be gone already.
func (d *DeviceStore) ids(ctx context.Context, device string) ([]hub.Identity, error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	s, err := d.bucket.js.Stream(ctx, "KV_"+d.bucket.name)
	if err != nil {
		return nil, d.bucket.fault("list", "keys", err)
	}
	filter := subject.ModuleKeys(device)
	if device == "" {
		filter = subject.DeviceKeys
		if ids := d.index.get(s.CachedInfo().State.LastSeq); ids != nil {
			return ids, nil
		}
	}
	prefix := "$KV." + d.bucket.name + "."
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(prefix+filter))
	if err != nil {
		return nil, d.bucket.fault("list", "keys", err)
	}
	ids := make([]hub.Identity, 0, len(info.State.Subjects))
	for s := range info.State.Subjects {
		if id, err := subject.ParseKey(strings.TrimPrefix(s, prefix)); err == nil {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b hub.Identity) int { return strings.Compare(own(a), own(b)) })
	if device == "" {
		d.index.put(info.State.LastSeq, ids)
	}
	return ids, nil
}

func (x *index) get(seq uint64) []hub.Identity {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.seq != seq {
		return nil
	}
	return x.ids
}

func (x *index) put(seq uint64, ids []hub.Identity) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.seq, x.ids = seq, ids
	if x.forget != nil {
		x.forget.Stop()
	}
	x.forget = time.AfterFunc(indexAge, func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		if x.seq == seq {
			x.ids = nil
		}
	})
}
