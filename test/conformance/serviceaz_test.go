package conformance

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestServiceAz runs az iot hub with the keys of a policy. The extension azure-iot
// is in no registry, so that nothing here can install it: HUBGATE_AZ names a program
// that is az with it. It is not required by HUBGATE_REQUIRE_SDK.
func TestServiceAz(t *testing.T) {
	program := os.Getenv("HUBGATE_AZ")
	if program == "" {
		t.Skip("HUBGATE_AZ names no az that has the extension azure-iot")
	}
	g := startGateway(t)
	d := azDevice(t, g)
	for _, c := range []struct {
		args string
		path string // of what is printed
		want any
	}{
		{"device-identity create -d az1", "deviceId", "az1"},
		{"device-identity create -d edge --ee", "capabilities.iotEdge", true},
		{"device-identity update -d az1 --set status=disabled", "status", "disabled"},
		{"device-identity update -d az1 --set status=enabled", "status", "enabled"},
		{"device-identity show -d az1", "deviceId", "az1"},
		{"device-identity renew-key -n hub -d az1 --kt primary", "deviceId", "az1"},
		{"device-identity parent set -d az1 --pd edge", "", nil},
		{"device-identity children list -d edge", "0", "az1"},
		{"device-identity list", "0.deviceId", "az1"},
		{"module-identity create -d az1 -m mod", "moduleId", "mod"},
		{"module-identity list -d az1", "0.moduleId", "mod"},
		{"module-twin update -d az1 -m mod --tags {\"a\":1}", "tags.a", 1.0},
		{"device-twin update -d az1 --tags {\"fleet\":\"az\"} --desired {\"rate\":5}", "properties.desired.rate", 5.0},
		{"device-twin show -d az1", "tags.fleet", "az"},
		{"device-twin replace -d az1 -j {\"tags\":{\"fleet\":\"az\"},\"properties\":{\"desired\":{\"only\":1}}}", "properties.desired.only", 1.0},
		{"query -q SELECT\u00a0deviceId\u00a0FROM\u00a0devices\u00a0WHERE\u00a0tags.fleet='az'", "0.deviceId", "az1"},
		{"invoke-device-method -d " + d + " --mn echo --mp {\"x\":1} --to 20", "status", 207.0},
		{"configuration create -c azc --content {\"deviceContent\":{\"properties.desired.az\":1}} --tc tags.fleet='az' --pri 5", "id", "azc"},
		{"configuration show -c azc", "priority", 5.0},
		{"configuration update -c azc --set priority=6", "priority", 6.0},
		{"configuration list", "0.id", "azc"},
		{"configuration delete -c azc", "", nil},
		{"job create --job-id azj --job-type scheduleUpdateTwin -q tags.fleet='az' --twin-patch {\"tags\":{\"by\":\"job\"}}", "jobId", "azj"},
		{"job show --job-id azj", "type", "scheduleUpdateTwin"},
		{"job list", "0.jobId", "azj"},
		{"digital-twin show -d az1", "$dtId", "az1"},
		{"module-identity delete -d az1 -m mod", "", nil},
		{"device-identity delete -d az1", "", nil},
	} {
		name, _, _ := strings.Cut(c.args, " -")
		t.Run(name, func(t *testing.T) {
			printed := az(t, g, program, c.args)
			if got := along(printed, c.path); c.path != "" && got != c.want {
				t.Errorf("az iot hub %s: %s = %v, want %v; it prints %v", c.args, c.path, got, c.want, printed)
			}
		})
	}
}

// azDevice connects a device that answers methods, by the Python SDK.
func azDevice(t *testing.T, g *gateway) string {
	t.Helper()
	python := installPython(t)
	s := pythonSDK("sync", "mqtt", func(t *testing.T) *driver { return startDriver(t, python, "python/driver.py", "sync") })
	who := g.create("online")
	d := s.start(t)
	d.do("open", "a", s.open(g, "online", who.ConnectionString, nil))
	d.do("subscribe", "a", args{"filter": "methods"})
	g.presence("online", "subscription to methods", func(p session) bool { return p.Has(filterMethods) })
	return "online"
}

// az runs one command and returns what it prints. Arguments are apart by blanks; a
// blank inside of one is U+00A0.
func az(t *testing.T, g *gateway, program, line string) any {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	argv := strings.Fields("iot hub " + strings.ReplaceAll(line, "\u00a0", "\x01"))
	for i := range argv {
		argv[i] = strings.ReplaceAll(argv[i], "\x01", " ")
	}
	cmd := exec.CommandContext(ctx, program, append(argv, "--login", g.Ready.ServiceConnectionString, "-o", "json")...)
	cmd.Env = append(os.Environ(), "REQUESTS_CA_BUNDLE="+g.Ready.CAFile)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("az %s: %v\n%s", line, err, tail(stderr.String(), 2000))
	}
	var printed any
	if len(out) > 0 {
		if err := json.Unmarshal(out, &printed); err != nil {
			t.Fatalf("az %s prints %s: %v", line, out, err)
		}
	}
	return printed
}

// along is what a path of names and of the index 0 leads to.
func along(v any, path string) any {
	for name := range strings.SplitSeq(path, ".") {
		switch at := v.(type) {
		case map[string]any:
			v = at[name]
		case []any:
			if len(at) == 0 {
				return nil
			}
			v = at[0]
		default:
			return nil
		}
	}
	return v
}
