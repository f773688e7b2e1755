package monitoring

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// board is what matters of a dashboard.
type board struct {
	UID, Title string
	Panels     []panel
	Templating struct {
		List []struct {
			Name, Type, Definition string
		}
	}
}

type panel struct {
	ID                 int
	Type               string
	Title, Description string
	GridPos            struct{ H, W, X, Y int }
	FieldConfig        struct {
		Defaults struct{ Unit string }
	}
	Datasource struct{ UID string }
	Targets    []struct {
		RefID, Expr, LegendFormat string
		Datasource                struct{ UID string }
	}
}

func dashboard(t *testing.T) board {
	t.Helper()
	var b board
	decode(t, file(t, "deploy", "grafana", "hubgate.json"), &b)
	return b
}

// phrasesOf returns the expressions of panels and of variables.
func phrasesOf(t *testing.T, b board) []phrase {
	t.Helper()
	var all []phrase
	for _, p := range b.Panels {
		for _, target := range p.Targets {
			all = append(all, phrase{fmt.Sprintf("panel %q", p.Title), target.Expr, []string{target.LegendFormat}})
		}
	}
	for _, v := range b.Templating.List {
		if v.Type != "query" {
			continue
		}
		m := regexp.MustCompile(`^label_values\((.+), (\w+)\)$`).FindStringSubmatch(v.Definition)
		if m == nil {
			t.Errorf("the variable %s has the query %q", v.Name, v.Definition)
			continue
		}
		all = append(all, phrase{"variable " + v.Name, m[1], []string{"{{" + m[2] + "}}"}})
	}
	return all
}

// TestDashboard holds that panels say what they show, and stand beside each other.
func TestDashboard(t *testing.T) {
	b := dashboard(t)
	if b.UID == "" || b.Title == "" || len(b.Panels) < 40 {
		t.Fatalf("%q %q with %d panels", b.UID, b.Title, len(b.Panels))
	}
	ids, titles, taken := map[int]bool{}, map[string]bool{}, map[[2]int]string{}
	for _, p := range b.Panels {
		if ids[p.ID] || titles[p.Title] || p.Title == "" {
			t.Errorf("panel %q has the id or the title of another one", p.Title)
		}
		ids[p.ID], titles[p.Title] = true, true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" {
					t.Fatalf("panels %q and %q overlap", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.GridPos.X+p.GridPos.W > 24 || p.GridPos.H == 0 {
			t.Errorf("panel %q is at %+v", p.Title, p.GridPos)
		}
		if p.Type == "row" {
			continue
		}
		if p.Description == "" || p.FieldConfig.Defaults.Unit == "" || len(p.Targets) == 0 || p.Datasource.UID != "${datasource}" {
			t.Errorf("panel %q lacks a description, a unit, an expression or the source", p.Title)
		}
		for _, target := range p.Targets {
			if !strings.Contains(target.Expr, `instance=~"$instance"`) || target.Datasource.UID != "${datasource}" {
				t.Errorf("panel %q does not go by the node or the source that is chosen: %s", p.Title, target.Expr)
			}
		}
	}
}
