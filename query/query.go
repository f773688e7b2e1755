package query

import "strings"

// MaxText is how many characters the text of a query has at most, as in IoT
// Hub.
const MaxText = 8192

// Source is what a query asks: what stands behind FROM.
type Source string

// The sources.
const (
	Devices Source = "devices"
	Modules Source = "devices.modules"
	Jobs    Source = "devices.jobs"
)

// Kind is what the rows of a query are, by IoT Hub's name of it in the header
// x-ms-item-type.
type Kind string

// The kinds.
const (
	Twin      Kind = "Twin"      // whole documents of devices or modules
	Raw       Kind = "Raw"       // projections and aggregates
	DeviceJob Kind = "DeviceJob" // whole documents of jobs
)

// Query is a text that has been understood. It never changes, and is safe for
// concurrent use.
type Query struct {
	text  string
	s     *statement
	paths []*path
}

// Parse reads a query. Its errors are *hub.Error with the code ArgumentInvalid
// that name the line and the column, and say what to write.
func Parse(text string) (*Query, error) {
	p, err := newParser(text)
	if err != nil {
		return nil, err
	}
	s, err := p.statement()
	if err != nil {
		return nil, err
	}
	return &Query{text, s, p.paths}, nil
}

// ParseCondition reads which documents are meant: what stands behind WHERE,
// about devices; nothing or * for all of them; FROM devices.modules WHERE … for
// modules; or a whole query without aggregates. Errors are those of [Parse].
func ParseCondition(text string) (*Query, error) {
	p, err := newParser(text)
	if err != nil {
		return nil, err
	}
	s := &statement{source: Devices}
	switch all := strings.TrimSpace(text); {
	case all == "" || all == "*":
		return &Query{"SELECT * FROM devices", s, nil}, nil
	case p.tok.is("SELECT"):
		return p.wholeCondition()
	case p.tok.is("FROM"):
		err = p.each(s, p.from, p.where, p.end)
		text = "SELECT * " + text
	case p.tok.is("WHERE"):
		err = p.each(s, p.where, p.end)
		text = "SELECT * FROM devices " + text
	default:
		err = p.each(s, p.clause, p.end)
		text = "SELECT * FROM devices WHERE " + text
	}
	if err != nil {
		return nil, err
	}
	return &Query{text, s, p.paths}, nil
}

// wholeCondition reads a query whose rows are documents.
func (p *parser) wholeCondition() (*Query, error) {
	s, err := p.statement()
	if err != nil {
		return nil, err
	}
	if s.aggregates() || s.top > 0 {
		return nil, p.fault(s.at, "a condition chooses documents: it has no TOP, no aggregates and no GROUP BY")
	}
	return &Query{p.text, s, p.paths}, nil
}

// each reads one thing after another.
func (p *parser) each(s *statement, reads ...func(*statement) error) error {
	for _, read := range reads {
		if err := read(s); err != nil {
			return err
		}
	}
	return nil
}

// String is the text of the query.
func (q *Query) String() string { return q.text }

// Source is what the query asks.
func (q *Query) Source() Source { return q.s.source }

// Where is the text behind WHERE, fit to stand in another query; empty: all
// documents are meant.
func (q *Query) Where() string { return q.s.clause }

// Kind is what its rows are.
func (q *Query) Kind() Kind {
	switch {
	case q.s.items != nil:
		return Raw
	case q.s.source == Jobs:
		return DeviceJob
	}
	return Twin
}

// Names reports whether the query mentions the root attribute, or everything.
func (q *Query) Names(root string) bool {
	if q.s.items == nil {
		return true
	}
	for _, p := range q.paths {
		if strings.EqualFold(p.segments[0].name, root) {
			return true
		}
	}
	return false
}
