package client

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
)

// Edge is a hub at the edge, whose embedded server is a leaf of the NATS that the
// client is connected to, and what is to be kept of it here.
type Edge struct {
	// Prefix of the hub there.
	Prefix string
	// Domain of JetStream there. Empty: the prefix.
	Domain string
	// MaxAge and MaxBytes bound each copy here; 0: for as long as there is room.
	MaxAge   time.Duration
	MaxBytes int64
	// Replicas of each copy, 1 to 5. 0: 1.
	Replicas int
}

// EdgeStream is the copy of a stream of an edge.
type EdgeStream struct {
	Name string `json:"name"`
	// Copied is the number of the last message that is here, and Lag how many
	// more the edge was known to have when it was last heard of.
	Copied uint64 `json:"copied"`
	Lag    uint64 `json:"lag"`
	// Active is how long ago that was; less than 0: not since the server here has
	// started.
	Active time.Duration `json:"active"`
}

// edgeStreams lists what is copied of an edge: messages, and events.
func edgeStreams(names subject.Names) []string {
	return []string{names.TelemetryStream(), names.EventsStream()}
}

func (e Edge) validate() (Edge, error) {
	if err := (subject.Names{Prefix: e.Prefix}).Validate(); err != nil {
		return e, err
	}
	if e.Prefix == "" {
		return e, hub.Errorf(hub.ArgumentInvalid, "which edge? give its nats.prefix")
	}
	if e.Domain == "" {
		e.Domain = e.Prefix
	}
	if strings.ContainsAny(e.Domain, ".*> \t") {
		return e, hub.Errorf(hub.ArgumentInvalid, "%q is no JetStream domain", e.Domain)
	}
	e.Replicas = max(e.Replicas, 1)
	return e, nil
}

// AttachEdge has the NATS of the client keep copies of the telemetry and the events
// of an edge, under the same names as there: who reads with the edge's prefix reads
// them, also while the link is down. The copies follow by themselves from then on,
// and catch up after an interruption with all that the edge still has, each message
// once. When they are there already, their bounds are changed.
func (c *Client) AttachEdge(ctx context.Context, e Edge) ([]EdgeStream, error) {
	e, err := e.validate()
	if err != nil {
		return nil, err
	}
	there, err := jetstream.NewWithDomain(c.nc, e.Domain)
	if err != nil {
		return nil, hub.Errorf(hub.ArgumentInvalid, "%w", err)
	}
	for _, name := range edgeStreams(subject.Names{Prefix: e.Prefix}) {
		if err := c.lookAtEdge(ctx, there, e, name); err != nil {
			return nil, err
		}
		if err := c.copyOf(ctx, e, name); err != nil {
			return nil, err
		}
	}
	return c.EdgeStatus(ctx, e)
}

// lookAtEdge finds out whether the edge answers.
func (c *Client) lookAtEdge(ctx context.Context, there jetstream.JetStream, e Edge, name string) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	_, err := there.Stream(ctx, name)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return hub.Errorf(hub.NotFound, "the edge in the domain %s has no stream %s: is %s its nats.prefix?", e.Domain, name, e.Prefix)
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, nats.ErrNoResponders), errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return hub.Errorf(hub.ServiceUnavailable, "no edge answers in the domain %s: it has to run with nats.leaf.url, its link has to be up, and to lead to the account of the user that you have here (%w)", e.Domain, err)
	default:
		return hub.Errorf(hub.ServiceUnavailable, "look up stream %s in the domain %s: %w", name, e.Domain, err)
	}
}

// copyOf makes a copy, or changes the bounds of one that is there.
func (c *Client) copyOf(ctx context.Context, e Edge, name string) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	want := jetstream.StreamConfig{
		Name: name, Description: "copy of the edge " + e.Prefix, Storage: jetstream.FileStorage, Discard: jetstream.DiscardOld,
		MaxAge: e.MaxAge, MaxBytes: e.MaxBytes, Replicas: e.Replicas, AllowDirect: true,
		Mirror: &jetstream.StreamSource{Name: name, Domain: e.Domain},
	}
	if want.MaxBytes <= 0 {
		want.MaxBytes = -1
	}
	s, err := c.js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		_, err = c.js.CreateStream(ctx, want)
		return copyFault(name, err)
	}
	if err != nil {
		return copyFault(name, err)
	}
	have := s.CachedInfo().Config
	if !isCopy(have, name, e.Domain) {
		return hub.Errorf(hub.ArgumentInvalid, "there is a stream %s here already, and it is no copy of the edge's: another hub here has the prefix %s, or one that was removed", name, e.Prefix)
	}
	have.MaxAge, have.MaxBytes, have.Replicas = want.MaxAge, want.MaxBytes, want.Replicas
	_, err = c.js.UpdateStream(ctx, have)
	return copyFault(name, err)
}

func isCopy(have jetstream.StreamConfig, name, domain string) bool {
	m := have.Mirror
	return m != nil && m.Name == name && m.External != nil && m.External.APIPrefix == "$JS."+domain+".API"
}

func copyFault(name string, err error) error {
	if err == nil {
		return nil
	}
	return hub.Errorf(hub.ServiceUnavailable, "make the copy %s: %w", name, err)
}

// EdgeStatus tells how far the copies of an edge are.
func (c *Client) EdgeStatus(ctx context.Context, e Edge) ([]EdgeStream, error) {
	e, err := e.validate()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	var all []EdgeStream
	for _, name := range edgeStreams(subject.Names{Prefix: e.Prefix}) {
		s, err := c.js.Stream(ctx, name)
		if errors.Is(err, jetstream.ErrStreamNotFound) || err == nil && !isCopy(s.CachedInfo().Config, name, e.Domain) {
			return nil, hub.Errorf(hub.NotFound, "there is no copy %s of the edge %s here: make it with 'hubgate edge attach %s'", name, e.Prefix, e.Prefix)
		}
		if err != nil {
			return nil, hub.Errorf(hub.ServiceUnavailable, "look up stream %s: %w", name, err)
		}
		all = append(all, edgeStream(s.CachedInfo()))
	}
	return slices.Clip(all), nil
}

func edgeStream(info *jetstream.StreamInfo) EdgeStream {
	out := EdgeStream{Name: info.Config.Name, Copied: info.State.LastSeq, Active: -1}
	if m := info.Mirror; m != nil {
		out.Lag, out.Active = m.Lag, m.Active
	}
	return out
}
