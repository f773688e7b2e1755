package httpdoc

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "write the table in docs/http-api.md")

// The table stands between these lines.
const (
	begin = "<!-- Generated from gateway/rest/openapi.yaml and test/docs/testdata/calls.yaml by make golden. Do not edit. -->\n"
	end   = "<!-- End of what is generated. -->\n"
)

// root is the main module.
var root = filepath.Join("..", "..")

func TestPage(t *testing.T) {
	file := filepath.Join(root, "docs", "http-api.md")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), begin)
	_, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("%s has no place for the table, between\n%s%s", file, begin, end)
	}
	want := before + begin + table(t) + end + after
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Errorf("docs/http-api.md is stale, run make golden (-want +got):\n%s", diff)
	}
}

// operation is one of the document, with the answers that tests have seen.
type operation struct {
	verb, path string
	Tags       []string `yaml:"tags"`
	Summary    string   `yaml:"summary"`
	Permission string   `yaml:"x-permission"`
	Also       string   `yaml:"x-also"`
	answers    []string
}

// table is a table for each tag, in the order of the document.
func table(t *testing.T) string {
	t.Helper()
	tags, all := operations(t)
	addAnswers(t, all)
	var b strings.Builder
	for _, tag := range tags {
		fmt.Fprintf(&b, "\n### %s\n\n%s\n\n| call | | right | answers that tests have seen |\n|---|---|---|---|\n",
			strings.ToUpper(tag.Name[:1])+tag.Name[1:], tag.Description)
		for _, o := range all {
			if slices.Contains(o.Tags, tag.Name) {
				fmt.Fprintf(&b, "| `%s %s` | %s | %s | %s |\n", o.verb, o.path, o.Summary, o.right(), strings.Join(o.answers, ", "))
			}
		}
	}
	b.WriteByte('\n')
	return b.String()
}

func (o *operation) right() string {
	switch {
	case o.Permission == "":
		return "none"
	case o.Also != "":
		return o.Permission + " or " + o.Also
	default:
		return o.Permission
	}
}

type tag struct {
	Name        string `yaml:"name"`
	Description string `yaml:"description"`
}

// operations reads the document, in its order.
func operations(t *testing.T) (tags []tag, all []*operation) {
	t.Helper()
	var doc struct {
		Tags  []tag     `yaml:"tags"`
		Paths yaml.Node `yaml:"paths"`
	}
	read(t, filepath.Join("gateway", "rest", "openapi.yaml"), &doc)
	for i := 0; i < len(doc.Paths.Content); i += 2 {
		item := doc.Paths.Content[i+1]
		for j := 0; j < len(item.Content); j += 2 {
			verb := item.Content[j].Value
			if verb == "parameters" {
				continue
			}
			o := &operation{verb: strings.ToUpper(verb), path: doc.Paths.Content[i].Value}
			if err := item.Content[j+1].Decode(o); err != nil {
				t.Fatal(err)
			}
			all = append(all, o)
		}
	}
	return doc.Tags, all
}

// addAnswers reads the calls, which the test that makes them holds against a
// hub.
func addAnswers(t *testing.T, all []*operation) {
	t.Helper()
	var calls []struct {
		Call string `yaml:"call"`
		Want string `yaml:"want"`
	}
	read(t, filepath.Join("test", "docs", "testdata", "calls.yaml"), &calls)
	for _, c := range calls {
		verb, path, _ := strings.Cut(c.Call, " ")
		path, _, _ = strings.Cut(path, "?")
		o := find(all, verb, strings.Split(path, "/"))
		if o != nil && !slices.Contains(o.answers, c.Want) {
			o.answers = append(o.answers, c.Want)
			slices.Sort(o.answers)
		}
	}
}

// find returns the operation of a call: of those that fit, the one with the
// fewest parameters.
func find(all []*operation, verb string, path []string) *operation {
	var best *operation
	for _, o := range all {
		want := strings.Split(o.path, "/")
		fits := verb == o.verb && len(want) == len(path)
		for i := 0; fits && i < len(want); i++ {
			fits = strings.HasPrefix(want[i], "{") || want[i] == path[i]
		}
		if fits && (best == nil || strings.Count(o.path, "{") < strings.Count(best.path, "{")) {
			best = o
		}
	}
	return best
}

func read(t *testing.T, name string, to any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err == nil {
		err = yaml.Unmarshal(text, to)
	}
	if err != nil {
		t.Fatalf("read %s: %v", name, err)
	}
}
