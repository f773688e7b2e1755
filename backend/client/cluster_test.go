package client

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// What is not as it should be is said, and nothing else.
func TestJudgeCluster(t *testing.T) {
	t.Parallel()
	healthy := ClusterStream{Name: "S", Replicas: 3, Leader: "n1", Peers: []Replica{{Server: "n2", Current: true}, {Server: "n3", Current: true}}}
	for name, tc := range map[string]struct {
		change func(*ClusterStream)
		says   string
	}{
		"healthy":            {func(*ClusterStream) {}, ""},
		"one server":         {func(s *ClusterStream) { *s = ClusterStream{Name: "S", Replicas: 1} }, ""},
		"no leader":          {func(s *ClusterStream) { s.Leader = "" }, "S has no leader"},
		"a replica away":     {func(s *ClusterStream) { s.Peers = s.Peers[:1] }, "2 of its 3 replicas"},
		"a replica offline":  {func(s *ClusterStream) { s.Peers[1].Offline = true }, "on n3 is offline"},
		"a replica behind":   {func(s *ClusterStream) { s.Peers[0] = Replica{Server: "n2", Lag: 9} }, "on n2 is 9 operations behind"},
		"a full bucket":      {func(s *ClusterStream) { s.MaxBytes, s.Bytes = 100, 95 }, "full to 95%"},
		"a full stream":      {func(s *ClusterStream) { s.MaxBytes, s.Bytes, s.Discards = 100, 95, true }, ""},
		"a bucket with room": {func(s *ClusterStream) { s.MaxBytes, s.Bytes = 100, 50 }, ""},
	} {
		s := healthy
		s.Peers = slices.Clone(healthy.Peers)
		tc.change(&s)
		var all Cluster
		all.judgeStream(s)
		if got := strings.Join(all.Findings, "|"); (got == "") != (tc.says == "") || !strings.Contains(got, tc.says) {
			t.Errorf("%s: %q, want %q", name, got, tc.says)
		}
	}
	for state, says := range map[string]string{
		"up": "", "stopped": "", "silent": "does not answer", "dead": "b ends its connections", "repaired": "start it again", "odd": "does not know",
	} {
		var all Cluster
		all.judgeNode(ClusterNode{Name: "a", State: state, Repairer: "b", LastSeen: time.Unix(0, 0)})
		if got := strings.Join(all.Findings, "|"); (got == "") != (says == "") || !strings.Contains(got, says) {
			t.Errorf("%s: %q, want %q", state, got, says)
		}
	}
	var all Cluster
	all.Streams = []ClusterStream{{Name: "A"}}
	all.missing([]string{"A", "B", "C"}, []string{"C"})
	if len(all.Findings) != 2 || !strings.Contains(all.Findings[0], "B is missing") || !strings.Contains(all.Findings[1], "C does not answer") {
		t.Errorf("missing streams: %q", all.Findings)
	}
}

// Who answers is up, whatever is written, and who should be up and does not
// answer is silent.
func TestMergedNodes(t *testing.T) {
	t.Parallel()
	got := merged([]ClusterNode{
		{Name: "b", State: "up", Connections: 9, Version: "1"}, {Name: "a", State: "up"}, {Name: "c", State: "dead"}, {Name: "e", State: "stopped"},
	}, []Node{{Name: "b", Connections: 3, Draining: true}, {Name: "old", Connections: 4}})
	text := ""
	for _, n := range got {
		text += n.Name + " " + n.State + "; "
	}
	if text != "a silent; b up; c dead; e stopped; old up; " || got[1].Connections != 3 || !got[1].Draining || got[1].Version != "1" || got[4].Connections != 4 {
		t.Errorf("%s: %+v", text, got)
	}
}
