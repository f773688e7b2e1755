package hubtest

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// Identity is what the CLI prints about a device or module that it made.
type Identity struct {
	GenerationID     string `json:"generationId"`
	ConnectionString string `json:"connectionString"`
}

// CLI runs a command against the running gateway and returns its output.
// Goroutines may call it at the same time.
func (g *Gateway) CLI(t *testing.T, args ...string) []byte {
	t.Helper()
	r := g.Command(t, args...)
	if r.Code != 0 {
		t.Fatalf("hubgate %s: exit code %d\n%s%s", strings.Join(args, " "), r.Code, r.Stdout, r.Stderr)
	}
	return []byte(r.Stdout)
}

// Command is CLI for a command that may fail.
func (g *Gateway) Command(t *testing.T, args ...string) Result {
	t.Helper()
	env := []string{"HUBGATE_DATA_DIR=" + g.Path(g.DataDir), "HUBGATE_HOST=" + g.Ready.HostName, "HUBGATE_NATS=" + g.Ready.NATSURL}
	if g.Ready.NATSCreds != "" {
		env = append(env, "HUBGATE_CREDS="+g.Path(g.Ready.NATSCreds))
	}
	return Run(t, env, args...)
}

// Create makes a device ("dev") or a module ("dev/mod") by the CLI. Goroutines
// may call it at the same time.
func (g *Gateway) Create(t *testing.T, id string) Identity {
	t.Helper()
	kind := "device"
	if strings.Contains(id, "/") {
		kind = "module"
	}
	var out Identity
	data := g.CLI(t, kind, "create", "-o", "json", "--", id)
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatalf("read the output of %s create: %v\n%s", kind, err, data)
	}
	if out.ConnectionString == "" && !strings.Contains(id, ";") { // which separates its fields
		t.Fatalf("%s create printed no connection string: %s", kind, data)
	}
	return out
}

// SAS asks the CLI for a device's token.
func (g *Gateway) SAS(t *testing.T, device string, ttl time.Duration) string {
	t.Helper()
	return strings.TrimSpace(string(g.CLI(t, "sas", "--device", device, "--ttl", ttl.String())))
}
