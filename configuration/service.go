package configuration

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// DefaultLimit is how many configurations a hub can have, as in IoT Hub.
const DefaultLimit = 100

// Service is the rules by which configurations come, change and go. Set its
// fields before use. Methods may be called from any goroutine; their errors are
// *hub.Error. An ifMatch is * or an etag that must still be current, with or
// without quotes.
type Service struct {
	Store    Store
	Language Language
	Counter  Counter // of metrics
	Twins    Twins
	Devices  Registry
	Limit    int              // 0: [DefaultLimit]
	Now      func() time.Time // nil: time.Now

	counts counts
	mu     sync.Mutex // of creations: they count what there is
}

// Registry knows devices.
type Registry interface {
	// IsEdge reports whether a device is an edge device. It fails with
	// DeviceNotFound.
	IsEdge(ctx context.Context, device string) (bool, error)
}

// Get returns a configuration with the results of its metrics.
func (s *Service) Get(ctx context.Context, id string) (Configuration, error) {
	c, err := s.get(ctx, id)
	if err != nil {
		return Configuration{}, err
	}
	return s.counted(ctx, c)
}

func (s *Service) get(ctx context.Context, id string) (Configuration, error) {
	if err := checkID(id); err != nil {
		return Configuration{}, err
	}
	c, err := s.Store.Get(ctx, id)
	c.System.Queries = s.systemQueries(c)
	return c, err
}

// listTime bounds the counting for a list: what is not counted by then has the
// results of before, or none.
const listTime = 3 * time.Second

// List returns configurations by id, top of them at most; 0: all.
func (s *Service) List(ctx context.Context, top int) ([]Configuration, error) {
	all, err := s.Store.List(ctx)
	if err != nil {
		return nil, err
	}
	if top > 0 && len(all) > top {
		all = all[:top]
	}
	counting, cancel := context.WithTimeout(ctx, listTime)
	defer cancel()
	for i, c := range all {
		c.System.Queries = s.systemQueries(c)
		counted, err := s.counted(counting, c)
		if err != nil {
			counted = s.counts.old(c)
		}
		all[i] = counted
	}
	return all, ctx.Err()
}

// Put makes a configuration; or changes labels, target condition, priority and
// metrics of one, when ifMatch is not empty. The content never changes: a change
// of it is passed over, as IoT Hub does.
func (s *Service) Put(ctx context.Context, c Configuration, ifMatch string) (Configuration, error) {
	if err := s.check(c); err != nil {
		return Configuration{}, err
	}
	if strings.TrimSpace(c.TargetCondition) == "" { // in the query language that is everything
		c.TargetCondition = ""
	}
	if unquote(ifMatch) == "" {
		return s.create(ctx, c)
	}
	return s.try(ctx, c.ID, ifMatch, func(old Configuration) (Configuration, error) {
		c.Content, c.Created, c.Version, c.Revision = old.Content, old.Created, old.Version+1, old.Revision
		if err := s.checkCondition(c); err != nil {
			return Configuration{}, err
		}
		return s.write(ctx, c)
	})
}

func (s *Service) create(ctx context.Context, c Configuration) (Configuration, error) {
	var err error
	if c.Content, err = ParseContent([]byte(c.Content.text)); err != nil {
		return Configuration{}, err
	}
	if err := s.checkCondition(c); err != nil {
		return Configuration{}, err
	}
	for _, body := range c.Content.patches() {
		if err := s.Twins.Check(body); err != nil {
			return Configuration{}, hub.Errorf(hub.InvalidContent, "no twin would take the content: %w", err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all, err := s.Store.List(ctx)
	if err != nil {
		return Configuration{}, err
	}
	for _, other := range all {
		if other.ID == c.ID {
			return Configuration{}, exists(c.ID)
		}
	}
	if limit := s.limit(); len(all) >= limit {
		return Configuration{}, hub.Errorf(hub.TooManyConfigurations, "there are %d configurations, and %d are the most; delete one, or raise configurations.max", len(all), limit)
	}
	c.Created, c.Version, c.Revision = s.now(), 1, 0
	c, err = s.write(ctx, c)
	if errors.Is(err, &hub.Error{Code: hub.PreconditionFailed}) {
		return Configuration{}, exists(c.ID)
	}
	return c, err
}

func exists(id string) error {
	return hub.Errorf(hub.ConfigurationAlreadyExists, "there is a configuration %q already: give its etag, or *, to update it", id)
}

// write stores a configuration as it is to be.
func (s *Service) write(ctx context.Context, c Configuration) (Configuration, error) {
	c.Updated = s.now()
	c.System, c.Custom.Results = Metrics{Queries: s.systemQueries(c)}, nil
	revision, err := s.Store.Write(ctx, c)
	c.Revision = revision
	return c, err
}

// Delete removes a configuration. An empty ifMatch is *. What it has written
// goes with it; see the package.
func (s *Service) Delete(ctx context.Context, id, ifMatch string) error {
	_, err := s.try(ctx, id, ifMatch, func(c Configuration) (Configuration, error) { return c, s.Store.Delete(ctx, c) })
	return err
}

// tries bounds how often a change is tried when others make some meanwhile.
const tries = 10

func (s *Service) try(ctx context.Context, id, ifMatch string, act func(Configuration) (Configuration, error)) (Configuration, error) {
	for try := 1; ; try++ {
		c, err := s.get(ctx, id)
		if err != nil {
			return Configuration{}, err
		}
		if etag := unquote(ifMatch); etag != "*" && etag != "" && etag != c.ETag() {
			return Configuration{}, hub.Errorf(hub.PreconditionFailed, "the configuration %q was changed meanwhile: its etag is %s, and not the one that was given", id, c.ETag())
		}
		c, err = act(c)
		if !errors.Is(err, &hub.Error{Code: hub.PreconditionFailed}) || try == tries {
			return c, err
		}
	}
}

func (s *Service) limit() int {
	if s.Limit > 0 {
		return s.Limit
	}
	return DefaultLimit
}

func (s *Service) now() time.Time {
	if s.Now != nil {
		return s.Now().UTC()
	}
	return time.Now().UTC()
}
