package query

import (
	"cmp"
	"math"
	"slices"
	"strings"
)

// kind is the type of a value, in the order in which values of different types
// stand.
type kind uint8

const (
	kindUndefined kind = iota
	kindNull
	kindBool
	kindNumber
	kindText
	kindArray
	kindObject
)

// value is what an expression has. It lives as long as the document that it
// comes from.
type value struct {
	kind kind
	num  float64  // of a number; 1 or 0 of a bool
	str  string   // of a text; of others the tape, where they come from one
	src  *source  // what the tape needs to be read
	list *[]value // of an array that stands in the query
}

func textOf(s string) value    { return value{kind: kindText, str: s} }
func boolOf(n float64) value   { return value{kind: kindBool, num: n} }
func numberOf(n float64) value { return value{kind: kindNumber, num: n} }

// truth makes a value of a comparison.
func truth(b bool) value { //nolint:revive // b is what the value is, and chooses nothing
	if b {
		return boolOf(1)
	}
	return boolOf(0)
}

// finite is a number, or undefined for what is none any more.
func finite(n float64) value {
	if math.IsNaN(n) || math.IsInf(n, 0) {
		return value{}
	}
	return numberOf(n)
}

// isTrue reports whether the value is exactly true.
func (v value) isTrue() bool { return v.kind == kindBool && v.num != 0 }

// isFalse reports whether the value is exactly false.
func (v value) isFalse() bool { return v.kind == kindBool && v.num == 0 }

// primitive reports whether the value may be compared.
func (v value) primitive() bool { return v.kind >= kindNull && v.kind <= kindText }

// same reports whether two primitives of the same type are equal; of other
// values it is false.
func (v value) same(o value) bool {
	if v.kind != o.kind {
		return false
	}
	switch v.kind {
	case kindNull:
		return true
	case kindBool, kindNumber:
		return v.num == o.num
	case kindText:
		return v.str == o.str
	default:
		return false
	}
}

// order compares two primitives of the same type that have an order.
func (v value) order(o value) int {
	if v.kind == kindText {
		return strings.Compare(v.str, o.str)
	}
	return cmp.Compare(v.num, o.num)
}

// compare is what an operator makes of two values: undefined unless they are
// primitives of the same type.
func compare(o op, a, b value) value {
	if a.kind != b.kind || !a.primitive() {
		return value{}
	}
	switch o {
	case opEqual:
		return truth(a.same(b))
	case opDiffer:
		return truth(!a.same(b))
	default:
	}
	if a.kind == kindNull {
		return value{} // null has no order
	}
	n := a.order(b)
	switch o {
	case opLess:
		return truth(n < 0)
	case opMost:
		return truth(n <= 0)
	case opMore:
		return truth(n > 0)
	default:
		return truth(n >= 0)
	}
}

// calculate is what an operator makes of two numbers: undefined unless both are
// numbers and the result is one.
func calculate(o op, a, b value) value {
	if a.kind != kindNumber || b.kind != kindNumber {
		return value{}
	}
	switch o {
	case opPlus:
		return finite(a.num + b.num)
	case opMinus:
		return finite(a.num - b.num)
	case opTimes:
		return finite(a.num * b.num)
	case opDivide:
		return finite(a.num / b.num)
	default:
		return finite(math.Mod(a.num, b.num))
	}
}

// member is what IN makes: undefined when v is nothing that can be in an array,
// or when there is no array. A single primitive is an array of one.
func member(v, array value) value {
	if !v.primitive() {
		return value{}
	}
	switch {
	case array.list != nil:
		return truth(slices.ContainsFunc(*array.list, v.same))
	case array.kind == kindArray:
		return truth(array.contains(v))
	case array.primitive():
		return truth(v.same(array))
	}
	return value{}
}

// contains looks for a primitive in an array of a document.
func (v value) contains(wanted value) bool {
	_, n, at := container(v.str)
	for end := at + n; at < end; {
		if v.src.value(v.str, at).same(wanted) {
			return true
		}
		at = skip(v.str, at)
	}
	return false
}
