package query

import (
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/hubgate/hubgate/hub"
)

// tokenKind is what a token is.
type tokenKind int

const (
	tokenEnd     tokenKind = iota
	tokenWord              // a keyword or a name
	tokenEscaped           // [[name]]
	tokenNumber
	tokenString
	tokenSymbol
)

// token is a piece of the text. text is the word, the name, what a string
// means, or the symbol.
type token struct {
	kind tokenKind
	text string
	num  float64
	at   int // byte of its beginning
}

// is reports whether the token is the symbol, or the keyword in any case.
func (t token) is(s string) bool {
	return t.kind == tokenSymbol && t.text == s || t.kind == tokenWord && strings.EqualFold(t.text, s)
}

// String is the token as an error names it.
func (t token) String() string {
	switch t.kind {
	case tokenEnd:
		return "the end"
	case tokenString:
		return "the string '" + clip(t.text) + "'"
	case tokenEscaped:
		return "[[" + clip(t.text) + "]]"
	default:
		return clip(t.text)
	}
}

// clip keeps errors short, whatever was sent.
func clip(s string) string {
	const most = 40
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most]) + "…"
}

// lexer cuts a text into tokens.
type lexer struct {
	text string
	at   int
}

// fault is an error at a place of the text, with its line and its column in
// characters, both from 1.
func (l *lexer) fault(at int, format string, args ...any) error {
	before := l.text[:min(at, len(l.text))]
	line := strings.Count(before, "\n") + 1
	column := utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:]) + 1
	return hub.Errorf(hub.ArgumentInvalid, "line %d, column %d: "+format, append([]any{line, column}, args...)...)
}

// next is the token that follows.
func (l *lexer) next() (token, error) {
	for l.at < len(l.text) && strings.IndexByte(" \t\r\n\f\v", l.text[l.at]) >= 0 {
		l.at++
	}
	t := token{at: l.at}
	if l.at == len(l.text) {
		return t, nil
	}
	c := l.text[l.at]
	switch {
	case c == '\'' || c == '"':
		return l.str(c)
	case '0' <= c && c <= '9':
		return l.number()
	case strings.HasPrefix(l.text[l.at:], "[["):
		return l.escaped()
	}
	if n := l.word(); n > 0 {
		t.kind, t.text = tokenWord, l.text[l.at:l.at+n]
		l.at += n
		return t, nil
	}
	return l.symbol()
}

// word is the length of the name at the place; 0: there is none.
func (l *lexer) word() int {
	for i, r := range l.text[l.at:] {
		if r == '_' || r == '$' || unicode.IsLetter(r) || i > 0 && unicode.IsDigit(r) {
			continue
		}
		return i
	}
	return len(l.text) - l.at
}

func (l *lexer) symbol() (token, error) {
	t := token{kind: tokenSymbol, at: l.at}
	for _, s := range []string{"!=", "<>", "<=", ">="} {
		if strings.HasPrefix(l.text[l.at:], s) {
			t.text = s
		}
	}
	if strings.HasPrefix(l.text[l.at:], "--") || strings.HasPrefix(l.text[l.at:], "/*") {
		return t, l.fault(l.at, "the query language has no comments, and two signs stand apart, as in - -1")
	}
	if t.text == "" {
		r, size := utf8.DecodeRuneInString(l.text[l.at:])
		t.text = l.text[l.at : l.at+size]
		switch {
		case t.text == "`" || t.text == "’" || t.text == "‘" || t.text == "“" || t.text == "”":
			return t, l.fault(l.at, "%s begins no string: put strings between ' or \"", t.text)
		case !strings.ContainsRune("*,.()[]=<>+-/%;", r):
			return t, l.fault(l.at, "%q means nothing here: a name with this character is written [[name]], and a string stands between ' or \"", r)
		}
	}
	l.at += len(t.text)
	return t, nil
}

// escaped reads [[name]], in which everything is part of the name.
func (l *lexer) escaped() (token, error) {
	t := token{kind: tokenEscaped, at: l.at}
	end := strings.Index(l.text[l.at:], "]]")
	if end < 0 {
		return t, l.fault(l.at, "the name after [[ has no end: write [[name]]")
	}
	t.text = l.text[l.at+2 : l.at+end]
	if t.text == "" {
		return t, l.fault(l.at, "there is no name between [[ and ]]: write [[name]]")
	}
	l.at += end + 2
	return t, nil
}

func (l *lexer) number() (token, error) {
	t := token{kind: tokenNumber, at: l.at}
	end := l.at
	for end < len(l.text) && l.numeric(end) {
		end++
	}
	t.text = l.text[l.at:end]
	l.at = end
	var ok bool
	if t.num, ok = parseLiteral(t.text); !ok {
		return t, l.fault(t.at, "%s is no number: write 12, 1.5, 2e10 or 0xFF", clip(t.text))
	}
	return t, nil
}

// numeric reports whether the byte belongs to the number before it. A letter
// that cannot is taken along, to be refused with it.
func (l *lexer) numeric(at int) bool {
	c := l.text[at]
	hex := len(l.text) > l.at+1 && l.text[l.at+1]|0x20 == 'x'
	switch {
	case c == '+' || c == '-':
		return !hex && l.text[at-1]|0x20 == 'e'
	case c == '.' || c == '_' || c >= utf8.RuneSelf:
		return true
	}
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
}

// parseLiteral reads a number of a query: as JSON has it, or hexadecimal.
func parseLiteral(s string) (float64, bool) {
	if digits, hex := strings.CutPrefix(strings.ToLower(s), "0x"); hex {
		n, err := strconv.ParseUint(digits, 16, 64)
		return float64(n), err == nil && !strings.Contains(digits, "_")
	}
	if strings.HasSuffix(s, ".") || strings.Contains(s, ".e") || strings.Contains(s, ".E") || strings.ContainsAny(s, "_xXpPiInN") {
		return 0, false
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil && !math.IsInf(f, 0)
}

// str reads a string between two of quote.
func (l *lexer) str(quote byte) (token, error) {
	t := token{kind: tokenString, at: l.at}
	var b strings.Builder
	for i := l.at + 1; i < len(l.text); {
		c := l.text[i]
		switch c {
		case quote:
			l.at = i + 1
			t.text = b.String()
			return t, nil
		case '\\':
			r, size := escape(l.text[i:])
			if size == 0 {
				return t, l.fault(i, `\ begins no escape that a string knows: write \' \" \\ \b \f \n \r \t or \u with four hexadecimal digits`)
			}
			b.WriteRune(r)
			i += size
		default:
			b.WriteByte(c)
			i++
		}
	}
	return t, l.fault(l.at, "the string has no end: close it with %c, and write %c inside it as \\%c", quote, quote, quote)
}

// escape reads the escape at the beginning of s; size 0: it is none.
func escape(s string) (r rune, size int) {
	if len(s) < 2 {
		return 0, 0
	}
	const from, to = `'"\/bfnrt`, "'\"\\/\b\f\n\r\t"
	if i := strings.IndexByte(from, s[1]); i >= 0 {
		return rune(to[i]), 2
	}
	first, ok := unit(s)
	if !ok {
		return 0, 0
	}
	if second, ok := unit(s[6:]); ok && utf16.DecodeRune(first, second) != unicode.ReplacementChar {
		return utf16.DecodeRune(first, second), 12
	}
	return first, 6 // half of a pair is written as U+FFFD
}

// unit reads \uXXXX.
func unit(s string) (rune, bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(s[2:6], 16, 16)
	return rune(n), err == nil
}
