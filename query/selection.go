package query

import (
	"strconv"
	"strings"
)

// selection reads the columns.
func (p *parser) selection(s *statement) error {
	if ok, err := p.accept("*"); err != nil || ok {
		return err
	}
	for {
		i, err := p.column()
		if err != nil {
			return err
		}
		s.items = append(s.items, i)
		more, err := p.accept(",")
		if err != nil || !more {
			return err
		}
	}
}

// column reads an attribute or an aggregate, and its alias.
func (p *parser) column() (item, error) {
	var i item
	if p.tok.is("*") || p.tok.kind == tokenEnd || p.tok.is("FROM") {
		return i, p.unexpected("an attribute or an aggregate; * stands alone")
	}
	word := p.tok
	path, err := p.attribute()
	if err != nil {
		return i, err
	}
	if p.tok.is("(") {
		if err := p.aggregate(word, &i); err != nil {
			return i, err
		}
	} else {
		i.path = path
		i.name = path.last()
	}
	as, err := p.accept("AS")
	if err != nil || !as {
		return i, err
	}
	if p.tok.kind != tokenWord && p.tok.kind != tokenEscaped && p.tok.kind != tokenString {
		return i, p.unexpected("a name behind AS")
	}
	i.name = p.tok.text
	return i, p.advance()
}

// aggregate reads what stands in the parentheses behind word.
func (p *parser) aggregate(word token, i *item) error {
	i.aggregate = strings.ToUpper(word.text)
	names := []string{"COUNT", "SUM", "AVG", "MIN", "MAX"}
	known := false
	for _, n := range names {
		known = known || n == i.aggregate
	}
	if !known {
		hint := ""
		if near := nearest(word.text, names); near != "" {
			hint = ": did you mean " + near + "?"
		}
		return p.fault(word.at, "SELECT takes attributes, COUNT, SUM, AVG, MIN and MAX, and not %s(…)%s", clip(word.text), hint)
	}
	if err := p.advance(); err != nil {
		return err
	}
	if i.aggregate == "COUNT" && p.tok.is("*") {
		if err := p.advance(); err != nil {
			return err
		}
		return p.expect(")")
	}
	if i.aggregate == "COUNT" && p.tok.is(")") {
		return p.advance()
	}
	var err error
	if i.path, err = p.attribute(); err != nil {
		return err
	}
	return p.expect(")")
}

// checkSelection checks the columns against GROUP BY, and gives names to those
// that have none.
func (p *parser) checkSelection(s *statement) error {
	aggregates := s.aggregates()
	if aggregates && s.items == nil {
		return p.fault(s.at, "SELECT * does not go with GROUP BY: name the attributes of GROUP BY, and aggregates as COUNT()")
	}
	names, unnamed := map[string]bool{}, 0
	for n := range s.items {
		i := &s.items[n]
		if i.name == "" {
			unnamed++
			i.name = "$" + strconv.Itoa(unnamed)
		}
		if names[i.name] {
			return p.fault(s.at, "two columns have the name %s: give one another name with AS", clip(i.name))
		}
		names[i.name] = true
		if aggregates && i.aggregate == "" && !s.groups(i.path) {
			return p.fault(i.path.at, "%s stands beside an aggregate or a GROUP BY and is not grouped by: add it to GROUP BY, or take it out", i.path)
		}
	}
	return nil
}

func (s *statement) groups(p *path) bool {
	for _, g := range s.group {
		if g.same(p) {
			return true
		}
	}
	return false
}
