package backend

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/trust"
)

// AuthorityStore keeps the certificate authorities in the bucket
// hub_authorities: one key each, its value the authority's JSON, its revision
// the key's. A copy in memory, which a watch keeps current, is what a node
// trusts. It is safe for concurrent use.
type AuthorityStore struct {
	bucket  *bucket
	log     zerolog.Logger
	current atomic.Pointer[authorities] // never changed, only replaced
	changed chan struct{}               // has room for one
}

// authorities are certificate authorities by their names.
type authorities map[string]trust.Authority

var _ trust.Store = (*AuthorityStore)(nil)

// openAuthorities loads the authorities.
func openAuthorities(ctx context.Context, b *bucket, log zerolog.Logger) (*AuthorityStore, error) {
	s := &AuthorityStore{bucket: b, log: log, changed: make(chan struct{}, 1)}
	all, err := s.load(ctx)
	if err != nil {
		return nil, err
	}
	s.publish(all)
	return s, nil
}

func (s *AuthorityStore) load(ctx context.Context) (authorities, error) {
	keys, err := s.keys(ctx)
	if err != nil {
		return nil, err
	}
	all := authorities{}
	for _, key := range keys {
		e, err := s.bucket.get(ctx, key)
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		s.apply(all, e)
	}
	return all, nil
}

// keys lists the keys of the bucket, without a consumer. Some may be markers of
// what was removed.
func (s *AuthorityStore) keys(ctx context.Context) ([]string, error) {
	stream, err := s.bucket.js.Stream(ctx, "KV_"+s.bucket.name)
	if err != nil {
		return nil, s.bucket.fault("list", "keys", err)
	}
	prefix := "$KV." + s.bucket.name + "."
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(prefix+">"))
	if err != nil {
		return nil, s.bucket.fault("list", "keys", err)
	}
	var keys []string
	for name := range info.State.Subjects {
		keys = append(keys, strings.TrimPrefix(name, prefix))
	}
	return keys, nil
}

// apply enters what was written into all. One that is damaged vouches for
// nobody: it is left out.
func (s *AuthorityStore) apply(all authorities, e jetstream.KeyValueEntry) {
	name, err := subject.DecodeToken(e.Key())
	if err != nil {
		return
	}
	delete(all, name)
	if e.Operation() != jetstream.KeyValuePut {
		return
	}
	a, err := authority(e)
	if err != nil {
		s.log.Warn().Err(err).Str("key", e.Key()).Msg("a certificate authority is left out")
		return
	}
	all[name] = a
}

// authority reads the value of an entry. The key says whose it is.
func authority(e jetstream.KeyValueEntry) (trust.Authority, error) {
	var a trust.Authority
	if err := json.Unmarshal(e.Value(), &a); err != nil {
		return a, hub.Errorf(hub.ServerError, "the record of a certificate authority is damaged: %w", err)
	}
	if subject.EncodeToken(a.Name) != e.Key() {
		return a, hub.Errorf(hub.ServerError, "the record of a certificate authority is that of another one")
	}
	a.Revision = e.Revision()
	return a, nil
}

// follow keeps the copy current until ctx ends.
func (s *AuthorityStore) follow(ctx context.Context) {
	for n := 1; ctx.Err() == nil; n++ {
		err := s.watch(ctx)
		if err == nil {
			n = 0
			continue
		}
		s.log.Warn().Err(err).Msg("watching the certificate authorities is interrupted")
		wait(ctx, backoff(n))
	}
}

// watch loads all authorities and follows their changes, until ctx ends or NATS
// has been away.
func (s *AuthorityStore) watch(ctx context.Context) error {
	fresh := authorities{} // until the watch has told all that is there
	_, err := s.bucket.follow(ctx, 0, func(e jetstream.KeyValueEntry) {
		switch {
		case e == nil:
			s.publish(fresh)
			fresh = nil
		case fresh == nil:
			next := maps.Clone(*s.current.Load())
			s.apply(next, e)
			s.publish(next)
		default:
			s.apply(fresh, e)
		}
	})
	return err
}

// publish makes all the current authorities, and says so.
func (s *AuthorityStore) publish(all authorities) {
	s.current.Store(&all)
	select {
	case s.changed <- struct{}{}:
	default: // it is known already that there is something to see
	}
}

// Changed has something to receive when the authorities have changed since it
// was last received from, and at first.
func (s *AuthorityStore) Changed() <-chan struct{} { return s.changed }

// All returns the authorities as they are now, by name; a change shows within
// a moment.
func (s *AuthorityStore) All() []trust.Authority { return s.current.Load().sorted() }

func (all authorities) sorted() []trust.Authority {
	return slices.SortedFunc(maps.Values(all), func(a, b trust.Authority) int { return strings.Compare(a.Name, b.Name) })
}

// Get implements [trust.Store].
func (s *AuthorityStore) Get(ctx context.Context, name string) (trust.Authority, error) {
	e, err := s.bucket.get(ctx, subject.EncodeToken(name))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return trust.Authority{}, trust.NotFound(name)
	}
	if err != nil {
		return trust.Authority{}, err
	}
	return authority(e)
}

// List implements [trust.Store].
func (s *AuthorityStore) List(ctx context.Context) ([]trust.Authority, error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	all, err := s.load(ctx)
	return all.sorted(), err
}

// Write implements [trust.Store].
func (s *AuthorityStore) Write(ctx context.Context, a trust.Authority) (uint64, error) {
	value, err := json.Marshal(a)
	if err != nil {
		return 0, hub.Errorf(hub.ServerError, "write the certificate authority as JSON: %w", err)
	}
	rev, err := s.bucket.put(ctx, subject.EncodeToken(a.Name), value, a.Revision)
	return rev, raced(err)
}

// Delete implements [trust.Store].
func (s *AuthorityStore) Delete(ctx context.Context, a trust.Authority) error {
	return raced(s.bucket.remove(ctx, subject.EncodeToken(a.Name), a.Revision))
}

// raced tells that somebody else has written meanwhile.
func raced(err error) error {
	if errors.Is(err, errStale) || errors.Is(err, jetstream.ErrKeyExists) {
		return hub.Errorf(hub.PreconditionFailed, "somebody else has changed the certificate authority meanwhile; try again")
	}
	return err
}
