package query

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
)

// The naive evaluator is written from the reference alone: it walks decoded
// documents, and shares nothing with the package but the syntax tree.

// none is undefined.
type none struct{}

func naivePath(doc map[string]any, p *path, c Config) any {
	root := p.segments[0].name
	for alias, meant := range c.Aliases {
		if strings.EqualFold(root, alias) {
			root = meant
		}
	}
	var v any = none{}
	for name, member := range doc {
		if strings.EqualFold(name, root) {
			v = member
		}
	}
	for _, s := range p.segments[1:] {
		next := any(none{})
		switch t := v.(type) {
		case map[string]any:
			if member, ok := t[s.name]; ok && !s.isIndex {
				next = member
			}
		case []any:
			if s.isIndex && s.index < len(t) {
				next = t[s.index]
			}
		}
		v = next
	}
	return v
}

func naiveConst(v value) any {
	switch v.kind {
	case kindNull:
		return nil
	case kindBool:
		return v.num == 1
	case kindNumber:
		return v.num
	case kindText:
		return v.str
	default:
		return none{}
	}
}

func asFloat(v any) (float64, bool) {
	switch t := v.(type) {
	case float64:
		return t, true
	case json.Number:
		f, _ := t.Float64()
		return f, true
	}
	return 0, false
}

// naiveEqual is true, false, or none for what cannot be compared.
func naiveEqual(a, b any) any {
	if x, ok := asFloat(a); ok {
		if y, ok := asFloat(b); ok {
			return x == y
		}
		return none{}
	}
	switch x := a.(type) {
	case nil:
		if b == nil {
			return true
		}
	case bool:
		if y, ok := b.(bool); ok {
			return x == y
		}
	case string:
		if y, ok := b.(string); ok {
			return x == y
		}
	}
	return none{}
}

func naiveLess(a, b any) any {
	if x, ok := asFloat(a); ok {
		if y, ok := asFloat(b); ok {
			return x < y
		}
		return none{}
	}
	switch x := a.(type) {
	case bool:
		if y, ok := b.(bool); ok {
			return !x && y
		}
	case string:
		if y, ok := b.(string); ok {
			return x < y
		}
	}
	return none{}
}

func naiveNot(v any) any {
	if b, ok := v.(bool); ok {
		return !b
	}
	return none{}
}

func naiveIn(v, list any) any {
	switch v.(type) {
	case none, []any, map[string]any:
		return none{}
	}
	elements, ok := list.([]any)
	if !ok {
		switch list.(type) {
		case none, map[string]any:
			return none{}
		}
		elements = []any{list}
	}
	for _, e := range elements {
		if naiveEqual(v, e) == true {
			return true
		}
	}
	return false
}

func naiveNumber(o op, a, b any) any {
	x, ok1 := asFloat(a)
	y, ok2 := asFloat(b)
	if !ok1 || !ok2 {
		return none{}
	}
	r := map[op]float64{opPlus: x + y, opMinus: x - y, opTimes: x * y, opDivide: x / y, opModulo: math.Mod(x, y)}[o]
	if math.IsNaN(r) || math.IsInf(r, 0) {
		return none{}
	}
	return r
}

func naiveEval(doc map[string]any, n *node, c Config) any {
	var kids []any
	for _, k := range n.kids {
		kids = append(kids, naiveEval(doc, k, c))
	}
	switch n.op {
	case opConst:
		return naiveConst(n.val)
	case opPath:
		return naivePath(doc, n.path, c)
	case opArray:
		list := []any{}
		for _, v := range n.list {
			list = append(list, naiveConst(v))
		}
		return list
	case opAnd, opOr:
		strong := n.op == opOr
		var result any = !strong
		for _, k := range kids {
			if k == strong {
				return strong
			}
			if _, ok := k.(bool); !ok {
				result = none{}
			}
		}
		return result
	case opNot:
		return naiveNot(kids[0])
	case opIn:
		return naiveIn(kids[0], kids[1])
	case opNotIn:
		return naiveNot(naiveIn(kids[0], kids[1]))
	case opEqual:
		return naiveEqual(kids[0], kids[1])
	case opDiffer:
		return naiveNot(naiveEqual(kids[0], kids[1]))
	case opLess:
		return naiveLess(kids[0], kids[1])
	case opMore:
		return naiveLess(kids[1], kids[0])
	case opMost:
		return naiveNot(naiveLess(kids[1], kids[0]))
	case opLeast:
		return naiveNot(naiveLess(kids[0], kids[1]))
	case opNegate:
		return naiveNumber(opMinus, 0.0, kids[0])
	case opCall:
		return naiveCall(n.call.name, kids)
	default:
		return naiveNumber(n.op, kids[0], kids[1])
	}
}

func naiveCall(name string, args []any) any {
	first := args[0]
	text, isText := first.(string)
	_, isNumber := asFloat(first)
	_, isBool := first.(bool)
	list, isList := first.([]any)
	_, isObject := first.(map[string]any)
	switch name {
	case "IS_DEFINED":
		return first != any(none{})
	case "IS_NULL":
		return first == nil
	case "IS_BOOL":
		return isBool
	case "IS_NUMBER":
		return isNumber
	case "IS_STRING":
		return isText
	case "IS_ARRAY":
		return isList
	case "IS_OBJECT":
		return isObject
	case "IS_PRIMITIVE":
		return first == nil || isBool || isNumber || isText
	case "ARRAY_CONTAINS":
		if !isList {
			return none{}
		}
		return naiveIn(args[1], list)
	case "LENGTH":
		if !isText {
			return none{}
		}
		return float64(len([]rune(text)))
	}
	part, ok := args[1].(string)
	if !isText || !ok {
		return none{}
	}
	switch name {
	case "STARTSWITH", "STARTS_WITH":
		return strings.HasPrefix(text, part)
	case "ENDSWITH", "ENDS_WITH":
		return strings.HasSuffix(text, part)
	case "CONTAINS":
		return strings.Contains(text, part)
	}
	panic("the naive evaluator does not know " + name)
}

// naiveRank orders types.
func naiveRank(v any) int {
	switch v.(type) {
	case none:
		return 0
	case nil:
		return 1
	case bool:
		return 2
	case string:
		return 4
	case []any, map[string]any:
		return 5
	}
	return 3
}

// naiveCompare orders values of all types but containers.
func naiveCompare(a, b any) int {
	if d := naiveRank(a) - naiveRank(b); d != 0 {
		return d
	}
	if naiveLess(a, b) == true {
		return -1
	}
	if naiveLess(b, a) == true {
		return 1
	}
	return 0
}

// naiveRun makes all rows, of documents in the order of their keys, as decoded
// JSON.
func naiveRun(docs map[string]map[string]any, q *Query, c Config) (keys []string, rows []map[string]any) {
	var chosen []map[string]any
	for _, key := range slices.Sorted(mapKeys(docs)) {
		if q.s.where == nil || naiveEval(docs[key], q.s.where, c) == true {
			keys = append(keys, key)
			chosen = append(chosen, docs[key])
		}
	}
	if q.s.aggregates() {
		rows = naiveGroups(chosen, q, c)
	} else {
		for _, doc := range chosen {
			rows = append(rows, naiveRow(doc, q, c))
		}
	}
	if q.s.top > 0 && len(rows) > q.s.top {
		rows = rows[:q.s.top]
	}
	return keys, rows
}

func naiveRow(doc map[string]any, q *Query, c Config) map[string]any {
	if q.s.items == nil {
		return doc
	}
	row := map[string]any{}
	for _, i := range q.s.items {
		if v := naivePath(doc, i.path, c); v != any(none{}) {
			row[i.name] = v
		}
	}
	return row
}

func naiveGroups(docs []map[string]any, q *Query, c Config) []map[string]any {
	type group struct {
		by   []any
		docs []map[string]any
	}
	var all []*group
	if q.s.group == nil {
		all = append(all, &group{})
	}
	for _, doc := range docs {
		var by []any
		for _, p := range q.s.group {
			by = append(by, naivePath(doc, p, c))
		}
		at := slices.IndexFunc(all, func(g *group) bool { return slices.CompareFunc(g.by, by, naiveCompare) == 0 })
		if at < 0 {
			all = append(all, &group{by: by})
			at = len(all) - 1
		}
		all[at].docs = append(all[at].docs, doc)
	}
	slices.SortFunc(all, func(a, b *group) int { return slices.CompareFunc(a.by, b.by, naiveCompare) })
	var rows []map[string]any
	for _, g := range all {
		row := map[string]any{}
		for _, i := range q.s.items {
			v := any(none{})
			if i.aggregate != "" {
				v = naiveAggregate(g.docs, i, c)
			} else {
				for n, p := range q.s.group {
					if p.same(i.path) {
						v = g.by[n]
					}
				}
			}
			if v != any(none{}) {
				row[i.name] = v
			}
		}
		rows = append(rows, row)
	}
	return rows
}

func naiveAggregate(docs []map[string]any, i item, c Config) any {
	if i.path == nil {
		return float64(len(docs))
	}
	var numbers []float64
	var ordered []any
	defined := 0
	for _, doc := range docs {
		v := naivePath(doc, i.path, c)
		if naiveRank(v) > 0 {
			defined++
		}
		if f, ok := asFloat(v); ok {
			numbers = append(numbers, f)
		}
		if r := naiveRank(v); r >= 2 && r <= 4 {
			ordered = append(ordered, v)
		}
	}
	sum := 0.0
	for _, n := range numbers {
		sum += n
	}
	switch {
	case i.aggregate == "COUNT":
		return float64(defined)
	case i.aggregate == "SUM" && len(numbers) > 0:
		return sum
	case i.aggregate == "AVG" && len(numbers) > 0:
		return sum / float64(len(numbers))
	case i.aggregate == "MIN" && len(ordered) > 0:
		return slices.MinFunc(ordered, naiveCompare)
	case i.aggregate == "MAX" && len(ordered) > 0:
		return slices.MaxFunc(ordered, naiveCompare)
	}
	return none{}
}
