package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
	"github.com/hubgate/hubgate/methods"
)

// TestJobTranscript has jobs done with devices that are there and away, and shows
// them.
func TestJobTranscript(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := startDev(t, dir)
	env := []string{"HUBGATE_DATA_DIR=" + dir}
	connectDevice(t, p, p.ready.DeviceConnectionString, p.ready.Ports.MQTT).serveCalls(t, echoes)
	connectDevice(t, p, create(t, dir, "module", "dev1/camera"), p.ready.Ports.MQTT).serveCalls(t, echoes)
	create(t, dir, "device", "away")
	for _, c := range []struct {
		args []string
		code int
	}{
		{[]string{"tags", "--twin", `{"tags":{"site":"<plant1>"}}`}, exitOK},
		{[]string{"reboot", "--method", "reboot", "--payload", `{"delay":5}`}, exitFailure},
		{[]string{"cameras", "--method", "zoom", "--where", "FROM devices.modules WHERE moduleId = 'camera'"}, exitOK},
		{[]string{"wrong", "--method", "zoom", "--where", "tags.a ="}, exitFailure},
	} {
		r := hubgate(t, env, append(append([]string{"job", "create"}, c.args...), "--wait")...)
		if r.code != c.code {
			t.Errorf("job create %q: exit %d\n%s%s", c.args, r.code, r.out, r.err)
		}
	}
	transcript(t, "job.txt", p, dir)
	p.stopCleanly(t)
}

// TestJobTimes: a time that a job can't have is refused, and not replaced by the
// default.
func TestJobTimes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ flags, want string }{
		{"--limit 900ms", "--limit: 900ms is not a whole number of seconds"},
		{"--limit 0", "--limit: 0 is not from 1s to 30d"},
		{"--response-timeout 900ms", "--response-timeout: 900ms is not a whole number of seconds"},
		{"--connect-timeout 1500ms", "--connect-timeout: 1.5s is not a whole number of seconds"},
	} {
		args := append([]string{"job", "create", "j", "--method", "m", "--data-dir", t.TempDir()}, strings.Fields(tt.flags)...)
		if r := hubgate(t, nil, args...); r.code != exitUsage || !strings.Contains(r.err, tt.want) {
			t.Errorf("%s: got exit code %d, %s, want %q", tt.flags, r.code, r.err, tt.want)
		}
	}
}

// TestJobTwinInput: the error of a file names the flag that named it, and what comes
// by the standard input is read to its end.
func TestJobTwinInput(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "none.json")
	c := jobCreateCmd{Twin: "@" + missing, Limit: config.Second}
	if _, err := c.body(nil); err == nil || !strings.Contains(err.Error(), missing) || strings.Contains(err.Error(), "--payload") {
		t.Errorf("got %v", err)
	}
	c.Twin = "-"
	long := `{"tags":{"text":"` + strings.Repeat("x", 2*methods.MaxPayload) + `"}}`
	body, err := c.body(strings.NewReader(long))
	if err != nil || len(body) < len(long) {
		t.Errorf("got %d bytes, %v, want all of %d", len(body), err, len(long))
	}
}

// TestJobDevicesStatus: a status that no row has is refused, and not taken for none found.
func TestJobDevicesStatus(t *testing.T) {
	t.Parallel()
	r := hubgate(t, nil, "job", "devices", "j", "--status", "cancelled")
	if r.code != exitUsage {
		t.Errorf("got exit code %d: %s", r.code, r.err)
	}
	wantAll(t, r.err, "--status", `"canceled"`, `"cancelled"`)
}
