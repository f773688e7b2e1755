package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/hubgate/hubgate/backend"
	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
)

// check runs hubgate check and returns what it finds.
func check(t *testing.T, code int, args ...string) []backend.Finding {
	t.Helper()
	return checkWith(t, nil, code, args...)
}

// checkWith is check with something in the environment.
func checkWith(t *testing.T, env []string, code int, args ...string) []backend.Finding {
	t.Helper()
	r := hubgate(t, env, append([]string{"check", "-o", "json"}, args...)...)
	var out struct {
		OK       bool              `json:"ok"`
		Findings []backend.Finding `json:"findings"`
	}
	if err := json.Unmarshal([]byte(r.out), &out); err != nil {
		t.Fatalf("%v: %s%s", err, r.out, r.err)
	}
	if r.code != code || out.OK != (code == exitOK) || r.err != "" {
		t.Errorf("got exit code %d and ok %t, want %d: %+v\n%s", r.code, out.OK, code, out.Findings, r.err)
	}
	for _, f := range out.Findings {
		if f.Level != backend.Good && f.Remedy == "" {
			t.Errorf("no remedy: %+v", f)
		}
	}
	return out.Findings
}

// wantFinding looks for a finding.
func wantFinding(t *testing.T, found []backend.Finding, level backend.Level, what string, words ...string) {
	t.Helper()
	if !slices.ContainsFunc(found, func(f backend.Finding) bool {
		return f.Level == level && strings.Contains(f.What, what) && !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(f.Text+f.Remedy, w) })
	}) {
		t.Errorf("no %s of %s with %q in %+v", level, what, words, found)
	}
}

func wantNone(t *testing.T, found []backend.Finding, level backend.Level) {
	t.Helper()
	for _, f := range found {
		if f.Level == level {
			t.Errorf("got %+v", f)
		}
	}
}

func TestCheckBeforeTheFirstStart(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new")
	args := []string{"--for", "dev", "--data-dir", dir, "--mqtt-port", "0", "--https-port", "0", "--nats-port", "0"}
	found := check(t, exitOK, args...)
	wantNone(t, found, backend.Bad)
	wantFinding(t, found, backend.Good, "data directory", "made at the first start")
	wantFinding(t, found, backend.Good, "certificates", "made at the first start")
	wantFinding(t, found, backend.Warn, "encryption", "in clear")
	if _, err := os.Stat(dir); err == nil {
		t.Error("the check has made the data directory")
	}
	r := hubgate(t, nil, append([]string{"check"}, args...)...)
	wantAll(t, r.out, "LEVEL", "WHAT", "FINDING", "-> set nats.encryption_key")
}

// TestCheckKnowsAllSecrets: of every file with a secret that a configuration can name
// it is said that others may read it.
func TestCheckKnowsAllSecrets(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	open := func(name string) string {
		path := write(t, dir, name, "secret")
		if err := os.Chmod(path, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cfg := config.Default()
	cfg.TLS.KeyFiles, cfg.TLS.IssuerKeyFile = []string{open("server.key")}, open("issuer.key")
	cfg.Admin.KeyFile, cfg.Admin.TokenFile = open("admin.key"), open("admin.token")
	cfg.NATS.Creds, cfg.NATS.NKey, cfg.NATS.Key, cfg.NATS.Leaf.Creds = open("nats.creds"), open("nats.nk"), open("nats.key"), open("leaf.creds")
	cfg.NATS.EncryptionKey, cfg.Tracing.Headers = open("encryption"), open("headers")
	cfg.Policies = []config.Policy{{Primary: config.Key{File: open("primary")}, Secondary: config.Key{File: open("secondary")}}}
	k := &checkup{cfg: cfg, role: config.Serve}
	k.permissions()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		wantFinding(t, k.found, backend.Bad, "file "+filepath.Join(dir, e.Name()), "everybody", "chmod 600")
	}
}

// TestCheckBesideARunningHub: dev's own ports are its own, and nothing is
// written.
func TestCheckBesideARunningHub(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := startDev(t, dir)
	nc, err := nats.Connect(p.ready.NATSURL, nats.UserCredentials(p.ready.NATSCreds))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	before := written(t, nc)
	ports := p.ready.Ports
	flags := []string{"--data-dir", dir, "--mqtt-port", strconv.Itoa(ports.MQTT), "--https-port", strconv.Itoa(ports.HTTPS)}
	found := check(t, exitOK, append(flags, "--for", "dev", "--nats-port", strconv.Itoa(ports.NATS))...)
	wantNone(t, found, backend.Bad)
	for _, port := range []int{ports.MQTT, ports.HTTPS, ports.NATS} {
		wantFinding(t, found, backend.Good, "port "+strconv.Itoa(port), "has it already")
	}
	wantFinding(t, found, backend.Good, "nats: rights", "were tried")
	wantFinding(t, found, backend.Good, "jetstream: streams", fmt.Sprintf("%[1]d of %[1]d", len((subject.Names{}).Streams())))
	wantFinding(t, found, backend.Good, "clock: nats", "apart")
	wantFinding(t, found, backend.Good, "secret files")
	if after := written(t, nc); after != before {
		t.Errorf("the check has written: %s, before %s", after, before)
	}
	other := check(t, exitFailure, "--for", "dev", "--data-dir", t.TempDir(), "--mqtt-port", "0", "--https-port", "0", "--nats-port", strconv.Itoa(ports.NATS))
	wantFinding(t, other, backend.Bad, "port "+strconv.Itoa(ports.NATS), "taken by another program")
	if err := os.Chmod(p.ready.BackendCreds, 0o644); err != nil {
		t.Fatal(err)
	}
	wantFinding(t, check(t, exitFailure, append(flags, "--for", "dev", "--nats-port", strconv.Itoa(ports.NATS))...),
		backend.Bad, "backend.creds", "everybody", "chmod 600")
}

// written tells of each stream its last sequence. In two buckets a running hub itself
// writes the same keys again and again, and there it tells the keys.
func written(t *testing.T, nc *nats.Conn) string {
	t.Helper()
	var all []string
	names := subject.Names{}
	nodes, configurations := names.NodesBucket(), names.ConfigurationBucket()
	for _, name := range names.Streams() {
		m, err := nc.Request("$JS.API.STREAM.INFO."+name, []byte(`{"subjects_filter":">"}`), patience)
		if err != nil {
			t.Fatal(err)
		}
		var info struct {
			State struct {
				LastSeq  uint64         `json:"last_seq"`
				Subjects map[string]int `json:"subjects"`
			} `json:"state"`
		}
		if err := json.Unmarshal(m.Data, &info); err != nil {
			t.Fatal(err)
		}
		if name == "KV_"+nodes || name == "KV_"+configurations {
			delete(info.State.Subjects, "$KV."+configurations+"."+subject.LeaseKey) // it may come late
			all = append(all, fmt.Sprintf("%s:%q", name, slices.Sorted(maps.Keys(info.State.Subjects))))
			continue
		}
		all = append(all, fmt.Sprintf("%s:%d", name, info.State.LastSeq))
	}
	return strings.Join(all, " ")
}

// externalNATS runs a NATS server with one user.
func externalNATS(t *testing.T, change func(*server.Options, *server.User)) string {
	t.Helper()
	user := &server.User{Username: "node", Password: "pw"}
	opts := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true, JetStream: true, StoreDir: t.TempDir(), Users: []*server.User{user}}
	change(opts, user)
	s, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(patience) {
		t.Fatal("nats-server does not start")
	}
	return strings.Replace(s.ClientURL(), "nats://", "nats://node:pw@", 1)
}

func TestCheckExternalNATS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := startDev(t, dir)
	p.stopCleanly(t)
	at := func(url string) []string {
		return []string{
			"--host", "127.0.0.1", "--mqtt-port", "0", "--https-port", "0", "--nats", url,
			"--tls-cert", filepath.Join(dir, "certs", "server.pem"), "--tls-key", filepath.Join(dir, "certs", "server.key"),
		}
	}
	rights := (subject.Names{}).NodeRights()
	good := check(t, exitOK, at(externalNATS(t, func(_ *server.Options, u *server.User) {
		u.Permissions = &server.Permissions{
			Publish: &server.SubjectPermission{Allow: rights.Publish}, Subscribe: &server.SubjectPermission{Allow: rights.Subscribe},
		}
	}))...)
	wantFinding(t, good, backend.Good, "nats: rights")
	wantFinding(t, good, backend.Good, "jetstream: streams", "none is there yet")
	wantFinding(t, good, backend.Warn, "certificates", "ECDSA", "RSA")

	bad := check(t, exitFailure, at(externalNATS(t, func(o *server.Options, u *server.User) {
		o.MaxPayload = 64 << 10
		u.Permissions = &server.Permissions{
			Publish:   &server.SubjectPermission{Deny: []string{"$JS.API.STREAM.CREATE.HUB_EVENTS", "$KV.hub_devices.>", "hub.telemetry.>"}},
			Subscribe: &server.SubjectPermission{Deny: []string{"hub.method.>"}},
		}
	}))...)
	for _, right := range []string{"publish $JS.API.STREAM.CREATE.HUB_EVENTS", "publish $KV.hub_devices.>", "publish hub.telemetry.>", "subscribe hub.method.>"} {
		wantFinding(t, bad, backend.Bad, "nats: rights", right, "docs/rights.md")
	}
	wantFinding(t, bad, backend.Bad, "nats: max_payload", "65536")

	none := check(t, exitFailure, at(externalNATS(t, func(o *server.Options, _ *server.User) { o.JetStream = false }))...)
	wantFinding(t, none, backend.Bad, "jetstream", "not enabled")
	wantFinding(t, check(t, exitFailure, at("nats://node:pw@127.0.0.1:1")...), backend.Bad, "nats", "no NATS server answers")
}

func TestCheckFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	startDev(t, dir).stopCleanly(t)
	cert, key := filepath.Join(dir, "certs", "server.pem"), filepath.Join(dir, "certs", "server.key")
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	_, taken, _ := net.SplitHostPort(ln.Addr().String())
	loose := filepath.Join(t.TempDir(), "loose.key")
	if text, err := os.ReadFile(key); err != nil || os.WriteFile(loose, text, 0o640) != nil {
		t.Fatal(err)
	}
	serve := func(more ...string) []string {
		return append([]string{"--embedded", "--data-dir", t.TempDir(), "--mqtt-port", "0", "--https-port", "0", "--nats-port", "0"}, more...)
	}
	tests := map[string]struct {
		args  []string
		level backend.Level
		what  string
		words []string
	}{
		"no name":          {serve("--tls-cert", cert, "--tls-key", key), backend.Bad, "configuration", []string{"hub.host"}},
		"unknown key":      {serve("--set", "hub.hots=x"), backend.Bad, "configuration", []string{"hots"}},
		"other name":       {serve("--host", "other.example", "--listen", "127.0.0.1", "--tls-cert", cert, "--tls-key", key), backend.Bad, "name other.example", []string{"no SDK connects"}},
		"alias":            {serve("--host", "127.0.0.1", "--alias", "x.example", "--tls-cert", cert, "--tls-key", key), backend.Warn, "name x.example", []string{"GatewayHostName"}},
		"no dot":           {serve("--host", "localhost", "--tls-cert", cert, "--tls-key", key), backend.Warn, "name localhost", []string{"C SDK"}},
		"no certificate":   {serve("--host", "127.0.0.1", "--tls-cert", cert+"x", "--tls-key", key), backend.Bad, "certificate", []string{"no such file"}},
		"loose key":        {serve("--host", "127.0.0.1", "--tls-cert", cert, "--tls-key", loose), backend.Warn, "loose.key", []string{"group", "chmod 600"}},
		"taken port":       {serve("--host", "127.0.0.1", "--tls-cert", cert, "--tls-key", key, "--mqtt-port", taken), backend.Bad, "port " + taken, []string{"taken", "--mqtt-port"}},
		"no key":           {serve("--host", "127.0.0.1", "--tls-cert", cert, "--tls-key", key, "--set", "nats.encryption_key=/nowhere"), backend.Bad, "encryption", []string{"/nowhere"}},
		"NATS for all":     {serve("--host", "127.0.0.1", "--tls-cert", cert, "--tls-key", key, "--set", "nats.address=0.0.0.0"), backend.Warn, "nats: TLS", []string{"without TLS"}},
		"no such data dir": {serve("--host", "127.0.0.1", "--tls-cert", cert, "--tls-key", key, "--data-dir", cert), backend.Bad, "data directory", []string{"not a directory"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code := exitOK
			if tt.level == backend.Bad {
				code = exitFailure
			}
			wantFinding(t, check(t, code, tt.args...), tt.level, tt.what, tt.words...)
		})
	}
}
