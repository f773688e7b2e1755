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
	if len(s) < len("2006-01-02T15:04:05Z") || len(s) > longestTime ||
		s[4] != '-' || s[7] != '-' || s[10] != 'T' || s[13] != ':' || s[16] != ':' || s[len(s)-1] != 'Z' {
		return 0, false
	}
	var field [6]int // from the year to the second
	for i, from := range [...]int{0, 5, 8, 11, 14, 17} {
		to := from + 2
		if i == 0 {
			to = 4
		}
		var ok bool
		if field[i], ok = digits(s[from:to]); !ok {
			return 0, false
		}
	}
	var fraction int
	if frac := s[19 : len(s)-1]; len(frac) > 0 {
		var ok bool
		if fraction, ok = digits(frac[1:]); !ok || frac[0] != '.' || frac[len(frac)-1] == '0' {
			return 0, false
		}
		for n := len(frac) - 1; n < 7; n++ {
			fraction *= 10
		}
	}
	year, month, day, hour, minute, second := field[0], field[1], field[2], field[3], field[4], field[5]
	if year == 0 || month == 0 || month > 12 || hour > 23 || minute > 59 || second > 59 {
		return 0, false
	}
	at := time.Date(year, time.Month(month), day, hour, minute, second, 0, time.UTC)
	return (at.Unix()+secondsAt1970)*perSecond + int64(fraction), at.Day() == day
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
