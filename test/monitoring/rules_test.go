package monitoring

import (
	"log/slog"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"
)

func newParser() parser.Parser { return parser.NewParser(parser.Options{}) }

// rulesOf reads a file as Prometheus does, which checks expressions, names, labels
// and the templates of annotations.
func rulesOf(t *testing.T, name string) []rulefmt.Rule {
	t.Helper()
	groups, errs := rulefmt.Parse(file(t, "deploy", "prometheus", name), false, model.LegacyValidation, newParser(), slog.New(slog.DiscardHandler))
	for _, err := range errs {
		t.Errorf("%s: %v", name, err)
	}
	if groups == nil || len(groups.Groups) == 0 {
		t.Fatalf("%s has no rules", name)
	}
	var all []rulefmt.Rule
	for _, g := range groups.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

// TestAlerts holds the form of alerts, and docs/metrics.md to them.
func TestAlerts(t *testing.T) {
	page := string(file(t, "docs", "metrics.md"))
	seen := map[string]bool{}
	for _, r := range rulesOf(t, "alerts.yaml") {
		if r.Alert == "" || seen[r.Alert] {
			t.Errorf("%q is no alert, or there are two of that name", r.Alert)
		}
		seen[r.Alert] = true
		if !slices.Contains([]string{"critical", "warning", "info"}, r.Labels["severity"]) {
			t.Errorf("%s has the severity %q", r.Alert, r.Labels["severity"])
		}
		for _, name := range []string{"summary", "description"} {
			if r.Annotations[name] == "" {
				t.Errorf("%s has no %s", r.Alert, name)
			}
		}
		if !strings.Contains(page, "| `"+r.Alert+"` |") {
			t.Errorf("docs/metrics.md does not have the alert %s", r.Alert)
		}
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `(Hubgate[A-Za-z]+)` \\|").FindAllStringSubmatch(page, -1) {
		if !seen[m[1]] {
			t.Errorf("docs/metrics.md has the alert %s, which there is not", m[1])
		}
	}
}

// TestNames holds that the rules which give metrics other names are all in
// docs/metrics.md, and the reverse.
func TestNames(t *testing.T) {
	page := string(file(t, "docs", "metrics.md"))
	seen := map[string]bool{}
	for _, r := range rulesOf(t, "names.yaml") {
		seen[r.Record] = true
		if !strings.Contains(page, "`"+r.Record+"`") {
			t.Errorf("docs/metrics.md does not have %s", r.Record)
		}
	}
	for _, m := range regexp.MustCompile("(?m)`(azure_[A-Za-z0-9_]+)`|`(edgehub_[A-Za-z0-9_]+)` \\|$").FindAllStringSubmatch(page, -1) {
		if name := m[1] + m[2]; !seen[name] {
			t.Errorf("docs/metrics.md says that names.yaml has %s", name)
		}
	}
}

// TestScrape reads the example of a configuration: its rules are there, and it asks
// the job that the alerts expect.
func TestScrape(t *testing.T) {
	var c struct {
		RuleFiles []string `yaml:"rule_files"`
		Scrape    []struct {
			Job     string `yaml:"job_name"`
			Targets []struct {
				Targets []string `yaml:"targets"`
			} `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
	}
	if err := yaml.Unmarshal(file(t, "deploy", "prometheus", "prometheus.yaml"), &c); err != nil {
		t.Fatal(err)
	}
	if len(c.RuleFiles) != 2 || len(c.Scrape) != 1 || c.Scrape[0].Job != "hubgate" || len(c.Scrape[0].Targets) == 0 {
		t.Fatalf("%+v", c)
	}
	for _, name := range c.RuleFiles {
		rulesOf(t, filepath.Base(name))
	}
	for _, target := range c.Scrape[0].Targets[0].Targets {
		if !strings.HasSuffix(target, ":9610") {
			t.Errorf("%s is not the port of the administrative listener", target)
		}
	}
}
