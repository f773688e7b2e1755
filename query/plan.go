package query

import (
	"fmt"
	"strconv"
	"strings"
)

// Access is how documents are found.
type Access string

// The ways, the best first.
const (
	AccessKey   Access = "key"   // by their keys
	AccessRange Access = "range" // those whose keys are in a range
	AccessIndex Access = "index" // by secondary indexes
	AccessScan  Access = "scan"  // all are looked at
)

// Plan is what serves a query.
type Plan struct {
	Source Source `json:"source"`
	Access Access `json:"access"`
	// Detail says which keys, which range, or the indexes of which paths.
	Detail string `json:"detail,omitempty"`
	// Missing is the path of an index that the query makes when it is run, which
	// serves it then.
	Missing string `json:"missing,omitempty"`
	// Documents is how many have to be looked at, at most.
	Documents int `json:"documents"`
	// Total is how many there are.
	Total int `json:"total"`
}

// String is the plan as a sentence.
func (p Plan) String() string {
	how := map[Access]string{
		AccessKey: "lookup of the key %s", AccessRange: "the keys %s in order", AccessIndex: "index on %s", AccessScan: "scan%s",
	}[p.Access]
	s := fmt.Sprintf("%s: %s, %d of %d documents", p.Source, fmt.Sprintf(how, p.Detail), p.Documents, p.Total)
	if p.Missing != "" {
		s += "; an index on " + p.Missing + " is made when it is run"
	}
	return s
}

// Explain says what serves the query now. It makes no index.
func (c *Collection) Explain(q *Query) Plan {
	s, missing := c.snapshot(q.s.where)
	if missing != nil {
		s.plan.Missing = c.pathName(missing)
	}
	return s.plan
}

// describe says what ranges are.
func describe(ranges []keyRange) (Access, string) {
	var parts []string
	access := AccessKey
	for i, r := range ranges {
		if !r.single() {
			access = AccessRange
		}
		switch {
		case i == 3:
			parts = append(parts, "and "+strconv.Itoa(len(ranges)-i)+" more")
		case i > 3:
		case r.single():
			parts = append(parts, strconv.Quote(r.from))
		case r.to == "":
			parts = append(parts, "from "+strconv.Quote(r.from))
		default:
			parts = append(parts, strconv.Quote(r.from)+" to "+strconv.Quote(r.to))
		}
	}
	if parts == nil {
		return access, "none"
	}
	return access, strings.Join(parts, ", ")
}
