package client

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
)

// listTimeout is longer than a cluster waits for the servers that do not answer.
const listTimeout = 10 * time.Second

// streamPage is one answer to STREAM.LIST. The Go client of JetStream does not
// tell of the streams that are silent.
type streamPage struct {
	Error   *jetstream.APIError     `json:"error"`
	Total   int                     `json:"total"`
	Streams []*jetstream.StreamInfo `json:"streams"`
	Missing []string                `json:"missing"` // no server answers for them
}

// streams returns the hub's streams by name, and the names of those that do not
// answer.
func (c *Client) streams(ctx context.Context) (all []ClusterStream, silent []string, err error) {
	for seen := 0; ; {
		page, err := c.streamPage(ctx, seen)
		if err != nil {
			return nil, nil, err
		}
		for _, s := range page.Streams {
			if c.isOurs(s.Config.Name) {
				all = append(all, streamOf(s))
			}
		}
		for _, name := range page.Missing {
			if c.isOurs(name) && !slices.Contains(silent, name) {
				silent = append(silent, name)
			}
		}
		seen += len(page.Streams)
		if len(page.Streams) == 0 || seen >= page.Total {
			sortBy(all, func(s *ClusterStream) string { return s.Name })
			return all, silent, nil
		}
	}
}

func (c *Client) streamPage(ctx context.Context, offset int) (streamPage, error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	to := "$JS.API.STREAM.LIST"
	if domain := c.js.Options().Domain; domain != "" {
		to = "$JS." + domain + ".API.STREAM.LIST"
	}
	ctx, done := c.denied.watch(ctx, to)
	defer done()
	var page streamPage
	body, err := json.Marshal(map[string]int{"offset": offset})
	if err != nil {
		return page, err
	}
	m, err := c.nc.RequestWithContext(ctx, to, body)
	if err != nil {
		return page, unseen(ctx, "the streams", err)
	}
	err = json.Unmarshal(m.Data, &page)
	if err == nil && page.Error != nil {
		err = page.Error
	}
	if err != nil {
		return page, unseen(ctx, "the streams", err)
	}
	return page, nil
}

func streamOf(info *jetstream.StreamInfo) ClusterStream {
	s := ClusterStream{
		Name: info.Config.Name, Bucket: strings.HasPrefix(info.Config.Name, "KV_"),
		Messages: info.State.Msgs, Bytes: info.State.Bytes, MaxBytes: info.Config.MaxBytes, Replicas: info.Config.Replicas,
		Discards: info.Config.Discard == jetstream.DiscardOld, Peers: []Replica{},
	}
	if info.Cluster == nil {
		return s
	}
	s.Leader = info.Cluster.Leader
	for _, p := range info.Cluster.Replicas {
		s.Peers = append(s.Peers, Replica{Server: p.Name, Current: p.Current, Offline: p.Offline, Lag: p.Lag, Silent: p.Active})
	}
	return s
}

// nodeRecord is a value of the bucket of nodes.
type nodeRecord struct {
	Node        string         `json:"node"`
	Instance    string         `json:"instance"`
	State       string         `json:"state"`
	Version     string         `json:"version"`
	Started     time.Time      `json:"started"`
	Connections int            `json:"connections"`
	Draining    bool           `json:"draining"`
	Ports       map[string]int `json:"ports"`
	Faults      []NodeFault    `json:"faults"`
	LastSeen    time.Time      `json:"lastSeen"`
	Repairer    string         `json:"repairer"`
}

// nodeRecords returns what nodes have written of themselves, or others of them.
func (c *Client) nodeRecords(ctx context.Context) ([]ClusterNode, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	bucket := c.names.NodesBucket()
	ctx, done := c.denied.watch(ctx, "$JS.API.STREAM.INFO.KV_"+bucket)
	defer done()
	stream, err := c.js.Stream(ctx, "KV_"+bucket)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, nil // the hub is of an older version, or was never started
	}
	if err != nil {
		return nil, unseen(ctx, "bucket "+bucket, err)
	}
	prefix := "$KV." + bucket + "."
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(prefix+">"))
	if err != nil {
		return nil, unseen(ctx, "bucket "+bucket, err)
	}
	var all []ClusterNode
	for key := range info.State.Subjects {
		m, err := stream.GetLastMsgForSubject(ctx, key)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return nil, unseen(ctx, "bucket "+bucket, err)
		}
		if n, ok := nodeOf(m, strings.TrimPrefix(key, prefix)); ok {
			all = append(all, n)
		}
	}
	return all, nil
}

// unseen says why something could not be read: NATS may have refused it.
func unseen(ctx context.Context, what string, err error) error {
	if denied, ok := errors.AsType[*hub.Error](context.Cause(ctx)); ok {
		return denied
	}
	return hub.Errorf(hub.ServiceUnavailable, "read %s: %w", what, err)
}

func nodeOf(m *jetstream.RawStreamMsg, key string) (ClusterNode, bool) {
	var r nodeRecord
	name, err := subject.DecodeToken(key)
	if err != nil || json.Unmarshal(m.Data, &r) != nil || r.Node != name {
		return ClusterNode{}, false
	}
	n := ClusterNode{
		Name: r.Node, Instance: r.Instance, State: r.State, Version: r.Version, Since: r.Started, LastSeen: r.LastSeen,
		Connections: r.Connections, Draining: r.Draining, Ports: r.Ports, Faults: r.Faults, Repairer: r.Repairer,
	}
	if n.State == nodeUp || n.State == "stopped" || n.LastSeen.IsZero() {
		n.LastSeen = m.Time
	}
	if n.State != nodeUp {
		n.Connections = 0
	}
	if n.Faults == nil {
		n.Faults = []NodeFault{}
	}
	return n, true
}
