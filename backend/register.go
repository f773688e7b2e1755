package backend

import (
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/micro"

	"github.com/hubgate/hubgate/backend/subject"
)

// service registers a NATS service with its endpoints, and returns when
// requests are answered. The name and the description are cfg's; the version
// and the hub's host name are added. Several nodes share the requests.
func (b *Backbone) service(cfg micro.Config, endpoints []endpoint, handler func(endpoint) micro.HandlerFunc) (micro.Service, error) {
	cfg.Version = b.cfg.Version
	cfg.Metadata = map[string]string{subject.HostNameKey: b.cfg.HostName}
	s, err := micro.AddService(b.nc, cfg)
	if err != nil {
		return nil, fmt.Errorf("register the NATS service %s: %w", cfg.Name, err)
	}
	for _, e := range endpoints {
		err := s.AddEndpoint(e.name, handler(e), micro.WithEndpointSubject(e.subject), micro.WithEndpointMetadata(e.metadata()))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("register the NATS endpoint %s: %w", e.subject, err), s.Stop())
		}
	}
	if err := b.nc.FlushTimeout(requestTimeout); err != nil { // requests that come from now on are answered
		return nil, errors.Join(fmt.Errorf("register the NATS service %s: %w", cfg.Name, err), s.Stop())
	}
	return s, nil
}
