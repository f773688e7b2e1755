package faults

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/test/hubtest"
)

// checkRefusedStart checks that a start failed with a code and one sentence
// that holds all of want, and that nothing panicked.
func checkRefusedStart(t *testing.T, r hubtest.Result, code int, want ...string) {
	t.Helper()
	if r.Code != code {
		t.Errorf("exit code %d, want %d", r.Code, code)
	}
	var said []string
	for line := range strings.Lines(r.Stderr) {
		if text, ok := strings.CutPrefix(line, "hubgate: "); ok {
			said = append(said, strings.TrimSpace(text))
		}
	}
	if len(said) != 1 {
		t.Fatalf("%d sentences, want one; stderr:\n%s", len(said), hubtest.Tail(r.Stderr))
	}
	t.Log(said[0])
	for _, w := range want {
		if !strings.Contains(said[0], w) {
			t.Errorf("the sentence does not hold %q", w)
		}
	}
	for _, sign := range []string{"panic:", "goroutine ", "runtime error"} {
		if strings.Contains(r.Stderr+r.Stdout, sign) {
			t.Errorf("the output holds %q:\n%s", sign, hubtest.Tail(r.Stderr))
		}
	}
}

// devArgs is a start on an address of its own.
func devArgs(t *testing.T, dir string, more ...string) []string {
	t.Helper()
	args := append([]string{"dev", "--data-dir", dir, "--nats-port", "0"}, addressFlags(hubtest.FreeAddress(t, mqttPort, httpsPort, plainPort))...)
	return append(args, more...)
}

// damage is a change to one file of a data directory.
type damage struct {
	glob string // below the data directory
	do   func(t *testing.T, path string)
	want []string // in the sentence, besides the path
}

func scribble(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, garbage(0x00), 0o600); err != nil {
		t.Fatal(err)
	}
}

func truncate(t *testing.T, path string) {
	t.Helper()
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

// asDirectory puts a directory in the place of a file.
func asDirectory(t *testing.T, path string) {
	t.Helper()
	remove(t, path)
	if err := os.MkdirAll(path, 0o700); err != nil {
		t.Fatal(err)
	}
}

// asFile puts a file in the place of a directory.
func asFile(t *testing.T, path string) {
	t.Helper()
	remove(t, path)
	scribble(t, path)
}

// TestDamagedDataDirectory damages one file at a time of a data directory with
// devices and messages in it. The start is refused by a sentence that names
// the file, and works again when the file is back as it was: nothing else was
// touched.
func TestDamagedDataDirectory(t *testing.T) {
	g := start(t, hubtest.Options{})
	d := newDevice(t, g, "owner")
	if err := d.mustConnect(t).publish(d.eventsTopic(""), "precious", 1); err != nil {
		t.Fatal(err)
	}
	g.Stop(t, syscall.SIGTERM)
	dir := g.DataDir
	for name, c := range map[string]damage{
		"ca.pem":              {"certs/ca.pem", scribble, nil},
		"ca.pem empty":        {"certs/ca.pem", truncate, nil},
		"ca.key":              {"certs/ca.key", scribble, nil},
		"ca.key missing":      {"certs/ca.key", remove, nil},
		"ca.pem directory":    {"certs/ca.pem", asDirectory, nil},
		"server.key":          {"certs/server.key", scribble, nil},
		"hub seed":            {"nats/hub.nk", scribble, nil},
		"hub seed empty":      {"nats/hub.nk", truncate, nil},
		"hub seed missing":    {"nats/hub.nk", remove, nil},
		"operator seed":       {"nats/operator.nk", scribble, nil},
		"gateway creds":       {"nats/gateway.creds", scribble, []string{"remove the file"}},
		"hub creds":           {"nats/hub.creds", truncate, []string{"remove the file"}},
		"stream's meta.inf":   {"jetstream/*/streams/HUB_TELEMETRY/meta.inf", scribble, nil},
		"stream's meta empty": {"jetstream/*/streams/HUB_TELEMETRY/meta.inf", truncate, nil},
		"stream's meta.sum":   {"jetstream/*/streams/HUB_TELEMETRY/meta.sum", scribble, nil},
		"devices' meta.inf":   {"jetstream/*/streams/KV_hub_devices/meta.inf", scribble, nil},
		"stream is a file":    {"jetstream/*/streams/HUB_TELEMETRY", asFile, nil},
		"lock is a directory": {"lock", asDirectory, []string{"--data-dir"}},
		"jetstream is a file": {"jetstream", asFile, []string{"--data-dir"}},
		"nats is a file":      {"nats", asFile, nil},
		"certs is a file":     {"certs", asFile, []string{"--data-dir"}},
		"hub.json is no file": {"hub.json", asDirectory, []string{"remove"}},
	} {
		t.Run(name, func(t *testing.T) {
			copied := filepath.Join(t.TempDir(), "data")
			if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			paths, err := filepath.Glob(filepath.Join(copied, c.glob))
			if err != nil || len(paths) > 1 {
				t.Fatalf("%s: %v, %v", c.glob, paths, err)
			}
			path := filepath.Join(copied, c.glob)
			if len(paths) == 1 {
				path = paths[0]
			}
			c.do(t, path)
			named := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
			if strings.HasPrefix(named, "meta") {
				named = filepath.Dir(path)
			}
			checkRefusedStart(t, hubtest.Run(t, nil, devArgs(t, copied)...), 1, append(c.want, named)...)
			// Nothing was made anew over it: with the file back, all is there.
			restore(t, dir, copied, c.glob)
			again := hubtest.Start(t, hubtest.Options{DataDir: copied, Flags: addressFlags(g.Ready.HostName)})
			defer again.Stop(t, syscall.SIGTERM)
			if got := again.Messages(t, "owner", 1); string(got[0].Data()) != "precious" {
				t.Errorf("the stream has %q", got[0].Data())
			}
			d.mustConnect(t).close() // the same CA, key and session
		})
	}
}

// restore puts one file of a data directory back from the original.
func restore(t *testing.T, from, to, glob string) {
	t.Helper()
	top, _, _ := strings.Cut(glob, "/")
	remove(t, filepath.Join(to, top))
	info, err := os.Stat(filepath.Join(from, top))
	if os.IsNotExist(err) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if info.IsDir() {
		err = os.CopyFS(filepath.Join(to, top), os.DirFS(filepath.Join(from, top)))
	} else {
		var b []byte
		if b, err = os.ReadFile(filepath.Join(from, top)); err == nil {
			err = os.WriteFile(filepath.Join(to, top), b, 0o600)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestDamagedBlock damages the messages themselves. JetStream leaves out what it
// can't read, or cuts the block off there, and tells nobody; the hub goes on.
func TestDamagedBlock(t *testing.T) {
	for name, index := range map[string]bool{"with index": true, "without index": false} {
		t.Run(name, func(t *testing.T) {
			g := start(t, hubtest.Options{})
			all, warm := newPublishers(t, g, 1, 16)
			c := begin(t, all, never)
			await(t, "messages", warm)
			c.finish()
			g.Stop(t, syscall.SIGTERM)
			blocks, err := filepath.Glob(filepath.Join(g.DataDir, "jetstream/*/streams/HUB_TELEMETRY/msgs/*.blk"))
			if err != nil || len(blocks) == 0 {
				t.Fatalf("no blocks: %v", err)
			}
			b, err := os.ReadFile(blocks[0])
			if err != nil {
				t.Fatal(err)
			}
			copy(b[len(b)/2:], garbage(0xFF)[:64])
			if err := os.WriteFile(blocks[0], b, 0o600); err != nil {
				t.Fatal(err)
			}
			if !index { // then JetStream reads the blocks, as after a crash
				remove(t, filepath.Join(filepath.Dir(blocks[0]), "index.db"))
			}
			g.Start(t)
			d := all[0]
			conn := d.mustConnect(t)
			for i := range 10 {
				if err := conn.publish(d.eventsTopic(""), "more", uint16(i+1)); err != nil {
					t.Fatalf("publish after the damage: %v", err)
				}
			}
			kept, more := 0, 0
			g.Each(t, "HUB_TELEMETRY", "hub.telemetry."+hubtest.Key(d.id.String()), func(m jetstream.Msg) {
				if string(m.Data()) == "more" {
					more++
				} else {
					kept++
				}
			})
			t.Logf("%d of %d messages are left", kept, d.acked())
			if more != 10 || kept == 0 {
				t.Errorf("the stream has %d messages from before the damage and %d from after it, want some and 10", kept, more)
			}
		})
	}
}

func TestUnusableDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	scribble(t, file)
	checkRefusedStart(t, hubtest.Run(t, nil, devArgs(t, file)...), 1, file, "--data-dir")
	checkRefusedStart(t, hubtest.Run(t, nil, devArgs(t, filepath.Join(file, "below"))...), 1, file, "--data-dir")
	checkRefusedStart(t, hubtest.Run(t, nil, devArgs(t, "/proc/nothing")...), 1, "/proc/nothing", "--data-dir")
	if os.Geteuid() == 0 {
		return // to root nothing is closed
	}
	closed := t.TempDir()
	if err := os.Chmod(closed, 0); err != nil {
		t.Fatal(err)
	}
	checkRefusedStart(t, hubtest.Run(t, nil, devArgs(t, closed)...), 1, closed, "--data-dir")
}

func TestSecondProcess(t *testing.T) {
	g := start(t, hubtest.Options{})
	innocent := newBystander(t, g, newDevice(t, g, "innocent"))
	checkRefusedStart(t, hubtest.Run(t, nil, devArgs(t, g.DataDir)...), 1, g.DataDir, "in use", "--data-dir")
	// A CLI command is no second hub.
	g.CLI(t, "device", "list")
	innocent.finish(t)
}

func TestTakenPort(t *testing.T) {
	host := hubtest.FreeAddress(t, mqttPort, httpsPort, plainPort)
	for name, c := range map[string]struct {
		addr string
		flag string
		want string
	}{
		"mqtt":  {net.JoinHostPort(host, strconv.Itoa(mqttPort)), "", "--mqtt-port"},
		"https": {net.JoinHostPort(host, strconv.Itoa(httpsPort)), "", "--https-port"},
		"plain": {net.JoinHostPort(host, strconv.Itoa(plainPort)), "", "--plain-listen"},
		"nats":  {"127.0.0.1:0", "--nats-port", "--nats-port"},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", c.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			args := append([]string{"dev", "--data-dir", t.TempDir(), "--nats-port", "0"}, addressFlags(host)...)
			port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
			if c.flag != "" {
				args = append(args, c.flag, port)
			}
			checkRefusedStart(t, hubtest.Run(t, nil, args...), 1, port, "taken", c.want)
		})
	}
}

func TestWrongConfiguration(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	missing := filepath.Join(dir, "missing.yaml")
	for name, c := range map[string]struct {
		args []string
		want []string
	}{
		"unknown key":             {[]string{"--config", file("a.yaml", "hub:\n  host: 127.0.0.1\nlistn:\n  mqtt_port: 1\n")}, []string{"a.yaml", "3", "listn", "listen"}},
		"unknown key below":       {[]string{"--config", file("b.yaml", "limits:\n  windows: 3\n")}, []string{"b.yaml", "2", "windows", "limits.window"}},
		"missing file":            {[]string{"--config", missing}, []string{missing}},
		"a directory":             {[]string{"--config", dir}, []string{dir}},
		"no YAML":                 {[]string{"--config", file("c.yaml", "a: [b\n")}, []string{"c.yaml"}},
		"a list for a value":      {[]string{"--config", file("d.yaml", "limits:\n  window: [1, 2]\n")}, []string{"d.yaml", "limits.window"}},
		"wrong value":             {[]string{"--config", file("e.yaml", "limits:\n  handshake_timeout: soon\n")}, []string{"e.yaml", "limits.handshake_timeout", "soon"}},
		"the same key twice":      {[]string{"--config", file("f.yaml", "log:\n  level: info\nlog:\n  level: warn\n")}, []string{"f.yaml", "log"}},
		"mqtt and https port":     {[]string{"--mqtt-port", "9001", "--https-port", "9001"}, []string{"9001", "listen.mqtt_port", "different ports"}},
		"mqtt and plain port":     {[]string{"--mqtt-port", "9001", "--host", "127.0.0.1", "--plain-listen", "127.0.0.1:9001"}, []string{"9001", "listen.plain"}},
		"plain for everybody":     {[]string{"--plain-listen", "0.0.0.0:9001"}, []string{"TLS", "--plain-insecure"}},
		"port beyond ports":       {[]string{"--mqtt-port", "70000"}, []string{"70000", "65535"}},
		"negative port":           {[]string{"--mqtt-port", "-1"}, []string{"-1"}},
		"unknown flag":            {[]string{"--mqtt-prot", "1"}, []string{"--mqtt-prot"}},
		"a sync of another kind":  {[]string{"--sync", "never"}, []string{"never", "interval", "always"}},
		"a URL as host":           {[]string{"--host", "https://hub.example"}, []string{"https://hub.example", "host name"}},
		"the wildcard as host":    {[]string{"--host", "0.0.0.0"}, []string{"0.0.0.0"}},
		"dev and external NATS":   {[]string{"--set", "nats.url=nats://127.0.0.1:4222"}, []string{"hubgate serve"}},
		"no patience":             {[]string{"--set", "telemetry.store_timeout=0"}, []string{"telemetry.store_timeout"}},
		"an unknown key in --set": {[]string{"--set", "limits.nothing=1"}, []string{"limits.nothing"}},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"dev", "--data-dir", filepath.Join(dir, "data"), "--nats-port", "0"}, c.args...)
			checkRefusedStart(t, hubtest.Run(t, nil, args...), 2, c.want...)
			if _, err := os.Stat(filepath.Join(dir, "data")); err == nil {
				t.Error("a start that was refused has made the data directory")
			}
		})
	}
}
