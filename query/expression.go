package query

import "strings"

// enter counts a level of depth. What calls it calls leave when it succeeds.
func (p *parser) enter() error {
	if p.depth++; p.depth > maxDepth {
		return p.fault(p.tok.at, "the condition is nested more than %d deep", maxDepth)
	}
	return nil
}

func (p *parser) leave() { p.depth-- }

// or reads a condition, from what binds least.
func (p *parser) or() (*node, error) { return p.chain("OR", opOr, p.and) }

func (p *parser) and() (*node, error) { return p.chain("AND", opAnd, p.not) }

// chain reads operands between the same keyword into one node, so that a long
// chain is not a deep one.
func (p *parser) chain(keyword string, o op, operand func() (*node, error)) (*node, error) {
	first, err := operand()
	if err != nil || !p.tok.is(keyword) {
		return first, err
	}
	n := &node{op: o, kids: []*node{first}}
	for {
		ok, err := p.accept(keyword)
		if err != nil || !ok {
			return n, err
		}
		kid, err := operand()
		if err != nil {
			return nil, err
		}
		n.kids = append(n.kids, kid)
	}
}

func (p *parser) not() (*node, error) {
	ok, err := p.accept("NOT")
	if err != nil {
		return nil, err
	}
	if !ok {
		return p.comparison()
	}
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	kid, err := p.not()
	return &node{op: opNot, kids: []*node{kid}}, err
}

func (p *parser) comparison() (*node, error) {
	left, err := p.sum()
	if err != nil {
		return nil, err
	}
	switch {
	case p.tok.is("IN"), p.tok.is("NIN"), p.tok.is("NOT"):
		return p.membership(left)
	case p.tok.is("LIKE"), p.tok.is("BETWEEN"), p.tok.is("IS"):
		return nil, p.refusal()
	}
	o, ok := operator(p.tok, map[string]op{
		"=": opEqual, "!=": opDiffer, "<>": opDiffer, "<": opLess, "<=": opMost, ">": opMore, ">=": opLeast,
	})
	if !ok {
		return left, nil
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	if p.tok.is("=") || p.tok.is(">") {
		return nil, p.fault(p.tok.at, "%s does not follow an operator: equal is =, and not equal is != or <>", p.tok)
	}
	right, err := p.sum()
	return &node{op: o, kids: []*node{left, right}}, err
}

func operator(t token, ops map[string]op) (op, bool) {
	if t.kind != tokenSymbol {
		return 0, false
	}
	o, ok := ops[t.text]
	return o, ok
}

// membership reads IN, NIN or NOT IN, and the array behind it.
func (p *parser) membership(left *node) (*node, error) {
	n := &node{op: opIn, kids: []*node{left}}
	if p.tok.is("NIN") || p.tok.is("NOT") {
		n.op = opNotIn
	}
	if p.tok.is("NOT") {
		if err := p.advance(); err != nil {
			return nil, err
		}
		if !p.tok.is("IN") {
			return nil, p.unexpected("IN behind NOT", "IN")
		}
	}
	if err := p.advance(); err != nil {
		return nil, err
	}
	var right *node
	var err error
	if p.tok.is("(") {
		right, err = p.array(")")
	} else {
		right, err = p.sum()
	}
	n.kids = append(n.kids, right)
	return n, err
}

func (p *parser) sum() (*node, error) {
	return p.arithmetic(map[string]op{"+": opPlus, "-": opMinus}, p.product)
}

func (p *parser) product() (*node, error) {
	return p.arithmetic(map[string]op{"*": opTimes, "/": opDivide, "%": opModulo}, p.sign)
}

func (p *parser) arithmetic(ops map[string]op, operand func() (*node, error)) (*node, error) {
	left, err := operand()
	for err == nil {
		o, ok := operator(p.tok, ops)
		if !ok {
			return left, nil
		}
		if err := p.advance(); err != nil {
			return nil, err
		}
		var right *node
		right, err = operand()
		left = &node{op: o, kids: []*node{left, right}}
	}
	return nil, err
}

func (p *parser) sign() (*node, error) {
	minus := p.tok.is("-")
	if !minus && !p.tok.is("+") {
		return p.primary()
	}
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	if err := p.advance(); err != nil {
		return nil, err
	}
	kid, err := p.sign()
	switch {
	case err != nil || !minus:
		return kid, err
	case kid.op == opConst && kid.val.kind == kindNumber:
		kid.val.num = -kid.val.num
		return kid, nil
	}
	return &node{op: opNegate, kids: []*node{kid}}, nil
}

func (p *parser) primary() (*node, error) {
	if v, ok := constant(p.tok); ok {
		return &node{op: opConst, val: v}, p.advance()
	}
	switch {
	case p.tok.is("("):
		return p.parenthesis()
	case p.tok.is("["):
		return p.array("]")
	case p.tok.kind == tokenEscaped:
		return p.pathNode()
	case p.tok.kind != tokenWord:
		return nil, p.unexpected("an attribute, a value or a function")
	}
	word := p.tok
	n, err := p.pathNode()
	if err != nil || !p.tok.is("(") || len(n.path.segments) > 1 {
		return n, err
	}
	return p.call(word)
}

func (p *parser) pathNode() (*node, error) {
	path, err := p.attribute()
	return &node{op: opPath, path: path}, err
}

func (p *parser) parenthesis() (*node, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	if err := p.advance(); err != nil {
		return nil, err
	}
	n, err := p.or()
	if err != nil {
		return nil, err
	}
	if !p.tok.is(")") {
		return nil, p.unexpected("AND, OR or )", "AND", "OR", "IN", "NIN")
	}
	return n, p.advance()
}

// array reads constants between brackets or parentheses.
func (p *parser) array(closing string) (*node, error) {
	n := &node{op: opArray, list: []value{}}
	if err := p.advance(); err != nil {
		return nil, err
	}
	if ok, err := p.accept(closing); err != nil || ok {
		return n, err
	}
	for {
		v, err := p.element()
		if err != nil {
			return nil, err
		}
		n.list = append(n.list, v)
		switch more, err := p.accept(","); {
		case err != nil:
			return nil, err
		case !more && !p.tok.is(closing):
			return nil, p.unexpected("a comma or " + closing)
		case !more:
			return n, p.advance()
		}
	}
}

// element reads one constant of an array.
func (p *parser) element() (v value, err error) {
	at := p.tok.at
	if _, ok := constant(p.tok); !ok && !p.tok.is("-") {
		return v, p.unexpected("a constant: an array holds strings, numbers, true, false and null")
	}
	n, err := p.sign()
	if err == nil && n.op != opConst {
		err = p.fault(at, "an array holds constants only: strings, numbers, true, false and null")
	}
	if err != nil {
		return v, err
	}
	return n.val, nil
}

// constant is the value of a token that has one.
func constant(t token) (value, bool) {
	switch t.kind {
	case tokenNumber:
		return numberOf(t.num), true
	case tokenString:
		return textOf(t.text), true
	case tokenWord:
		switch strings.ToUpper(t.text) {
		case "TRUE":
			return boolOf(1), true
		case "FALSE":
			return boolOf(0), true
		case "NULL":
			return value{kind: kindNull}, true
		case "UNDEFINED":
			return value{}, true
		}
	default:
	}
	return value{}, false
}

// call reads the arguments of a function.
func (p *parser) call(word token) (*node, error) {
	if p.functions == nil {
		p.functions = functions()
	}
	f := p.functions[strings.ToUpper(word.text)]
	if f == nil {
		return nil, p.unknownFunction(word)
	}
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	kids, err := p.arguments(f)
	if err != nil {
		return nil, err
	}
	if len(kids) < f.least || len(kids) > f.most {
		return nil, p.fault(word.at, "%s takes %s and not %d: write %s", f.name, f.counts(), len(kids), f.usage)
	}
	return &node{op: opCall, call: f, kids: kids}, p.advance()
}

// arguments reads what stands between the parentheses.
func (p *parser) arguments(f *function) (kids []*node, err error) {
	if err := p.advance(); err != nil {
		return nil, err
	}
	for !p.tok.is(")") {
		kid, err := p.or()
		if err != nil {
			return nil, err
		}
		kids = append(kids, kid)
		more, err := p.accept(",")
		if err != nil {
			return nil, err
		}
		if more == p.tok.is(")") {
			return nil, p.unexpected("a comma or ) behind an argument of " + f.name)
		}
	}
	return kids, nil
}

func (p *parser) unknownFunction(word token) error {
	upper := strings.ToUpper(word.text)
	switch upper {
	case "COUNT", "SUM", "AVG", "MIN", "MAX":
		return p.fault(word.at, "%s is an aggregate, and stands behind SELECT only", upper)
	}
	if err := p.refused(word); err != nil {
		return err
	}
	var names []string
	for name := range p.functions {
		names = append(names, name)
	}
	if near := nearest(word.text, names); near != "" {
		return p.fault(word.at, "there is no function %s: did you mean %s?", clip(word.text), near)
	}
	return p.fault(word.at, "there is no function %s: the functions are IS_DEFINED, IS_NULL, IS_BOOL, IS_NUMBER, IS_STRING, IS_ARRAY, IS_OBJECT, IS_PRIMITIVE, STARTSWITH, ENDSWITH, CONTAINS, ARRAY_CONTAINS and those of message routing", clip(word.text))
}

// refused is [parser.refusal] of a word that has been passed.
func (p *parser) refused(word token) error {
	now := p.tok
	p.tok = word
	defer func() { p.tok = now }()
	return p.refusal()
}
