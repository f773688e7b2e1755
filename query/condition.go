package query

// eval is a part of a condition, made for one reader of documents: it keeps its
// finders and the room for its arguments.
type eval func(*view) value

// compile makes a reader's own of an expression.
func (c *Collection) compile(n *node) eval {
	switch n.op {
	case opConst:
		return func(*view) value { return n.val }
	case opPath:
		f := c.finder(n.path)
		return f.value
	case opArray:
		v := value{kind: kindArray, list: &n.list}
		return func(*view) value { return v }
	default:
	}
	kids := make([]eval, len(n.kids))
	for i, kid := range n.kids {
		kids[i] = c.compile(kid)
	}
	switch n.op {
	case opAnd, opOr:
		return junction(n.op, kids)
	case opCall:
		args := make([]value, len(kids))
		return func(v *view) value {
			for i, kid := range kids {
				args[i] = kid(v)
			}
			return n.call.apply(args)
		}
	case opNot, opNegate:
		return unary(n.op, kids[0])
	default:
		return dyadic(n.op, kids[0], kids[1])
	}
}

// junction is AND and OR of three values: what decides comes first, then what
// is unknown.
func junction(o op, kids []eval) eval {
	decides := value.isFalse
	if o == opOr {
		decides = value.isTrue
	}
	return func(v *view) value {
		unknown := false
		for _, kid := range kids {
			got := kid(v)
			if decides(got) {
				return got
			}
			unknown = unknown || got.kind != kindBool
		}
		if unknown {
			return value{}
		}
		return truth(o == opAnd)
	}
}

func unary(o op, kid eval) eval {
	if o == opNot {
		return func(v *view) value { return negated(kid(v)) }
	}
	return func(v *view) value { return calculate(opMinus, numberOf(0), kid(v)) }
}

func negated(v value) value {
	if v.kind != kindBool {
		return value{}
	}
	return truth(v.num == 0)
}

func dyadic(o op, left, right eval) eval {
	switch o {
	case opIn:
		return func(v *view) value { return member(left(v), right(v)) }
	case opNotIn:
		return func(v *view) value { return negated(member(left(v), right(v))) }
	case opEqual, opDiffer, opLess, opMost, opMore, opLeast:
		return func(v *view) value { return compare(o, left(v), right(v)) }
	default:
		return func(v *view) value { return calculate(o, left(v), right(v)) }
	}
}
