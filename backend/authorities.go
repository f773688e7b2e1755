package backend

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

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
type AuthorityStore struct{ mirror mirror[trust.Authority] }

var _ trust.Store = (*AuthorityStore)(nil)

// openAuthorities loads the authorities.
func openAuthorities(ctx context.Context, b *bucket, log zerolog.Logger) (*AuthorityStore, error) {
	s := &AuthorityStore{mirror[trust.Authority]{
		bucket: b, log: log, one: "a certificate authority", many: "the certificate authorities",
		decode: authority, changed: make(chan struct{}, 1),
	}}
	all, err := s.load(ctx)
	if err != nil {
		return nil, err
	}
	s.mirror.publish(all)
	return s, nil
}

// load reads all from the bucket. One that is damaged vouches for nobody: it is
// left out.
func (s *AuthorityStore) load(ctx context.Context) (map[string]trust.Authority, error) {
	keys, err := s.keys(ctx)
	if err != nil {
		return nil, err
	}
	all := map[string]trust.Authority{}
	for _, key := range keys {
		e, err := s.mirror.bucket.get(ctx, key)
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		s.mirror.apply(all, e)
	}
	return all, nil
}

// keys lists the keys of the bucket, without a consumer. Some may be markers of
// what was removed.
func (s *AuthorityStore) keys(ctx context.Context) ([]string, error) {
	stream, err := s.mirror.bucket.js.Stream(ctx, "KV_"+s.mirror.bucket.name)
	if err != nil {
		return nil, s.mirror.bucket.fault("list", "keys", err)
	}
	prefix := "$KV." + s.mirror.bucket.name + "."
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(prefix+">"))
	if err != nil {
		return nil, s.mirror.bucket.fault("list", "keys", err)
	}
	var keys []string
	for name := range info.State.Subjects {
		keys = append(keys, strings.TrimPrefix(name, prefix))
	}
	return keys, nil
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
func (s *AuthorityStore) follow(ctx context.Context) { s.mirror.follow(ctx) }

// Changed has something to receive when the authorities have changed since it
// was last received from, and at first.
func (s *AuthorityStore) Changed() <-chan struct{} { return s.mirror.changed }

// All returns the authorities as they are now, by name; a change shows within
// a moment.
func (s *AuthorityStore) All() []trust.Authority { return byName(*s.mirror.current.Load()) }

// Get implements [trust.Store].
func (s *AuthorityStore) Get(ctx context.Context, name string) (trust.Authority, error) {
	e, err := s.mirror.bucket.get(ctx, subject.EncodeToken(name))
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
	return byName(all), err
}

// Write implements [trust.Store].
func (s *AuthorityStore) Write(ctx context.Context, a trust.Authority) (uint64, error) {
	value, err := json.Marshal(a)
	if err != nil {
		return 0, hub.Errorf(hub.ServerError, "write the certificate authority as JSON: %w", err)
	}
	rev, err := s.mirror.bucket.put(ctx, subject.EncodeToken(a.Name), value, a.Revision)
	return rev, raced(err)
}

// Delete implements [trust.Store].
func (s *AuthorityStore) Delete(ctx context.Context, a trust.Authority) error {
	return raced(s.mirror.bucket.remove(ctx, subject.EncodeToken(a.Name), a.Revision))
}

// raced tells that somebody else has written meanwhile.
func raced(err error) error {
	if errors.Is(err, errStale) || errors.Is(err, jetstream.ErrKeyExists) {
		return hub.Errorf(hub.PreconditionFailed, "somebody else has changed the certificate authority meanwhile; try again")
	}
	return err
}
