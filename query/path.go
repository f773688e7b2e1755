package query

import (
	"slices"
	"strconv"
	"strings"
)

// maxSegments is how many steps a path has at most.
const maxSegments = 64

// attribute reads a path: a.b[1].[[c]]['d'].
func (p *parser) attribute() (*path, error) {
	found := &path{at: p.tok.at}
	if err := p.root(found); err != nil {
		return nil, err
	}
	for {
		if len(found.segments) > maxSegments {
			return nil, p.fault(found.at, "a path has at most %d steps", maxSegments)
		}
		before := len(found.segments)
		if err := p.step(found); err != nil {
			return nil, err
		}
		if len(found.segments) == before {
			p.paths = append(p.paths, found)
			return found, nil
		}
	}
}

// root reads the first name.
func (p *parser) root(found *path) error {
	if p.tok.kind == tokenWord && reserved(p.tok.text) {
		if err := p.refusal(); err != nil {
			return err
		}
		return p.fault(p.tok.at, "expected an attribute and found the keyword %s: an attribute of this name is written [[%s]]", p.tok.text, p.tok.text)
	}
	if p.tok.kind != tokenWord && p.tok.kind != tokenEscaped {
		return p.unexpected("an attribute")
	}
	found.segments = append(found.segments, segment{name: p.tok.text})
	return p.advance()
}

// step reads what follows a name, if anything does.
func (p *parser) step(found *path) error {
	if p.tok.kind == tokenEscaped { // a[[b]]
		found.segments = append(found.segments, segment{name: p.tok.text})
		return p.advance()
	}
	if p.tok.is("[") {
		return p.bracket(found)
	}
	dot, err := p.accept(".")
	if err != nil || !dot {
		return err
	}
	if p.tok.kind != tokenWord && p.tok.kind != tokenEscaped {
		return p.unexpected("a name behind the dot; one that begins with a digit or has other characters is written [[name]]")
	}
	found.segments = append(found.segments, segment{name: p.tok.text})
	return p.advance()
}

// bracket reads [1] or ['name'].
func (p *parser) bracket(found *path) error {
	if err := p.advance(); err != nil {
		return err
	}
	switch p.tok.kind {
	case tokenString:
		found.segments = append(found.segments, segment{name: p.tok.text})
	case tokenNumber:
		n, err := strconv.Atoi(p.tok.text)
		if err != nil {
			return p.unexpected("a whole number as the index of an array")
		}
		found.segments = append(found.segments, segment{index: n, isIndex: true})
	default:
		return p.unexpected("the index of an array, or a name between quotes")
	}
	if err := p.advance(); err != nil {
		return err
	}
	return p.expect("]")
}

// resolve takes the source off the front: devices.deviceId is deviceId.
func (p *path) resolve(source Source) {
	rest := p.segments
	if len(rest) < 2 || rest[1].isIndex || !strings.EqualFold(rest[0].name, string(Devices)) {
		return
	}
	rest = rest[1:]
	_, second, _ := strings.Cut(string(source), ".")
	if len(rest) > 1 && !rest[1].isIndex && second != "" && strings.EqualFold(rest[0].name, second) {
		rest = rest[1:]
	}
	p.segments = rest
}

// last is the last name.
func (p *path) last() string {
	for _, s := range slices.Backward(p.segments) {
		if !s.isIndex {
			return s.name
		}
	}
	return ""
}

// same reports whether two paths lead to the same attribute; the name of the
// root has no case.
func (p *path) same(o *path) bool {
	return strings.EqualFold(p.segments[0].name, o.segments[0].name) && slices.Equal(p.segments[1:], o.segments[1:])
}

// String is the path as a query writes it.
func (p *path) String() string {
	var b strings.Builder
	for i, s := range p.segments {
		if s.isIndex {
			b.WriteString("[" + strconv.Itoa(s.index) + "]")
			continue
		}
		name := s.text()
		if i > 0 && !strings.HasPrefix(name, "['") {
			b.WriteByte('.')
		}
		b.WriteString(name)
	}
	return b.String()
}

// text is a name as a query writes it, which no other name is written as: indexes
// are known by it.
func (s segment) text() string {
	l := lexer{text: s.name}
	switch {
	case s.name != "" && l.word() == len(s.name) && !reserved(s.name):
		return s.name
	case s.name != "" && !strings.Contains(s.name+"]", "]]"): // the first ]] ends it
		return "[[" + s.name + "]]"
	default:
		return "['" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s.name) + "']"
	}
}

// reserved reports whether a name is a keyword, and has to be escaped.
func reserved(s string) bool {
	switch strings.ToUpper(s) {
	case "SELECT", "FROM", "WHERE", "GROUP", "BY", "AS", "TOP", "AND", "OR", "NOT", "IN", "NIN", "ORDER", "JOIN",
		"DISTINCT", "LIKE", "HAVING", "BETWEEN", "TRUE", "FALSE", "NULL", "UNDEFINED":
		return true
	}
	return false
}
