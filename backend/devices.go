package backend

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/backend/direct"
	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
)

// DeviceStore keeps identities in the bucket hub_devices: one key each, its
// value the record's JSON, its revision the key's. It is safe for concurrent
// use.
type DeviceStore struct {
	bucket   *bucket
	sessions *SessionStore
	twins    *bucket
	log      zerolog.Logger
	index    index // of the devices, for the next page of a list
}

var (
	_ identity.Store   = (*DeviceStore)(nil)
	_ identity.Watcher = (*DeviceStore)(nil)
)

// Get implements [identity.Store].
func (d *DeviceStore) Get(ctx context.Context, id hub.Identity) (identity.Record, error) {
	m, err := d.bucket.current(ctx, subject.Key(id))
	if err != nil {
		return identity.Record{}, missing(id, err)
	}
	return recordOf(id, m.Data, m.Sequence)
}

// Create implements [identity.Store].
func (d *DeviceStore) Create(ctx context.Context, r identity.Record) (uint64, error) {
	value, err := json.Marshal(r)
	if err != nil {
		return 0, hub.Errorf(hub.ServerError, "write %s as JSON: %w", r.ID, err)
	}
	rev, err := d.bucket.create(ctx, subject.Key(r.ID), value)
	if errors.Is(err, jetstream.ErrKeyExists) {
		return 0, identity.AlreadyExists(r.ID)
	}
	return rev, err
}

// Update implements [identity.Store].
func (d *DeviceStore) Update(ctx context.Context, r identity.Record) (uint64, error) {
	value, err := json.Marshal(r)
	if err != nil {
		return 0, hub.Errorf(hub.ServerError, "write %s as JSON: %w", r.ID, err)
	}
	rev, err := d.bucket.update(ctx, subject.Key(r.ID), value, r.Revision)
	if errors.Is(err, errStale) {
		return 0, d.stale(ctx, r.ID)
	}
	return rev, err
}

// Delete implements [identity.Store]. Session, twin and queue go with the identity,
// also when the caller goes away meanwhile.
func (d *DeviceStore) Delete(ctx context.Context, r identity.Record) error {
	if err := ctx.Err(); err != nil {
		return hub.Errorf(hub.ServiceUnavailable, "delete %s: %w", r.ID, err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 4*requestTimeout)
	defer cancel()
	err := d.bucket.remove(ctx, subject.Key(r.ID), r.Revision)
	if errors.Is(err, errStale) {
		return d.stale(ctx, r.ID)
	}
	if err != nil {
		return err
	}
	if !r.ID.IsModule() {
		defer d.oldQueue(ctx, r.ID.Device)(ctx)
	}
	if err := d.sessions.Remove(ctx, r.ID, r.GenerationID); err != nil {
		// It is of another generation than whoever comes next, and not resumed.
		d.log.Warn().Err(err).Str("device_id", r.ID.Device).Str("module_id", r.ID.Module).Msg("the session of a deleted identity is left behind")
	}
	own := func(m direct.Message) bool { return of(m.Header, r) }
	if err := d.twins.removeIf(ctx, subject.Key(r.ID), own); err != nil { // of another generation too
		d.log.Warn().Err(err).Str("device_id", r.ID.Device).Str("module_id", r.ID.Module).Msg("the twin of a deleted identity is left behind")
	}
	return nil
}

// stale tells a record that has changed from one that is gone.
func (d *DeviceStore) stale(ctx context.Context, id hub.Identity) error {
	if _, err := d.Get(ctx, id); err != nil {
		return err
	}
	return hub.Errorf(hub.PreconditionFailed, "%s has been changed meanwhile", id)
}

// Watch implements [identity.Watcher]. After an interruption it goes on where it
// was.
func (d *DeviceStore) Watch(ctx context.Context, changed func(identity.Change)) error {
	last, err := d.bucket.lastRevision(ctx)
	if err != nil {
		return err
	}
	next := last + 1
	for n := 1; ctx.Err() == nil; n++ {
		if last, err = d.bucket.lastRevision(ctx); err == nil {
			if last+1 < next { // another bucket: put back from a backup, perhaps
				next = 1
			}
			next, err = d.bucket.follow(ctx, next, func(e jetstream.KeyValueEntry) {
				if c, ok := change(e); ok {
					changed(c)
				}
			})
		}
		if err == nil {
			n = 0
			continue
		}
		if ctx.Err() != nil {
			return nil // the watch has ended because it should
		}
		d.log.Warn().Err(err).Msg("watching the identities is interrupted")
		wait(ctx, backoff(n))
	}
	return nil
}

// deletedSince tells of the devices that were deleted from a revision on, up to
// now, and returns the first revision that it has not seen.
func (d *DeviceStore) deletedSince(ctx context.Context, from uint64, deleted func(device string)) (next uint64, err error) {
	upToNow, cancel := context.WithCancel(ctx)
	defer cancel()
	return d.bucket.follow(upToNow, from, func(e jetstream.KeyValueEntry) {
		if e == nil {
			cancel()
			return
		}
		if c, ok := change(e); ok && c.Record == nil && !c.ID.IsModule() {
			deleted(c.ID.Device)
		}
	})
}

// change reads a watched entry. Keys and values that the hub has not written
// are passed over.
func change(e jetstream.KeyValueEntry) (identity.Change, bool) {
	if e == nil {
		return identity.Change{}, false
	}
	id, err := subject.ParseKey(e.Key())
	if err != nil {
		return identity.Change{}, false
	}
	if e.Operation() != jetstream.KeyValuePut {
		return identity.Change{ID: id}, true
	}
	r, err := recordOf(id, e.Value(), e.Revision())
	return identity.Change{ID: id, Record: &r}, err == nil
}

// recordOf reads the value of the key of id, of which this is the revision.
func recordOf(id hub.Identity, value []byte, revision uint64) (identity.Record, error) {
	r, err := parseRecord(id, value)
	r.Revision = revision
	return r, err
}

// parseRecord reads the value of the key of id.
func parseRecord(id hub.Identity, value []byte) (identity.Record, error) {
	var r identity.Record
	if err := r.UnmarshalJSON(value); err != nil { // not by json.Unmarshal, which would read it twice
		return identity.Record{}, hub.Errorf(hub.ServerError, "the record of %s is damaged: %w", id, err)
	}
	if r.ID != id {
		return identity.Record{}, hub.Errorf(hub.ServerError, "the record of %s is that of %s", id, r.ID)
	}
	return r, nil
}

// missing makes a missing key a missing identity.
func missing(id hub.Identity, err error) error {
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return identity.NotFound(id)
	}
	return err
}
