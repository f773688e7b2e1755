package main

import (
	"strings"
	"testing"

	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
	"github.com/hubgate/hubgate/gateway"
)

// TestDrain drains a node, which then takes nobody and stays; and a second time.
func TestDrain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := startDev(t, dir, "--node", "a\x1bb")
	env := []string{"HUBGATE_DATA_DIR=" + dir}
	connectDevice(t, p, p.ready.DeviceConnectionString, p.ready.Ports.MQTT)
	for _, closed := range []string{"its 1 connections", "its 0 connections"} {
		r := hubgate(t, env, "drain", "--over", "0s")
		if r.code != exitOK || !strings.Contains(r.out, closed) || !strings.Contains(r.out, `a\x1bb`) {
			t.Errorf("got %d %q %q", r.code, r.out, r.err)
		}
	}
	if _, err := dialDeviceWith(t, p, p.ready.DeviceConnectionString, nil); err == nil {
		t.Error("a device got in")
	}
	for want, args := range map[int][]string{
		exitUsage:    {"drain", "--over", "61m"},
		exitNotFound: {"drain", "elsewhere"},
	} {
		if r := hubgate(t, env, args...); r.code != want {
			t.Errorf("%v: exit code %d, %s", args, r.code, r.err)
		}
	}
	if r := hubgate(t, env, "device", "list"); r.code != exitOK {
		t.Errorf("the node does not go on: %s", r.err)
	}
	p.stopCleanly(t)
}

// TestRatesReachTheGateway: every key has its kind.
func TestRatesReachTheGateway(t *testing.T) {
	t.Parallel()
	r := ratesOf(config.Rates{
		NodeConnects: "1", NodeMessages: "2", NodeBytes: "3", NodeTwinReads: "4", NodeTwinWrites: "5", NodeMethods: "6", NodeMethodBytes: "7", NodeC2D: "8",
		DeviceMessages: "12", DeviceBytes: "13", DeviceTwinReads: "14", DeviceTwinWrites: "15", DeviceMethods: "16", DeviceMethodBytes: "17", DeviceC2D: "18",
	})
	for i, k := range []gateway.Kind{
		gateway.Connects, gateway.Messages, gateway.Bytes, gateway.TwinReads, gateway.TwinWrites, gateway.Methods, gateway.MethodBytes, gateway.C2D,
	} {
		if r.Node[k] != float64(i+1) || k != gateway.Connects && r.Device[k] != float64(i+11) {
			t.Errorf("%v: %v for the node, %v for a device", k, r.Node[k], r.Device[k])
		}
	}
	if r.AbuseAfter >= 0 {
		t.Errorf("abuse_after 0 cuts after %v", r.AbuseAfter)
	}
}

// TestReloadLimits: rates and limits of peers change while the node runs; others
// need a restart.
func TestReloadLimits(t *testing.T) {
	t.Parallel()
	h := startReload(t, "")
	h.reload(t, exitOK) // the first one tells of no part that is applied as a whole
	h.configure(t, "rates: {node_connects: 1/h, burst: 1s}\nlimits: {memory: 7MiB, window: 5}\n")
	r := h.reload(t, exitOK)
	wantAll(t, r.out, "rates: read again", "limits: read again", "restart needed", "limits.window")
	if strings.Contains(r.out, "limits.memory") || strings.Contains(r.out, "rates.node_connects") {
		t.Errorf("these need no restart:\n%s", r.out)
	}
	h.configure(t, "rates: {node_connects: often}\n")
	wantAll(t, h.reload(t, exitFailure).out, `"often" is not a rate such as 100/s`)
	h.stopCleanly(t)
}
