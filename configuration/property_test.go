package configuration

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// model is the naive evaluator: leaves by path, those that operators wrote and
// those that configurations wrote.
type model struct {
	tags    map[string]string // of each device
	own     map[string]map[string]string
	set     map[string]map[string]string
	configs map[string]modelConfig
}

type modelConfig struct {
	priority  int
	created   int64
	condition string // a tag, * or nothing
	leaves    map[string]string
}

// winner is the configuration that counts for a device.
func (m *model) winner(device string) (string, modelConfig) {
	best := ""
	for _, id := range slices.Sorted(maps.Keys(m.configs)) {
		c, b := m.configs[id], m.configs[best]
		selects := c.condition == "*" || c.condition != "" && c.condition == m.tags[device]
		if selects && (best == "" || c.priority > b.priority || c.priority == b.priority && c.created > b.created) {
			best = id
		}
	}
	return best, m.configs[best]
}

// evaluate brings the leaves of all devices to where they end.
func (m *model) evaluate() {
	for device := range m.tags {
		_, c := m.winner(device)
		for path := range m.set[device] {
			if _, still := c.leaves[path]; !still {
				delete(m.set[device], path)
			}
		}
		for path, v := range c.leaves {
			if m.own[device][path] == v {
				continue // it holds already
			}
			delete(m.own[device], path)
			m.set[device][path] = v
		}
	}
}

// state is like world.state.
func (m *model) state() string {
	var b strings.Builder
	for _, device := range slices.Sorted(maps.Keys(m.tags)) {
		all := maps.Clone(m.own[device])
		maps.Copy(all, m.set[device])
		fmt.Fprintf(&b, "%s %s ", device, nested(all))
		best, _ := m.winner(device)
		var shown []string
		for _, id := range slices.Sorted(maps.Keys(m.configs)) {
			if c := m.configs[id].condition; c == "*" || c != "" && c == m.tags[device] {
				shown = append(shown, Status{id, id == best}.ID+":"+Status{id, id == best}.String())
			}
		}
		b.WriteString(strings.Join(shown, " ") + "\n")
	}
	return b.String()
}

// nested writes leaves "a" and "b.c" as an object.
func nested(leaves map[string]string) string {
	v := newObject(map[string]*value{})
	for path, text := range leaves {
		v = v.with(strings.Split(path, "."), &value{text: text})
	}
	return string(v.append(nil))
}

var (
	drawLeaf  = rapid.SampledFrom([]string{"a", "b", "c.d", "c.e"})
	drawValue = rapid.SampledFrom([]string{"1", "2", `"x"`})
	drawTag   = rapid.SampledFrom([]string{"red", "blue"})
	drawID    = rapid.SampledFrom([]string{"k1", "k2", "k3"})
)

func drawLeaves(t *rapid.T) map[string]string {
	return rapid.MapOfN(drawLeaf, drawValue, 1, 3).Draw(t, "leaves")
}

// TestFixpoint makes changes of configurations and twins one after another. After
// each, the twins reach what the naive evaluator says, in at most one write
// each, and stay there.
func TestFixpoint(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w, created := newWorld(), int64(0)
		m := &model{map[string]string{}, map[string]map[string]string{}, map[string]map[string]string{}, map[string]modelConfig{}}
		for _, d := range []string{"d1", "d2", "d3"} {
			w.device(d, false)
			m.tags[d], m.own[d], m.set[d] = "", map[string]string{}, map[string]string{}
		}
		r := run(t, w, nil)
		defer r.stop()
		drawDevice := rapid.SampledFrom([]string{"d1", "d2", "d3"})
		put := func(id string, c modelConfig) {
			condition := c.condition
			if condition != "*" && condition != "" {
				condition = "tags.t = '" + condition + "'"
			}
			x := config(rt, id, c.priority, condition, `{"deviceContent":{"properties.desired":`+nested(c.leaves)+`}}`)
			x.Created = time.Unix(c.created, 0)
			w.put(x)
			m.configs[id] = c
		}
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			before := w.count()
			switch rapid.IntRange(0, 5).Draw(rt, "step") {
			case 0, 1: // a configuration that is new, or new under an old id
				created++
				put(drawID.Draw(rt, "id"), modelConfig{
					rapid.IntRange(0, 2).Draw(rt, "priority"), created,
					rapid.SampledFrom([]string{"*", "red", "blue", ""}).Draw(rt, "condition"), drawLeaves(rt),
				})
			case 2:
				id := drawID.Draw(rt, "id")
				delete(m.configs, id)
				w.remove(id)
			case 3: // an update: the content stays
				id := drawID.Draw(rt, "id")
				if c, ok := m.configs[id]; ok {
					c.priority = rapid.IntRange(0, 2).Draw(rt, "priority")
					c.condition = rapid.SampledFrom([]string{"*", "red", "blue", ""}).Draw(rt, "condition")
					put(id, c)
				}
			case 4:
				d, tag := drawDevice.Draw(rt, "device"), drawTag.Draw(rt, "tag")
				m.tags[d] = tag
				w.tag(d, tag)
			case 5: // an operator
				d, path, v := drawDevice.Draw(rt, "device"), drawLeaf.Draw(rt, "path"), drawValue.Draw(rt, "value")
				if m.set[d][path] != v {
					delete(m.set[d], path)
					m.own[d][path] = v
				}
				w.operate(d, nested(map[string]string{path: v}))
			}
			m.evaluate()
			r.later()
			if !reaches(rt, func() string { return pruned(w.state("d1", "d2", "d3")) }, pruned(m.state())) {
				rt.FailNow()
			}
			if n := w.count() - before; n > 3 {
				rt.Errorf("%d writes for 3 devices", n)
			}
		}
		r.settles(rt, w)
	})
}

// pruned leaves out an object that a configuration came to and an operator left
// empty: the two evaluators need not agree on that.
func pruned(state string) string {
	return strings.NewReplacer(`,"c":{}`, "", `"c":{},`, "", `"c":{}`, "").Replace(state)
}
