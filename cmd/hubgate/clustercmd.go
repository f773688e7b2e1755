package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/hubgate/hubgate/backend/client"
	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
)

type clusterCmd struct {
	clientFlags `embed:""`

	Status clusterStatusCmd `cmd:"" help:"Show nodes, streams and buckets. The exit code is 1 when something is not as it should be."`
}

// AfterApply gives the commands below the way to the hub.
func (c *clusterCmd) AfterApply(a *app) error { //nolint:unparam // kong wants the error
	a.client = c.clientFlags
	return nil
}

type clusterStatusCmd struct{}

// Run prints how the hub is.
func (c *clusterStatusCmd) Run(ctx context.Context, a *app) error {
	h, err := a.connect(a.client)
	if err != nil {
		return err
	}
	defer h.Close()
	all, err := h.Cluster(ctx)
	if err != nil {
		return err
	}
	if a.format == formatJSON {
		err = writeJSON(a.out, all)
	} else {
		err = a.printCluster(all)
	}
	if err == nil && !all.Healthy {
		err = findingsError{}
	}
	return err
}

func (a *app) printCluster(all client.Cluster) error {
	nodes := make([]row, 0, len(all.Nodes))
	for _, n := range all.Nodes {
		nodes = append(nodes, nodeRow(n))
	}
	if err := writeTable(a.out, row{"NODE", "STATE", "VERSION", "SINCE", "CONNECTIONS", "LAST SEEN", "LAST FAULT"}, nodes); err != nil {
		return err
	}
	streams := make([]row, 0, len(all.Streams))
	for _, s := range all.Streams {
		streams = append(streams, streamRow(s))
	}
	if err := a.say(""); err != nil {
		return err
	}
	if err := writeTable(a.out, row{"STREAM", "MESSAGES", "BYTES", "LIMIT", "REPLICAS", "LEADER", "LAG"}, streams); err != nil {
		return err
	}
	if all.Healthy {
		return a.say("\nThe hub is healthy.")
	}
	return a.say("\n%s", visibleLines(all.Findings))
}

func visibleLines(all []string) string {
	lines := make([]string, len(all))
	for i, text := range all {
		lines[i] = "! " + visible(text)
	}
	return strings.Join(lines, "\n")
}

func nodeRow(n client.ClusterNode) row {
	state, fault := n.State, ""
	if n.Draining {
		state += ", draining"
	}
	if len(n.Faults) > 0 {
		f := n.Faults[0]
		fault = timeText(f.Time) + " " + f.Level + ": " + visible(f.Message)
	}
	return row{visible(n.Name), state, visible(n.Version), timeText(n.Since), strconv.Itoa(n.Connections), timeText(n.LastSeen), fault}
}

func streamRow(s client.ClusterStream) row {
	limit := "none"
	if s.MaxBytes > 0 {
		limit = config.Bytes(s.MaxBytes).String()
	}
	var lags []string
	for _, p := range s.Peers {
		switch {
		case p.Offline:
			lags = append(lags, visible(p.Server)+" offline")
		case !p.Current || p.Lag > 0:
			lags = append(lags, fmt.Sprintf("%s %d", visible(p.Server), p.Lag))
		}
	}
	copies := strconv.Itoa(s.Replicas)
	if have := len(s.Peers) + 1; s.Replicas > 1 && have < s.Replicas {
		copies = fmt.Sprintf("%d of %d", have, s.Replicas)
	}
	return row{
		s.Name, strconv.FormatUint(s.Messages, 10), strconv.FormatUint(s.Bytes, 10), limit, copies, visible(s.Leader), strings.Join(lags, ", "),
	}
}
