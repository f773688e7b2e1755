package monitoring

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hubgate/hubgate/test/hubtest"
	"github.com/hubgate/hubgate/trust/trusttest"
)

// root is the main module.
const root = "../.."

func TestMain(m *testing.M) { os.Exit(run(m)) }

// run builds the program in the main module, unless HUBGATE_BIN is one: what this
// module needs must not change what the product is made of.
func run(m *testing.M) int {
	if os.Getenv("HUBGATE_BIN") != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "hubgate-monitoring-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "hubgate")
	cmd := exec.CommandContext(context.Background(), "go", "build", "-o", path, "./cmd/hubgate")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build hubgate: %v\n%s", err, out)
		return 1
	}
	if err := os.Setenv("HUBGATE_BIN", path); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// exposed is what a running node shows: by name, the values of each label.
type exposed map[string]map[string]map[string]bool

// expose runs a node, does what makes metrics appear that wait for it, and reads
// them.
func expose(t *testing.T) exposed {
	t.Helper()
	authority := trusttest.Root(t, "root")
	g := hubtest.Start(t, hubtest.Options{Flags: []string{
		"--host", "127.0.0.1", "--mqtt-port", "0", "--https-port", "0", "--admin-listen", "127.0.0.1:0",
		"--tls-client-ca", written(t, "root.pem", authority.PEM()),
		"--tls-crl", written(t, "root.crl", authority.Revoke(t, time.Now().Add(time.Hour))),
	}})
	roots := x509.NewCertPool()
	if ca, err := os.ReadFile(g.Ready.CAFile); err != nil || !roots.AppendCertsFromPEM(ca) {
		t.Fatalf("read %s: %v", g.Ready.CAFile, err)
	}
	web := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}}
	get(t, web, fmt.Sprintf("https://127.0.0.1:%d/devices/x?api-version=2021-04-12", g.Ready.Ports.HTTPS))
	limit := time.NewTimer(hubtest.Patience)
	defer limit.Stop()
	for {
		all := read(get(t, http.DefaultClient, fmt.Sprintf("http://127.0.0.1:%d/metrics", g.Ready.Ports.Admin)))
		if len(all["hubgate_stream_bytes"]) > 0 && len(all["hubgate_index_lag_revisions"]) > 0 {
			return all
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-limit.C:
			t.Fatal("the streams are not sampled")
		}
	}
}

func written(t *testing.T, name string, text []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func get(t *testing.T, client *http.Client, url string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// read takes the text of metrics apart.
func read(text string) exposed {
	all := exposed{}
	label := regexp.MustCompile(`([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"`)
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") || strings.TrimSpace(line) == "" {
			continue
		}
		name, labels, _ := strings.Cut(line[:strings.LastIndexByte(line, ' ')], "{")
		if all[name] == nil {
			all[name] = map[string]map[string]bool{}
		}
		for _, pair := range label.FindAllStringSubmatch(labels, -1) {
			all.add(name, pair[1], pair[2])
		}
	}
	return all
}

func (e exposed) add(name, label, value string) {
	if e[name] == nil {
		e[name] = map[string]map[string]bool{}
	}
	if e[name][label] == nil {
		e[name][label] = map[string]bool{}
	}
	e[name][label][value] = true
}

func file(t *testing.T, path ...string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(append([]string{root}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func decode(t *testing.T, text []byte, v any) {
	t.Helper()
	if err := json.Unmarshal(text, v); err != nil {
		t.Fatal(err)
	}
}
