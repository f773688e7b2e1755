package faults

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/test/hubtest"
)

// secretBook has all secrets that a test gives away, and all that the program
// has said.
type secretBook struct {
	secrets map[string]string // text by what it is
	said    map[string]string // by who said it
}

// secret makes a secret of a kind that is found again whatever stands around
// it.
func (b *secretBook) secret(kind string) string {
	text := "Zq7" + strings.ToUpper(fmt.Sprintf("%x", kind)) + "x9QzMarked"
	b.secrets[kind] = text
	return text
}

// key is a secret as base64, which is what keys are.
func (b *secretBook) key(kind string) string {
	text := base64.StdEncoding.EncodeToString([]byte(b.secret(kind) + "0123456789abcdef"))
	b.secrets[kind+" in base64"] = strings.TrimRight(text, "=")
	return text
}

func (b *secretBook) heard(who, text string) { b.said[who] += text }

// search fails for each secret that somebody has said.
func (b *secretBook) search(t *testing.T) {
	t.Helper()
	for who, text := range b.said {
		for kind, secret := range b.secrets {
			at := strings.Index(text, secret)
			if at < 0 {
				continue
			}
			t.Errorf("%s tells the secret %s: …%s…", who, kind, text[max(at-200, 0):min(at+len(secret)+40, len(text))])
		}
	}
}

// onCommandLine stands for a flag with a secret, which nothing tells that shows the
// command line.
const onCommandLine = "zq7-on-the-command-line.example.com"

// TestSecretsStayInside feeds secrets wherever a device, an operator or a back
// end can put them, with the log at its most talkative, and searches all that
// is said.
func TestSecretsStayInside(t *testing.T) {
	b := &secretBook{secrets: map[string]string{}, said: map[string]string{}}
	storeKey := b.secret("encryption key") + strings.Repeat("k", 32)
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(b.secret("administrative token")), 0o600); err != nil {
		t.Fatal(err)
	}
	g := start(t, hubtest.Options{
		Flags: adminFlags(
			"--log-level", "trace", "--set", "nats.encryption_key=env:STORE_KEY", "--set", "admin.pprof=true", "--set", "admin.token_file="+token,
			"--alias", onCommandLine,
		),
		Env: []string{"STORE_KEY=" + storeKey},
	})
	primary, second := b.key("primary key"), b.key("secondary key")
	g.CLI(t, "device", "create", "victim", "--primary-key", primary, "--secondary-key", second)
	d := newDevice(t, g, "helper")
	d.id.Device, d.key = "victim", key(t, primary)

	b.devices(t, g, d)
	b.operators(t, g)
	b.backEnds(t, g)
	b.stored(t, g)
	b.why(t, g)
	b.administrators(t, g)
	text, err := os.ReadFile(filepath.Join(g.DataDir, "hub.json"))
	if err != nil {
		t.Fatal(err)
	}
	b.heard("hub.json", string(text))
	if !strings.Contains(g.Log.String(), `"level":"debug"`) || !strings.Contains(b.said["timeline"], "victim") {
		t.Error("the log or the timeline is not as talkative as it has to be")
	}
	b.heard("the log", g.Log.String())
	b.heard("the log", g.Ready.NATSCreds+g.Ready.CAFile)
	maps.Copy(b.secrets, filesOfSecrets(t, g))
	b.search(t)
	g.Restart(t, 15)
	b.heard("the log", g.Log.String())
	b.search(t)
}

// filesOfSecrets are the seeds that the hub itself has made.
func filesOfSecrets(t *testing.T, g *hubtest.Gateway) map[string]string {
	t.Helper()
	all := map[string]string{}
	files, _ := filepath.Glob(filepath.Join(g.DataDir, "nats", "*"))
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if line = strings.TrimSpace(line); len(line) > 40 && !strings.HasPrefix(line, "-") && !strings.Contains(line, " ") {
				all[filepath.Base(file)] = line
			}
		}
	}
	if len(all) < 6 {
		t.Fatalf("only %d files with secrets are found", len(all))
	}
	return all
}

// devices connects in many wrong ways, each from an address of its own, since from
// one they would soon be refused unseen, and once in the right one.
func (b *secretBook) devices(t *testing.T, g *hubtest.Gateway, d *device) {
	t.Helper()
	good := d.token(time.Now().Add(time.Hour))
	_, sig, _ := strings.Cut(good, "sig=")
	sig, _, _ = strings.Cut(sig, "&")
	tries := 0
	for name, change := range map[string]func(*mqtt.Connect){
		"plain password":  func(c *mqtt.Connect) { c.Password = []byte(b.secret("plain password")) },
		"token with junk": func(c *mqtt.Connect) { c.Password = []byte(good + "&" + b.secret("field of a token") + "=1") },
		"bad signature": func(c *mqtt.Connect) {
			c.Password = []byte("SharedAccessSignature sr=x&se=1&sig=" + b.secret("signature"))
		},
		"signature, no base64": func(c *mqtt.Connect) {
			c.Password = []byte(strings.Replace(good, sig, "%%"+b.secret("signature without form"), 1))
		},
		"connection string": func(c *mqtt.Connect) {
			c.Password = []byte("HostName=h;DeviceId=victim;SharedAccessKey=" + b.key("key as a password"))
		},
		"policy's name": func(c *mqtt.Connect) { c.Password = []byte(good + "&skn=iothubowner") },
		"expired":       func(c *mqtt.Connect) { c.Password = []byte(d.token(time.Now().Add(-time.Hour))) },
		"expiry": func(c *mqtt.Connect) {
			c.Password = []byte("SharedAccessSignature sr=x&sig=y&se=" + b.secret("expiry"))
		},
		"user name": func(c *mqtt.Connect) {
			c.Username = []byte(string(c.Username) + "&SharedAccessSignature=" + b.secret("token in a user name"))
		},
		"only a key": func(c *mqtt.Connect) { c.Username = []byte("SharedAccessKey=" + b.secret("key as a user name")) },
		"will": func(c *mqtt.Connect) {
			c.Will = &mqtt.Will{Topic: []byte("devices/other/messages/events/pw=" + b.secret("property of a will")), Payload: []byte(b.secret("body of a will"))}
		},
	} {
		tries++
		c, err := d.with(change).from(fmt.Sprintf("127.31.0.%d", tries))
		switch {
		case err == nil:
			c.close()
		case isLater(err):
			t.Errorf("%s: refused unseen", name)
		}
	}
	b.secrets["signature of a token"] = sig
	for _, topic := range []string{
		d.eventsTopic("password=" + b.secret("property")), d.eventsTopic("password=%zz" + b.secret("property without form")),
		"devices/other/messages/events/password=" + b.secret("property of another's topic"),
		"$iothub/twin/PATCH/properties/reported/?$rid=1", "$iothub/methods/res/200/?$rid=9&key=" + b.secret("answer to nothing"),
	} {
		c := d.mustJoin(t, "devices/victim/messages/devicebound/#")
		_ = c.publish(topic, `{"password":"`+b.secret("body on "+topic[:9])+`"`, 1)
		c.close()
	}
	c := d.mustJoin(t, "devices/victim/messages/devicebound/#")
	_ = c.say("$iothub/twin/PATCH/properties/reported/?$rid=2", `{"bad.name":"`+b.secret("value of a twin")+`"}`)
	_ = c.publish(d.eventsTopic(""), "after it", 2)
	c.close()
}

// operators make mistakes on the command line and in files.
func (b *secretBook) operators(t *testing.T, g *hubtest.Gateway) {
	t.Helper()
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	url := func(kind string) string { return "nats://user:" + b.secret(kind) + "@127.0.0.1:1" }
	creds := "-----BEGIN NATS USER JWT-----\n" + b.secret("token of creds") + "\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n" +
		b.secret("seed of creds") + "\n------END USER NKEY SEED------\n"
	serve := []string{"serve", "--data-dir", dir, "--host", "127.0.0.1", "--mqtt-port", "0", "--https-port", "0", "--set", "nats.wait=0", "--tls-cert", g.DataDir + "/certs/server.pem", "--tls-key", g.DataDir + "/certs/server.key"}
	with := func(more ...string) []string { return append(append([]string{}, serve...), more...) }
	config := func(name, text string) []string { return with("--config", file(name, text)) }
	lines := map[string][]string{
		"unreachable":         with("--nats", url("password in a URL")),
		"two URLs":            with("--nats", url("password in a list")+",nats://"+b.secret("token in a URL")+"@127.0.0.1:1"),
		"URL without form":    with("--nats", "nats://user:"+b.secret("password in a bad URL")+"@[::1"),
		"URL with a space":    with("--nats", "nats://user:"+b.secret("password in a URL with a space")+"@a b"),
		"URL without a host":  with("--nats", "nats://user:"+b.secret("password without a host")),
		"client, no URL":      {"device", "list", "--nats", "nats://user:" + b.secret("password of a client without a host")},
		"check, no URL":       append([]string{"check"}, with("--nats", "nats://user:"+b.secret("password for check without a host"))[1:]...),
		"both kinds":          with("--embedded", "--nats", url("password in a URL too many")),
		"garbage creds":       with("--nats", g.Ready.NATSURL, "--creds", file("garbage.creds", b.secret("garbage in creds"))),
		"bad creds":           with("--nats", g.Ready.NATSURL, "--creds", file("bad.creds", creds)),
		"bad nkey":            with("--nats", g.Ready.NATSURL, "--nkey", file("bad.nk", "SU"+b.secret("nkey"))),
		"bad TLS key":         append(with("--embedded"), "--tls-key", file("bad.key", b.secret("TLS key"))),
		"TLS key twice":       with("--embedded", "--tls-cert", file("x.pem", b.secret("certificate")), "--tls-key", file("x.key", "-----BEGIN PRIVATE KEY-----\n"+b.secret("PEM key")+"\n-----END PRIVATE KEY-----\n")),
		"short key":           with("--embedded", "--set", "nats.encryption_key="+file("short", b.secret("short key")[:20])),
		"URL in a file":       config("a.yaml", "nats:\n  url: "+url("password in a file")+"\n  embedded: maybe\n"),
		"URL twice":           config("b.yaml", "nats:\n  url: "+url("password in a file, first")+"\n  url: "+url("password in a file, second")+"\n"),
		"a map for a URL":     config("c.yaml", "nats:\n  url: {a: \""+b.secret("password in a map")+"\"}\n"),
		"a list for a URL":    config("d.yaml", "nats:\n  url: [\""+url("password in a list of a file")+"\"]\n"),
		"no YAML":             config("e.yaml", "nats:\n  url: \""+url("password in no YAML")+"\n\tx: [\n"),
		"policy's key":        config("f.yaml", "policies:\n  app:\n    permissions: [service]\n    primary_key: \""+b.secret("key of a policy")+"\"\n"),
		"policy's short key":  config("g.yaml", "policies:\n  app:\n    rights: [service]\n    primary_key: ["+b.secret("key of a policy in a list")+"]\n"),
		"policy's key file":   config("h.yaml", "policies:\n  app:\n    permissions: [service]\n    primary_key_file: "+file("p.key", b.secret("key of a policy in a file"))+"\n"),
		"device's key":        {"device", "create", "x", "--primary-key", b.secret("key that is no base64"), "--secondary-key", b.secret("other key that is no base64")},
		"device's only key":   {"device", "create", "x", "--primary-key", b.key("only key")},
		"wrong place":         {"device", "list", url("password in the wrong place")},
		"unknown flag":        {"device", "list", "--nast=" + url("password of an unknown flag")},
		"no =":                with("--set", url("password without a key")),
		"wrong key":           with("--set", "listen.plain="+url("password as an address"), "--host", url("password as a host"), "--set", "telemetry.max_age="+url("password as a time")),
		"client, unreachable": {"device", "list", "--nats", url("password of a client")},
		"client, bad creds":   {"device", "list", "--creds", file("client.creds", creds)},
		"config check":        append([]string{"config", "check"}, with("--nats", url("password for config check"))[1:]...),
		"config print":        append([]string{"config", "print"}, with("--nats", url("password for config print"))[1:]...),
		"check":               append([]string{"check"}, with("--nats", url("password for check"))[1:]...),
		"check, creds":        append([]string{"check"}, with("--nats", g.Ready.NATSURL, "--creds", file("check.creds", creds))[1:]...),
		"check, config":       append([]string{"check"}, config("i.yaml", "nats:\n  url: \""+url("password for check in a file")+"\"\n  port: x\n")[1:]...),
	}
	for name, args := range lines {
		var r hubtest.Result
		if args[0] == "device" {
			r = g.Command(t, args...)
		} else {
			r = hubtest.Run(t, nil, append(args, "-o", "json")...)
		}
		if r.Code == 0 && !strings.HasPrefix(name, "config") {
			t.Errorf("%s: it has worked, which it must not: %v\n%s", name, args, r.Stdout)
		}
		b.heard("the command "+name, r.Stdout+r.Stderr)
	}
	for name, url := range map[string]string{"HUBGATE_NATS": url("password in the environment"), "HUBGATE_NATS_PORT": url("password in the wrong variable")} {
		r := hubtest.Run(t, []string{name + "=" + url}, append([]string{"config", "print"}, serve[1:]...)...)
		b.heard("config print with "+name, r.Stdout+r.Stderr)
	}
}

// backEnds send requests that are refused.
func (b *secretBook) backEnds(t *testing.T, g *hubtest.Gateway) {
	t.Helper()
	for subject, body := range map[string]string{
		"hub.registry.put.a":      `{"authentication":{"symmetricKey":{"primaryKey":"` + b.secret("key in a request") + `","secondaryKey":"x"}}}`,
		"hub.registry.put.b":      `{"authentication":{"symmetricKey":{"primaryKey":"` + b.key("good key in a bad request") + `"},"type":"none at all"}}`,
		"hub.registry.put.c":      `{"authentication":"` + b.secret("key in the wrong place") + `"}`,
		"hub.registry.get.victim": ``,
		"hub.registry.list":       ``,
		"hub.twin.get.victim":     ``,
		"hub.twin.update.victim":  `{"tags":"` + b.secret("tags that are none") + `"}`,
		"hub.method.victim.m":     `{"` + b.secret("payload of a method"),
		"hub.why.victim":          ``,
	} {
		m, err := g.NATS.Request(subject, []byte(body), patience)
		if err != nil {
			t.Fatal(err)
		}
		b.heard("the answer on "+subject, fmt.Sprint(m.Header)+string(m.Data))
	}
}

// stored looks at all streams that are there to be looked at.
func (b *secretBook) stored(t *testing.T, g *hubtest.Gateway) {
	t.Helper()
	for name, stream := range map[string]string{
		"events": "HUB_EVENTS", "timeline": "HUB_TIMELINE", "timeline of strangers": "HUB_STRANGERS", "presence": "KV_hub_presence",
	} {
		s, err := g.JS.Stream(t.Context(), stream)
		if err != nil {
			t.Fatal(err)
		}
		info, err := s.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for seq := info.State.FirstSeq; seq <= info.State.LastSeq; seq++ {
			m, err := s.GetMsg(t.Context(), seq)
			if err != nil {
				continue // removed meanwhile
			}
			b.heard(name, entryText(m))
		}
	}
}

func entryText(m *jetstream.RawStreamMsg) string {
	return strings.Join([]string{m.Subject, fmt.Sprint(m.Header), string(bytes.TrimSpace(m.Data))}, " ") + "\n"
}

// why asks the command line what has happened.
func (b *secretBook) why(t *testing.T, g *hubtest.Gateway) {
	t.Helper()
	for _, args := range [][]string{
		{"why", "victim"},
		{"why", "victim", "-o", "json"},
		{"why", "--address", g.Ready.HostName},
		{"why", "--address", "127.0.0.1"},
		{"device", "show", "victim", "-o", "json"},
		{"device", "list", "-o", "json"},
		{"twin", "get", "victim"},
	} {
		r := g.Command(t, args...)
		b.heard("hubgate "+strings.Join(args, " "), r.Stdout+r.Stderr)
	}
}

// administrators ask for all that the administrative listener tells, with the
// token, without and with a wrong one.
func (b *secretBook) administrators(t *testing.T, g *hubtest.Gateway) {
	t.Helper()
	paths := []string{
		"/", "/version", "/metrics", "/livez?verbose", "/readyz?verbose", "/readyz?verbose=json", "/debug/pprof/", "/debug/pprof/cmdline", "/debug/pprof/symbol",
		"/debug/pprof/goroutine?debug=1", "/debug/pprof/goroutine?debug=2", "/debug/pprof/heap?debug=1", "/debug/pprof/allocs?debug=1", "/debug/pprof/heap",
		"/debug/pprof/block?debug=1", "/debug/pprof/mutex?debug=1", "/debug/pprof/threadcreate?debug=1", "/debug/vars",
	}
	for _, token := range []string{b.secrets["administrative token"], "", b.secret("wrong administrative token")} {
		for _, path := range paths {
			status, body := ask(t, g, path, token)
			b.heard("the administrative listener at "+path, body)
			if token != b.secrets["administrative token"] && status == 200 && !strings.HasPrefix(path, "/livez") && !strings.HasPrefix(path, "/readyz") {
				t.Errorf("%s is shown to somebody without the token", path)
			}
			if strings.Contains(body, onCommandLine) {
				t.Errorf("%s shows the command line", path)
			}
		}
	}
	if !strings.Contains(b.said["the administrative listener at /metrics"], "hubgate_connects_refused_total") ||
		!strings.Contains(b.said["the administrative listener at /debug/pprof/goroutine?debug=2"], "goroutine ") {
		t.Error("the administrative listener tells less than it has to")
	}
}
