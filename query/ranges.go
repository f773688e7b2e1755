package query

import (
	"cmp"
	"slices"
	"strings"
)

// keyRange is the keys from one on, up to another one that is not in it; an
// empty end is none.
type keyRange struct{ from, to string }

// maxKeys is how many keys a condition may name before they are looked for one
// by one among all.
const maxKeys = 4096

func onlyKey(key string) keyRange { return keyRange{key, key + "\x00"} }

func (r keyRange) single() bool {
	return len(r.to) == len(r.from)+1 && strings.HasPrefix(r.to, r.from) && r.to[len(r.from)] == 0
}

func (r keyRange) empty() bool { return r.to != "" && r.from >= r.to }

// prefixed is the keys that begin with s.
func prefixed(s string) keyRange {
	end := []byte(s)
	for len(end) > 0 && end[len(end)-1] == 0xff {
		end = end[:len(end)-1]
	}
	if len(end) == 0 {
		return keyRange{from: s}
	}
	end[len(end)-1]++
	return keyRange{s, string(end)}
}

// sortRanges puts ranges in order, and joins those that meet.
func sortRanges(all []keyRange) []keyRange {
	slices.SortFunc(all, func(a, b keyRange) int { return cmp.Compare(a.from, b.from) })
	var joined []keyRange
	for _, r := range all {
		if r.empty() {
			continue
		}
		last := len(joined) - 1
		if last < 0 || joined[last].to != "" && joined[last].to < r.from {
			joined = append(joined, r)
			continue
		}
		if joined[last].to != "" && (r.to == "" || r.to > joined[last].to) {
			joined[last].to = r.to
		}
	}
	return joined
}

// intersect is what is in both; both are in order.
func intersect(a, b []keyRange) []keyRange {
	both := []keyRange{}
	for len(a) > 0 && len(b) > 0 {
		r := keyRange{max(a[0].from, b[0].from), a[0].to}
		if r.to == "" || b[0].to != "" && b[0].to < r.to {
			r.to = b[0].to
		}
		if !r.empty() {
			both = append(both, r)
		}
		if b[0].to == "" || a[0].to != "" && a[0].to <= b[0].to {
			a = a[1:]
		} else {
			b = b[1:]
		}
	}
	return both
}

// ranges are the keys that a condition can select, in order; bounded is false
// when that is all of them.
func (c *Collection) ranges(n *node) (found []keyRange, bounded bool) {
	if n == nil || c.config.Source == Jobs {
		return nil, false
	}
	switch n.op {
	case opAnd:
		return c.rangesOfAll(n)
	case opOr:
		return c.rangesOfAny(n)
	case opCall:
		if prefix, ok := c.prefix(n); ok {
			return []keyRange{prefixed(prefix)}, true
		}
		return nil, false
	default:
	}
	if e, ok := c.equality(n); ok && e.name == "deviceId" {
		return c.devices(e.texts(), nil), true
	}
	return c.compared(n)
}

// rangesOfAny is what one of the operands allows.
func (c *Collection) rangesOfAny(n *node) (found []keyRange, bounded bool) {
	for _, kid := range n.kids {
		r, ok := c.ranges(kid)
		if !ok || len(found)+len(r) > maxKeys {
			return nil, false
		}
		found = append(found, r...)
	}
	return sortRanges(found), true
}

// rangesOfAll is what all operands allow. Of modules a device and a module name
// a key together.
func (c *Collection) rangesOfAll(n *node) (found []keyRange, bounded bool) {
	var devices, modules []string
	for _, kid := range n.kids {
		if r, ok := c.ranges(kid); ok {
			if bounded {
				r = intersect(found, r)
			}
			found, bounded = r, true
		}
		e, ok := c.equality(kid)
		if ok && e.name == "deviceId" {
			devices = e.texts()
		}
		if ok && e.name == "moduleId" {
			modules = e.texts()
		}
	}
	if c.config.Source == Modules && devices != nil && modules != nil && len(devices)*len(modules) <= maxKeys {
		found = intersect(found, c.devices(devices, modules))
	}
	return found, bounded
}

// devices are the keys of devices, or those of their modules, of which nil
// means all.
func (c *Collection) devices(devices, modules []string) []keyRange {
	var all []keyRange
	for _, d := range devices {
		if c.config.Source == Devices {
			all = append(all, onlyKey(d))
			continue
		}
		if modules == nil {
			all = append(all, prefixed(d+"/"))
		}
		for _, m := range modules {
			all = append(all, onlyKey(d+"/"+m))
		}
	}
	return sortRanges(all)
}

// prefix is what STARTSWITH asks of deviceId.
func (c *Collection) prefix(n *node) (string, bool) {
	if n.call.name != "STARTSWITH" && n.call.name != "STARTS_WITH" {
		return "", false
	}
	p, s := n.kids[0], n.kids[1]
	if p.op != opPath || s.op != opConst || s.val.kind != kindText || c.pathName(p.path) != "deviceId" {
		return "", false
	}
	return s.val.str, true
}

// compared is what <, <=, > and >= ask of deviceId. A module's key goes on
// behind its device's id, so that only their beginning is known.
func (c *Collection) compared(n *node) ([]keyRange, bool) {
	o, id, ok := c.comparison(n)
	switch {
	case !ok:
		return nil, false
	case o == opMore && c.config.Source == Devices:
		return []keyRange{{from: id + "\x00"}}, true
	case o == opMore || o == opLeast:
		return []keyRange{{from: id}}, true
	case c.config.Source == Modules:
		return nil, false
	case o == opLess && id == "":
		return []keyRange{}, true
	case o == opLess:
		return []keyRange{{to: id}}, true
	}
	return []keyRange{{to: id + "\x00"}}, true
}

// comparison reads a node as deviceId, an operator and a text.
func (c *Collection) comparison(n *node) (o op, id string, ok bool) {
	mirrored := map[op]op{opLess: opMore, opMost: opLeast, opMore: opLess, opLeast: opMost}
	o, ok = mirrored[n.op]
	if !ok {
		return 0, "", false
	}
	p, s := n.kids[1], n.kids[0]
	if p.op != opPath {
		p, s, o = n.kids[0], n.kids[1], n.op
	}
	ok = p.op == opPath && s.op == opConst && s.val.kind == kindText && c.pathName(p.path) == "deviceId"
	return o, s.val.str, ok
}

// equality is a condition that an attribute has one of some values.
type equality struct {
	path   *path
	name   string // of the path, as indexes have it
	values []value
}

// texts are the values that are strings; never nil.
func (e equality) texts() []string {
	all := []string{}
	for _, v := range e.values {
		if v.kind == kindText {
			all = append(all, v.str)
		}
	}
	return all
}

// equality reads a node as one.
func (c *Collection) equality(n *node) (e equality, ok bool) {
	if n.op != opEqual && n.op != opIn {
		return e, false
	}
	p, s := n.kids[0], n.kids[1]
	if n.op == opEqual && p.op != opPath {
		p, s = s, p
	}
	if p.op != opPath {
		return e, false
	}
	switch s.op {
	case opConst:
		e.values = []value{s.val}
	case opArray:
		e.values = s.list
		ok = n.op == opIn
	default:
	}
	if s.op == opConst || ok {
		e.path, e.name = p.path, c.pathName(p.path)
		return e, true
	}
	return e, false
}

// pathName is a path as indexes have it: with the root's own name.
func (c *Collection) pathName(p *path) string {
	known := *p
	known.segments = slices.Clone(p.segments)
	name, fold := c.rootName(known.segments[0].name)
	if fold {
		name = strings.ToLower(name)
	}
	known.segments[0].name = name
	return known.String()
}
