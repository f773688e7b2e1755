package backend

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"sort"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/configuration"
	"github.com/hubgate/hubgate/hub"
)

// ConfigurationStore keeps the configurations in the bucket hub_configurations:
// one key each, its value the configuration's JSON, its revision the key's. It
// is safe for concurrent use.
type ConfigurationStore struct {
	bucket *bucket
	log    zerolog.Logger
}

var (
	_ configuration.Store   = (*ConfigurationStore)(nil)
	_ configuration.Watcher = (*ConfigurationStore)(nil)
)

const (
	// As many configurations as there may be, large ones.
	maxConfigurationBytes = 256 << 20
	// A configuration, with what its metrics and the hub add to it.
	maxConfiguration = configuration.MaxBody + 64<<10
)

func (c Config) configurationBucket() asset {
	a := c.bucket(c.names().ConfigurationBucket(), "configurations of automatic device management", maxConfigurationBytes)
	a.want.MaxMsgSize = maxConfiguration
	return a
}

// Configurations is the store of configurations.
func (b *Backbone) Configurations() *ConfigurationStore { return b.configurations }

// ConfigurationLease is the lease of the node that writes for configurations.
func (b *Backbone) ConfigurationLease() *Lease {
	return newLease(b.configurations.bucket, subject.LeaseKey, b.cfg.Node, b.cfg.Log)
}

// readConfiguration reads the value of an entry. The key says whose it is.
func readConfiguration(e jetstream.KeyValueEntry) (configuration.Configuration, error) {
	var c configuration.Configuration
	if err := json.Unmarshal(e.Value(), &c); err != nil {
		return c, hub.Errorf(hub.ServerError, "the record of a configuration is damaged: %w", err)
	}
	if subject.EncodeToken(c.ID) != e.Key() || c.Content.Kind == "" {
		return c, hub.Errorf(hub.ServerError, "the record of a configuration is that of another one, or has no content")
	}
	c.Revision = e.Revision()
	return c, nil
}

// Get implements [configuration.Store].
func (s *ConfigurationStore) Get(ctx context.Context, id string) (configuration.Configuration, error) {
	e, err := s.bucket.get(ctx, subject.EncodeToken(id))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return configuration.Configuration{}, configuration.NotFound(id)
	}
	if err != nil {
		return configuration.Configuration{}, err
	}
	return readConfiguration(e)
}

// List implements [configuration.Store]. One that is damaged is left out.
func (s *ConfigurationStore) List(ctx context.Context) ([]configuration.Configuration, error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	stream, err := s.bucket.js.Stream(ctx, "KV_"+s.bucket.name)
	if err != nil {
		return nil, s.bucket.fault("list", "keys", err)
	}
	prefix := "$KV." + s.bucket.name + "."
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(prefix+"*"))
	if err != nil {
		return nil, s.bucket.fault("list", "keys", err)
	}
	var all []configuration.Configuration
	for _, name := range slices.Sorted(maps.Keys(info.State.Subjects)) {
		e, err := s.bucket.get(ctx, strings.TrimPrefix(name, prefix))
		if errors.Is(err, jetstream.ErrKeyNotFound) { // it was deleted
			continue
		}
		if err != nil {
			return nil, err
		}
		if c, err := readConfiguration(e); err != nil {
			s.leftOut(e.Key(), err)
		} else {
			all = append(all, c)
		}
	}
	// Not slices.SortFunc: an instance for a struct of this size is 18 KB of code.
	sort.Slice(all, func(i, j int) bool { return all[i].ID < all[j].ID })
	return all, nil
}

func (s *ConfigurationStore) leftOut(key string, err error) {
	s.log.Warn().Err(err).Str("key", key).Msg("a configuration is left out")
}

// Write implements [configuration.Store].
func (s *ConfigurationStore) Write(ctx context.Context, c configuration.Configuration) (uint64, error) {
	value, err := c.AppendJSON(nil)
	if err != nil {
		return 0, err
	}
	if len(value) > maxConfiguration-1<<10 {
		return 0, hub.Errorf(hub.MessageTooLarge, "the configuration %q would have %d bytes, and %d are the most", c.ID, len(value), maxConfiguration-1<<10)
	}
	rev, err := s.bucket.put(ctx, subject.EncodeToken(c.ID), value, c.Revision)
	return rev, overtaken(c.ID, err)
}

// Delete implements [configuration.Store].
func (s *ConfigurationStore) Delete(ctx context.Context, c configuration.Configuration) error {
	return overtaken(c.ID, s.bucket.remove(ctx, subject.EncodeToken(c.ID), c.Revision))
}

// overtaken tells that somebody else has written meanwhile.
func overtaken(id string, err error) error {
	if errors.Is(err, errStale) || errors.Is(err, jetstream.ErrKeyExists) {
		return hub.Errorf(hub.PreconditionFailed, "somebody else has changed the configuration %q meanwhile; try again", id)
	}
	return err
}

// Watch implements [configuration.Watcher]. A configuration that is damaged is
// left out, and so it applies to nothing.
func (s *ConfigurationStore) Watch(ctx context.Context, changed func([]configuration.Configuration)) {
	for n := 1; ctx.Err() == nil; n++ {
		err := s.watch(ctx, changed)
		if err == nil {
			n = 0
			continue
		}
		if ctx.Err() == nil {
			s.log.Warn().Err(err).Msg("watching the configurations is interrupted")
		}
		wait(ctx, backoff(n))
	}
}

// watch loads all that is there and follows the changes, until ctx ends or NATS
// has been away.
func (s *ConfigurationStore) watch(ctx context.Context, changed func([]configuration.Configuration)) error {
	all, loaded := map[string]configuration.Configuration{}, false
	_, err := s.bucket.follow(ctx, 0, func(e jetstream.KeyValueEntry) {
		switch {
		case e == nil:
			loaded = true
		case e.Key() == subject.LeaseKey:
			return
		default:
			s.apply(all, e)
		}
		if loaded {
			changed(slices.Collect(maps.Values(all)))
		}
	})
	return err
}

func (s *ConfigurationStore) apply(all map[string]configuration.Configuration, e jetstream.KeyValueEntry) {
	delete(all, e.Key())
	if e.Operation() != jetstream.KeyValuePut {
		return
	}
	c, err := readConfiguration(e)
	if err != nil {
		s.leftOut(e.Key(), err)
		return
	}
	all[e.Key()] = c
}
