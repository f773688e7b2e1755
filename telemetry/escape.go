package telemetry

import (
	"time"
	"unicode"
	"unicode/utf8"
)

// appendName appends a device's name of a property, with everything escaped but
// A-Z a-z 0-9 _ . -
func appendName(dst, name []byte) []byte {
	clean := 0
	for i, c := range name {
		if !isNameByte(c) {
			dst = appendEscape(append(dst, name[clean:i]...), c)
			clean = i + 1
		}
	}
	return append(dst, name[clean:]...)
}

func isNameByte(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '.', c == '-':
		return true
	default:
		return false
	}
}

// appendValue appends a header's value, with control characters, % and the
// white space at either end escaped, which readers of headers trim. Anything
// else stands for itself, UTF-8 included.
func appendValue[T string | []byte](dst []byte, value T) []byte {
	head, tail := spaceBefore(value), len(value)-spaceBehind(value)
	clean := 0
	for i := range len(value) {
		c := value[i]
		if i >= head && i < tail && c >= ' ' && c != '%' && c != 0x7F {
			continue
		}
		dst = appendEscape(append(dst, value[clean:i]...), c)
		clean = i + 1
	}
	return append(dst, value[clean:]...)
}

// spaceBefore is the length of a white-space character that s begins with. One
// is enough: what follows it is no longer at the end.
func spaceBefore[T string | []byte](s T) int {
	if len(s) == 0 || isPlain(s[0]) {
		return 0
	}
	r, size := utf8.DecodeRuneInString(string(s[:min(len(s), utf8.UTFMax)]))
	if !isTrimmed(r) {
		return 0
	}
	return size
}

// spaceBehind is the length of a white-space character that s ends with.
func spaceBehind[T string | []byte](s T) int {
	if len(s) == 0 || isPlain(s[len(s)-1]) {
		return 0
	}
	r, size := utf8.DecodeLastRuneInString(string(s[max(0, len(s)-utf8.UTFMax):]))
	if !isTrimmed(r) {
		return 0
	}
	return size
}

// isPlain reports whether c is ASCII and no white space.
func isPlain(c byte) bool { return c > ' ' && c < utf8.RuneSelf }

// isTrimmed reports whether some language's trim removes r.
func isTrimmed(r rune) bool {
	const byteOrderMark = '\uFEFF' // white space to JavaScript
	return unicode.IsSpace(r) || r == byteOrderMark
}

func appendEscape(dst []byte, c byte) []byte {
	const digits = "0123456789ABCDEF"
	return append(dst, '%', digits[c>>4], digits[c&15])
}

// isLine reports whether s has no control characters, so that it can be a value as
// it is.
func isLine(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7F {
			return false
		}
	}
	return true
}

// timeLayout is how headers tell the time: UTC, milliseconds.
const timeLayout = "2006-01-02T15:04:05.000Z"

// appendTime appends t as timeLayout has it, at a fifth of the cost of
// time.Time.AppendFormat.
func appendTime(dst []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	if year < 0 || year > 9999 {
		return t.AppendFormat(dst, timeLayout)
	}
	hour, minute, second := t.Clock()
	dst = appendTwo(appendTwo(dst, year/100), year%100)
	dst = appendTwo(append(dst, '-'), int(month))
	dst = appendTwo(append(dst, '-'), day)
	dst = appendTwo(append(dst, 'T'), hour)
	dst = appendTwo(append(dst, ':'), minute)
	dst = appendTwo(append(dst, ':'), second)
	ms := t.Nanosecond() / 1_000_000
	dst = append(dst, '.', '0'+byte(ms/100))
	return append(appendTwo(dst, ms%100), 'Z')
}

// appendTwo appends a number below 100 with two digits.
func appendTwo(dst []byte, n int) []byte { return append(dst, '0'+byte(n/10), '0'+byte(n%10)) }
