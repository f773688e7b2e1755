package client

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Cluster is how the nodes of a hub are, and what they keep in JetStream.
type Cluster struct {
	Healthy bool `json:"healthy"`
	// Findings say what is not as it should be, a sentence each.
	Findings []string        `json:"findings"`
	Nodes    []ClusterNode   `json:"nodes"`
	Streams  []ClusterStream `json:"streams"`
}

// ClusterNode is a node that runs, or that has run a short while ago.
type ClusterNode struct {
	Name        string         `json:"name"`
	State       string         `json:"state"` // up, silent, dead, repaired or stopped
	Instance    string         `json:"instance,omitempty"`
	Version     string         `json:"version,omitempty"`
	Since       time.Time      `json:"since,omitzero"`
	LastSeen    time.Time      `json:"lastSeen,omitzero"` // by the clock of NATS
	Connections int            `json:"connections"`
	Draining    bool           `json:"draining"`
	Ports       map[string]int `json:"ports,omitempty"`
	Faults      []NodeFault    `json:"faults"` // the last ones, the newest first
	Repairer    string         `json:"repairer,omitempty"`
}

// NodeFault is a warning or an error in a node's log.
type NodeFault struct {
	Time    time.Time `json:"time"`
	Level   string    `json:"level"`
	Message string    `json:"message"`
}

// ClusterStream is a stream of the hub, or the one behind a bucket.
type ClusterStream struct {
	Name     string    `json:"name"`
	Bucket   bool      `json:"bucket"`
	Messages uint64    `json:"messages"` // of a bucket: keys, with what is kept of their history
	Bytes    uint64    `json:"bytes"`
	MaxBytes int64     `json:"maxBytes"` // below 1: no limit
	Replicas int       `json:"replicas"` // that are wanted
	Leader   string    `json:"leader,omitempty"`
	Peers    []Replica `json:"peers"` // without the leader
	// Discards says that the oldest messages go when it is full. A bucket takes no
	// more instead.
	Discards bool `json:"discards"`
}

// Replica is a copy of a stream on another server than the leader's.
type Replica struct {
	Server  string        `json:"server"`
	Current bool          `json:"current"`
	Offline bool          `json:"offline"`
	Lag     uint64        `json:"lag"`               // operations behind the leader
	Silent  time.Duration `json:"silentNanoseconds"` // since the leader has heard of it
}

// The states of nodes, beside those that they write themselves.
const (
	nodeUp     = "up"
	nodeSilent = "silent" // it should be up, and does not answer
)

// Cluster returns how the hub is. It takes a second, as [Client.Nodes] does. It
// needs the rights of an operator.
func (c *Client) Cluster(ctx context.Context) (Cluster, error) {
	all := Cluster{Findings: []string{}}
	streams, silent, err := c.streams(ctx)
	if err != nil {
		return all, err
	}
	all.Streams = streams
	all.missing(c.names.Streams(), silent)
	records, err := c.nodeRecords(ctx)
	if err != nil {
		if len(silent) == 0 {
			return all, err
		}
		all.find("the records of the nodes can't be read: %v", err)
	}
	answers, err := c.Nodes(ctx)
	if err != nil {
		return all, err
	}
	all.Nodes = merged(records, answers)
	for _, n := range all.Nodes {
		all.judgeNode(n)
	}
	if !slices.ContainsFunc(all.Nodes, func(n ClusterNode) bool { return n.State == nodeUp }) {
		all.find("no node runs: devices can't connect")
	}
	for _, s := range all.Streams {
		all.judgeStream(s)
	}
	all.Healthy = len(all.Findings) == 0
	return all, nil
}

// merged joins what is written of nodes with what they have answered.
func merged(records []ClusterNode, answers []Node) []ClusterNode {
	all := slices.Clone(records)
	for i := range all {
		if all[i].State == nodeUp {
			all[i].State = nodeSilent
		}
	}
	for _, a := range answers {
		i := slices.IndexFunc(all, func(n ClusterNode) bool { return n.Name == a.Name })
		if i < 0 { // of a version that writes no record
			all, i = append(all, ClusterNode{Name: a.Name, Faults: []NodeFault{}}), len(all)
		}
		all[i].State, all[i].Connections, all[i].Draining = nodeUp, a.Connections, a.Draining
	}
	sortBy(all, func(n *ClusterNode) string { return n.Name })
	return all
}

func (all *Cluster) find(format string, args ...any) {
	all.Findings = append(all.Findings, fmt.Sprintf(format, args...))
}

func (all *Cluster) judgeNode(n ClusterNode) {
	seen := n.LastSeen.UTC().Format(time.RFC3339)
	switch n.State {
	case nodeUp, "stopped":
	case nodeSilent:
		all.find("the node %s does not answer; it wrote its record at %s: the others take it for dead soon", n.Name, seen)
	case "dead":
		all.find("the node %s was last seen at %s; %s ends its connections in its place", n.Name, seen, n.Repairer)
	case "repaired":
		all.find("the node %s was last seen at %s; its connections are ended: start it again, or wait an hour until it is forgotten", n.Name, seen)
	default:
		all.find("the node %s is in a state that this version does not know: %s", n.Name, n.State)
	}
}

// fullShare is how full a bucket may be, in percent.
const fullShare = 90

func (all *Cluster) judgeStream(s ClusterStream) {
	if s.MaxBytes > 0 && !s.Discards && s.Bytes*100 > uint64(s.MaxBytes)*fullShare {
		all.find("%s is full to %d%%, and takes no more when it is full: raise its max_bytes", s.Name, s.Bytes*100/uint64(s.MaxBytes))
	}
	if s.Leader == "" && s.Replicas > 1 {
		all.find("%s has no leader: nothing is stored in it", s.Name)
		return
	}
	if n := len(s.Peers) + 1; s.Replicas > 1 && n < s.Replicas {
		all.find("%s has %d of its %d replicas", s.Name, n, s.Replicas)
	}
	for _, p := range s.Peers {
		switch {
		case p.Offline:
			all.find("the replica of %s on %s is offline", s.Name, p.Server)
		case !p.Current:
			all.find("the replica of %s on %s is %d operations behind", s.Name, p.Server, p.Lag)
		}
	}
}

// missing notes the streams that are not there, and those that do not answer.
func (all *Cluster) missing(wanted, silent []string) {
	for _, name := range wanted {
		known := slices.ContainsFunc(all.Streams, func(s ClusterStream) bool { return s.Name == name })
		switch {
		case slices.Contains(silent, name):
			all.find("%s does not answer: it has no leader, or its servers are away", name)
		case !known:
			all.find("%s is missing; a node makes it when it starts", name)
		}
	}
}

// isOurs reports whether a stream belongs to this hub.
func (c *Client) isOurs(stream string) bool {
	telemetry, devices := c.names.TelemetryStream(), c.names.DeviceBucket()
	return strings.HasPrefix(stream, strings.TrimSuffix(telemetry, "TELEMETRY")) ||
		strings.HasPrefix(stream, "KV_"+strings.TrimSuffix(devices, "devices"))
}
