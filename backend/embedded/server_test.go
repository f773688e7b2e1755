package embedded_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/backend/embedded"
)

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func start(t *testing.T, cfg embedded.Config) *embedded.Server {
	t.Helper()
	cfg.Log = zerolog.Nop()
	s, err := embedded.Start(testContext(t), cfg)
	if err != nil {
		t.Fatalf("Start: %v", err)
	}
	t.Cleanup(func() { stop(t, s) })
	return s
}

func stop(t *testing.T, s *embedded.Server) {
	t.Helper()
	if err := s.Shutdown(); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

func connect(t *testing.T, url string, opts ...nats.Option) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(url, opts...)
	if err != nil {
		t.Fatalf("Connect: %v", err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatalf("jetstream.New: %v", err)
	}
	return js
}

// addStream makes the stream S with one message.
func addStream(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	ctx := testContext(t)
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}}); err != nil {
		t.Fatalf("CreateStream: %v", err)
	}
	if _, err := js.Publish(ctx, "s", []byte("kept")); err != nil {
		t.Fatalf("Publish: %v", err)
	}
}

func TestStateSurvivesRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := start(t, embedded.Config{DataDir: dir})
	creds, err := os.ReadFile(s.HubCreds())
	if err != nil {
		t.Fatal(err)
	}
	addStream(t, connect(t, "", s.InProcess(), nats.UserCredentials(s.GatewayCreds())))
	stop(t, s)

	s = start(t, embedded.Config{DataDir: dir})
	if again, err := os.ReadFile(s.HubCreds()); err != nil || !bytes.Equal(again, creds) {
		t.Errorf("credentials changed with a restart, err %v", err)
	}
	js := connect(t, s.URL(), nats.UserCredentials(s.HubCreds()))
	str, err := js.Stream(testContext(t), "S")
	if err != nil {
		t.Fatalf("Stream: %v", err)
	}
	if got, err := str.GetMsg(testContext(t), 1); err != nil || string(got.Data) != "kept" {
		t.Errorf("message after restart = %v, %v, want kept", got, err)
	}
}

func TestListenerNeedsCredentials(t *testing.T) {
	t.Parallel()
	s := start(t, embedded.Config{DataDir: t.TempDir()})
	nc, err := nats.Connect(s.URL(), nats.NoReconnect())
	if err == nil {
		nc.Close()
		t.Fatal("connected without credentials")
	}
	other := start(t, embedded.Config{DataDir: t.TempDir()})
	nc, err = nats.Connect(s.URL(), nats.UserCredentials(other.HubCreds()), nats.NoReconnect())
	if err == nil {
		nc.Close()
		t.Fatal("connected with another server's credentials")
	}
}

func TestSecretsAreTheOwnersOnly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	start(t, embedded.Config{DataDir: dir})
	files, err := os.ReadDir(filepath.Join(dir, "nats"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 6 {
		t.Errorf("%d files under nats/, want 6", len(files))
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, want 0600", f.Name(), info.Mode().Perm())
		}
	}
}

func TestMaxPayloadCoversAMessageWithItsProperties(t *testing.T) {
	t.Parallel()
	s := start(t, embedded.Config{DataDir: t.TempDir()})
	js := connect(t, s.URL(), nats.UserCredentials(s.HubCreds()))
	if got, want := js.Conn().MaxPayload(), int64(256<<10+64<<10); got < want {
		t.Errorf("max payload %d, want at least %d", got, want)
	}
}

func TestStartIsFast(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	began := time.Now()
	s := start(t, embedded.Config{DataDir: dir})
	if took := time.Since(began); took > 5*time.Second { // far below a second when the machine is idle
		t.Errorf("start took %v", took)
	}
	began = time.Now()
	stop(t, s)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("stop took %v", took)
	}
}

// refused asserts that Start fails with a sentence that has all of words, and
// that it leaves the directory usable when fix has been done.
func refused(t *testing.T, cfg embedded.Config, words ...string) {
	t.Helper()
	s, err := embedded.Start(testContext(t), cfg)
	if err == nil {
		stop(t, s)
		t.Fatal("Start succeeded")
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("Start = %q, want it to name %q", err, w)
		}
	}
}

func TestTakenPortIsNamed(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	a := l.Addr().(*net.TCPAddr)
	dir := t.TempDir()
	refused(t, embedded.Config{DataDir: dir, Port: a.Port}, port, "taken", "--nats-port")
	start(t, embedded.Config{DataDir: dir})
}

func TestForeignHostIsNamed(t *testing.T) {
	t.Parallel()
	refused(t, embedded.Config{DataDir: t.TempDir(), Host: "192.0.2.1"}, "192.0.2.1", "--nats-port")
}

func TestDirectoryHasOneOwner(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := start(t, embedded.Config{DataDir: dir})
	refused(t, embedded.Config{DataDir: dir}, dir, "in use", "pid", "--data-dir")
	stop(t, s)
	start(t, embedded.Config{DataDir: dir})
}

func TestNoDirectory(t *testing.T) {
	t.Parallel()
	refused(t, embedded.Config{}, "--data-dir")
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, embedded.Config{DataDir: file}, file, "--data-dir")
}

// onceUsed is a data directory with the stream S in it.
func onceUsed(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	s := start(t, embedded.Config{DataDir: dir})
	addStream(t, connect(t, s.URL(), nats.UserCredentials(s.HubCreds())))
	stop(t, s)
	return dir
}

func only(t *testing.T, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) != 1 {
		t.Fatalf("%s matches %v, %v, want one file", pattern, found, err)
	}
	return found[0]
}

func TestDamage(t *testing.T) {
	t.Parallel()
	garbage := func(t *testing.T, path string) {
		t.Helper()
		if err := os.WriteFile(path, []byte("garbage"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tests := map[string]struct {
		damage func(t *testing.T, dir string)
		words  []string
	}{
		"stream's meta file": {
			func(t *testing.T, dir string) { garbage(t, only(t, dir+"/jetstream/*/streams/S/meta.inf")) },
			[]string{"/streams/S", "meta.inf", "backup"},
		},
		"stream's checksum": {
			func(t *testing.T, dir string) {
				if err := os.Remove(only(t, dir+"/jetstream/*/streams/S/meta.sum")); err != nil {
					t.Fatal(err)
				}
			},
			[]string{"/streams/S", "backup"},
		},
		"seed of the hub": {
			func(t *testing.T, dir string) { garbage(t, dir+"/nats/hub.nk") },
			[]string{"/nats/hub.nk", "backup"},
		},
		"seed of another kind": {
			func(t *testing.T, dir string) {
				seed, err := os.ReadFile(dir + "/nats/hub.nk")
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(dir+"/nats/operator.nk", seed, 0o600); err != nil {
					t.Fatal(err)
				}
			},
			[]string{"/nats/operator.nk", "backup"},
		},
		"seed of the hub lost": {
			func(t *testing.T, dir string) {
				if err := os.Remove(dir + "/nats/hub.nk"); err != nil {
					t.Fatal(err)
				}
			},
			[]string{"/nats/hub.nk", "jetstream", "backup"},
		},
		"credentials": {
			func(t *testing.T, dir string) { garbage(t, dir+"/nats/hub.creds") },
			[]string{"/nats/hub.creds", "remove the file"},
		},
		"jetstream is a file": {
			func(t *testing.T, dir string) {
				if err := os.RemoveAll(dir + "/jetstream"); err != nil {
					t.Fatal(err)
				}
				garbage(t, dir+"/jetstream")
			},
			[]string{"jetstream", "not a directory"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := onceUsed(t)
			tt.damage(t, dir)
			refused(t, embedded.Config{DataDir: dir}, append(tt.words, dir)...)
		})
	}
}

func TestForeignCredentialsAreRefused(t *testing.T) {
	t.Parallel()
	a, b := onceUsed(t), onceUsed(t)
	creds, err := os.ReadFile(a + "/nats/gateway.creds")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(b+"/nats/gateway.creds", creds, 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, embedded.Config{DataDir: b}, b+"/nats/gateway.creds", "another data directory", "remove the file")
	if err := os.Remove(b + "/nats/gateway.creds"); err != nil {
		t.Fatal(err)
	}
	start(t, embedded.Config{DataDir: b})
}

func TestStartTimesOut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	refused(t, embedded.Config{DataDir: dir, StartTimeout: 1}, "not ready within", dir)
	start(t, embedded.Config{DataDir: dir})
}

func TestSystemCredentialsSeeTheServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := start(t, embedded.Config{DataDir: dir})
	nc, err := nats.Connect(s.URL(), nats.UserCredentials(dir+"/nats/system.creds"))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if _, err := nc.RequestWithContext(testContext(t), "$SYS.REQ.SERVER.PING", nil); err != nil {
		t.Errorf("server ping: %v", err)
	}
}

// lines is a log that tests may read while it is written.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestLogGoesToZerolog(t *testing.T) {
	t.Parallel()
	log := &lines{}
	dir := t.TempDir()
	s, err := embedded.Start(testContext(t), embedded.Config{DataDir: dir, Log: zerolog.New(log)})
	if err != nil {
		t.Fatal(err)
	}
	stop(t, s)
	for _, want := range []string{`"level":"debug","component":"nats-server"`, "Listening for client connections"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("log lacks %q:\n%s", want, log)
		}
	}
	seed, err := os.ReadFile(dir + "/nats/hub.nk")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(log.String(), string(seed)) {
		t.Error("log has a seed")
	}
}

func TestLimitsAreApplied(t *testing.T) {
	t.Parallel()
	s := start(t, embedded.Config{DataDir: t.TempDir(), MaxStore: 64 << 20, SyncAlways: true})
	if got := s.MaxStore(); got != 64<<20 {
		t.Errorf("MaxStore = %d, want %d", got, 64<<20)
	}
	js := connect(t, s.URL(), nats.UserCredentials(s.HubCreds()))
	_, err := js.CreateStream(testContext(t), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}, MaxBytes: 65 << 20})
	if err == nil {
		t.Error("a stream larger than MaxStore was accepted")
	}
}

// TestStartInterrupted: who ends a start is not told that the disk is slow.
func TestStartInterrupted(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	s, err := embedded.Start(ctx, embedded.Config{DataDir: t.TempDir(), Log: zerolog.Nop()})
	if err == nil {
		_ = s.Shutdown()
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
