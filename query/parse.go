package query

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/hubgate/hubgate/hub"
)

// maxDepth is how deep parentheses, NOT and signs stand inside each other.
const maxDepth = 100

// parser reads a statement with one token ahead.
type parser struct {
	lexer
	tok       token
	depth     int
	paths     []*path
	functions map[string]*function // made for the first call
}

func newParser(text string) (*parser, error) {
	if n := utf8.RuneCountInString(text); n > MaxText {
		return nil, hub.Errorf(hub.ArgumentInvalid, "a query has at most %d characters, and this one has %d", MaxText, n)
	}
	p := &parser{lexer: lexer{text: text}}
	for i, r := range text {
		if r != utf8.RuneError {
			continue
		}
		if _, size := utf8.DecodeRuneInString(text[i:]); size == 1 {
			return nil, p.fault(i, "the text is not UTF-8 here")
		}
	}
	return p, p.advance()
}

func (p *parser) advance() (err error) {
	p.tok, err = p.next()
	return err
}

// accept passes the symbol or the keyword, if it is there.
func (p *parser) accept(s string) (bool, error) {
	if !p.tok.is(s) {
		return false, nil
	}
	return true, p.advance()
}

// expect passes the symbol or the keyword, or fails.
func (p *parser) expect(s string) error {
	ok, err := p.accept(s)
	if err == nil && !ok {
		err = p.unexpected(s, s)
	}
	return err
}

// unexpected says what should stand in the place of the token. words are what
// a misspelled one may have meant.
func (p *parser) unexpected(expected string, words ...string) error {
	if err := p.refusal(); err != nil {
		return err
	}
	return p.fault(p.tok.at, "expected %s and found %s%s", expected, p.tok, p.hint(words))
}

func (p *parser) hint(words []string) string {
	if p.tok.kind != tokenWord {
		return ""
	}
	if near := nearest(p.tok.text, words); near != "" {
		return ": did you mean " + near + "?"
	}
	return ""
}

// refusal says of what other languages have that this one has not.
func (p *parser) refusal() error {
	if p.tok.kind != tokenWord {
		return nil
	}
	word := strings.ToUpper(p.tok.text)
	instead := map[string]string{
		"DISTINCT": "DISTINCT: group by the attribute, as in SELECT tags.a FROM devices GROUP BY tags.a",
		"JOIN":     "JOIN: ask one source at a time",
		"ORDER":    "ORDER BY: rows come in the order of their ids, sort what you have received",
		"LIKE":     "LIKE: use STARTSWITH, ENDSWITH or CONTAINS",
		"SELECT":   "sub-queries: one SELECT stands at the beginning, and nowhere else",
		"HAVING":   "HAVING: choose among the groups that you have received",
		"LIMIT":    "LIMIT: write SELECT TOP n, or ask for pages",
		"OFFSET":   "OFFSET: ask for pages, and continue by their token",
		"UNION":    "UNION: send two queries",
		"BETWEEN":  "BETWEEN: write a >= 1 AND a <= 2",
		"EXISTS":   "EXISTS: use IS_DEFINED or ARRAY_CONTAINS",
		"IS":       "IS: use IS_NULL(…) or IS_DEFINED(…)",
	}[word]
	if instead == "" {
		return nil
	}
	return p.fault(p.tok.at, "the query language has no %s", instead)
}

// statement reads everything.
func (p *parser) statement() (*statement, error) {
	s := &statement{at: p.tok.at}
	if !p.tok.is("SELECT") {
		return nil, p.unexpected("SELECT at the beginning", "SELECT")
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	return s, p.each(s, p.top, p.selection, p.from, p.where, p.groupBy, p.end)
}

// end checks that nothing follows, and what only the whole shows.
func (p *parser) end(s *statement) error {
	if _, err := p.accept(";"); err != nil {
		return err
	}
	if p.tok.kind != tokenEnd {
		expected := "AND, OR, GROUP BY or the end"
		switch {
		case s.group != nil:
			expected = "a comma or the end"
		case s.where == nil:
			expected = "WHERE, GROUP BY or the end"
		}
		return p.unexpected(expected, "WHERE", "GROUP", "AND", "OR", "IN", "NIN")
	}
	for _, path := range p.paths {
		path.resolve(s.source)
	}
	return p.checkSelection(s)
}

func (p *parser) top(s *statement) error {
	if ok, err := p.accept("TOP"); err != nil || !ok {
		return err
	}
	open, err := p.accept("(")
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(p.tok.text)
	if p.tok.kind != tokenNumber || err != nil || n < 1 {
		return p.unexpected("the number of rows behind TOP, from 1")
	}
	s.top = n
	if err := p.advance(); err != nil || !open {
		return err
	}
	return p.expect(")")
}

func (p *parser) from(s *statement) error {
	if !p.tok.is("FROM") {
		if s.items == nil {
			return p.unexpected("FROM behind *", "FROM")
		}
		return p.unexpected("a comma, AS or FROM", "FROM", "AS")
	}
	if err := p.advance(); err != nil {
		return err
	}
	if p.tok.is("(") {
		return p.fault(p.tok.at, "the query language has no sub-queries: FROM takes devices, devices.modules or devices.jobs")
	}
	const sources = "devices, devices.modules or devices.jobs"
	if !p.tok.is("devices") {
		return p.unexpected(sources+" behind FROM", "devices")
	}
	s.source = Devices
	if err := p.advance(); err != nil {
		return err
	}
	dot, err := p.accept(".")
	if err != nil || !dot {
		return err
	}
	switch {
	case p.tok.is("modules"):
		s.source = Modules
	case p.tok.is("jobs"):
		s.source = Jobs
	default:
		return p.unexpected(sources, "modules", "jobs")
	}
	return p.advance()
}

func (p *parser) where(s *statement) error {
	ok, err := p.accept("WHERE")
	if err != nil || !ok {
		return err
	}
	return p.clause(s)
}

// clause reads what stands behind WHERE.
func (p *parser) clause(s *statement) (err error) {
	begin := p.tok.at
	if s.where, err = p.or(); err == nil {
		s.clause = strings.TrimSpace(p.text[begin:p.tok.at])
	}
	return err
}

func (p *parser) groupBy(s *statement) error {
	ok, err := p.accept("GROUP")
	if err != nil || !ok {
		return err
	}
	if err := p.expect("BY"); err != nil {
		return err
	}
	for {
		path, err := p.attribute()
		if err != nil {
			return err
		}
		s.group = append(s.group, path)
		more, err := p.accept(",")
		if err != nil || !more {
			return err
		}
	}
}

// nearest is the word that s was probably meant to be, or nothing.
func nearest(s string, words []string) string {
	best, found := min(3, 1+(len(s)+1)/3), ""
	for _, w := range slices.Sorted(slices.Values(words)) {
		if d := distance(strings.ToUpper(s), strings.ToUpper(w)); d > 0 && d < best {
			best, found = d, w
		}
	}
	return found
}

// distance is how many letters have to be put in, taken out, changed or
// swapped with their neighbour to make b of a; beyond 3 it may say 3.
func distance(a, b string) int {
	if len(a) > len(b)+2 || len(b) > len(a)+2 {
		return 3
	}
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j]+cost, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
