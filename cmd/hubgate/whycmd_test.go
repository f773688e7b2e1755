package main

import (
	"testing"
	"time"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/timeline"
)

func TestEntryText(t *testing.T) {
	at := time.Unix(5, 0)
	for name, tc := range map[string]struct {
		e    timeline.Entry
		want string
	}{
		"device": {
			timeline.Entry{ID: hub.Identity{Device: "d"}, What: timeline.Closed, Code: hub.ConnectionReplaced, Message: "a newer\x1b one", Time: at, Remote: "192.0.2.1:7", Node: "n", Count: 1},
			"1970-01-01T00:00:05Z  connectionClosed  400027 ConnectionForcefullyClosedOnNewConnection: a newer\\x1b one\n" +
				"                      device d, from 192.0.2.1:7, node n; another connection came with this identity; if they alternate, two devices share one id.",
		},
		"address": {
			timeline.Entry{Claimed: "g\nhost", What: timeline.Refused, Code: hub.DeviceNotFound, Message: "none", Time: at, Remote: "192.0.2.1:7", Count: 3, Until: at.Add(time.Minute)},
			"1970-01-01T00:00:05Z  connectRefused    404001 DeviceNotFound: none (3 times, until 1970-01-01T00:01:05Z)\n" +
				"                      called itself g\\nhost, from 192.0.2.1:7; create the device with: hubgate device create.",
		},
		"module": {
			timeline.Entry{ID: hub.Identity{Device: "d", Module: "m"}, What: timeline.MethodFailed, Code: hub.GatewayTimeout, Message: "late", Time: at},
			"1970-01-01T00:00:05Z  methodFailed      504101 GatewayTimeout: late\n" +
				"                      module d/m; nobody answered in time; retry.",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := entryText(tc.e); got != tc.want {
				t.Errorf("got\n%s\nwant\n%s", got, tc.want)
			}
		})
	}
}

func TestStateText(t *testing.T) {
	at := time.Unix(5, 0)
	for name, tc := range map[string]struct {
		r    timeline.Report
		want string
	}{
		"unknown":   {timeline.Report{DeviceID: "d"}, "d does not exist, but somebody has called himself so."},
		"never":     {timeline.Report{DeviceID: "d", Registered: true, Status: "disabled", StatusReason: "stolen"}, "d is disabled (stolen); it has never connected."},
		"connected": {timeline.Report{DeviceID: "d", ModuleID: "m", Registered: true, Connection: &timeline.Connection{Connected: true, Since: at, Remote: "192.0.2.1:7", Node: "n"}}, "d/m; connected since 1970-01-01T00:00:05Z from 192.0.2.1:7, to node n."},
		"ended":     {timeline.Report{DeviceID: "d", Registered: true, Status: "enabled", Connection: &timeline.Connection{Ended: at, Remote: "192.0.2.1:7", Reason: "gone"}}, "d is enabled; not connected. Its last connection, from 192.0.2.1:7, ended at 1970-01-01T00:00:05Z: gone."},
	} {
		if got := stateText(tc.r); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

// A number of entries, where nothing is followed, is not passed over in silence.
func TestWhyCountsWhatItFollows(t *testing.T) {
	t.Parallel()
	r := hubgate(t, nil, "why", "dev-1", "-n", "3", "--nats", "nats://127.0.0.1:1")
	if r.code != exitUsage {
		t.Errorf("got exit code %d", r.code)
	}
	wantAll(t, r.err, "--count is for --watch")
}
