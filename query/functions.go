package query

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// function is one that a condition may call.
type function struct {
	name, usage string
	least, most int // arguments
	apply       func(args []value) value
}

func (f *function) counts() string {
	switch {
	case f.most > 9:
		return fmt.Sprintf("%d or more arguments", f.least)
	case f.least != f.most:
		return fmt.Sprintf("%d or %d arguments", f.least, f.most)
	case f.least == 1:
		return "1 argument"
	}
	return fmt.Sprintf("%d arguments", f.least)
}

// functions are all of them by name. Those of message routing are more than IoT
// Hub has in queries.
func functions() map[string]*function {
	all := map[string]*function{}
	for _, list := range [][]function{typeFunctions(), textFunctions(), partFunctions(), mathFunctions()} {
		for _, f := range list {
			all[f.name] = &f
		}
	}
	return all
}

func typeFunctions() []function {
	test := func(name string, is func(value) bool) function {
		return function{name, name + "(tags.a)", 1, 1, func(args []value) value { return truth(is(args[0])) }}
	}
	of := func(k kind) func(value) bool { return func(v value) bool { return v.kind == k } }
	return []function{
		test("IS_DEFINED", func(v value) bool { return v.kind != kindUndefined }),
		test("IS_NULL", of(kindNull)),
		test("IS_BOOL", of(kindBool)),
		test("IS_NUMBER", of(kindNumber)),
		test("IS_STRING", of(kindText)),
		test("IS_ARRAY", of(kindArray)),
		test("IS_OBJECT", of(kindObject)),
		test("IS_PRIMITIVE", value.primitive),
		{"AS_NUMBER", "AS_NUMBER(tags.a)", 1, 1, func(args []value) value { return asNumber(args[0]) }},
		{"ARRAY_CONTAINS", "ARRAY_CONTAINS(parentScopes, 'a')", 2, 2, func(args []value) value {
			if args[0].kind != kindArray {
				return value{}
			}
			return member(args[1], args[0])
		}},
	}
}

func asNumber(v value) value {
	if v.kind == kindNumber {
		return numberOf(v.num)
	}
	if v.kind != kindText || strings.ContainsAny(v.str, "_xXpPiInN") {
		return value{}
	}
	n, err := strconv.ParseFloat(v.str, 64)
	if err != nil {
		return value{}
	}
	return finite(n)
}

func textFunctions() []function {
	two := func(name string, f func(s, part string) value) function {
		return function{name, name + "(tags.a, 'b')", 2, 2, func(args []value) value {
			if args[0].kind != kindText || args[1].kind != kindText {
				return value{}
			}
			return f(args[0].str, args[1].str)
		}}
	}
	one := func(name string, f func(s string) value) function {
		return function{name, name + "(tags.a)", 1, 1, func(args []value) value {
			if args[0].kind != kindText {
				return value{}
			}
			return f(args[0].str)
		}}
	}
	starts := func(s, part string) value { return truth(strings.HasPrefix(s, part)) }
	ends := func(s, part string) value { return truth(strings.HasSuffix(s, part)) }
	return []function{
		two("STARTSWITH", starts), two("STARTS_WITH", starts),
		two("ENDSWITH", ends), two("ENDS_WITH", ends),
		two("CONTAINS", func(s, part string) value { return truth(strings.Contains(s, part)) }),
		two("INDEX_OF", func(s, part string) value { return numberOf(float64(indexOf(s, part))) }),
		one("LENGTH", func(s string) value { return numberOf(float64(utf8.RuneCountInString(s))) }),
		one("LOWER", func(s string) value { return textOf(strings.ToLower(s)) }),
		one("UPPER", func(s string) value { return textOf(strings.ToUpper(s)) }),
	}
}

// indexOf counts characters.
func indexOf(s, part string) int {
	before, _, found := strings.Cut(s, part)
	if !found {
		return -1
	}
	return utf8.RuneCountInString(before)
}

func partFunctions() []function {
	return []function{
		{"CONCAT", "CONCAT(tags.a, '-', tags.b)", 2, math.MaxInt, func(args []value) value {
			var b strings.Builder
			for _, a := range args {
				if a.kind != kindText {
					return value{}
				}
				b.WriteString(a.str)
			}
			return textOf(b.String())
		}},
		{"SUBSTRING", "SUBSTRING(tags.a, 0, 3)", 2, 3, func(args []value) value {
			length := numberOf(math.MaxInt32)
			if len(args) == 3 {
				length = args[2]
			}
			return substring(args[0], args[1], length)
		}},
	}
}

// substring counts characters, from 0; what is beyond the end is not there.
func substring(s, start, length value) value {
	if s.kind != kindText || start.kind != kindNumber || length.kind != kindNumber {
		return value{}
	}
	if start.num < 0 || length.num < 0 || start.num != math.Trunc(start.num) || length.num != math.Trunc(length.num) {
		return value{}
	}
	runes := []rune(s.str)
	count := float64(len(runes))
	from := min(start.num, count)
	to := min(from+length.num, count)
	return textOf(string(runes[int(from):int(to)]))
}

func mathFunctions() []function {
	one := func(name string, f func(float64) float64) function {
		return function{name, name + "(tags.a)", 1, 1, func(args []value) value {
			if args[0].kind != kindNumber {
				return value{}
			}
			return finite(f(args[0].num))
		}}
	}
	return []function{
		one("ABS", math.Abs), one("EXP", math.Exp), one("CEILING", math.Ceil), one("FLOOR", math.Floor), one("SQRT", math.Sqrt),
		one("SQUARE", func(n float64) float64 { return n * n }),
		one("SIGN", func(n float64) float64 {
			switch {
			case n > 0:
				return 1
			case n < 0:
				return -1
			}
			return 0
		}),
		{"POWER", "POWER(tags.a, 2)", 2, 2, func(args []value) value {
			if args[0].kind != kindNumber || args[1].kind != kindNumber {
				return value{}
			}
			return finite(math.Pow(args[0].num, args[1].num))
		}},
	}
}
