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
	if len(s) < len("2006-01-02T15:04:05Z") || len(s) > longestTime || s[10] != 'T' || s[len(s)-1] != 'Z' {
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
	if s[19] == '.' {
		var ok bool
		if fraction, ok = digits(s[20 : len(s)-1]); !ok {
			return 0, false
		}
		for n := len(s) - 21; n < 7; n++ {
			fraction *= 10
		}
	}
	at := time.Date(field[0], time.Month(field[1]), field[2], field[3], field[4], field[5], 0, time.UTC)
	ticks := (at.Unix()+secondsAt1970)*perSecond + int64(fraction)
	var again [longestTime]byte
	return ticks, field[0] > 0 && string(appendInstant(again[:0], ticks)) == string(s)
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
