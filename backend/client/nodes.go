package client

import (
	"context"
	"encoding/json"
	"errors"
	"sort"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/hubgate/hubgate/hub"
)

// Node is a node of a hub.
type Node struct {
	Name        string `json:"node"`
	Connections int    `json:"connections"` // of devices and modules, now
	Draining    bool   `json:"draining"`    // it takes no more
}

// nodesTimeout is how long nodes have to answer.
const nodesTimeout = time.Second

// Nodes returns the nodes that run, by name. It takes a second: nobody knows how
// many there are.
func (c *Client) Nodes(ctx context.Context) ([]Node, error) {
	inbox := c.nc.NewInbox()
	sub, err := c.nc.SubscribeSync(inbox)
	if err == nil {
		defer func() { _ = sub.Unsubscribe() }()
		err = c.nc.PublishRequest(c.names.NodeStates(), inbox, nil)
	}
	if err != nil {
		return nil, hub.Errorf(hub.ServiceUnavailable, "ask the nodes on %s: %w", c.names.NodeStates(), err)
	}
	ctx, cancel := context.WithTimeout(ctx, nodesTimeout)
	defer cancel()
	var nodes []Node
	for {
		m, err := sub.NextMsgWithContext(ctx)
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			sortBy(nodes, func(n *Node) string { return n.Name })
			return nodes, nil
		case errors.Is(err, nats.ErrNoResponders):
			return nil, nil
		case err != nil:
			return nil, hub.Errorf(hub.ServiceUnavailable, "ask the nodes on %s: %w", c.names.NodeStates(), err)
		}
		var n Node
		if json.Unmarshal(m.Data, &n) == nil && n.Name != "" {
			nodes = append(nodes, n)
		}
	}
}

// Drain has a node take no more devices and close its connections, in waves
// over a time; what the devices have sent is stored and acknowledged first. It
// returns at once, with how the node is: ask again until it has no connections.
func (c *Client) Drain(ctx context.Context, node string, over time.Duration) (Node, error) {
	var n Node
	err := c.request(ctx, call{subject: c.names.NodeDrain(node), body: map[string]string{"over": over.String()}}, &n)
	if errors.Is(err, nats.ErrNoResponders) {
		return n, hub.Errorf(hub.NotFound, "there is no node %q, or it does not run", node)
	}
	return n, err
}

// sortBy sorts by a text. Not slices.SortFunc: an instance for each of the large
// structs here is up to 20 KB of code.
func sortBy[T any](all []T, text func(*T) string) {
	sort.Slice(all, func(i, j int) bool { return text(&all[i]) < text(&all[j]) })
}
