package backend

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/micro"

	"github.com/hubgate/hubgate/backend/subject"
)

const reloadSchema = `{"type":"object","required":["node","applied","restartNeeded","warnings","errors"],"properties":{"node":{"type":"string"},"applied":{"type":"array","items":{"type":"string"}},"restartNeeded":{"type":"array","items":{"type":"string"},"description":"configuration keys"},"warnings":{"type":"array","items":{"type":"string"}},"errors":{"type":"array","items":{"type":"string"}},"last":{"type":"object","description":"what was applied before, if nothing was now","required":["time","because","applied"],"properties":{"time":{"type":"string"},"because":{"type":"string"},"applied":{"type":"array","items":{"type":"string"}}}}}}`

// NodeService answers what is asked of a node itself, and not of the hub.
type NodeService struct {
	responder

	micro micro.Service
}

// ServeNode registers the NATS service hub-node, until Stop or until the
// backbone is closed. Every node answers a request for all of them. reload
// reads the configuration again; its answer is the reply.
func (b *Backbone) ServeNode(node string, reload func(context.Context) any) (*NodeService, error) {
	s := &NodeService{responder: b.responder("node")}
	var err error
	s.micro, err = micro.AddService(b.nc, micro.Config{
		Name: b.names.NodeName(), Version: b.cfg.Version, Description: "a node of the hub",
		Metadata: map[string]string{subject.HostNameKey: b.cfg.HostName, subject.NodeKey: node},
	})
	if err != nil {
		return nil, fmt.Errorf("register the NATS service %s: %w", b.names.NodeName(), err)
	}
	handle := func(ctx context.Context, r request) (any, error) {
		if err := r.decode(&struct{}{}); err != nil {
			return nil, err
		}
		return reload(ctx), nil
	}
	own := b.names.NodeReloadOf(node)
	for _, e := range []endpoint{
		{"reload", b.names.NodeReload(), "", emptySchema, reloadSchema, handle},
		{"reload-one", b.names.NodeReloadEach(), "", emptySchema, reloadSchema, handle},
	} {
		answer := s.handler(e)
		err := s.micro.AddEndpoint(e.name, micro.HandlerFunc(func(m micro.Request) {
			if m.Subject() == e.subject || m.Subject() == own { // what is for another node is not answered
				answer(m)
			}
		}), micro.WithEndpointSubject(e.subject), micro.WithEndpointMetadata(e.metadata()),
			micro.WithEndpointQueueGroupDisabled())
		if err != nil {
			return nil, errors.Join(fmt.Errorf("register the NATS endpoint %s: %w", e.subject, err), s.Stop())
		}
	}
	if err := b.nc.FlushTimeout(requestTimeout); err != nil { // requests that come from now on are answered
		return nil, errors.Join(fmt.Errorf("register the NATS service %s: %w", b.names.NodeName(), err), s.Stop())
	}
	return s, nil
}

// Stop takes no more requests.
func (s *NodeService) Stop() error { return s.micro.Stop() }
