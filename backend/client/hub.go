package client

import (
	"context"
	"encoding/json"

	"github.com/nats-io/nats.go/micro"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
)

// HostName asks the hub what devices call it: the HostName of connection
// strings. Its errors are *hub.Error; ServiceUnavailable when no hub answers.
func (c *Client) HostName(ctx context.Context) (string, error) {
	ask, err := micro.ControlSubject(micro.InfoVerb, c.names.RegistryName(), "")
	if err != nil {
		return "", hub.Errorf(hub.ArgumentInvalid, "the name of the registry service: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	answer, err := c.nc.RequestWithContext(ctx, ask, nil)
	if err != nil {
		return "", unanswered(ask, err)
	}
	var info micro.Info
	if err := json.Unmarshal(answer.Data, &info); err != nil {
		return "", hub.Errorf(hub.ServerError, "the registry service says nothing of itself that can be read: %w", err)
	}
	name := info.Metadata[subject.HostNameKey]
	if name == "" {
		return "", hub.Errorf(hub.ServiceUnavailable, "the hub does not tell its host name; its nodes are of an older version")
	}
	return name, nil
}
