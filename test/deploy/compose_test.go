package deploy

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/nats-io/nats-server/v2/server"
	"go.yaml.in/yaml/v3"
)

// project loads a file of Compose as docker compose does.
func project(t *testing.T, path string) *types.Project {
	t.Helper()
	opts, err := cli.NewProjectOptions([]string{path}, cli.WithEnv([]string{"NATS_PASSWORD=secret"}), cli.WithInterpolation(true), cli.WithNormalization(true))
	if err != nil {
		t.Fatal(err)
	}
	p, err := opts.LoadProject(t.Context())
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return p
}

// TestComposeForDevelopment: one container, which only this machine reaches.
func TestComposeForDevelopment(t *testing.T) {
	path := filepath.Join(files, "compose", "compose.yaml")
	hub := project(t, path).Services["hub"]
	takes(t, path, hub.Command)
	variables(t, path, keysOf(hub.Environment))
	accepted(t, path, envOf(hub.Environment), flagsOf(hub.Command)...)
	checkBuild(t, hub)
	for _, p := range hub.Ports {
		if p.HostIP != "127.0.0.1" {
			t.Errorf("port %s of a development hub is open to everybody", p.Published)
		}
	}
	if ports := published(hub); !slices.Equal(ports, []string{"4222", "443", "8883"}) {
		t.Errorf("the ports are %q", ports)
	}
}

// TestComposeCluster: three NATS servers, two nodes that find them, and a
// balancer that finds the nodes.
func TestComposeCluster(t *testing.T) {
	dir := filepath.Join(files, "compose", "cluster")
	path := filepath.Join(dir, "compose.yaml")
	p := project(t, path)
	if len(p.Services) != 6 {
		t.Fatalf("there are %d services", len(p.Services))
	}
	var drain time.Duration
	var c struct {
		Limits struct{ Drain, PenaltyExempt any } `yaml:"limits"`
		NATS   struct{ Replicas int }             `yaml:"nats"`
	}
	if err := yaml.Unmarshal([]byte(read(t, filepath.Join(dir, "hubgate.yaml"))), &c); err != nil || c.NATS.Replicas != 3 {
		t.Errorf("hubgate.yaml: %+v, %v", c, err)
	}
	if text, ok := c.Limits.Drain.(string); ok {
		drain, _ = time.ParseDuration(text)
	}
	for _, name := range []string{"north", "south"} {
		node := p.Services[name]
		takes(t, path, node.Command)
		variables(t, path, keysOf(node.Environment))
		accepted(t, path, envOf(node.Environment), "--config", filepath.Join(dir, "hubgate.yaml"))
		checkBuild(t, node)
		url := *node.Environment["HUBGATE_NATS"]
		for _, peer := range []string{"nats-1", "nats-2", "nats-3"} {
			if p.Services[peer].Name == "" || !strings.Contains(url, "@"+peer+":4222") {
				t.Errorf("%s does not connect to %s: %s", name, peer, url)
			}
		}
		if grace := time.Duration(*node.StopGracePeriod); drain == 0 || grace < drain+10*time.Second {
			t.Errorf("%s is killed after %v, and drains over %v", name, grace, drain)
		}
		if !node.ReadOnly || !slices.Equal(node.CapDrop, []string{"ALL"}) {
			t.Errorf("%s has rights that it does not need", name)
		}
		for _, s := range node.Secrets {
			if !strings.Contains(read(t, filepath.Join(dir, "hubgate.yaml")), "/run/secrets/"+s.Source) {
				t.Errorf("nobody uses the secret %s", s.Source)
			}
		}
	}
	checkBalancer(t, read(t, filepath.Join(dir, "haproxy.cfg")), p)
	checkExempt(t, read(t, filepath.Join(dir, "hubgate.yaml")), p)
	checkNATS(t, filepath.Join(dir, "nats.conf"), p)
}

// checkBalancer: it has the published ports, and leads them to all nodes.
func checkBalancer(t *testing.T, config string, p *types.Project) {
	t.Helper()
	for _, port := range published(p.Services["balancer"]) {
		if !strings.Contains(config, "bind :"+port+"\n") {
			t.Errorf("the balancer does not listen on %s", port)
		}
		for _, node := range []string{"north", "south"} {
			if !strings.Contains(config, "server "+node+" "+node+":"+port+"\n") {
				t.Errorf("the balancer does not lead port %s to %s", port, node)
			}
		}
	}
	if got := published(p.Services["balancer"]); !slices.Equal(got, []string{"443", "8883"}) {
		t.Errorf("the ports are %q", got)
	}
}

// checkExempt: the network of the balancer is one whose addresses are not
// punished as a whole.
func checkExempt(t *testing.T, config string, p *types.Project) {
	t.Helper()
	subnet := p.Networks["hub"].Ipam.Config[0].Subnet
	if _, _, err := net.ParseCIDR(subnet); err != nil || !strings.Contains(config, "penalty_exempt: ["+subnet+"]") {
		t.Errorf("the balancer's network %s is not exempt: %v", subnet, err)
	}
}

// checkNATS has nats-server read its configuration.
func checkNATS(t *testing.T, path string, p *types.Project) {
	t.Helper()
	t.Setenv("NATS_PASSWORD", "secret")
	opts, err := server.ProcessConfigFile(path)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	if len(opts.Routes) != 3 || opts.Cluster.Name == "" || opts.Username != "hub" || opts.Password != "secret" || opts.StoreDir != "/data" {
		t.Errorf("%s: %+v", path, opts)
	}
	for _, route := range opts.Routes {
		s := p.Services[route.Hostname()]
		if s.Name == "" || len(s.Volumes) != 1 || s.Volumes[0].Target != opts.StoreDir {
			t.Errorf("the server %s has no volume at %s", route.Host, opts.StoreDir)
		}
		if s.HealthCheck == nil || !strings.Contains(strings.Join(s.HealthCheck.Test, " "), ":8222/healthz") || opts.HTTPPort != 8222 {
			t.Errorf("the server %s is not asked for its health", route.Host)
		}
	}
}

// checkBuild: the image is made from the Dockerfile of this tree.
func checkBuild(t *testing.T, s types.ServiceConfig) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(s.Build.Context, s.Build.Dockerfile)); err != nil {
		t.Errorf("%s is built from %s, which is not there: %v", s.Name, s.Build.Dockerfile, err)
	}
	if _, err := os.Stat(filepath.Join(s.Build.Context, "go.mod")); err != nil {
		t.Errorf("%s is built in another tree: %v", s.Name, err)
	}
}

func keysOf(m types.MappingWithEquals) (keys []string) {
	for k := range m {
		keys = append(keys, k)
	}
	return keys
}

func envOf(m types.MappingWithEquals) (env []string) {
	for k, v := range m {
		if v != nil {
			env = append(env, k+"="+*v)
		}
	}
	return env
}

// flagsOf returns a command line without the command, and without what config
// print does not take.
func flagsOf(command []string) []string { return command[1:] }

func published(s types.ServiceConfig) (ports []string) {
	for _, p := range s.Ports {
		ports = append(ports, p.Published)
	}
	slices.Sort(ports)
	return ports
}
