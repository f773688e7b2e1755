package client

import (
	"context"
	"encoding/json"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/configuration"
	"github.com/hubgate/hubgate/hub"
)

// Configurations manages the configurations of automatic device management of a
// hub, over NATS. Its errors are *hub.Error with the hub's own code;
// ServiceUnavailable when no hub answers. It is safe for concurrent use.
type Configurations struct{ c *Client }

// Configurations returns the configurations of the hub.
func (c *Client) Configurations() *Configurations { return &Configurations{c} }

// List returns all configurations by id, with the results of their metrics.
func (f *Configurations) List(ctx context.Context) (all []configuration.Configuration, err error) {
	var q struct {
		After string `json:"after,omitempty"`
	}
	for {
		var page struct {
			Items []configuration.Configuration `json:"items"`
			Next  string                        `json:"next"`
		}
		if err := f.c.request(ctx, call{subject: f.c.names.ConfigurationVerb(subject.List), body: q}, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Items...)
		if page.Next == "" || page.Next == q.After {
			return all, nil
		}
		q.After = page.Next
	}
}

// Get returns a configuration with the results of its metrics.
func (f *Configurations) Get(ctx context.Context, id string) (configuration.Configuration, error) {
	return f.ask(ctx, subject.Get, id, call{})
}

// Create makes a configuration from its JSON, as IoT Hub's service API has it.
func (f *Configurations) Create(ctx context.Context, id string, body []byte) (configuration.Configuration, error) {
	return f.ask(ctx, subject.Put, id, call{body: json.RawMessage(body)})
}

// Update changes labels, target condition, priority and metrics of a
// configuration to those of its JSON; ifMatch is its etag, or [Any]. The content
// can't be changed.
func (f *Configurations) Update(ctx context.Context, id string, body []byte, ifMatch string) (configuration.Configuration, error) {
	if ifMatch == "" {
		return configuration.Configuration{}, hub.Errorf(hub.PreconditionFailed, "give the etag of the configuration, or *")
	}
	return f.ask(ctx, subject.Put, id, call{body: json.RawMessage(body), ifMatch: ifMatch})
}

// Delete removes a configuration; ifMatch is its etag, or [Any]. The twins that
// it applied to take the next one, or lose what it wrote.
func (f *Configurations) Delete(ctx context.Context, id, ifMatch string) error {
	if id == "" {
		return noConfiguration()
	}
	return f.c.request(ctx, call{subject: f.c.names.Configuration(subject.Delete, id), ifMatch: ifMatch}, nil)
}

func (f *Configurations) ask(ctx context.Context, v subject.Verb, id string, r call) (configuration.Configuration, error) {
	if id == "" {
		return configuration.Configuration{}, noConfiguration()
	}
	r.subject = f.c.names.Configuration(v, id)
	var got configuration.Configuration
	err := f.c.request(ctx, r, &got)
	return got, err
}

func noConfiguration() error {
	return hub.Errorf(hub.ArgumentInvalid, "the configuration has no id")
}
