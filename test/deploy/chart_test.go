package deploy

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apilabels "k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"
)

var chartDir = filepath.Join(files, "helm", "hubgate")

// least is what has to be given.
func least() map[string]any {
	return map[string]any{
		"hub": map[string]any{"host": "hub.example.com"}, "tls": map[string]any{"secretName": "hub-tls"},
		"nats": map[string]any{"url": "nats://nats:4222", "credsSecret": "hub-nats"},
	}
}

// load reads the chart.
func load(t *testing.T) *chart.Chart {
	t.Helper()
	c, err := loader.LoadDir(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// render renders the chart as helm install does, and returns its documents.
func render(t *testing.T, c *chart.Chart, values map[string]any) ([]string, error) {
	t.Helper()
	all, err := chartutil.ToRenderValues(c, values, chartutil.ReleaseOptions{Name: "hub", Namespace: "iot", IsInstall: true}, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	out, err := engine.Render(c, all)
	if err != nil {
		return nil, err
	}
	var documents []string
	for name, text := range out {
		if !strings.HasSuffix(name, ".yaml") {
			continue
		}
		for document := range strings.SplitSeq(text, "\n---\n") {
			if strings.TrimSpace(document) != "" {
				documents = append(documents, document)
			}
		}
	}
	slices.Sort(documents)
	return documents, nil
}

// objects are the rendered documents as Kubernetes' own types, which have every
// field that there is.
type objects struct {
	deployment appsv1.Deployment
	config     corev1.ConfigMap
	services   map[string]corev1.Service
	budget     policyv1.PodDisruptionBudget
	monitor    map[string]any // of another API; nil: none
}

func decode(t *testing.T, values map[string]any) objects {
	t.Helper()
	return decodeChart(t, load(t), values)
}

func decodeChart(t *testing.T, c *chart.Chart, values map[string]any) objects {
	t.Helper()
	documents, err := render(t, c, values)
	if err != nil {
		t.Fatal(err)
	}
	o := objects{services: map[string]corev1.Service{}}
	for _, text := range documents {
		var head struct {
			Kind string `json:"kind"`
		}
		if err := yaml.Unmarshal([]byte(text), &head); err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		var service corev1.Service
		into := map[string]any{"Deployment": &o.deployment, "ConfigMap": &o.config, "Service": &service, "PodDisruptionBudget": &o.budget, "ServiceMonitor": &o.monitor}[head.Kind]
		if into == nil {
			t.Fatalf("a %q is rendered, which nothing here knows", head.Kind)
		}
		if err := yaml.UnmarshalStrict([]byte(text), into); err != nil {
			t.Errorf("%v in\n%s", err, text)
		}
		if service.Name != "" {
			o.services[service.Name] = service
		}
	}
	return o
}

// TestChart: what is rendered is what Kubernetes takes, and says of the binary
// what is so.
func TestChart(t *testing.T) {
	o := decode(t, least())
	checkConfig(t, o)
	pod := o.deployment.Spec.Template.Spec
	c := pod.Containers[0]
	takes(t, "the chart", c.Args)
	for _, probe := range []*corev1.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
		if probe.Exec.Command[0] != "/hubgate" {
			t.Errorf("a probe runs %q", probe.Exec.Command)
		}
		takes(t, "the chart", probe.Exec.Command[1:])
	}
	var names []string
	for _, v := range c.Env {
		names = append(names, v.Name)
	}
	variables(t, "the chart", names)
	if grace := *pod.TerminationGracePeriodSeconds; grace < c.Lifecycle.PreStop.Sleep.Seconds+30+10 || !strings.Contains(o.config.Data["hubgate.yaml"], "drain: 30s") {
		t.Errorf("a node is killed after %d s, and drains over 30 s", grace)
	}
	if s := c.SecurityContext; !*s.ReadOnlyRootFilesystem || *s.AllowPrivilegeEscalation || !*pod.SecurityContext.RunAsNonRoot || *pod.AutomountServiceAccountToken {
		t.Error("a node may more than it needs")
	}
	if user := *pod.SecurityContext.RunAsUser; user != 65532 {
		t.Errorf("the user is %d", user)
	}
	if b := o.budget.Spec.MaxUnavailable; b == nil || *b != intstr.FromInt32(1) {
		t.Errorf("%v nodes may go at a time", b)
	}
	checkService(t, o)
	for _, m := range c.VolumeMounts {
		if !slices.ContainsFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name }) {
			t.Errorf("the volume %s is mounted, and is none", m.Name)
		}
	}
	if len(pod.TopologySpreadConstraints) != 2 {
		t.Error("nodes are not spread")
	}
}

// checkConfig has the binary read the file that the chart makes, and finds each
// path of it in the container.
func checkConfig(t *testing.T, o objects) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hubgate.yaml")
	text := o.config.Data["hubgate.yaml"]
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	accepted(t, "the chart's hubgate.yaml", nil, "--config", path)
	mounted := o.deployment.Spec.Template.Spec.Containers[0].VolumeMounts
	for word := range strings.FieldsSeq(text) {
		if strings.HasPrefix(word, "/") && !slices.ContainsFunc(mounted, func(m corev1.VolumeMount) bool { return strings.HasPrefix(word, m.MountPath+"/") }) {
			t.Errorf("the configuration names %s, and nothing is mounted there", word)
		}
	}
}

// checkService: the ports that the SDKs have built in lead to those of the
// container, and to the pods of the Deployment.
func checkService(t *testing.T, o objects) {
	t.Helper()
	s := o.services["hub-hubgate"]
	if s.Spec.Type != corev1.ServiceTypeLoadBalancer || s.Spec.ExternalTrafficPolicy != corev1.ServiceExternalTrafficPolicyLocal {
		t.Errorf("the service is %+v", s.Spec)
	}
	labels := o.deployment.Spec.Template.Labels
	for _, s := range o.services {
		for name, value := range s.Spec.Selector {
			if labels[name] != value {
				t.Errorf("the service %s selects %s=%s, and pods have %q", s.Name, name, value, labels[name])
			}
		}
	}
	for port, name := range map[int32]string{8883: "mqtt", 443: "https"} {
		if !slices.ContainsFunc(s.Spec.Ports, func(p corev1.ServicePort) bool { return p.Port == port && p.TargetPort.StrVal == name }) {
			t.Errorf("port %d does not lead to %s", port, name)
		}
	}
	checkPorts(t, o)
}

// checkPorts: the container has the ports that its node listens on.
func checkPorts(t *testing.T, o objects) {
	t.Helper()
	var config struct {
		Listen struct {
			MQTT  int32 `json:"mqtt_port"`
			HTTPS int32 `json:"https_port"`
		} `json:"listen"`
		Admin struct {
			Listen string `json:"listen"`
		} `json:"admin"`
	}
	if err := yaml.Unmarshal([]byte(o.config.Data["hubgate.yaml"]), &config); err != nil {
		t.Fatal(err)
	}
	got := map[string]int32{}
	for _, p := range o.deployment.Spec.Template.Spec.Containers[0].Ports {
		got[p.Name] = p.ContainerPort
	}
	if got["mqtt"] != config.Listen.MQTT || got["https"] != config.Listen.HTTPS || !strings.HasSuffix(config.Admin.Listen, fmt.Sprintf(":%d", got["admin"])) {
		t.Errorf("the container's ports are %v, and the configuration says %+v", got, config)
	}
}

// TestChartWithMore: everything that can be switched on is what Kubernetes takes
// too, and the user's configuration comes over the chart's.
func TestChartWithMore(t *testing.T) {
	values := least()
	values["metrics"] = map[string]any{"enabled": true, "tokenSecret": "admin", "serviceMonitor": true, "labels": map[string]any{"release": "p"}}
	values["config"] = map[string]any{"limits": map[string]any{"connections": 50000}, "listen": map[string]any{"https_port": 8444}, "admin": map[string]any{"listen": "0.0.0.0:9611"}}
	values["service"] = map[string]any{"annotations": map[string]any{"a": "b"}, "loadBalancerSourceRanges": []any{"10.0.0.0/8"}, "loadBalancerClass": "x"}
	values["tolerations"] = []any{map[string]any{"key": "iot", "operator": "Exists"}}
	values["nodeSelector"] = map[string]any{"pool": "iot"}
	values["affinity"] = map[string]any{"podAntiAffinity": map[string]any{}}
	values["priorityClassName"], values["podLabels"], values["podAnnotations"] = "high", map[string]any{"l": "1"}, map[string]any{"c": "d"}
	values["imagePullSecrets"] = []any{map[string]any{"name": "pull"}}
	values["extraEnv"] = []any{map[string]any{"name": "GOMEMLIMIT", "value": "1GiB"}}
	o := decode(t, values)
	checkConfig(t, o)
	checkPorts(t, o)
	config := o.config.Data["hubgate.yaml"]
	for _, want := range []string{"connections: 50000", "drain: 30s", "https_port: 8444", "listen: 0.0.0.0:9611", "token_file: /etc/hubgate/admin/token"} {
		if !strings.Contains(config, want) {
			t.Errorf("the configuration lacks %q:\n%s", want, config)
		}
	}
	checkMonitor(t, o)
	if before := decode(t, least()); before.deployment.Spec.Template.Annotations["checksum/config"] == o.deployment.Spec.Template.Annotations["checksum/config"] {
		t.Error("another configuration does not roll the nodes")
	}
}

// checkMonitor: the Prometheus operator finds the service of the metrics, and no
// other one, and the job has the name that alerts and dashboard expect. Without
// jobLabel it would be that of the service.
func checkMonitor(t *testing.T, o objects) {
	t.Helper()
	var monitor struct {
		Spec struct {
			JobLabel string               `json:"jobLabel"`
			Selector metav1.LabelSelector `json:"selector"`
		} `json:"spec"`
	}
	text, err := yaml.Marshal(o.monitor)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &monitor); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	selector, err := metav1.LabelSelectorAsSelector(&monitor.Spec.Selector)
	if err != nil || selector.Empty() {
		t.Fatalf("the monitor selects %v (%v)", selector, err)
	}
	var found []string
	for name, s := range o.services {
		if selector.Matches(apilabels.Set(s.Labels)) {
			found = append(found, name)
		}
	}
	if !slices.Equal(found, []string{"hub-hubgate-metrics"}) {
		t.Fatalf("the monitor selects the services %q of %d", found, len(o.services))
	}
	job := o.services[found[0]].Labels[monitor.Spec.JobLabel]
	for _, path := range []string{filepath.Join(files, "prometheus", "alerts.yaml"), filepath.Join(files, "grafana", "hubgate.json")} {
		for _, m := range regexp.MustCompile(`job=\\?"([^"\\]+)`).FindAllStringSubmatch(read(t, path), -1) {
			if m[1] != job {
				t.Errorf("%s looks for the job %q, and by the label %q it is called %q", path, m[1], monitor.Spec.JobLabel, job)
			}
		}
	}
}

// TestChartNames: a name that YAML would read as something else than text stays
// a name. Kubernetes has such names: digits alone will do for a Secret.
func TestChartNames(t *testing.T) {
	values := least()
	values["tls"] = map[string]any{"secretName": "2026"}
	values["nats"] = map[string]any{"url": "nats://nats:4222", "credsSecret": "2027"}
	values["metrics"] = map[string]any{"enabled": true, "tokenSecret": "2028", "tokenKey": "1", "serviceMonitor": true}
	values["priorityClassName"], values["service"] = "1000", map[string]any{"loadBalancerClass": "7"}
	o := decode(t, values)
	var got []string
	for _, v := range o.deployment.Spec.Template.Spec.Volumes {
		if v.Secret != nil {
			got = append(got, v.Secret.SecretName)
		}
	}
	got = append(got, o.deployment.Spec.Template.Spec.PriorityClassName)
	if want := []string{"2026", "2027", "2028", "1000"}; !slices.Equal(got, want) {
		t.Errorf("the names are %q, want %q", got, want)
	}
	if class := o.services["hub-hubgate"].Spec.LoadBalancerClass; class == nil || *class != "7" {
		t.Errorf("the class of the load balancer is %v", class)
	}
	monitor, err := yaml.Marshal(o.monitor)
	if err != nil || !strings.Contains(string(monitor), `key: "1"`) || !strings.Contains(string(monitor), `name: "2028"`) {
		t.Errorf("the monitor does not have the token's Secret (%v):\n%s", err, monitor)
	}
}

// TestChartVersions: a chart that was packed with the build in its versions has
// labels that Kubernetes takes.
func TestChartVersions(t *testing.T) {
	c := load(t)
	c.Metadata.Version, c.Metadata.AppVersion = "1.2.3+build.5", "1.2.3+5"
	values := least()
	values["image"] = map[string]any{"tag": "1.2.3"}
	for name, value := range decodeChart(t, c, values).deployment.Labels {
		for _, wrong := range validation.IsValidLabelValue(value) {
			t.Errorf("the label %s is %q: %s", name, value, wrong)
		}
	}
}

// TestChartRefuses: values that are missing, misspelled or dangerous.
func TestChartRefuses(t *testing.T) {
	for name, change := range map[string]func(map[string]any){
		"no host":             func(v map[string]any) { delete(v, "hub") },
		"no certificate":      func(v map[string]any) { v["tls"] = map[string]any{} },
		"no NATS":             func(v map[string]any) { v["nats"] = map[string]any{"url": ""} },
		"a password":          func(v map[string]any) { v["nats"] = map[string]any{"url": "nats://u:p@nats:4222"} },
		"misspelled":          func(v map[string]any) { v["replica"] = 3 },
		"misspelled below":    func(v map[string]any) { v["service"] = map[string]any{"kind": "NodePort"} },
		"no nodes":            func(v map[string]any) { v["replicas"] = 0 },
		"a drain of its own":  func(v map[string]any) { v["config"] = map[string]any{"limits": map[string]any{"drain": "5m"}} },
		"metrics for anybody": func(v map[string]any) { v["metrics"] = map[string]any{"enabled": true} },
	} {
		values := least()
		change(values)
		if _, err := render(t, load(t), values); err == nil {
			t.Errorf("%s: the chart takes it", name)
		}
	}
}
