package config_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
)

// file writes a configuration file and returns its path.
func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hubgate.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func flag(path string, values ...string) config.Setting {
	return config.Setting{Path: path, Origin: "--" + path, Values: values}
}

// TestPrecedence sets the same values in several places.
func TestPrecedence(t *testing.T) {
	t.Parallel()
	yaml := "hub:\n  host: from.file\n  aliases: [a.file, b.file]\nlisten: {mqtt_port: 1}\n"
	env := []string{"HUBGATE_HOST=from.env", "HUBGATE_ALIAS=a.env, b.env", "HUBGATE_MQTT_PORT=2", "HUBGATE_TELEMETRY_MAX_AGE=1d", "OTHER=x"}
	flags := []config.Setting{flag("hub.host", "from.flag"), flag("hub.aliases", "a.flag"), flag("listen.mqtt_port", "3")}
	tests := map[string]struct {
		file    string
		env     []string
		flags   []config.Setting
		host    string
		aliases []string
		port    int
		origin  string
	}{
		"default":       {"", nil, nil, "", nil, 8883, ""},
		"file":          {yaml, nil, nil, "from.file", []string{"a.file", "b.file"}, 1, ":2"},
		"env":           {"", env, nil, "from.env", []string{"a.env", "b.env"}, 2, "HUBGATE_HOST"},
		"env over file": {yaml, env, nil, "from.env", []string{"a.env", "b.env"}, 2, "HUBGATE_HOST"},
		"flag over all": {yaml, env, flags, "from.flag", []string{"a.flag"}, 3, "--hub.host"},
		"empty env":     {yaml, []string{"HUBGATE_HOST="}, nil, "from.file", []string{"a.file", "b.file"}, 1, ":2"},
		"no content":    {"# nothing\n", nil, nil, "", nil, 8883, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src := config.Source{Env: tt.env, Settings: tt.flags}
			if tt.file != "" {
				src.File = file(t, tt.file)
			}
			c, err := config.Load(src)
			if err != nil {
				t.Fatal(err)
			}
			if c.Hub.Host != tt.host || !slices.Equal(c.Hub.Aliases, tt.aliases) || c.Listen.MQTTPort != tt.port {
				t.Errorf("got %q %q %d, want %q %q %d", c.Hub.Host, c.Hub.Aliases, c.Listen.MQTTPort, tt.host, tt.aliases, tt.port)
			}
			if got := c.Origin("hub.host"); !strings.HasSuffix(got, tt.origin) || (got == "") != (tt.origin == "") {
				t.Errorf("hub.host comes from %q, want %q", got, tt.origin)
			}
		})
	}
}

// TestBadFile: whatever is wrong is named with its line.
func TestBadFile(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ yaml, want string }{
		"unknown key":           {"hub:\n  hots: x\n", ":2: unknown key hub.hots; did you mean hub.host?"},
		"unknown section":       {"# comment\nlissen:\n  mqtt_port: 1\n", ":2: unknown key lissen; did you mean listen?"},
		"key without section":   {"host: x\n", ":1: unknown key host; did you mean hub.host?"},
		"half a key":            {"listen:\n  mqtt: 1\n", ":2: unknown key listen.mqtt; did you mean listen.mqtt_port?"},
		"nothing near":          {"colour: red\n", ":1: unknown key colour\n"},
		"same key twice":        {"log:\n  level: info\n  level: warn\n", ":3: log.level is set twice, first in line 2"},
		"no number":             {"listen:\n  mqtt_port: many\n", `:2: listen.mqtt_port: "many" is not a whole number`},
		"negative number":       {"listen:\n  mqtt_port: -1\n", `:2: listen.mqtt_port: "-1" is not a whole number`},
		"no duration":           {"limits:\n  connect_timeout: soon\n", `:2: limits.connect_timeout: "soon" is not a duration such as`},
		"duration without unit": {"limits:\n  connect_timeout: 30\n", `:2: limits.connect_timeout: "30" is not a duration`},
		"no size":               {"limits:\n  max_packet: 1 elephant\n", `:2: limits.max_packet: "1 elephant" is not a number of bytes`},
		"none of the words":     {"durability:\n  sync: never\n", `:2: durability.sync: "never" is none of interval, group, always`},
		"no bool":               {"nats:\n  embedded: maybe\n", `:2: nats.embedded: "maybe" is neither true nor false`},
		"no value":              {"hub:\n  host:\n", ":2: hub.host has no value"},
		"section without keys":  {"hub: x\n", ":1: hub must hold keys"},
		"empty section":         {"hub:\nlog:\n  level: info\n", ":1: hub must hold keys"},
		"list for one":          {"hub:\n  host: [a, b]\n", ":2: hub.host takes one value"},
		"map for one":           {"hub:\n  host: {a: b}\n", ":2: hub.host takes one value"},
		"map in a list":         {"hub:\n  aliases:\n    - a: b\n", ":3: hub.aliases takes a list of values"},
		"a list":                {"- a\n", ":1: the file must hold keys"},
		"two documents":         {"hub: {host: a}\n---\nhub: {host: b}\n", "more than one YAML document"},
		"no YAML":               {"hub: [\n", "line "},
		"several faults":        {"hots: x\nlog:\n  level: loud\n", ":3: log.level: \"loud\" is none of"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := file(t, tt.yaml)
			_, err := config.Load(config.Source{File: path})
			if err == nil || !strings.Contains(err.Error()+"\n", tt.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v, want %s%s", err, path, tt.want)
			}
		})
	}
}

func TestMissingFile(t *testing.T) {
	t.Parallel()
	_, err := config.Load(config.Source{File: filepath.Join(t.TempDir(), "nowhere.yaml")})
	if err == nil || !strings.Contains(err.Error(), "nowhere.yaml") {
		t.Errorf("got %v", err)
	}
}

func TestBadSettings(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		src  config.Source
		want string
	}{
		"env":          {config.Source{Env: []string{"HUBGATE_MQTT_PORT=x"}}, `HUBGATE_MQTT_PORT: listen.mqtt_port: "x" is not`},
		"flag":         {config.Source{Settings: []config.Setting{flag("log.level", "loud")}}, "--log.level: log.level: \"loud\" is none of"},
		"unknown path": {config.Source{Settings: []config.Setting{{Path: "log.levle", Origin: "--set"}}}, "--set: unknown key log.levle; did you mean log.level?"},
		"two values":   {config.Source{Settings: []config.Setting{flag("hub.host", "a", "b")}}, "hub.host takes one value, not 2"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := config.Load(tt.src); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestMisspelled(t *testing.T) {
	t.Parallel()
	got := config.Misspelled([]string{
		"HUBGATE_HSOT=x", "HUBGATE_HOST=x", "HUBGATE_PORT=tcp://10.0.0.1:443", "HUBGATE_SERVICE_PORT=443", "HUBGATE_BIN=x", "HOME=/",
	})
	want := []string{"the environment variable HUBGATE_HSOT is not read; did you mean HUBGATE_HOST?"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestComplete checks what values mean together. Each case is a complete
// configuration but for what it shows.
func TestComplete(t *testing.T) {
	t.Parallel()
	serve := []config.Setting{
		flag("hub.host", "hub.example"), flag("nats.url", "nats://n:4222"), flag("tls.cert_files", "c"), flag("tls.key_files", "k"),
	}
	embedded := []config.Setting{
		flag("hub.host", "hub.example"), flag("nats.embedded", "true"), flag("tls.cert_files", "c"), flag("tls.key_files", "k"),
	}
	tests := map[string]struct {
		role config.Role
		base []config.Setting
		set  []config.Setting
		want string // of the error; empty: none
	}{
		"dev":                     {config.Dev, nil, nil, ""},
		"serve":                   {config.Serve, serve, nil, ""},
		"serve, embedded":         {config.Serve, embedded, nil, ""},
		"serve, nothing":          {config.Serve, nil, nil, "hub.host (--host): a hub needs the name"},
		"serve without NATS":      {config.Serve, nil, nil, "nats.url (--nats): a node needs the URL"},
		"serve without TLS":       {config.Serve, nil, nil, "tls.cert_files (--tls-cert): a node needs certificates"},
		"both kinds of NATS":      {config.Serve, serve, []config.Setting{flag("nats.embedded", "true")}, "--nats.embedded: nats.embedded: a node uses either"},
		"dev with NATS":           {config.Dev, nil, []config.Setting{flag("nats.url", "nats://n")}, "hubgate dev runs a NATS server of its own"},
		"dev with certificates":   {config.Dev, nil, []config.Setting{flag("tls.cert_files", "c")}, "hubgate dev makes its own certificates"},
		"host with port":          {config.Dev, nil, []config.Setting{flag("hub.host", "a:8883")}, "--hub.host: hub.host: \"a:8883\" is not a host name"},
		"host with scheme":        {config.Dev, nil, []config.Setting{flag("hub.host", "https://a")}, "is not a host name"},
		"IPv6 host":               {config.Dev, nil, []config.Setting{flag("hub.host", "::1")}, "is an IPv6 address"},
		"host is everywhere":      {config.Dev, nil, []config.Setting{flag("hub.host", "0.0.0.0")}, "no address that devices can dial"},
		"bad alias":               {config.Dev, nil, []config.Setting{flag("hub.aliases", "ok", "not ok")}, `hub.aliases: "not ok" is not a host name`},
		"certificate without key": {config.Serve, serve, []config.Setting{flag("tls.cert_files", "c", "d")}, "2 certificate files and 1 key files"},
		"same port twice":         {config.Dev, nil, []config.Setting{flag("listen.https_port", "8883")}, "listen.https_port: 127.0.0.1:8883 is taken by listen.mqtt_port"},
		"any port twice":          {config.Dev, nil, []config.Setting{flag("listen.https_port", "0"), flag("listen.mqtt_port", "0")}, ""},
		"NATS on the MQTT port":   {config.Dev, nil, []config.Setting{flag("nats.port", "8883")}, "nats.port: 127.0.0.1:8883 is taken by listen.mqtt_port"},
		"other address":           {config.Dev, nil, []config.Setting{flag("nats.port", "8883"), flag("nats.address", "127.0.0.2")}, ""},
		"all interfaces":          {config.Dev, nil, []config.Setting{flag("nats.port", "8883"), flag("hub.host", "a.b")}, "is taken by listen.mqtt_port"},
		"plain on the MQTT port":  {config.Dev, nil, []config.Setting{flag("listen.plain", "127.0.0.1:8883")}, "listen.plain: 127.0.0.1:8883 is taken"},
		"plain":                   {config.Dev, nil, []config.Setting{flag("listen.plain", "localhost:1883")}, ""},
		"plain without port":      {config.Dev, nil, []config.Setting{flag("listen.plain", "127.0.0.1")}, "is not an address and port"},
		"plain with a name":       {config.Dev, nil, []config.Setting{flag("listen.plain", "a.b:1883")}, `"a.b" is not an IP address`},
		"plain with a bad port":   {config.Dev, nil, []config.Setting{flag("listen.plain", "127.0.0.1:mqtt")}, `"mqtt" is not a port`},
		"plain for all":           {config.Dev, nil, []config.Setting{flag("listen.plain", ":1883")}, "add --plain-insecure"},
		"plain for all, forced":   {config.Dev, nil, []config.Setting{flag("listen.plain", ":1883"), flag("listen.plain_insecure", "true")}, ""},
		"no IP address":           {config.Dev, nil, []config.Setting{flag("listen.address", "eth0")}, `listen.address: "eth0" is not an IP address`},
		"no NATS address":         {config.Dev, nil, []config.Setting{flag("nats.address", "eth0")}, `nats.address: "eth0" is not an IP address`},
		"port too large":          {config.Dev, nil, []config.Setting{flag("listen.mqtt_port", "65536")}, "65536 is not a port"},
		"creds and nkey":          {config.Serve, serve, []config.Setting{flag("nats.creds", "a"), flag("nats.nkey", "b")}, "give one of them"},
		"half a certificate":      {config.Serve, serve, []config.Setting{flag("nats.cert", "a")}, "needs both nats.cert and nats.key"},
		"sync of another server":  {config.Serve, serve, []config.Setting{flag("durability.sync", "always")}, "write sync_interval: always"},
		"sync of our server":      {config.Dev, nil, []config.Setting{flag("durability.sync", "always")}, ""},
		"group sync of another":   {config.Serve, serve, []config.Setting{flag("durability.sync", "group")}, "group is for the embedded NATS server"},
		"group sync of ours":      {config.Dev, nil, []config.Setting{flag("durability.sync", "group")}, ""},
		"bad prefix":              {config.Dev, nil, []config.Setting{flag("nats.prefix", "a.b")}, `nats.prefix: "a.b" is not`},
		"replicas":                {config.Serve, serve, []config.Setting{flag("nats.replicas", "3")}, ""},
		"too many replicas":       {config.Serve, serve, []config.Setting{flag("nats.replicas", "6")}, "1 to 5 copies"},
		"replicas, embedded":      {config.Dev, nil, []config.Setting{flag("nats.replicas", "3")}, "need a NATS cluster"},
		"packet too small":        {config.Dev, nil, []config.Setting{flag("limits.max_packet", "1KiB")}, "limits.max_packet: 1KiB is not from 4KiB"},
		"no window":               {config.Dev, nil, []config.Setting{flag("limits.window", "0")}, "limits.window: 0 leaves no room"},
		"too short a sync":        {config.Dev, nil, []config.Setting{flag("durability.interval", "1ns")}, "durability.interval: 1ns is not 1ms or more"},
		"short sync":              {config.Dev, nil, []config.Setting{flag("durability.interval", "1ms")}, ""},
		"too short an age":        {config.Dev, nil, []config.Setting{flag("telemetry.max_age", "99ms")}, "telemetry.max_age: 99ms is not 100ms or more"},
		"too short for events":    {config.Dev, nil, []config.Setting{flag("events.max_age", "1ms")}, "events.max_age: 1ms is not 100ms or more"},
		"too many in flight":      {config.Dev, nil, []config.Setting{flag("telemetry.max_in_flight", "1048577")}, "telemetry.max_in_flight: 1048577 is not from 1 to 1048576"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := config.Load(config.Source{Settings: slices.Concat(tt.base, tt.set)})
			if err != nil {
				t.Fatal(err)
			}
			err = c.Complete(tt.role)
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("got %v, want no error", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		host   string
		listen []string
		want   []string
	}{
		"loopback":       {"127.0.0.1", nil, []string{"127.0.0.1"}},
		"other loopback": {"127.9.0.1", nil, []string{"127.9.0.1"}},
		"localhost":      {"LocalHost", nil, []string{"127.0.0.1", "::1"}},
		"name":           {"hub.example", nil, []string{""}},
		"address":        {"10.0.0.1", nil, []string{""}},
		"chosen":         {"hub.example", []string{"10.0.0.1"}, []string{"10.0.0.1"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := config.Default()
			c.Hub.Host, c.Listen.Address = tt.host, tt.listen
			if got := c.Addresses(); !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestPrint: what is printed is a file that says the same.
func TestPrint(t *testing.T) {
	t.Parallel()
	c, err := config.Load(config.Source{
		Env: []string{"HUBGATE_HOST=8080", "HUBGATE_ALIAS=true,b"},
		Settings: []config.Setting{
			flag("telemetry.max_age", "36h"), flag("telemetry.max_bytes", "1GiB"), flag("nats.embedded", "true"),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	text, err := c.YAML()
	if err != nil {
		t.Fatal(err)
	}
	again, err := config.Load(config.Source{File: file(t, string(text))})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if diff := cmp.Diff(c, again, cmpopts.IgnoreUnexported(config.Config{}), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s\n%s", diff, text)
	}
	for _, want := range []string{"max_age: 36h # --telemetry.max_age\n", "aliases: [\"true\", b] # HUBGATE_ALIAS\n", "host: \"8080\" # HUBGATE_HOST\n"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	tree := c.Tree()
	nats, _ := tree["nats"].(map[string]any)
	telemetry, _ := tree["telemetry"].(map[string]any)
	if nats["embedded"] != true || nats["port"] != 4222 || telemetry["max_bytes"] != "1GiB" {
		t.Errorf("got %v", tree)
	}
}

func TestRedact(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ url, want string }{
		"none":       {"", ""},
		"plain":      {"nats://a:4222", "nats://a:4222"},
		"no scheme":  {"a:4222", "a:4222"},
		"password":   {"nats://me:secret@a:4222", "nats://***@a:4222"},
		"token":      {"nats://secret@a:4222,tls://me:secret@b", "nats://***@a:4222,tls://***@b"},
		"not a URL":  {"nats://me:se%cret@a", "***"},
		"half a URL": {"me:secret@a:4222", "***"},
		"without //": {"secret@a", "***"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := config.Default()
			c.NATS.URL = tt.url
			c.Redact()
			if c.NATS.URL != tt.want {
				t.Errorf("got %q, want %q", c.NATS.URL, tt.want)
			}
		})
	}
}

func TestDuration(t *testing.T) {
	t.Parallel()
	tests := map[string]string{ // text to what it is written as; empty: refused
		"0": "0", "30s": "30s", "90s": "1m30s", "120s": "2m", "1h": "1h", "1h30m": "1h30m", "24h": "1d", "7d": "7d",
		"1d12h": "36h", "1.5h": "1h30m", "250ms": "250ms",
		"": "", "d": "", "1": "", "-1s": "", "-1d": "", "1d-1h": "", "1d2d": "", "99999d": "", "300000h": "12500d", "1w": "",
	}
	for text, want := range tests {
		var d config.Duration
		err := d.UnmarshalText([]byte(text))
		if (err == nil) != (want != "") || (err == nil && d.String() != want) {
			t.Errorf("%q: got %v, %v, want %q", text, d, err, want)
		}
	}
}

func TestBytes(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"0": "0", "1": "1", "4096": "4KiB", "256KiB": "256KiB", "10GiB": "10GiB", "1024GiB": "1TiB", "1 MiB": "1MiB",
		"1kB": "1000", "1KB": "1000", "1MB": "1000000", "2B": "2",
		"": "", "KiB": "", "-1": "", "1.5GiB": "", "9999999TiB": "", "1 elephant": "", "1K": "",
	}
	for text, want := range tests {
		var b config.Bytes
		err := b.UnmarshalText([]byte(text))
		if (err == nil) != (want != "") || (err == nil && b.String() != want) {
			t.Errorf("%q: got %v, %v, want %q", text, b, err, want)
		}
	}
}

// TestFields holds what the struct's tags promise.
func TestFields(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, f := range config.Default().Fields() {
		for _, name := range []string{f.Path, f.Env()} {
			if other := seen[name]; other != "" {
				t.Errorf("%s and %s are both called %s", f.Path, other, name)
			}
			seen[name] = f.Path
		}
		if f.Doc == "" || !strings.HasSuffix(f.Doc, ".") {
			t.Errorf("%s has no sentence: %q", f.Path, f.Doc)
		}
		for _, v := range f.Values() {
			if f.Enum != nil && !slices.Contains(f.Enum, v) {
				t.Errorf("%s has the default %q", f.Path, v)
			}
		}
	}
}
