package main

import (
	"context"
	"errors"
	"os/exec"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
)

// TestFlagsMatchConfiguration: the flags that the configuration documents are
// there, and set what they say.
func TestFlagsMatchConfiguration(t *testing.T) {
	t.Parallel()
	parser, err := kong.New(new(commands), kong.Bind(&app{}), kong.BindTo(context.Background(), (*context.Context)(nil)))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{} // flag to path, of serve
	for _, command := range parser.Model.Children {
		for _, f := range command.Flags {
			path := f.Tag.Get("conf")
			if path == "" {
				continue
			}
			if command.Name == "serve" {
				found[f.Name] = path
			}
			if other := found[f.Name]; other != "" && other != path {
				t.Errorf("%s --%s sets %s, and of serve %s", command.Name, f.Name, path, other)
			}
		}
	}
	for _, f := range config.Default().Fields() {
		if f.Flag == "" {
			continue
		}
		if found[f.Flag] != f.Path {
			t.Errorf("--%s of serve sets %q, want %s", f.Flag, found[f.Flag], f.Path)
		}
		delete(found, f.Flag)
	}
	for name, path := range found {
		t.Errorf("--%s sets %s, and the configuration does not know it", name, path)
	}
}

func TestConfigCommands(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good := write(t, dir, "good.yaml", "hub:\n  host: hub.example\nnats:\n  url: nats://me:secret@n:4222\ntls:\n  cert_files: [/nowhere.pem]\n  key_files: [/nowhere.key]\n")
	tests := map[string]struct {
		args []string
		env  []string
		code int
		out  []string
		err  []string
	}{
		"print":           {[]string{"config", "print", "--config", good}, nil, 0, []string{"  host: hub.example # " + good + ":2", "  url: nats://***@n:4222 # ", "mqtt_port: 8883\n"}, nil},
		"print, open":     {[]string{"config", "print", "--no-redact", "--config", good}, nil, 0, []string{"nats://me:secret@n:4222"}, nil},
		"print, redacted": {[]string{"config", "print", "--redact", "--config", good}, nil, 0, []string{"nats://***@n:4222"}, nil},
		"print as JSON":   {[]string{"config", "print", "-o", "json", "--set", "log.level=warn", "--set", "hub.aliases=a,b"}, nil, 0, []string{`"level":"warn"`, `"aliases":["a","b"]`, `"mqtt_port":8883`}, nil},
		"print for dev":   {[]string{"config", "print", "--for", "dev"}, []string{"HUBGATE_DATA_DIR=/data"}, 0, []string{"data_dir: /data # HUBGATE_DATA_DIR", "host: 127.0.0.1\n", "embedded: true\n"}, nil},
		"check dev":       {[]string{"config", "check", "--for", "dev"}, nil, 0, []string{"valid for hubgate dev"}, nil},
		"check as JSON":   {[]string{"config", "check", "--for", "dev", "-o", "json"}, nil, 0, []string{`{"valid":true}`}, nil},
		"check":           {[]string{"config", "check", "--config", good}, nil, 2, nil, []string{"/nowhere.pem"}},
		"check nothing":   {[]string{"config", "check"}, nil, 2, nil, []string{"hub.host (--host)", "nats.url (--nats)", "tls.cert_files (--tls-cert)"}},
		"misspelled":      {[]string{"config", "check", "--for", "dev"}, []string{"HUBGATE_HSOT=x"}, 0, []string{"valid"}, []string{"HUBGATE_HSOT is not read; did you mean HUBGATE_HOST?"}},
		"version":         {[]string{"version"}, nil, 0, []string{"Hubgate", "Go ", "NATS server"}, nil},
		"version as JSON": {[]string{"version", "-o", "json"}, nil, 0, []string{`"version":"`, `"go":"go1`}, nil},
		"help":            {[]string{"--help"}, nil, 0, []string{"Exit codes: 0 success", "device create", "telemetry tail"}, nil},
		"nothing":         {nil, nil, 0, []string{"Usage: hubgate"}, nil},
		"help of dev":     {[]string{"dev", "--help"}, nil, 0, []string{"--mqtt-port=PORT"}, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := hubgate(t, tt.env, tt.args...)
			if r.code != tt.code {
				t.Errorf("got exit code %d, want %d: %s", r.code, tt.code, r.err)
			}
			wantAll(t, r.out, tt.out...)
			wantAll(t, r.err, tt.err...)
		})
	}
}

// TestProcess: the exit code is that of the process, and a complaint leaves
// standard output to scripts.
func TestProcess(t *testing.T) {
	t.Parallel()
	cmd := program(t.Context(), t, nil, "device")
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != exitUsage || len(out) > 0 {
		t.Errorf("got %v and %q, want exit code %d", err, out, exitUsage)
	}
	cmd = program(t.Context(), t, nil, "version")
	if err := cmd.Run(); err != nil {
		t.Errorf("got %v", err)
	}
}
