package backend

import (
	"context"

	"github.com/nats-io/nats.go/micro"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/configuration"
	"github.com/hubgate/hubgate/hub"
)

// ConfigurationService answers back-end apps who manage configurations over
// NATS.
type ConfigurationService struct {
	responder

	service  *configuration.Service
	maxReply int // bytes of an answer
	micro    micro.Service
}

// ServeConfigurations registers the NATS service hub-configuration, until Stop or
// until the backbone is closed. Several nodes share the requests.
func (b *Backbone) ServeConfigurations(c *configuration.Service) (*ConfigurationService, error) {
	s := &ConfigurationService{responder: b.responder("configuration"), service: c, maxReply: int(b.nc.MaxPayload()) - envelope}
	var err error
	s.micro, err = b.service(micro.Config{Name: b.names.ConfigurationName(), Description: "configurations of automatic device management"}, s.endpoints(), s.handler)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Stop takes no more requests.
func (s *ConfigurationService) Stop() error { return s.micro.Stop() }

const (
	configurationFields = `"properties":{"id":{"type":"string"},"schemaVersion":{"type":["string","null"]},"contentType":{"type":"string"},"labels":{"type":["object","null"],"additionalProperties":{"type":"string"}},` +
		`"content":{"type":"object","description":"one of deviceContent, moduleContent and modulesContent"},"targetCondition":{"type":"string"},"createdTimeUtc":{"type":"string"},"lastUpdatedTimeUtc":{"type":"string"},` +
		`"priority":{"type":"integer"},"systemMetrics":{"type":"object"},"metrics":{"type":"object","properties":{"results":{"type":["object","null"]},"queries":{"type":["object","null"],"additionalProperties":{"type":"string"}}}},"etag":{"type":"string"}}}`
	configurationSchema    = `{"type":"object","description":"a configuration as IoT Hub prints it","required":["id","content","targetCondition","priority","systemMetrics","metrics","etag"],` + configurationFields
	newConfigurationSchema = `{"type":"object","description":"a configuration as IoT Hub prints it; header If-Match: an etag or *, for one that is there",` + configurationFields
	configurationsSchema   = `{"type":"object","required":["items"],"properties":{"items":{"type":"array","items":` + configurationSchema + `},"next":{"type":"string","description":"for the after of the next request; missing at the end"}}}`
)

func (s *ConfigurationService) endpoints() []endpoint {
	all := s.names.ConfigurationAll
	return []endpoint{
		{"list", s.names.ConfigurationVerb(subject.List), "", listSchema, configurationsSchema, s.list},
		{"get", all(subject.Get), "", emptySchema, configurationSchema, s.get},
		{"put", all(subject.Put), "", newConfigurationSchema, configurationSchema, s.put},
		{"delete", all(subject.Delete), "", emptySchema, emptySchema, s.delete},
	}
}

// list answers hub.configuration.list. Configurations may be large, so that one
// answer need not hold them all.
func (s *ConfigurationService) list(ctx context.Context, r request) (any, error) {
	var q struct {
		After string `json:"after"`
		Top   int    `json:"top"`
	}
	if err := r.decode(&q); err != nil {
		return nil, err
	}
	all, err := s.service.List(ctx, 0)
	if err != nil {
		return nil, err
	}
	return s.page(all, q.After, q.Top)
}

// page makes the answer. It ends early when it would not fit in one message.
func (s *ConfigurationService) page(all []configuration.Configuration, after string, top int) (page, error) {
	p := newPager(top, s.maxReply)
	for _, c := range all {
		if c.ID <= after {
			continue
		}
		item, err := c.AppendJSON(nil)
		if err != nil {
			return page{}, err
		}
		if !p.add(c.ID, item) {
			return p.page, nil
		}
	}
	return p.last(), nil
}

// get answers hub.configuration.get.{id}.
func (s *ConfigurationService) get(ctx context.Context, r request) (any, error) {
	id, err := s.idOf(subject.Get, r)
	if err != nil {
		return nil, err
	}
	return printed(s.service.Get(ctx, id))
}

// put answers hub.configuration.put.{id}. Without If-Match it creates; with "*"
// or an etag it updates.
func (s *ConfigurationService) put(ctx context.Context, r request) (any, error) {
	id, err := s.names.ParseConfiguration(subject.Put, r.subject)
	if err != nil {
		return nil, err
	}
	if len(r.body) == 0 {
		return nil, hub.Errorf(hub.ArgumentNull, "the request has no body: send a configuration")
	}
	c, err := configuration.Parse(id, r.body)
	if err != nil {
		return nil, err
	}
	return printed(s.service.Put(ctx, c, r.ifMatch))
}

// delete answers hub.configuration.delete.{id}.
func (s *ConfigurationService) delete(ctx context.Context, r request) (any, error) {
	id, err := s.idOf(subject.Delete, r)
	if err != nil {
		return nil, err
	}
	return struct{}{}, s.service.Delete(ctx, id, r.ifMatch)
}

// idOf is the id in the subject of a request without a body.
func (s *ConfigurationService) idOf(v subject.Verb, r request) (string, error) {
	if err := r.decode(&struct{}{}); err != nil {
		return "", err
	}
	return s.names.ParseConfiguration(v, r.subject)
}

// printed is a configuration as an answer.
func printed(c configuration.Configuration, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	text, err := c.AppendJSON(nil)
	return raw(text), err
}
