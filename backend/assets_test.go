package backend

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/backend/embedded"
)

func assetNames() []string {
	return []string{"HUB_TELEMETRY", "HUB_EVENTS", "KV_hub_devices", "KV_hub_presence", "KV_hub_policies", "KV_hub_authorities", "KV_hub_twins", "KV_hub_commands", "KV_hub_credentials"}
}

func info(t *testing.T, b *Backbone, name string) jetstream.StreamConfig {
	t.Helper()
	s, err := b.JetStream().Stream(testContext(t), name)
	if err != nil {
		t.Fatalf("look up %s: %v", name, err)
	}
	return s.CachedInfo().Config
}

func TestAssetsAreBoundedAndOnDisk(t *testing.T) {
	t.Parallel()
	b := open(t, serve(t, "", 0), Config{})
	for _, name := range assetNames() {
		cfg := info(t, b, name)
		if cfg.MaxBytes <= 0 || cfg.Storage != jetstream.FileStorage || cfg.Retention != jetstream.LimitsPolicy || !cfg.AllowDirect || cfg.NoAck {
			t.Errorf("%s: %+v", name, cfg)
		}
		if cfg.Duplicates != duplicateWindow {
			t.Errorf("%s has a duplicate window of %v, want the least", name, cfg.Duplicates)
		}
	}
	cfg := info(t, b, "HUB_TELEMETRY")
	if cfg.MaxAge != 7*24*time.Hour || cfg.Discard != jetstream.DiscardOld {
		t.Errorf("HUB_TELEMETRY: max age %v, discard %v", cfg.MaxAge, cfg.Discard)
	}
}

func TestConfiguredLimitsAreApplied(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	cfg := Config{
		Telemetry: Limits{MaxAge: time.Hour, MaxBytes: 32 << 20},
		Events:    Limits{MaxAge: 2 * time.Hour, MaxBytes: 16 << 20},
	}
	b := open(t, s, cfg)
	if got := info(t, b, "HUB_TELEMETRY"); got.MaxAge != time.Hour || got.MaxBytes != 32<<20 {
		t.Errorf("telemetry: %v, %d", got.MaxAge, got.MaxBytes)
	}
	cfg.Telemetry.MaxBytes = 48 << 20 // changed on an existing stream
	again := open(t, s, cfg)
	if got := info(t, again, "HUB_TELEMETRY"); got.MaxBytes != 48<<20 {
		t.Errorf("telemetry after a change: %d", got.MaxBytes)
	}
	if got := info(t, again, "HUB_EVENTS"); got.MaxAge != 2*time.Hour || got.MaxBytes != 16<<20 {
		t.Errorf("events: %v, %d", got.MaxAge, got.MaxBytes)
	}
}

// What an operator has set by hand stays when the configuration says nothing.
func TestOperatorsChangesStay(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	b := open(t, s, Config{})
	mine := info(t, b, "HUB_TELEMETRY")
	mine.MaxBytes, mine.MaxAge, mine.Discard = 20<<20, time.Minute, jetstream.DiscardNew
	mine.Description = "mine"
	mine.Subjects = append(mine.Subjects, "other.>")
	if _, err := b.JetStream().UpdateStream(testContext(t), mine); err != nil {
		t.Fatal(err)
	}
	want := info(t, b, "HUB_TELEMETRY")
	got := info(t, open(t, s, Config{}), "HUB_TELEMETRY")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the stream changed (-want +got):\n%s", diff)
	}
}

func TestUnboundedStreamGetsBounds(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	b := open(t, s, Config{})
	cfg := info(t, b, "HUB_TELEMETRY")
	cfg.MaxBytes, cfg.MaxAge, cfg.NoAck, cfg.AllowDirect = -1, 0, true, false
	if _, err := b.JetStream().UpdateStream(testContext(t), cfg); err != nil {
		t.Fatal(err)
	}
	if got := info(t, open(t, s, Config{}), "HUB_TELEMETRY"); got.MaxBytes <= 0 || got.NoAck || !got.AllowDirect {
		t.Errorf("after a start: %+v", got)
	}
}

// fails asserts that Connect refuses with a sentence that has all of words.
func fails(t *testing.T, s *embedded.Server, cfg Config, words ...string) {
	t.Helper()
	if cfg.URL == "" {
		cfg.URL = s.URL()
	}
	if cfg.CredsFile == "" && cfg.NKeySeedFile == "" {
		cfg.CredsFile = s.HubCreds()
	}
	b, err := Connect(testContext(t), cfg)
	if err == nil {
		shut(b)
		t.Fatal("Connect succeeded")
	}
	if !hasAll(err.Error(), words...) {
		t.Errorf("Connect = %q, want it to have %q", err, words)
	}
}

func TestUnfitStreamsAreRefused(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		cfg   jetstream.StreamConfig
		words []string
	}{
		"in memory": {jetstream.StreamConfig{Storage: jetstream.MemoryStorage}, []string{"memory", "restart"}},
		"interest":  {jetstream.StreamConfig{Retention: jetstream.InterestPolicy}, []string{"retention"}},
		"sealed":    {jetstream.StreamConfig{Sealed: true}, []string{"sealed"}},
		"mirror":    {jetstream.StreamConfig{Mirror: &jetstream.StreamSource{Name: "OTHER"}}, []string{"mirror of OTHER"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, "", 0)
			b := open(t, s, Config{})
			ctx := testContext(t)
			if err := b.JetStream().DeleteStream(ctx, "HUB_TELEMETRY"); err != nil {
				t.Fatal(err)
			}
			if _, err := b.JetStream().CreateStream(ctx, jetstream.StreamConfig{Name: "OTHER"}); err != nil {
				t.Fatal(err)
			}
			cfg := tt.cfg
			cfg.Name = "HUB_TELEMETRY"
			if cfg.Mirror == nil {
				cfg.Subjects = []string{"hub.telemetry.>"}
			}
			sealed := cfg.Sealed
			cfg.Sealed = false
			if _, err := b.JetStream().CreateStream(ctx, cfg); err != nil {
				t.Fatal(err)
			}
			if cfg.Sealed = sealed; sealed {
				cfg.Sealed = true
				if _, err := b.JetStream().UpdateStream(ctx, cfg); err != nil {
					t.Fatal(err)
				}
			}
			fails(t, s, Config{}, append(tt.words, "HUB_TELEMETRY", "prefix")...)
		})
	}
}

func TestForeignStreamTakesOurSubjects(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	b := open(t, s, Config{})
	_, err := b.JetStream().CreateStream(testContext(t), jetstream.StreamConfig{Name: "OTHER", Subjects: []string{"plant.telemetry.*"}})
	if err != nil {
		t.Fatal(err)
	}
	fails(t, s, Config{Prefix: "plant"}, "PLANT_TELEMETRY", "another stream", "plant.telemetry.*", "prefix")
}

// TestDefaultsShrinkOnASmallDisk starts a hub where there is room for little,
// and where there is room for all sizes but the last.
func TestDefaultsShrinkOnASmallDisk(t *testing.T) {
	t.Parallel()
	var all, last int64
	assets := Config{}.assets()
	for _, a := range assets {
		last = a.want.MaxBytes
		all += last
	}
	for name, room := range map[string]int64{
		"all":                 all,
		"a byte too little":   all - 1,
		"none for the last":   all - last,
		"little for the last": all - last + 1<<20,
		"half":                all / 2,
		"little":              2 << 30,
		"the least":           int64(len(assets)) * minBytes,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := roomy(t, room)
			b := open(t, s, Config{})
			var sum int64
			for _, a := range assets {
				n := info(t, b, a.want.Name).MaxBytes
				if n < minBytes || n > a.want.MaxBytes || room == all && n != a.want.MaxBytes {
					t.Errorf("%s has %d bytes, want %d..%d", a.want.Name, n, minBytes, a.want.MaxBytes)
				}
				sum += n
			}
			if sum > room || sum < room/4 {
				t.Errorf("all have %d bytes together, of %d", sum, room)
			}
			open(t, s, Config{}) // and starts again
			fails(t, s, Config{Prefix: "b", Telemetry: Limits{MaxBytes: all}}, "no room", "max_file_store")
		})
	}
}

// TestNoRoomAtAll: what is told is the least that would do.
func TestNoRoomAtAll(t *testing.T) {
	t.Parallel()
	fails(t, roomy(t, 10<<20), Config{}, "no room to reserve 2097152 bytes", "nats.max_store")
}

// TestDefaultsShrinkAfterABrokenStart has those streams that a start has made
// before it broke off, in all the room there is.
func TestDefaultsShrinkAfterABrokenStart(t *testing.T) {
	t.Parallel()
	assets := Config{}.assets()
	assets = assets[:len(assets)/2]
	var room int64
	for _, a := range assets {
		room += a.want.MaxBytes
	}
	s := roomy(t, room)
	nc, err := nats.Connect(s.URL(), nats.UserCredentials(s.HubCreds()))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	k := keeper{js: js, names: Config{}.names(), faults: &faults{}, upgrades: upgrades()}
	if err := k.ensureAll(testContext(t), assets); err != nil {
		t.Fatal(err)
	}
	open(t, s, Config{})
}

func roomy(t *testing.T, bytes int64) *embedded.Server {
	t.Helper()
	s, err := embedded.Start(testContext(t), embedded.Config{DataDir: t.TempDir(), MaxStore: bytes})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { halt(t, s) })
	return s
}

func TestTooManyReplicas(t *testing.T) {
	t.Parallel()
	fails(t, serve(t, "", 0), Config{Replicas: 3}, "not enough NATS servers for 3 replicas")
}

func TestNodesStartAtOnce(t *testing.T) {
	t.Parallel()
	s := serve(t, "", 0)
	var wg sync.WaitGroup
	nodes := make([]*Backbone, 4)
	for i := range nodes {
		wg.Go(func() { nodes[i] = open(t, s, Config{}) })
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	want, ok := nodes[0].Policies().Lookup("iothubowner")
	if !ok {
		t.Fatal("there is no iothubowner")
	}
	for _, n := range nodes {
		until(t, "all nodes see the same keys", func() bool {
			got, _ := n.Policies().Lookup("iothubowner")
			return got == want && len(n.Policies().All()) == 5
		})
	}
}

// user makes credentials of the hub's account with permissions of its own.
func user(t *testing.T, dir string, permissions jwt.Permissions) string {
	t.Helper()
	seed, err := os.ReadFile(filepath.Join(dir, "nats", "hub.nk"))
	if err != nil {
		t.Fatal(err)
	}
	account, err := nkeys.FromSeed(seed)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, _ := pair.PublicKey()
	claims := jwt.NewUserClaims(public)
	claims.Permissions = permissions
	token, err := claims.Encode(account)
	if err != nil {
		t.Fatal(err)
	}
	userSeed, _ := pair.Seed()
	content, err := jwt.FormatUserConfig(token, userSeed)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "user.creds")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestMissingRightIsNamed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := serve(t, dir, 0)
	creds := user(t, dir, jwt.Permissions{Pub: jwt.Permission{Deny: jwt.StringList{"$JS.API.STREAM.CREATE.HUB_TELEMETRY"}}})
	fails(t, s, Config{CredsFile: creds}, "create stream HUB_TELEMETRY", "lacks a right", `"$JS.API.STREAM.CREATE.HUB_TELEMETRY"`)
}

func TestAccountWithoutJetStream(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := serve(t, dir, 0)
	fails(t, s, Config{CredsFile: filepath.Join(dir, "nats", "system.creds")}, "JetStream", "account")
}

func TestConnectionRefusalsAreSentences(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := serve(t, dir, 0)
	other := serve(t, "", 0)
	garbage := filepath.Join(t.TempDir(), "garbage")
	if err := os.WriteFile(garbage, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		cfg   Config
		words []string
	}{
		"nobody there":     {Config{URL: "nats://user:secret@127.0.0.1:1"}, []string{"no NATS server answers", "127.0.0.1:1"}},
		"foreign creds":    {Config{CredsFile: other.GatewayCreds()}, []string{"refuses", other.GatewayCreds()}},
		"no creds file":    {Config{CredsFile: "/nonexistent"}, []string{"/nonexistent"}},
		"garbage creds":    {Config{CredsFile: garbage}, []string{"connect to NATS"}},
		"no seed file":     {Config{NKeySeedFile: "/nonexistent"}, []string{"/nonexistent"}},
		"both":             {Config{CredsFile: "a", NKeySeedFile: "b"}, []string{"both", "give one"}},
		"half certificate": {Config{CertFile: "a"}, []string{"both its file"}},
		"bad prefix":       {Config{Prefix: "a.b"}, []string{`"a.b"`, "prefix"}},
		"replicas":         {Config{Replicas: 7}, []string{"7 replicas"}},
		"in flight":        {Config{MaxInFlight: 1 << 30}, []string{"in flight"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fails(t, s, tt.cfg, tt.words...)
		})
	}
}

func TestNoSecretInErrors(t *testing.T) {
	t.Parallel()
	_, err := Connect(context.Background(), Config{URL: "nats://user:secret@127.0.0.1:1,nats://token@127.0.0.1:2", Log: zerolog.Nop()})
	if err == nil || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "token@") {
		t.Errorf("Connect = %v", err)
	}
}

// TestRightsKnowAllAssets: what is missing in the lists of package subject, a
// node in somebody's NATS would have no right to.
func TestRightsKnowAllAssets(t *testing.T) {
	t.Parallel()
	var made []string
	for _, a := range (Config{}).assets() {
		made = append(made, a.want.Name)
	}
	slices.Sort(made)
	if diff := cmp.Diff(made, Config{}.names().Streams()); diff != "" {
		t.Errorf("streams that are made (-) and that rights are given to (+):\n%s", diff)
	}
}
