package monitoring

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// phrase is an expression, with all that is written about its labels.
type phrase struct {
	where string
	expr  string
	texts []string // templates and legends
}

// TestDrift fails when a dashboard or a rule names a metric, a label or a value of a
// label that a node does not show.
func TestDrift(t *testing.T) {
	shown := expose(t)
	// Of Prometheus itself, and what it adds to all that it reads.
	shown.add("up", "job", "hubgate")
	var phrases []phrase
	for _, r := range append(rulesOf(t, "alerts.yaml"), rulesOf(t, "names.yaml")...) {
		p := phrase{where: r.Alert + r.Record, expr: r.Expr}
		for _, text := range r.Annotations {
			p.texts = append(p.texts, text)
		}
		phrases = append(phrases, p)
	}
	phrases = append(phrases, phrasesOf(t, dashboard(t))...)
	phrases = append(phrases, quoted(t, shown)...)
	if len(phrases) < 100 {
		t.Errorf("there are %d expressions: the test does not see them", len(phrases))
	}
	for _, p := range phrases {
		for _, fault := range shown.check(p) {
			t.Errorf("%s: %s", p.where, fault)
		}
	}
}

// rare are labels whose values come with what happens: one that has not come up
// since the start is no drift.
var rare = map[string][]string{"hubgate_http_requests_total": {"status", "method", "route"}}

// check says what is wrong with an expression.
func (e exposed) check(p phrase) (faults []string) {
	expr, err := newParser().ParseExpr(fill(p.expr))
	if err != nil {
		return []string{err.Error()}
	}
	known := map[string]bool{"instance": true, "job": true, "le": true}
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		if s, ok := n.(*parser.VectorSelector); ok {
			if e[s.Name] == nil {
				faults = append(faults, "a node shows no "+s.Name)
				return nil
			}
			for label := range e[s.Name] {
				known[label] = true
			}
			for _, m := range s.LabelMatchers {
				faults = append(faults, e.matches(s.Name, m)...)
			}
		}
		return nil
	})
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		for _, label := range groupings(n) {
			if !known[label] {
				faults = append(faults, "no metric here has the label "+label)
			}
		}
		return nil
	})
	for _, text := range p.texts {
		for _, m := range regexp.MustCompile(`\$labels\.(\w+)|\{\{(\w+)\}\}`).FindAllStringSubmatch(text, -1) {
			if label := m[1] + m[2]; !known[label] {
				faults = append(faults, "no metric here has the label "+label+", which a text names")
			}
		}
	}
	return faults
}

func groupings(n parser.Node) []string {
	switch n := n.(type) {
	case *parser.AggregateExpr:
		return n.Grouping
	case *parser.BinaryExpr:
		if n.VectorMatching != nil {
			return slices.Concat(n.VectorMatching.MatchingLabels, n.VectorMatching.Include)
		}
	}
	return nil
}

// matches says what is wrong with a matcher: it has to be able to match something.
func (e exposed) matches(name string, m *labels.Matcher) []string {
	if m.Name == model.MetricNameLabel || m.Name == "instance" || m.Name == "job" || strings.Contains(m.Value, "$") {
		return nil
	}
	values := e[name][m.Name]
	if values == nil {
		return []string{fmt.Sprintf("%s has no label %s", name, m.Name)}
	}
	if slices.Contains(rare[name], m.Name) {
		return nil
	}
	matched, unmatched := false, false
	for v := range values {
		matched, unmatched = matched || m.Matches(v), unmatched || !m.Matches(v)
	}
	switch {
	case !matched:
		return []string{fmt.Sprintf("no series of %s has %s", name, m)}
	case !unmatched && (m.Type == labels.MatchNotEqual || m.Type == labels.MatchNotRegexp):
		return []string{fmt.Sprintf("%s leaves nothing out of %s", m, name)}
	case m.Type == labels.MatchRegexp:
		return e.alternatives(name, m)
	}
	return nil
}

// alternatives looks for each word of a|b.
func (e exposed) alternatives(name string, m *labels.Matcher) (faults []string) {
	if !regexp.MustCompile(`^[\w|]+$`).MatchString(m.Value) {
		return nil
	}
	for word := range strings.SplitSeq(m.Value, "|") {
		if !e[name][m.Name][word] {
			faults = append(faults, fmt.Sprintf("no series of %s has %s=%q", name, m.Name, word))
		}
	}
	return faults
}

// quoted returns the metrics that the documentation names. A histogram stands there
// for all of its series.
func quoted(t *testing.T, shown exposed) (all []phrase) {
	t.Helper()
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil || len(pages) == 0 {
		t.Fatal(pages, err)
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile("`(hubgate_[^`]+)`").FindAllStringSubmatch(string(text), -1) {
			expr := strings.ReplaceAll(m[1], `\|`, "|")
			if name, _, _ := strings.Cut(expr, "{"); shown[name] == nil && shown[name+"_count"] != nil {
				expr = strings.Replace(expr, name, name+"_count", 1)
			}
			all = append(all, phrase{where: filepath.Base(page), expr: expr})
		}
	}
	return all
}

// fill puts a time in place of Grafana's.
func fill(expr string) string {
	return strings.NewReplacer("$__rate_interval", "5m", "$__interval", "1m", "$__range", "1h").Replace(expr)
}

// TestDriftIsFound holds that the test above would find what it is for.
func TestDriftIsFound(t *testing.T) {
	e := exposed{}
	e.add("m_total", "kind", "a")
	e.add("m_total", "kind", "b")
	for expr, want := range map[string]string{
		`rate(m_totl[5m])`:                        "shows no m_totl",
		`m_total{kidn="a"}`:                       "has no label kidn",
		`m_total{kind="c"}`:                       "no series",
		`m_total{kind!="c"}`:                      "leaves nothing out",
		`m_total{kind=~"a|c"}`:                    `kind="c"`,
		`sum by (kidn) (m_total)`:                 "has the label kidn",
		`m_total > on (instance, kidn) m_total`:   "has the label kidn",
		`sum by (kind) (rate(m_total[5m])`:        "parse error",
		`m_total{instance=~"$instance",kind="c"}`: "no series",
	} {
		if got := strings.Join(e.check(phrase{expr: expr}), "; "); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", expr, got, want)
		}
	}
	for _, expr := range []string{`sum by (kind, instance) (rate(m_total{kind=~"a|b"}[$__rate_interval]))`, `m_total{kind!="a",instance=~"$instance"}`} {
		if got := e.check(phrase{expr: expr, texts: []string{"{{kind}} {{ $labels.instance }}"}}); len(got) > 0 {
			t.Errorf("%s: %v", expr, got)
		}
	}
	if got := e.check(phrase{expr: "m_total", texts: []string{"{{kidn}}"}}); len(got) != 1 {
		t.Errorf("a legend with a wrong label: %v", got)
	}
}
