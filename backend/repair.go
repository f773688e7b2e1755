package backend

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/session"
)

// repair tells the ends that a dead node could not: its sessions are released,
// their events stored, and wills sent. Each write is a compare-and-set, so that
// whoever else repairs, or claims, or comes back to life, does no harm to it and
// takes none.
type repair struct {
	sessions *SessionStore
	node     string // who repairs
}

const (
	repairWorkers = 64
	// repairRate is how many sessions are looked at more closely in a second: a hub
	// has devices to serve besides, and those of the dead node come back just then.
	repairRate = 5000
	// lateEvents is how long before its last beat a node may have ended a connection
	// whose event it could not store any more.
	lateEvents = time.Minute
)

func newRepair(s *SessionStore, node string) *repair { return &repair{sessions: s, node: node} }

// deadNode is a node of which some instances are dead.
type deadNode struct {
	node      string
	instances []string
	lastSeen  time.Time // when the last of them wrote its record, by the server's clock; zero: nobody knows
}

func (d deadNode) owned(s session.Session) bool {
	return s.Node == d.node && slices.Contains(d.instances, s.Instance)
}

// concerns reports whether a session, written at a time, has to be looked at: one
// that the dead node owned, or whose end it may not have told any more, or that
// owes a will.
func (d deadNode) concerns(v session.Session, written time.Time) bool {
	if len(v.Owed) > 0 {
		return true
	}
	return d.owned(v) && (v.Connected || written.After(d.lastSeen.Add(-lateEvents)))
}

// pace keeps what is begun to a rate.
type pace struct {
	began time.Time
	count int
}

// step waits until one more may begin, and reports false when ctx has ended.
func (p *pace) step(ctx context.Context) bool {
	p.count++
	early := time.Duration(p.count)*time.Second/repairRate - time.Since(p.began)
	if early < minPause {
		return ctx.Err() == nil
	}
	return wait(ctx, early)
}

// minPause is worth a timer.
const minPause = 5 * time.Millisecond

// tally counts what a run has done, and what it could not.
type tally struct {
	sessions, events, wills atomic.Int64

	untold atomic.Int64 // sessions whose events could not be stored
	mu     sync.Mutex
	err    error // of the last of them
}

// maxUntold is after how many failures a run leaves the events to the next one:
// presence must not wait for a stream that is away.
const maxUntold = 100

func (t *tally) fail(err error) {
	t.untold.Add(1)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.err = err
}

// run repairs a node. It may be called again after an error, and by several
// nodes at once.
func (r *repair) run(ctx context.Context, dead deadNode) (Repaired, error) {
	began := time.Now()
	paced := pace{began: began}
	var did tally
	g, working := errgroup.WithContext(ctx)
	g.SetLimit(repairWorkers)
	err := r.sessions.bucket.scan(working, func(e jetstream.KeyValueEntry) {
		id, err := subject.ParseKey(e.Key())
		if err != nil || e.Operation() != jetstream.KeyValuePut {
			return
		}
		v := decodeSession(id, e)
		if !dead.concerns(v, e.Created()) || !paced.step(working) {
			return
		}
		g.Go(func() error { return r.session(working, dead, v, &did) })
	})
	if err := errors.Join(g.Wait(), err, ctx.Err()); err != nil {
		return Repaired{}, err
	}
	if err := errors.Join(r.wills(ctx, dead), did.err); err != nil {
		return Repaired{}, err
	}
	return Repaired{
		Sessions: int(did.sessions.Load()), Events: int(did.events.Load()), Wills: int(did.wills.Load()), Took: time.Since(began),
	}, nil
}

// session repairs one session, which was read as v.
func (r *repair) session(ctx context.Context, dead deadNode, v session.Session, did *tally) error {
	for {
		if !v.Connected || !dead.owned(v) {
			return r.complete(ctx, dead, v, did)
		}
		ended, err := r.end(ctx, v)
		if err == nil {
			did.sessions.Add(1)
			return r.complete(ctx, dead, ended, did)
		}
		if !isConflict(err) {
			return err
		}
		if v, err = r.sessions.read(ctx, v.ID); err != nil {
			return err
		}
	}
}

// end releases a session in its owner's place, unless it has changed.
func (r *repair) end(ctx context.Context, v session.Session) (session.Session, error) {
	ended := v
	ended.DisconnectedTime, ended.RepairedBy = time.Now(), r.node
	ended.Reason, ended.Code = "the gateway node "+v.Node+" was lost, and the connection with it", hub.ServiceUnavailable
	ended.End()
	revision, err := r.sessions.write(ctx, subject.Key(v.ID), stored{Session: ended, Epoch: v.Epoch}, v.Revision)
	if err != nil {
		return v, err
	}
	ended.Revision = revision
	r.sessions.announce(v.ID, session.Claim{Epoch: v.Epoch + 1, Node: v.Node})
	return ended, nil
}

// complete stores the events of a session that has ended and has its wills sent.
func (r *repair) complete(ctx context.Context, dead deadNode, v session.Session, did *tally) error {
	did.wills.Add(int64(len(v.Owed)))
	r.sessions.sendWills(v) // a debt of this process, and found again if it dies
	if !dead.owned(v) || v.Connected || did.untold.Load() > maxUntold {
		return nil
	}
	all := slices.Clone(v.Ends)
	if v.Connection != "" {
		all = append(all, v.Last())
	}
	n, err := r.sessions.ends.complete(ctx, v.ID, all)
	did.events.Add(int64(n))
	if err != nil {
		did.fail(err)
	}
	return nil
}

// wills removes the wills of a dead node that nobody owes: those of claims that
// were never stored, and those that were discarded.
func (r *repair) wills(ctx context.Context, dead deadNode) error {
	keys, err := r.sessions.wills.bucket.keys(ctx, subject.WillKeys(dead.node))
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(repairWorkers)
	paced := pace{began: time.Now()}
	for _, key := range keys {
		will, instance, id, err := subject.ParseWillKey(key)
		if err != nil || !slices.Contains(dead.instances, instance) || !paced.step(ctx) {
			continue
		}
		g.Go(func() error {
			now, err := r.sessions.read(ctx, id)
			switch {
			case err != nil:
				return err
			case now.WillID == will && now.Connected:
				return nil // claimed meanwhile, which the next repair sees
			case slices.Contains(now.Owed, will):
				r.sessions.sendWills(now)
				return nil
			default:
				return r.sessions.wills.forget(ctx, id, will)
			}
		})
	}
	return g.Wait()
}
