package client

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
)

// Reloaded is what a node answers when it has read its configuration and its
// files again.
type Reloaded struct {
	Node          string   `json:"node"`
	Applied       []string `json:"applied"`
	RestartNeeded []string `json:"restartNeeded"` // configuration keys
	Warnings      []string `json:"warnings"`
	Errors        []string `json:"errors"`
	// Last is the last time that something was applied before, if nothing was
	// now: a node follows the changes of its files by itself.
	Last *LastReload `json:"last,omitempty"`
}

// LastReload is what an earlier reload has applied.
type LastReload struct {
	Time    time.Time `json:"time"`
	Because string    `json:"because"`
	Applied []string  `json:"applied"`
}

const (
	nodeQuiet   = 500 * time.Millisecond // after the last node has said that it is there
	nodePatient = 10 * time.Second
)

// Reload asks a node, or all nodes when node is empty, to read their
// configuration and the files that it names again. A node that is there and
// does not answer has that as its error. It fails with ServiceUnavailable when
// there is no node at all, and with NotFound when that one is not among them.
func (c *Client) Reload(ctx context.Context, node string) ([]Reloaded, error) {
	nodes, err := c.nodeNames(ctx)
	if err != nil {
		return nil, err
	}
	to := c.names.NodeReload()
	if node != "" {
		if !slices.Contains(nodes, node) {
			return nil, hub.Errorf(hub.NotFound, "no node %q answers; these do: %s", node, strings.Join(nodes, ", "))
		}
		nodes, to = []string{node}, c.names.NodeReloadOf(node)
	}
	waiting := slices.Clone(nodes)
	var answers []Reloaded
	err = c.gather(ctx, to, nodePatient, func(m *nats.Msg) bool {
		var r Reloaded
		if json.Unmarshal(m.Data, &r) != nil || r.Node == "" {
			r = Reloaded{Node: "?", Errors: []string{"the node refuses: " + m.Header.Get(micro.ErrorHeader)}}
		}
		answers = append(answers, r)
		if i := slices.Index(waiting, r.Node); i >= 0 {
			waiting = slices.Delete(waiting, i, i+1)
		}
		return len(waiting) > 0
	})
	for _, silent := range waiting {
		answers = append(answers, Reloaded{Node: silent, Errors: []string{"the node does not answer"}})
	}
	sortBy(answers, func(r *Reloaded) string { return r.Node })
	return answers, err
}

// nodeNames returns the names of the nodes that answer.
func (c *Client) nodeNames(ctx context.Context) ([]string, error) {
	ask, err := micro.ControlSubject(micro.PingVerb, c.names.NodeName(), "")
	if err != nil {
		return nil, hub.Errorf(hub.ArgumentInvalid, "the name of the node service: %w", err)
	}
	var nodes []string
	err = c.gather(ctx, ask, nodeQuiet, func(m *nats.Msg) bool {
		var ping micro.Ping
		if json.Unmarshal(m.Data, &ping) == nil && ping.Metadata[subject.NodeKey] != "" {
			nodes = append(nodes, ping.Metadata[subject.NodeKey])
		}
		return true
	})
	if err == nil && len(nodes) == 0 {
		err = hub.Errorf(hub.ServiceUnavailable, "no node of the hub answers at %s", ask)
	}
	slices.Sort(nodes)
	return nodes, err
}

// gather sends an empty request and calls take for each answer, until it
// returns false or nothing has come for as long as quiet; for the first answer
// it is more patient.
func (c *Client) gather(ctx context.Context, to string, quiet time.Duration, take func(*nats.Msg) bool) error {
	inbox := c.nc.NewInbox()
	sub, err := c.nc.SubscribeSync(inbox)
	if err != nil {
		return hub.Errorf(hub.ServiceUnavailable, "subscribe to the answers: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := c.nc.PublishRequest(to, inbox, nil); err != nil {
		return hub.Errorf(hub.ServiceUnavailable, "ask %s: %w", to, err)
	}
	for wait := nodePatient; ; wait = quiet {
		next, cancel := context.WithTimeout(ctx, wait)
		m, err := sub.NextMsgWithContext(next)
		cancel()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrNoResponders):
			return nil
		case err != nil:
			return hub.Errorf(hub.ServiceUnavailable, "read the answers of %s: %w", to, err)
		case len(m.Data) == 0 && m.Header.Get("Status") == "503":
			return nil
		}
		if !take(m) {
			return nil
		}
	}
}
