package main

import (
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/backend/client"
)

// TestClusterStatus of a hub that runs: the node with its device, and no
// findings.
func TestClusterStatus(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := startDev(t, dir, "--node", "n\x1b1")
	connectDevice(t, p, p.ready.DeviceConnectionString, p.ready.Ports.MQTT)
	env := []string{"HUBGATE_DATA_DIR=" + dir}
	r := hubgate(t, env, "cluster", "status")
	if r.code != exitOK {
		t.Errorf("exit code %d: %s", r.code, r.err)
	}
	wantAll(t, r.out, `n\x1b1`, "up", "HUB_TELEMETRY", "KV_hub_presence", "The hub is healthy.")
	p.stopCleanly(t)
}

// What a row says of a node and of a stream that are not well.
func TestClusterRows(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	n := nodeRow(client.ClusterNode{
		Name: "a", State: "up", Version: "1.2.3", Since: at, LastSeen: at, Connections: 7, Draining: true,
		Faults: []client.NodeFault{{Time: at, Level: "warn", Message: "m\x1b"}, {Message: "older"}},
	})
	s := streamRow(client.ClusterStream{
		Name: "S", Messages: 5, Bytes: 10, MaxBytes: 1 << 20, Replicas: 5, Leader: "n1",
		Peers: []client.Replica{{Server: "n2", Current: true}, {Server: "n3", Offline: true}, {Server: "n4", Lag: 9}},
	})
	for i, want := range []string{"a", "up, draining", "1.2.3", "2026-01-02T03:04:05Z", "7", "2026-01-02T03:04:05Z", `2026-01-02T03:04:05Z warn: m\x1b`} {
		if n[i] != want {
			t.Errorf("column %d of a node is %q, want %q", i, n[i], want)
		}
	}
	for i, want := range []string{"S", "5", "10", "1MiB", "4 of 5", "n1", "n3 offline, n4 9"} {
		if s[i] != want {
			t.Errorf("column %d of a stream is %q, want %q", i, s[i], want)
		}
	}
}

// The last faults are the newest of each kind, without what lines say besides.
func TestFaultLog(t *testing.T) {
	t.Parallel()
	faults := new(faultLog)
	log := zerolog.Nop().Hook(faults)
	faults.Run(nil, zerolog.InfoLevel, "not one")
	for i := range 2 * keptFaults {
		faults.Run(nil, zerolog.WarnLevel, string(rune('a'+i)))
	}
	faults.Run(nil, zerolog.ErrorLevel, "h")
	log.Warn().Msg("of a log that is off")
	got := ""
	for _, f := range faults.last() {
		got += f.Message
	}
	if got != "hjigf" || faults.last()[0].Level != "error" {
		t.Errorf("kept %q, %+v", got, faults.last()[0])
	}
}
