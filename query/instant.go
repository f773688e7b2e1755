package query

import "time"

// Times fill a twin: each property has one in $metadata. A text that is exactly
// how IoT Hub prints a time is kept as the number of 100 ns since the year 1.

const (
	perSecond     = 10_000_000
	secondsAt1970 = 62_135_596_800
	longestTime   = len("2006-01-02T15:04:05.9999999Z")
)

// parseInstant reads a time, if printing it gives the same text.
func parseInstant(s []byte) (int64, bool) {
	if len(s) <= len(secondForm) || len(s) > longestTime || s[len(s)-1] != 'Z' {
		return 0, false
	}
	whole, ok := parseSecond(s[:len(secondForm)])
	if !ok {
		return 0, false
	}
	fraction, ok := parseFraction(s[len(secondForm) : len(s)-1])
	return (whole+secondsAt1970)*perSecond + fraction, ok
}

const secondForm = "0000-00-00T00:00:00"

// parseSecond reads a time of secondForm, in seconds since 1970.
func parseSecond(s []byte) (int64, bool) {
	for i, c := range []byte(secondForm) {
		if c != s[i] && (c != '0' || s[i] < '0' || s[i] > '9') {
			return 0, false
		}
	}
	two := func(at int) int { return 10*int(s[at]-'0') + int(s[at+1]-'0') }
	year, month, day, hour, minute, second := 100*two(0)+two(2), two(5), two(8), two(11), two(14), two(17)
	if year == 0 || month == 0 || month > 12 || hour > 23 || minute > 59 || second > 59 {
		return 0, false
	}
	at := time.Date(year, time.Month(month), day, hour, minute, second, 0, time.UTC)
	return at.Unix(), at.Day() == day
}

// parseFraction reads what may follow the second, in 100 ns: a point and up to 7
// digits, of which the last is not 0.
func parseFraction(s []byte) (int64, bool) {
	if len(s) == 0 {
		return 0, true
	}
	n, ok := digits(s[1:])
	for width := len(s) - 1; width < 7; width++ {
		n *= 10
	}
	return int64(n), ok && s[0] == '.' && s[len(s)-1] != '0'
}

// digits reads a number of decimal digits.
func digits(s []byte) (int, bool) {
	n := 0
	for _, c := range s {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int(c-'0')
	}
	return n, len(s) > 0
}

// appendInstant prints a time with as many digits as it needs, 7 at most.
func appendInstant(dst []byte, ticks int64) []byte {
	at := time.Unix(ticks/perSecond-secondsAt1970, 0).UTC()
	year, month, day := at.Date()
	hour, minute, second := at.Clock()
	dst = appendPadded(dst, year, 4)
	dst = appendPadded(append(dst, '-'), int(month), 2)
	dst = appendPadded(append(dst, '-'), day, 2)
	dst = appendPadded(append(dst, 'T'), hour, 2)
	dst = appendPadded(append(dst, ':'), minute, 2)
	dst = appendPadded(append(dst, ':'), second, 2)
	if fraction := int(ticks % perSecond); fraction > 0 {
		width := 7
		for fraction%10 == 0 {
			fraction /= 10
			width--
		}
		dst = appendPadded(append(dst, '.'), fraction, width)
	}
	return append(dst, 'Z')
}

// appendPadded appends the last digits of n, with zeros in front.
func appendPadded(dst []byte, n, width int) []byte {
	at := len(dst) + width
	for range width {
		dst = append(dst, '0')
	}
	for i := at - 1; i >= at-width; i-- {
		dst[i] = byte('0' + n%10)
		n /= 10
	}
	return dst
}
