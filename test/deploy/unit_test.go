package deploy

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/hubgate/hubgate/test/hubtest"
)

const unitFile = files + "/systemd/hubgate.service"

// unit is the assignments of a unit file, by name.
func unit(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for line := range strings.Lines(read(t, unitFile)) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if ok && !strings.HasPrefix(name, "#") {
			all[name] = append(all[name], value)
		}
	}
	return all
}

// TestUnit: what the unit says of the binary is so.
func TestUnit(t *testing.T) {
	u := unit(t)
	command := strings.Fields(u["ExecStart"][0])
	if command[0] != "/usr/bin/hubgate" {
		t.Errorf("the unit starts %s", command[0])
	}
	takes(t, unitFile, command[1:])
	var env, names []string
	for _, assignment := range u["Environment"] {
		name, value, _ := strings.Cut(assignment, "=")
		names = append(names, name)
		if name != "HUBGATE_CONFIG" {
			env = append(env, name+"="+strings.ReplaceAll(value, "%S", "/var/lib"))
		}
	}
	variables(t, unitFile, names)
	example := []string{"--config", "../../docs/hubgate.example.yaml"}
	accepted(t, unitFile, env, example...)
	for _, credential := range u["LoadCredential"] {
		if !strings.Contains(read(t, "../../docs/deploy.md"), credential) {
			t.Errorf("docs/deploy.md does not say what the credential %s is for", credential)
		}
	}
	// Exit code 2 means that another start would not mend it.
	r := hubtest.Run(t, nil, "serve", "--set", "no.such=key")
	if got := u["RestartPreventExitStatus"]; len(got) != 1 || got[0] != strconv.Itoa(r.Code) {
		t.Errorf("the unit does not restart after %q, and wrong configuration is %d", got, r.Code)
	}
	if u["Type"][0] != "notify" || u["NotifyAccess"][0] != "main" || u["WatchdogSec"] == nil {
		t.Errorf("the unit does not listen to the node: %v", u)
	}
}

// TestUnitBySystemd has systemd itself read the unit, and judge what it may.
func TestUnitBySystemd(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		hubtest.Skip(t, "systemd-analyze is not here: the unit file is not verified")
	}
	program, err := hubtest.Program()
	if err != nil {
		t.Fatal(err)
	}
	// The binary is not installed here.
	path := filepath.Join(t.TempDir(), "hubgate.service")
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(read(t, unitFile), "/usr/bin/hubgate", program)), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), analyze, "verify", path).CombinedOutput()
	if err != nil || strings.Contains(string(out), "hubgate.service") {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	out, err = exec.CommandContext(t.Context(), analyze, "security", "--offline=true", "--no-pager", path).CombinedOutput()
	if err != nil {
		t.Fatalf("systemd-analyze security: %v\n%s", err, out)
	}
	found := regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`).FindStringSubmatch(string(out))
	if found == nil {
		t.Fatalf("systemd-analyze security says %s", out)
	}
	level, err := strconv.ParseFloat(found[1], 64)
	if err != nil || level > 2 {
		t.Errorf("the exposure level is %s", found[1])
	}
	if said := fmt.Sprintf("gives %s,", found[1]); !strings.Contains(read(t, "../../docs/deploy.md"), said) {
		t.Logf("docs/deploy.md does not say that the exposure level %s", said)
	}
}
