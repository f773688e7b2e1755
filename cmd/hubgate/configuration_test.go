package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/hubgate/hubgate/backend"
	"github.com/hubgate/hubgate/backend/embedded"
	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
	"github.com/hubgate/hubgate/configuration"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/twin"
)

func TestConfigurationTranscript(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := startDev(t, dir)
	transcript(t, "configuration.txt", p, dir)
	p.stopCleanly(t)
}

// TestConditionIsShownAsItIs: <, > and & are written for people as they are.
func TestConditionIsShownAsItIs(t *testing.T) {
	t.Parallel()
	for _, format := range []outputFormat{formatTable, formatJSON} {
		var out bytes.Buffer
		a := &app{out: &out, format: format}
		if err := a.showConfiguration(configuration.Configuration{ID: "c", TargetCondition: "properties.reported.t < 5"}); err != nil {
			t.Fatal(err)
		}
		wantAll(t, out.String(), "properties.reported.t < 5")
	}
}

// TestLabelsAreAsGiven: a semicolon in a label's value begins no other label.
func TestLabelsAreAsGiven(t *testing.T) {
	t.Parallel()
	var grammar commands
	parser, err := kong.New(&grammar, kong.Bind(&app{}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse([]string{"configuration", "create", "c", "{}", "--label", "note=a;b=c", "--label", "team=ops"}); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"note": "a;b=c", "team": "ops"}
	if got := grammar.Configuration.Create.Labels; !maps.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestConfigurationSurvives applies a configuration, kills the node, and has
// another one go on: with what a device gets, and with what is taken back.
func TestConfigurationSurvives(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := startDev(t, dir)
	awaitTwin := func(words ...string) {
		t.Helper()
		eventually(t, fmt.Sprintf("the twin has %q", words), func() bool {
			r := hubgate(t, []string{"HUBGATE_DATA_DIR=" + dir}, "twin", "get", "dev1", "-o", "json")
			for _, word := range words {
				not, unwanted := strings.CutPrefix(word, "!")
				if unwanted == strings.Contains(r.out, not) {
					return false
				}
			}
			return r.code == 0
		})
	}
	do(t, dir, "configuration", "create", "fast", `{"deviceContent":{"properties.desired":{"interval":5,"mode":"x"}}}`, "--condition", "tags.plant = 'A'", "--priority", "2")
	do(t, dir, "configuration", "create", "slow", `{"deviceContent":{"properties.desired.interval":60}}`, "--condition", "*", "--priority", "1")
	awaitTwin(`"interval":60`, `"$lastUpdatedBy":"slow"`)
	do(t, dir, "twin", "update", "dev1", "--tags", `{"plant":"A"}`, "--desired", `{"own":1}`)
	awaitTwin(`"interval":5`, `"mode":"x"`, `"$lastUpdatedBy":"fast"`, `"own":1`)
	wantAll(t, do(t, dir, "configuration", "status", "slow"), "appliedCount", "Not applied to  dev1")
	_ = p.stop(t, syscall.SIGKILL)

	p = startDev(t, dir)
	// The lease of the killed node is over after a while.
	do(t, dir, "twin", "update", "dev1", "--tags", `{"plant":"B"}`)
	awaitTwin(`"interval":60`, `!"mode"`, `"own":1`)
	do(t, dir, "configuration", "delete", "slow")
	awaitTwin(`!"interval"`, `!"mode"`, `"own":1`)
	wantAll(t, do(t, dir, "configuration", "list"), "fast  devices  2         0         0        tags.plant = 'A'")
	p.stopCleanly(t)
}

// configuredNode is the part of a node that applies configurations.
func configuredNode(tb testing.TB, s *embedded.Server) *node {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	n := &node{cfg: config.Default(), log: zerolog.Nop()}
	var err error
	if n.back, err = backend.Connect(ctx, backend.Config{URL: s.URL(), CredsFile: s.GatewayCreds()}, s.InProcess()); err != nil {
		tb.Fatal(err)
	}
	n.registry, n.twins = &identity.Registry{Store: n.back.Devices()}, &twin.Twins{Store: n.back.Twins()}
	n.configs = n.configurations()
	if err := n.serveConfigurations(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		stopConfigurations(ctx, n)
		n.back.Close(ctx)
	})
	return n
}

// stopConfigurations stops what serveConfigurations has started.
func stopConfigurations(ctx context.Context, n *node) {
	for _, stop := range n.stops {
		stop(ctx)
	}
	n.stops = nil
}

func serveNATS(tb testing.TB) *embedded.Server {
	tb.Helper()
	s, err := embedded.Start(tb.Context(), embedded.Config{DataDir: tb.TempDir()})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Shutdown() })
	return s
}

// createDevices makes devices d0 to d(n-1).
func createDevices(tb testing.TB, n *node, count int) {
	tb.Helper()
	g, ctx := errgroup.WithContext(tb.Context())
	g.SetLimit(32)
	for i := range count {
		g.Go(func() error {
			_, err := n.registry.Create(ctx, identity.Record{ID: hub.Identity{Device: fmt.Sprint("d", i)}})
			return err
		})
	}
	if err := g.Wait(); err != nil {
		tb.Fatal(err)
	}
}

// putConfiguration creates or updates a configuration.
func putConfiguration(tb testing.TB, n *node, id, ifMatch, body string) {
	tb.Helper()
	c, err := configuration.Parse(id, []byte(body))
	if err == nil {
		_, err = n.configs.Put(tb.Context(), c, ifMatch)
	}
	if err != nil {
		tb.Fatal(err)
	}
}

// awaitCount waits until a query has so many rows.
func awaitCount(tb testing.TB, n *node, text string, want int) {
	tb.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	limit, got := time.After(10*patience), 0
	for {
		var err error
		if got, err = (documents{n.back.Fleet()}).Count(tb.Context(), text); err == nil && got == want {
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			tb.Fatalf("%s: %d rows, want %d", text, got, want)
		}
	}
}

const appliedTo = "SELECT * FROM devices WHERE configurations.[[c]].status = 'Applied'"

// TestTwoControllers has two nodes at work on one hub, of which one leaves. No
// device is written twice.
func TestTwoControllers(t *testing.T) {
	t.Parallel()
	s := serveNATS(t)
	a, b := configuredNode(t, s), configuredNode(t, s)
	const devices = 200
	createDevices(t, a, devices)
	putConfiguration(t, a, "c", "", `{"content":{"deviceContent":{"properties.desired.x":1}},"targetCondition":"*"}`)
	for _, n := range []*node{a, b} {
		awaitCount(t, n, appliedTo, devices)
		awaitCount(t, n, "SELECT * FROM devices WHERE properties.desired.x = 1 AND properties.desired.$version = 2", devices)
	}
	stopConfigurations(t.Context(), a) // if it has the lease, it gives it back
	if err := b.configs.Delete(t.Context(), "c", "*"); err != nil {
		t.Fatal(err)
	}
	awaitCount(t, b, "SELECT * FROM devices WHERE is_defined(properties.desired.x)", 0)
	awaitCount(t, b, "SELECT * FROM devices WHERE properties.desired.$version = 3", devices)
}

// TestCopiedFromATwin applies desired properties as a twin shows them. What the
// hub keeps of them itself says nothing, as in any other write.
func TestCopiedFromATwin(t *testing.T) {
	t.Parallel()
	n := configuredNode(t, serveNATS(t))
	createDevices(t, n, 2)
	const shown = `{"x":1,"$metadata":{"$lastUpdated":"2026-01-01T00:00:00Z","x":{"$lastUpdated":"2026-01-01T00:00:00Z"}},"$version":7}`
	putConfiguration(t, n, "c", "", `{"content":{"deviceContent":{"properties.desired":`+shown+`,"properties.desired.$version":8}},"targetCondition":"deviceId = 'd0'"}`)
	awaitCount(t, n, appliedTo, 1)
	awaitCount(t, n, "SELECT * FROM devices WHERE properties.desired.x = 1 AND properties.desired.$version = 2", 1)
	c, err := n.configs.Get(t.Context(), "c")
	if err != nil {
		t.Fatal(err)
	}
	if text, err := c.AppendJSON(nil); err != nil || !strings.Contains(string(text), shown) {
		t.Errorf("it is not shown as it was sent: %s, %v", text, err)
	}
}

// TestEdgeDeployment deploys to edge devices only, with the modules that are
// missing, and counts by the hub's own metrics.
func TestEdgeDeployment(t *testing.T) {
	t.Parallel()
	n := configuredNode(t, serveNATS(t))
	createDevices(t, n, 2)
	if _, err := n.registry.Create(t.Context(), identity.Record{ID: hub.Identity{Device: "edge"}, Edge: true}); err != nil {
		t.Fatal(err)
	}
	putConfiguration(t, n, "dep", "", `{"targetCondition":"*","content":{"modulesContent":{"$edgeAgent":{"properties.desired":{"modules":{"m":{}}}},"$edgeHub":{"properties.desired":{"routes":{"all":"FROM /* INTO $upstream"}}},"m":{"properties.desired":{"x":1}}}}}`)
	awaitCount(t, n, "SELECT * FROM devices.modules WHERE configurations.[[dep]].status = 'Applied'", 3)
	got, err := n.registry.Get(t.Context(), hub.Identity{Device: "edge", Module: "m"})
	if err != nil || got.ManagedBy != "iotEdge" {
		t.Errorf("the module: %+v, %v", got, err)
	}
	c, err := n.configs.Get(t.Context(), "dep")
	if err != nil || c.System.Results["targetedCount"] != 1 || c.System.Results["appliedCount"] != 1 || c.System.Results["reportedSuccessfulCount"] != 0 {
		t.Errorf("metrics: %+v, %v", c.System, err)
	}
	agent := hub.Identity{Device: "edge", Module: "$edgeAgent"}
	w, err := n.twins.Get(t.Context(), agent)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.twins.PatchReported(t.Context(), agent, fmt.Appendf(nil, `{"lastDesiredVersion":%d,"lastDesiredStatus":{"code":200}}`, w.DesiredVersion()), 0); err != nil {
		t.Fatal(err)
	}
	awaitCount(t, n, c.System.Queries["reportedSuccessfulCount"], 1)
	// Once, and by hand: the deployment wins again.
	if err := n.configs.Apply(t.Context(), "edge", []byte(`{"modulesContent":{"m":{"properties.desired":{"y":2}},"n":{"properties.desired":{"z":3}}}}`), "me"); err != nil {
		t.Fatal(err)
	}
	awaitCount(t, n, "SELECT * FROM devices.modules WHERE moduleId = 'n' AND properties.desired.z = 3", 1)
	awaitCount(t, n, "SELECT * FROM devices.modules WHERE moduleId = 'm' AND properties.desired.x = 1 AND NOT is_defined(properties.desired.y)", 1)
}

// TestConfigurationAPI asks by HTTP what SDKs ask.
func TestConfigurationAPI(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := startDev(t, dir)
	api := newAPI(t, p, dir)
	const body = `{"id":"c1","content":{"deviceContent":{"properties.desired.x":1}},"targetCondition":"*","priority":10,"metrics":{"queries":{"all":"select deviceId from devices"}}}`
	for _, s := range []struct {
		name, verb, path, ifMatch, body string
		status                          int
		etag                            string
		words                           []string
	}{
		{"none", "GET", "/configurations", "", "", 200, "", []string{"[]"}},
		{"create", "PUT", "/configurations/c1", "", body, 200, `"MQ=="`, []string{`"etag":"MQ=="`, `"schemaVersion":null`, `"results":{}`}},
		{"create again", "PUT", "/configurations/c1", `""`, body, 409, "", []string{"ErrorCode:ConfigurationAlreadyExists;"}},
		{"update", "PUT", "/configurations/c1", `"MQ=="`, strings.Replace(body, `"priority":10`, `"priority":11`, 1), 200, `"Mg=="`, []string{`"priority":11`}},
		{"update by a stale etag", "PUT", "/configurations/c1", "MQ==", body, 412, "", []string{"ErrorCode:PreconditionFailed;"}},
		{"update of none", "PUT", "/configurations/c2", "*", strings.Replace(body, "c1", "c2", 1), 404, "", []string{"ErrorCode:ConfigurationNotFound;"}},
		{"get", "GET", "/configurations/c1", "", "", 200, `"Mg=="`, []string{`"results":{"appliedCount":`, `"targetedCount":1`, `"results":{"all":1}`}},
		{"get none", "GET", "/configurations/c2", "", "", 404, "", []string{"ErrorCode:ConfigurationNotFound;"}},
		{"list", "GET", "/configurations/?top=20", "", "", 200, "", []string{`[{"id":"c1"`}},
		{"list badly", "GET", "/configurations?top=x", "", "", 400, "", []string{"ErrorCode:ArgumentInvalid;"}},
		{"bad id", "PUT", "/configurations/C%20", "", body, 400, "", nil},
		{"no JSON", "PUT", "/configurations/c2", "", "{", 400, "", []string{"ErrorCode:ArgumentInvalid;"}},
		{"no body", "PUT", "/configurations/c2", "", "", 400, "", []string{"ErrorCode:ArgumentNull;"}},
		{"bad condition", "PUT", "/configurations/c2", "", `{"content":{"deviceContent":{}},"targetCondition":"tags.x ="}`, 400, "", []string{"ErrorCode:InvalidConfigurationTargetCondition;", "line 1, column 9"}},
		{"test", "POST", "/configurations/testQueries", "", `{"targetCondition":"tags.x =","customMetricQueries":{"a":"SELECT","b":"select * from devices"}}`, 200, "", []string{`"targetConditionError":"line 1`, `"customMetricQueryErrors":{"a":"line 1`}},
		{"apply to none", "POST", "/devices/nobody/applyConfigurationContent", "", `{"modulesContent":{}}`, 404, "", []string{"ErrorCode:DeviceNotFound;"}},
		{"apply to a device", "POST", "/devices/dev1/applyConfigurationContent", "", `{"modulesContent":{}}`, 400, "", []string{"Not an Azure IoT Edge device"}},
		{"apply device content", "POST", "/devices/dev1/applyConfigurationContent", "", `{"deviceContent":{}}`, 400, "", []string{"ErrorCode:InvalidConfigurationContent;"}},
		{"make an edge device", "PUT", "/devices/e1", "", `{"deviceId":"e1","capabilities":{"iotEdge":true}}`, 200, "*", nil},
		{"apply", "POST", "/devices/e1/applyConfigurationContent", "", `{"modulesContent":{"m":{"properties.desired":{"x":1}}}}`, 204, "", nil},
		{"delete by a stale etag", "DELETE", "/configurations/c1", `"MQ=="`, "", 412, "", nil},
		{"delete", "DELETE", "/configurations/c1", "", "", 204, "", nil},
		{"delete again", "DELETE", "/configurations/c1", "*", "", 404, "", []string{"ErrorCode:ConfigurationNotFound;"}},
	} {
		status, etag, text := api.ask(s.verb, s.path, s.ifMatch, s.body)
		if status != s.status || s.etag != "*" && etag != s.etag {
			t.Errorf("%s: status %d, etag %s, %s; want %d, %s", s.name, status, etag, text, s.status, s.etag)
		}
		wantAll(t, text, s.words...)
	}
	p.stopCleanly(t)
}

// api is a client of a hub's service API.
type api struct {
	t     *testing.T
	base  string
	token string
	web   *http.Client
}

func newAPI(t *testing.T, p *process, dir string) *api {
	t.Helper()
	ca, err := os.ReadFile(p.ready.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	web := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}, Timeout: patience}
	return &api{t, p.ready.HTTPURL, strings.TrimSpace(do(t, dir, "sas", "--policy", "iothubowner")), web}
}

// ask sends a request and returns status, etag and body of the answer.
func (a *api) ask(verb, path, ifMatch, body string) (status int, etag, text string) {
	a.t.Helper()
	separator := "?"
	if strings.Contains(path, "?") {
		separator = "&"
	}
	r, err := http.NewRequestWithContext(a.t.Context(), verb, a.base+path+separator+"api-version=2021-04-12", bytes.NewReader([]byte(body)))
	if err != nil {
		a.t.Fatal(err)
	}
	r.Header.Set("Authorization", a.token)
	if ifMatch != "" {
		r.Header.Set("If-Match", ifMatch)
	}
	answer, err := a.web.Do(r)
	if err != nil {
		a.t.Fatal(err)
	}
	defer answer.Body.Close()
	all, err := io.ReadAll(answer.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return answer.StatusCode, answer.Header.Get("ETag"), string(all)
}

// BenchmarkSweep applies a new configuration to 10,000 devices, and then looks
// at all of them again without a write.
func BenchmarkSweep(b *testing.B) {
	const devices = 10_000
	n := configuredNode(b, serveNATS(b))
	createDevices(b, n, devices)
	awaitCount(b, n, "SELECT * FROM devices", devices)
	var write, look time.Duration
	rounds := 0
	for b.Loop() {
		rounds++
		begun := time.Now()
		putConfiguration(b, n, "c", "", fmt.Sprintf(`{"content":{"deviceContent":{"properties.desired.settings":{"round":%d,"interval":30}}},"targetCondition":"*"}`, rounds))
		awaitCount(b, n, appliedTo, devices)
		write += time.Since(begun)
		begun = time.Now()
		putConfiguration(b, n, "c", "*", `{"targetCondition":""}`)
		awaitCount(b, n, "SELECT * FROM devices WHERE is_defined(properties.desired.settings)", 0)
		look += time.Since(begun)
		if err := n.configs.Delete(b.Context(), "c", "*"); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(write.Seconds()/float64(rounds), "s/apply")
	b.ReportMetric(look.Seconds()/float64(rounds), "s/withdraw")
}
