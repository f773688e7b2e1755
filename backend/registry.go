package backend

import (
	"context"
	"encoding/json"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
)

// get answers hub.registry.get.{device}[.{module}], without keys.
func (s *RegistryService) get(ctx context.Context, r request) (any, error) {
	var options struct {
		Keys bool `json:"keys"`
	}
	if err := r.decode(&options); err != nil {
		return nil, err
	}
	if options.Keys { // older back ends ask so, and would take null for the keys
		return nil, hub.Errorf(hub.ArgumentInvalid, "keys are told on %s alone, which takes a right of its own", s.names.Registry(subject.Keys, r.id))
	}
	record, err := s.registry.Get(ctx, r.id)
	if err != nil {
		return nil, err
	}
	return record.WithoutKeys(), nil
}

// keys answers hub.registry.keys.{device}[.{module}], as get with keys. It is
// another subject so that NATS can tell who may ask.
func (s *RegistryService) keys(ctx context.Context, r request) (any, error) {
	if err := r.decode(&struct{}{}); err != nil {
		return nil, err
	}
	record, err := s.registry.Get(ctx, r.id)
	if err != nil {
		return nil, err
	}
	return record, nil
}

// put answers hub.registry.put.{device}[.{module}]. Without If-Match, or with
// an empty one, it creates; with "*" or an etag it updates. The answer has the
// keys: they may just have been made.
func (s *RegistryService) put(ctx context.Context, r request) (any, error) {
	var record identity.Record
	if err := r.decode(&record); err != nil {
		return nil, err
	}
	if given := record.ID; given.Device != "" && given.Device != r.id.Device || given.Module != "" && given.Module != r.id.Module {
		return nil, hub.Errorf(hub.ArgumentInvalid, "the subject names %s and the body %s", r.id, given)
	}
	record.ID = r.id
	if r.ifMatch != "" && r.ifMatch != `""` {
		return s.registry.Update(ctx, record, r.ifMatch)
	}
	return s.registry.Create(ctx, record)
}

// delete answers hub.registry.delete.{device}[.{module}].
func (s *RegistryService) delete(ctx context.Context, r request) (any, error) {
	ifMatch := r.ifMatch
	if ifMatch == "" {
		ifMatch = "*"
	}
	if err := s.registry.Delete(ctx, r.id, ifMatch); err != nil {
		return nil, err
	}
	return struct{}{}, nil
}

// list answers hub.registry.list and, for modules, hub.registry.list.{device}.
// Keys are not listed.
func (s *RegistryService) list(ctx context.Context, r request) (any, error) {
	var q struct {
		After string `json:"after"`
		Top   int    `json:"top"`
	}
	if err := r.decode(&q); err != nil {
		return nil, err
	}
	if r.id.IsModule() {
		return nil, hub.Errorf(hub.ArgumentInvalid, "%s is a module: only devices have modules", r.id)
	}
	if q.Top < 1 || q.Top > identity.MaxList {
		q.Top = identity.MaxList
	}
	records, err := s.registry.List(ctx, identity.Query{Device: r.id.Device, After: q.After, Limit: q.Top})
	if err != nil {
		return nil, err
	}
	return s.page(records, q.Top)
}

// page makes the answer. It ends early when it would not fit in one message.
func (s *RegistryService) page(records []identity.Record, top int) (page, error) {
	p := newPager(top, s.maxReply)
	for _, record := range records {
		item, err := json.Marshal(record.WithoutKeys())
		if err != nil {
			return page{}, hub.Errorf(hub.ServerError, "write %s as JSON: %w", record.ID, err)
		}
		if !p.add(own(record.ID), item) {
			return p.page, nil
		}
	}
	if len(records) < top {
		return p.last(), nil
	}
	return p.page, nil
}
