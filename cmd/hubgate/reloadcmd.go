package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/hubgate/hubgate/backend/client"
)

type reloadCmd struct {
	clientFlags `embed:""`

	Node string `name:"node" placeholder:"NAME" help:"Only this node. Default: all nodes of the hub."`
}

// Run has nodes read their configuration and files again, and shows what came
// of it.
func (c *reloadCmd) Run(ctx context.Context, a *app) error {
	h, err := a.connect(c.clientFlags)
	if err != nil {
		return err
	}
	defer h.Close()
	nodes, err := h.Reload(ctx, c.Node)
	if err != nil {
		return err
	}
	bad := false
	for _, n := range nodes {
		bad = bad || len(n.Errors) > 0
		if err := a.showReloaded(n); err != nil {
			return err
		}
	}
	if bad {
		return errors.New("something could not be applied and stays as it was; see above")
	}
	return nil
}

// showReloaded prints the answer of a node, in JSON a line for each.
func (a *app) showReloaded(n client.Reloaded) error {
	if a.format == formatJSON {
		return writeJSON(a.out, n)
	}
	var rows []row
	for _, part := range []struct {
		name  string
		texts []string
	}{{"applied", n.Applied}, {"restart needed", n.RestartNeeded}, {"warning", n.Warnings}, {"error", n.Errors}} {
		for _, text := range part.texts {
			rows = append(rows, row{"  " + part.name, visible(text)})
		}
	}
	title := "Node " + visible(n.Node) + ":"
	if len(rows) == 0 {
		title += " nothing has changed."
	}
	if l := n.Last; l != nil {
		title += fmt.Sprintf(" The last change was applied at %s, because %s.", timeText(l.Time), visible(l.Because))
		for _, text := range l.Applied {
			rows = append(rows, row{"  applied before", visible(text)})
		}
	}
	if err := a.say("%s", title); err != nil {
		return err
	}
	return align(a.out, rows)
}
