package client_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/hubgate/hubgate/backend/subject"
)

var update = flag.Bool("update", false, "rewrite the lists of docs/rights.md")

const rightsPage = "../../docs/rights.md"

// roles are those of docs/rights.md, in its order.
func roles() []string { return []string{"node", "operator", "backend", "reader"} }

func rightsOf(role string) subject.Rights {
	var n subject.Names
	return map[string]subject.Rights{
		"node": n.NodeRights(), "operator": n.OperatorRights(), "backend": n.BackendRights(), "reader": n.ReaderRights(),
	}[role]
}

// configText is the users as the configuration file of nats-server has them.
func configText() string {
	var b strings.Builder
	b.WriteString("```\naccounts {\n  HUB {\n    jetstream: enabled\n    users: [\n")
	for _, role := range roles() {
		r := rightsOf(role)
		fmt.Fprintf(&b, "      {user: %s, password: \"change me\", permissions: {\n        publish: [\n", role)
		for _, s := range r.Publish {
			fmt.Fprintf(&b, "          %q\n", s)
		}
		b.WriteString("        ]\n        subscribe: [\n")
		for _, s := range r.Subscribe {
			fmt.Fprintf(&b, "          %q\n", s)
		}
		b.WriteString("        ]\n      }}\n")
	}
	b.WriteString("    ]\n  }\n}\n```\n")
	return b.String()
}

// nscText is commands that make the same users.
func nscText() string {
	var b strings.Builder
	b.WriteString("```sh\n")
	for _, role := range roles() {
		r := rightsOf(role)
		fmt.Fprintf(&b, "nsc add user --account HUB --name %s \\\n  --allow-pub '%s' \\\n  --allow-sub '%s'\n", role, strings.Join(r.Publish, ","), strings.Join(r.Subscribe, ","))
	}
	b.WriteString("```\n")
	return b.String()
}

// between replaces what stands between the marks of a section.
func between(t *testing.T, page, section, text string) string {
	t.Helper()
	begin, end := "<!-- begin: "+section+" -->\n", "<!-- end: "+section+" -->"
	head, rest, ok := strings.Cut(page, begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no section %s", rightsPage, section)
	}
	return head + begin + text + end + tail
}

// TestRightsPage holds the lists of the page to the code. With -update it
// writes them.
func TestRightsPage(t *testing.T) {
	t.Parallel()
	got, err := os.ReadFile(rightsPage)
	if err != nil {
		t.Fatal(err)
	}
	want := between(t, between(t, string(got), "config", configText()), "nsc", nscText())
	if *update {
		if err := os.WriteFile(rightsPage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(got) != want {
		t.Error("docs/rights.md is stale: run go test ./backend/client -update")
	}
}
