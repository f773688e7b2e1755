package backend

import (
	"context"
	"encoding/json"
	"math"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/internal/plainjson"
	"github.com/hubgate/hubgate/session"
)

const (
	// claimBuffer holds the claims of a storm of connections until they are seen.
	claimBuffer = 64 << 10
	// markInterval is how often a watch notes how far the bucket is: so much
	// has to be read again when announcements may have been missed.
	markInterval = 30 * time.Second
)

// Watch implements [session.Store]. Claims are announced without a store
// between; after an interruption of the connection those that were missed are
// looked up, so some are told twice.
func (s *SessionStore) Watch(ctx context.Context, claimed func(session.Claim)) error {
	back := s.nc.StatusChanged(nats.CONNECTED)
	defer s.nc.RemoveStatusListener(back)
	claims := make(chan *nats.Msg, claimBuffer)
	sub, err := s.nc.ChanSubscribe(s.names.ClaimedAll(), claims)
	if err == nil {
		err = s.nc.FlushTimeout(requestTimeout) // ctx may have no deadline, which a flush with it would need
	}
	if err != nil && ctx.Err() == nil {
		return hub.Errorf(hub.ServiceUnavailable, "subscribe to claims: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	return s.watch(ctx, &announcements{claims, back, sub, 0}, claimed)
}

// announcements is what a watch hears, and how it learns that it has not heard
// all.
type announcements struct {
	claims  <-chan *nats.Msg
	back    <-chan nats.Status // the connection to NATS was interrupted
	sub     *nats.Subscription
	dropped int // that did not fit into claims, and are looked up
}

// overflowed reports whether claims were dropped since it was asked last.
func (a *announcements) overflowed() bool {
	n, err := a.sub.Dropped()
	if err != nil || n == a.dropped {
		return false
	}
	a.dropped = n
	return true
}

func (s *SessionStore) watch(ctx context.Context, heard *announcements, claimed func(session.Claim)) error {
	var known mark
	if err := s.advance(ctx, &known); err != nil && ctx.Err() == nil {
		return err
	}
	tick := time.NewTicker(markInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case m := <-heard.claims:
			if c, ok := s.claim(m); ok {
				claimed(c)
			}
			if heard.overflowed() {
				s.missed(ctx, known.seen, claimed)
			}
		case <-tick.C:
			_ = s.advance(ctx, &known) // or more is read again than needed
		case <-heard.back:
			s.missed(ctx, known.seen, claimed)
		}
	}
}

// mark is how far the bucket was when all claims had surely been seen, and how
// far it was at the last look: what was claimed just then may be on its way.
type mark struct{ seen, last uint64 }

func (s *SessionStore) advance(ctx context.Context, m *mark) error {
	last, err := s.bucket.lastRevision(ctx)
	if err != nil {
		return err
	}
	if m.last == 0 {
		m.last = last
	}
	m.seen, m.last = m.last, last
	return nil
}

// missed tells of the claims since a revision that nobody has claimed over. It
// tries until it succeeds or ctx ends.
func (s *SessionStore) missed(ctx context.Context, since uint64, claimed func(session.Claim)) {
	for n := 1; ctx.Err() == nil; n++ {
		all := false
		upToNow, cancel := context.WithCancel(ctx)
		next, err := s.bucket.follow(upToNow, since+1, func(e jetstream.KeyValueEntry) {
			if e == nil {
				all = true
				cancel()
				return
			}
			id, err := subject.ParseKey(e.Key())
			if err != nil || e.Operation() != jetstream.KeyValuePut || all {
				return
			}
			v := decodeSession(id, e)
			if v.RepairedBy != "" {
				claimed(session.Claim{ID: id, Epoch: v.Epoch + 1, Node: v.Node})
				return
			}
			claimed(session.Claim{ID: id, Epoch: v.Epoch, Node: v.Node, Connection: v.Connection})
		})
		cancel()
		if all {
			return
		}
		since = next - 1
		if err != nil {
			s.log.Warn().Err(err).Msg("looking up missed claims is interrupted")
			wait(ctx, backoff(n))
		}
	}
}

func (s *SessionStore) claim(m *nats.Msg) (session.Claim, bool) {
	id, err := s.names.Parse("session.claimed", m.Subject)
	if err != nil || !isAnnounced(m) {
		return session.Claim{}, false
	}
	c, err := parseClaim(m.Data)
	c.ID = id
	return c, err == nil
}

// claimBody is the JSON of an announcement.
func claimBody(c session.Claim) ([]byte, error) {
	const room = 128
	w := plainjson.Write(make([]byte, 0, room))
	w.Uint("epoch", c.Epoch)
	w.Text("node", c.Node)
	w.Text("connection", c.Connection)
	if text, ok := w.Done(); ok {
		return text, nil
	}
	return json.Marshal(c)
}

// parseClaim reads the JSON of an announcement.
func parseClaim(body []byte) (c session.Claim, err error) {
	r := plainjson.Read(body)
	c.Epoch = r.Uint("epoch", math.MaxUint64)
	c.Node = r.Text("node")
	c.Connection = r.Text("connection")
	if !r.Done() {
		c = session.Claim{}
		err = json.Unmarshal(body, &c)
	}
	return c, err
}
