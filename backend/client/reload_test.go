package client_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hubgate/hubgate/backend/client"
	"github.com/hubgate/hubgate/hub"
)

// TestReload asks no node, one and all of them.
func TestReload(t *testing.T) {
	t.Parallel()
	c, b := startWhy(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := c.Reload(ctx, ""); !errors.Is(err, &hub.Error{Code: hub.ServiceUnavailable}) {
		t.Errorf("a hub without nodes: %v", err)
	}
	var asked atomic.Int64
	for _, node := range []string{"b.1", "a"} {
		s, err := b.ServeNode(node, func(context.Context) any {
			asked.Add(1)
			return client.Reloaded{Node: node, Applied: []string{"by " + node}, Errors: []string{}}
		})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Stop() }()
	}
	names := func(nodes []client.Reloaded) string {
		var all []string
		for _, n := range nodes {
			all = append(all, n.Node+" "+strings.Join(n.Applied, ", "))
		}
		return strings.Join(all, "; ")
	}
	all, err := c.Reload(ctx, "")
	if got := names(all); err != nil || got != "a by a; b.1 by b.1" || asked.Load() != 2 {
		t.Errorf("all: got %q, %v, and %d were asked", got, err, asked.Load())
	}
	one, err := c.Reload(ctx, "b.1")
	if got := names(one); err != nil || got != "b.1 by b.1" || asked.Load() != 3 {
		t.Errorf("one: got %q, %v, and %d were asked", got, err, asked.Load())
	}
	if _, err := c.Reload(ctx, "c"); hub.CodeOf(err) != hub.NotFound || !strings.Contains(err.Error(), `no node "c" answers; these do: a, b.1`) {
		t.Errorf("a node that is not there: %v", err)
	}
	if _, err := c.Reload(canceled(ctx), ""); !errors.Is(err, context.Canceled) {
		t.Errorf("nobody waits: %v", err)
	}
}
