package faults

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/test/hubtest"
)

// backupOf makes a backup of a running hub.
func backupOf(t *testing.T, g *hubtest.Gateway, flags ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "backup")
	g.CLI(t, append([]string{"backup", "--out", dir}, flags...)...)
	return dir
}

// restoreInto makes the data directory of a hub from a backup.
func restoreInto(t *testing.T, dir string, args ...string) hubtest.Result {
	t.Helper()
	return hubtest.Run(t, nil, append([]string{"restore", "--embedded", "--data-dir", dir}, args...)...)
}

// TestBackupUnderLoad makes a backup of a hub in full use, loses the hub, and
// makes it again on another disk: devices come with the keys that they have, and
// find their sessions, their twins, and what waits for them; what was
// acknowledged before the backup is there; nothing has an epoch that was given
// out before.
func TestBackupUnderLoad(t *testing.T) {
	host := hubtest.FreeAddress(t, mqttPort, httpsPort, plainPort)
	g := hubtest.Start(t, hubtest.Options{Flags: addressFlags(host)})

	away := newDevice(t, g, "away").plain().with(persistent)
	c := away.mustConnect(t)
	if codes, err := c.subscribe("devices/away/messages/devicebound/#"); err != nil || codes[0] != 1 {
		t.Fatalf("subscribe: %v %v", codes, err)
	}
	if err := c.send(&mqtt.Disconnect{}); err != nil {
		t.Fatal(err)
	}
	g.AwaitSession(t, "away", "the end of the connection", func(s hubtest.Session) bool { return !s.Connected })
	g.Create(t, "here")
	here := newDevice(t, g, "here/mod").plain().with(persistent)
	hc := here.mustConnect(t)
	if _, err := hc.subscribe("$iothub/methods/POST/#"); err != nil {
		t.Fatal(err)
	}
	g.CLI(t, "twin", "update", "away", "--tags", `{"plant":"A"}`, "--desired", `{"interval":5}`)
	for i := range 3 {
		if _, err := g.JS.Publish(t.Context(), "hub.c2d.away", fmt.Appendf(nil, "mail %d", i)); err != nil {
			t.Fatal(err)
		}
	}

	all, warm := newPublishers(t, g, 8, 16)
	for _, p := range all {
		p.device = p.plain()
	}
	load := begin(t, all, never)
	for range all {
		await(t, "every client to publish", warm)
	}
	marks := progress(all)
	dir := backupOf(t, g)
	after := progress(all)
	here.mustConnect(t) // takes the identity over: epochs that the backup does not know
	hc.closed(t)
	last := epochOf(t, g, "here.mod")
	g.Stop(t, syscall.SIGKILL)
	load.finish()

	data := t.TempDir()
	if r := restoreInto(t, data, "--in", dir); r.Code != 0 {
		t.Fatalf("restore: %d %s", r.Code, r.Stderr)
	}
	g = hubtest.Start(t, hubtest.Options{DataDir: data, Flags: addressFlags(host)})

	s := g.AwaitSession(t, "here/mod", "the release", func(s hubtest.Session) bool { return !s.Connected })
	if !strings.Contains(s.Reason, "restored from a backup") {
		t.Errorf("the session of who was connected says %q", s.Reason)
	}
	g.AwaitEvents(t, "here/mod", "the end of a connection that there was", func(all []hubtest.Event) bool {
		return len(all) > 0 && !all[len(all)-1].Connected() && strings.Contains(all[len(all)-1].Reason, "restored from a backup")
	})
	checkStored(t, g, all, marks, after)
	checkMail(t, away)
	twin := string(g.CLI(t, "twin", "get", "away", "-o", "json"))
	if !strings.Contains(twin, `"plant":"A"`) && !strings.Contains(twin, `"plant": "A"`) || !strings.Contains(twin, `"interval"`) {
		t.Errorf("the twin is %s", twin)
	}
	if _, present, err := here.connect(); err != nil || !present {
		t.Errorf("who was connected comes again: session present %v, %v", present, err)
	}
	for _, p := range all {
		p.mustConnect(t)
	}
	if now := epochOf(t, g, "here.mod"); now <= last {
		t.Errorf("a connection after the restore has the epoch %d; one before it had %d", now, last)
	}
}

// checkStored checks that the stream has all that was acknowledged before the
// backup.
func checkStored(t *testing.T, g *hubtest.Gateway, all []*publisher, marks, after []int64) {
	t.Helper()
	stored := map[string]map[string]bool{}
	for _, p := range all {
		stored["hub.telemetry."+hubtest.Key(p.id.String())] = map[string]bool{}
	}
	g.Each(t, "HUB_TELEMETRY", "hub.telemetry.>", func(m jetstream.Msg) {
		if seen := stored[m.Subject()]; seen != nil {
			seen[string(m.Data())] = true
		}
	})
	total, during := 0, 0
	for i, p := range all {
		seen := stored["hub.telemetry."+hubtest.Key(p.id.String())]
		for n := range marks[i] {
			if !seen[fmt.Sprint(n)] {
				t.Fatalf("%s: message %d of the %d that were acknowledged before the backup is not there", p.id, n, marks[i])
			}
		}
		total, during = total+int(marks[i]), during+int(after[i]-marks[i])
	}
	t.Logf("%d messages were acknowledged before the backup, and %d while it was made", total, during)
	if during == 0 {
		t.Error("nothing happened while the backup was made: this shows nothing")
	}
}

// checkMail checks that three messages wait for the device, whose subscription
// is still there.
func checkMail(t *testing.T, d *device) {
	t.Helper()
	c, present, err := d.connect()
	if err != nil || !present {
		t.Fatalf("the device comes again: session present %v, %v", present, err)
	}
	defer c.close()
	for i := range 3 {
		p, err := c.receive()
		m, ok := p.(*mqtt.Publish)
		if err != nil || !ok || string(m.Payload) != fmt.Sprintf("mail %d", i) {
			t.Fatalf("message %d: got %v, %v", i, p, err)
		}
		if err := c.send(&mqtt.Puback{ID: m.ID}); err != nil {
			t.Fatal(err)
		}
	}
}

// epochOf is the revision of a session.
func epochOf(t *testing.T, g *hubtest.Gateway, key string) uint64 {
	t.Helper()
	kv, err := g.JS.KeyValue(t.Context(), "hub_presence")
	if err != nil {
		t.Fatal(err)
	}
	e, err := kv.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return e.Revision()
}

// TestRestoreRefuses: a backup that is not whole, one for others, a place that
// is taken, a hub that runs: a sentence, and nothing is changed.
func TestRestoreRefuses(t *testing.T) {
	g := start(t, hubtest.Options{})
	g.Create(t, "d")
	good := backupOf(t, g)
	harm := func(name string, do func(dir string) error) string {
		dir := filepath.Join(t.TempDir(), name)
		if err := os.CopyFS(dir, os.DirFS(good)); err != nil {
			t.Fatal(err)
		}
		if err := do(dir); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	devices := "KV_hub_devices.jsonl.gz"
	empty := t.TempDir()
	for name, tc := range map[string]struct {
		dir  string
		code int
		says string
	}{
		"no directory":      {filepath.Join(empty, "none"), 2, "hubgate-backup.json"},
		"another thing":     {empty, 2, "it is no backup"},
		"not finished":      {harm("a", func(dir string) error { return os.Remove(filepath.Join(dir, "hubgate-backup.json")) }), 2, "not finished"},
		"a file is missing": {harm("b", func(dir string) error { return os.Remove(filepath.Join(dir, devices)) }), 2, devices},
		"a file is cut":     {harm("c", func(dir string) error { return os.Truncate(filepath.Join(dir, devices), 20) }), 2, "has 20 bytes"},
		"a file is changed": {harm("d", func(dir string) error {
			path := filepath.Join(dir, devices)
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text[len(text)/2] ^= 1
			return os.WriteFile(path, text, 0o600)
		}), 2, "not what was written"},
		"the manifest is cut": {harm("e", func(dir string) error { return os.Truncate(filepath.Join(dir, "hubgate-backup.json"), 100) }), 2, "damaged"},
		"the manifest leads out": {harm("f", func(dir string) error {
			path := filepath.Join(dir, "hubgate-backup.json")
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return os.WriteFile(path, []byte(strings.ReplaceAll(string(text), devices, "../"+devices)), 0o600)
		}), 2, "damaged"},
	} {
		data := filepath.Join(t.TempDir(), "data")
		for _, args := range [][]string{{"--in", tc.dir}, {"--in", tc.dir, "--verify"}} {
			r := restoreInto(t, data, args...)
			if r.Code != tc.code || !strings.Contains(r.Stderr, tc.says) {
				t.Errorf("%s: got exit code %d, %q, want %d and %q", name, r.Code, r.Stderr, tc.code, tc.says)
			}
		}
		if _, err := os.Stat(data); err == nil {
			t.Errorf("%s: the data directory has been made", name)
		}
	}

	if r := restoreInto(t, g.DataDir, "--in", good); r.Code == 0 || !strings.Contains(r.Stderr, "in use by another hubgate process") {
		t.Errorf("restoring over a running hub: %d %s", r.Code, r.Stderr)
	}
	running := g.Command(t, "restore", "--in", good)
	if running.Code != 4 || !strings.Contains(running.Stderr, "nodes of the hub run") {
		t.Errorf("restoring into the NATS of a running hub: %d %s", running.Code, running.Stderr)
	}
	g.Create(t, "e")
	g.Stop(t, syscall.SIGTERM)
	if r := restoreInto(t, g.DataDir, "--in", good); r.Code != 4 || !strings.Contains(r.Stderr, "there is a hub already") {
		t.Errorf("restoring over a hub: %d %s", r.Code, r.Stderr)
	}
	g.Start(t)
	for _, id := range []string{"d", "e"} {
		g.CLI(t, "device", "keys", id)
	}
}

// TestRestoreInterrupted kills a restore: no node takes half a hub for a whole
// one, and the restore can be done again.
func TestRestoreInterrupted(t *testing.T) {
	n := startNATS(t)
	p := newPlace(t)
	g := startNode(t, n, p)
	for i := range 20 {
		g.Create(t, fmt.Sprint("d", i))
	}
	dir := backupOf(t, g)
	g.Stop(t, syscall.SIGTERM)

	other := startNATS(t)
	nc, err := nats.Connect(other.url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	// What a killed restore leaves: its mark, and some of the buckets.
	for _, name := range []string{"HUB_RESTORE", "KV_hub_policies"} {
		subjects := map[string]string{"HUB_RESTORE": "hub.restore", "KV_hub_policies": "$KV.hub_policies.>"}[name]
		_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{subjects}, Metadata: map[string]string{"hubgate.began": "then", "hubgate.host": "there"}})
		if err != nil {
			t.Fatal(err)
		}
	}
	args := append([]string{"serve", "--data-dir", t.TempDir(), "--nats", other.url}, p.flags()...)
	if r := hubtest.Run(t, nil, args...); r.Code != 1 || !strings.Contains(r.Stderr, "is being restored from a backup") {
		t.Errorf("a node starts on half a hub: %d %s", r.Code, r.Stderr)
	}
	if r := hubtest.Run(t, nil, "restore", "--in", dir, "--nats", other.url); r.Code != 4 || !strings.Contains(r.Stderr, "begun at then on there") {
		t.Errorf("restore beside another: %d %s", r.Code, r.Stderr)
	}
	if r := hubtest.Run(t, nil, "restore", "--in", dir, "--nats", other.url, "--discard-unfinished"); r.Code != 0 {
		t.Fatalf("restore: %d %s", r.Code, r.Stderr)
	}
	g = startNode(t, other, p)
	var devices []json.RawMessage
	if err := json.Unmarshal(g.CLI(t, "device", "list", "-o", "json"), &devices); err != nil || len(devices) != 20 {
		t.Errorf("there are %d devices, %v", len(devices), err)
	}
}
