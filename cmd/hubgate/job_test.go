package main

import (
	"testing"
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
