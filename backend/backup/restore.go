package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/hubgate/hubgate/backend"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/session"
)

// Plan says how to restore a hub.
type Plan struct {
	Dir        string
	Identities []age.Identity // that decrypt it
	// Replicas of all streams; 0: as they were.
	Replicas int
	// Placement of all streams; zero: as it was.
	Placement backend.Placement
	// DiscardUnfinished removes first what a restore has made that was not
	// finished, and is no longer at work.
	DiscardUnfinished bool
	// Host says on which machine this is, for who finds it unfinished.
	Host string
	// Done is called for each stream when it is there; may be nil.
	Done func(Asset)
	// Sync has the disk store what was made until now; nil: that is the servers' own
	// affair. Without it a loss of power could leave a part of the hub that looks whole.
	Sync func() error
}

// Result is what a restore has done.
type Result struct {
	Manifest *Manifest
	// Released is how many connections there were when the backup was made. Their
	// ends have been told in the stream of events.
	Released int
}

// restoring is one restore.
type restoring struct {
	Account

	plan       Plan
	manifest   *Manifest
	js         jetstream.JetStream
	now        time.Time
	unfinished []string // streams of a restore that is discarded, its mark among them
	made       []string // streams
	owed       []session.Event
	released   int
}

// Restore makes the hub of a backup in an account that has none. Nothing is
// changed before the whole backup has been read and found good, and on an error
// nothing is left. No node may run meanwhile; none starts.
func (a Account) Restore(ctx context.Context, p Plan) (*Result, error) {
	m, err := Verify(ctx, p.Dir, p.Identities)
	if err != nil {
		return nil, err
	}
	if m.Prefix != a.prefix() {
		return nil, hub.Errorf(hub.ArgumentInvalid, "the backup is of a hub with the prefix %q, and this one has %q: set nats.prefix, for the names in it can't be changed", m.Prefix, a.prefix())
	}
	js, err := a.jetStream()
	if err != nil {
		return nil, err
	}
	r := &restoring{Account: a, plan: p, manifest: m, js: js, now: time.Now().UTC()}
	if err := r.checkEmpty(ctx); err != nil {
		return nil, err
	}
	if err := r.mark(ctx); err != nil {
		return nil, err
	}
	if err := r.discard(ctx, r.unfinished); err != nil {
		return nil, err
	}
	err = r.sync()
	if err == nil {
		err = r.all(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, r.undo(ctx))
	}
	return &Result{Manifest: m, Released: r.released}, nil
}

// checkEmpty fails when there is a hub.
func (r *restoring) checkEmpty(ctx context.Context) error {
	found, err := r.streams(ctx)
	if err != nil || len(found) == 0 {
		return err
	}
	s, err := r.js.Stream(ctx, r.names().RestoreStream())
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return hub.Errorf(hub.PreconditionFailed, "there is a hub already (%s): a backup is restored into an empty account or data directory, or after these streams have been removed", few(found))
	}
	if err != nil {
		return r.fault("STREAM.INFO", r.names().RestoreStream(), err)
	}
	if !r.plan.DiscardUnfinished {
		about := s.CachedInfo().Config.Metadata
		return hub.Errorf(hub.PreconditionFailed, "a restore has begun at %s on %s and is not finished: wait for it, or, if it runs no longer, give --discard-unfinished, which removes what it has made and begins anew", about[beganKey], about[hostKey])
	}
	r.unfinished = found
	return nil
}

// few names some of many.
func few(names []string) string {
	const most = 3
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

// The metadata of the stream that says that a restore is at work.
const (
	idKey    = "hubgate.restore"
	beganKey = "hubgate.began"
	hostKey  = "hubgate.host"
)

// mark keeps nodes and other restores away. The mark of a restore that is discarded is
// taken over, not made anew: no node finds the account without one, and JetStream makes
// no stream where its last one goes, whose directory it still removes.
func (r *restoring) mark(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	name := r.names().RestoreStream()
	put, operation := r.js.CreateStream, "STREAM.CREATE"
	if len(r.unfinished) > 0 {
		put, operation = r.js.UpdateStream, "STREAM.UPDATE"
	}
	_, err := put(ctx, jetstream.StreamConfig{
		Name: name, Subjects: []string{r.names().Restore()}, Storage: jetstream.FileStorage, Replicas: max(r.plan.Replicas, 1),
		MaxMsgs: 1, MaxBytes: 1 << 20,
		Metadata: map[string]string{idKey: nuid.Next(), beganKey: r.now.Format(time.RFC3339), hostKey: r.plan.Host},
	})
	if err != nil {
		return r.fault(operation, name, err)
	}
	r.made = append(r.made, name)
	return nil
}

// all makes the streams, tells who has gone, and lets nodes in.
func (r *restoring) all(ctx context.Context) error {
	for _, asset := range r.manifest.Assets {
		config, err := configFor(asset, r.plan.Replicas, r.plan.Placement)
		if err != nil {
			return err
		}
		r.made = append(r.made, asset.Stream)
		if err := r.one(ctx, asset, config); err != nil {
			return err
		}
		if r.plan.Done != nil {
			r.plan.Done(asset)
		}
	}
	if err := r.tell(ctx); err != nil {
		return err
	}
	if err := r.sync(); err != nil {
		return err
	}
	if err := r.remove(ctx, r.names().RestoreStream()); err != nil {
		return err
	}
	return r.sync() // or the mark may be there again after a loss of power
}

func (r *restoring) sync() error {
	if r.plan.Sync == nil {
		return nil
	}
	return r.plan.Sync()
}

func (r *restoring) one(ctx context.Context, asset Asset, config json.RawMessage) error {
	f, err := open(r.plan.Dir, asset, r.plan.Identities)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if !asset.Bucket {
		return r.unpack(ctx, asset, config, f)
	}
	if err := r.ask(ctx, "STREAM.CREATE", asset.Stream, config, nil); err != nil || asset.fillsItself() {
		return err
	}
	return r.load(ctx, asset, f)
}

// tell stores the ends of the connections that there were.
func (r *restoring) tell(ctx context.Context) error {
	p, err := newPublisher(r.Account)
	if err != nil {
		return err
	}
	for _, e := range r.owed {
		m, err := backend.ConnectionMessage(r.names(), r.manifest.HostName, e)
		if err != nil {
			return err
		}
		if err := p.publish(m); err != nil {
			return err
		}
	}
	return p.wait(ctx)
}

// undo removes what was made, the mark last.
func (r *restoring) undo(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	if err := r.discard(ctx, r.made); err != nil {
		return err
	}
	return r.remove(ctx, r.names().RestoreStream())
}

// discard removes streams, but the mark.
func (r *restoring) discard(ctx context.Context, streams []string) error {
	var errs []error
	for _, name := range streams {
		if name != r.names().RestoreStream() {
			errs = append(errs, r.remove(ctx, name))
		}
	}
	return errors.Join(errs...)
}

func (r *restoring) remove(ctx context.Context, stream string) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	err := r.js.DeleteStream(ctx, stream)
	if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return r.fault("STREAM.DELETE", stream, err)
	}
	return nil
}
