package query

// op is what a node of a condition does.
type op int

const (
	opConst  op = iota
	opPath      // the value at a path
	opArray     // an array of constants
	opCall      // a function
	opAnd       // of any number
	opOr        // of any number
	opNot       //
	opIn        // the second operand is the array
	opNotIn     //
	opEqual     //
	opDiffer    //
	opLess      //
	opMost      // <=
	opMore      //
	opLeast     // >=
	opPlus      //
	opMinus     //
	opTimes     //
	opDivide    //
	opModulo    //
	opNegate    //
)

// node is an expression.
type node struct {
	op   op
	kids []*node
	val  value     // of opConst
	list []value   // of opArray
	path *path     // of opPath
	call *function // of opCall
}

// path leads to an attribute.
type path struct {
	segments []segment
	at       int
}

// segment is a name, or the index of an array.
type segment struct {
	name    string
	index   int
	isIndex bool
}

// item is one column of SELECT.
type item struct {
	name      string // the key in the rows
	aggregate string // COUNT, SUM, AVG, MIN, MAX, or nothing
	path      *path  // nil: COUNT()
}

// statement is a whole query.
type statement struct {
	source Source
	top    int    // 0: all
	items  []item // none: *
	where  *node  // nil: all
	clause string // text of where
	group  []*path
	at     int // where SELECT stands
}

// aggregates reports whether the rows stand for many documents.
func (s *statement) aggregates() bool {
	for _, i := range s.items {
		if i.aggregate != "" {
			return true
		}
	}
	return len(s.group) > 0
}
