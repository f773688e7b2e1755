package query

import (
	"encoding/binary"
	"math"
	"strconv"
)

// The text of a number is kept: 1.50 stays 1.50. An integer is a varint, a
// decimal an integer with the place of its point; what cannot be printed back
// to the same text that way is kept as text.

// maxMantissa keeps decimals where division by a power of ten is exact.
const (
	maxMantissa = 1 << 53
	maxScale    = 18
)

// appendNumber appends the tape of a JSON number.
func appendNumber(dst, text []byte) []byte {
	if n, scale, ok := decimal(text); ok {
		switch {
		case scale > 0:
			dst = append(dst, tagDecimal, byte(scale))
			return binary.AppendVarint(dst, n)
		case 0 <= n && n < tagShort-tagSmall:
			return append(dst, tagSmall|byte(n))
		}
		return binary.AppendVarint(append(dst, tagInteger), n)
	}
	dst = binary.AppendUvarint(append(dst, tagNumber), uint64(len(text)))
	return append(dst, text...)
}

// decimal reads a number as n / 10^scale, if it can be printed back.
func decimal(text []byte) (n int64, scale int, ok bool) {
	body := text
	negative := text[0] == '-'
	if negative {
		body = text[1:]
	}
	for i, c := range body {
		switch {
		case c == '.':
			scale = len(body) - i - 1
		case c < '0' || c > '9':
			return 0, 0, false
		default:
			n = 10*n + int64(c-'0')
		}
		if n >= maxMantissa {
			return 0, 0, false
		}
	}
	if scale > maxScale || negative && n == 0 {
		return 0, 0, false
	}
	if negative {
		n = -n
	}
	return n, scale, true
}

// appendDecimal prints n / 10^scale.
func appendDecimal(dst []byte, n int64, scale int) []byte {
	if n < 0 {
		dst = append(dst, '-')
		n = -n
	}
	whole, power := n, int64(1)
	for range scale {
		whole /= 10
		power *= 10
	}
	dst = append(strconv.AppendInt(dst, whole, 10), '.')
	return appendPadded(dst, int(n%power), scale)
}

// number reads the number at the place.
func number(tape string, at int) float64 {
	switch t := tape[at]; {
	case t >= tagSmall:
		return float64(t &^ tagSmall)
	case t == tagInteger:
		return float64(varint(tape, at+1))
	case t == tagDecimal:
		return float64(varint(tape, at+2)) / math.Pow10(int(tape[at+1]))
	}
	n, at := uvarint(tape, at+1)
	f, err := strconv.ParseFloat(tape[at:at+int(n)], 64)
	if err != nil {
		return f // beyond what a double holds: infinite
	}
	return f
}

// appendNumeral prints the number at the place.
func appendNumeral(dst []byte, tape string, at int) []byte {
	switch t := tape[at]; {
	case t >= tagSmall:
		return strconv.AppendInt(dst, int64(t&^tagSmall), 10)
	case t == tagInteger:
		return strconv.AppendInt(dst, varint(tape, at+1), 10)
	case t == tagDecimal:
		return appendDecimal(dst, varint(tape, at+2), int(tape[at+1]))
	}
	n, at := uvarint(tape, at+1)
	return append(dst, tape[at:at+int(n)]...)
}

// appendFloat prints a number that was calculated.
func appendFloat(dst []byte, f float64) []byte {
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		return strconv.AppendFloat(dst, f, 'e', -1, 64)
	}
	return strconv.AppendFloat(dst, f, 'f', -1, 64)
}

// uvarint reads a varint at the place, and says where it ends. The tape is what
// an encoder has written.
func uvarint(tape string, at int) (uint64, int) {
	if c := tape[at]; c < 0x80 {
		return uint64(c), at + 1
	}
	var n uint64
	for shift := 0; ; shift += 7 {
		c := tape[at]
		at++
		n |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return n, at
		}
	}
}

func varint(tape string, at int) int64 {
	n, _ := uvarint(tape, at)
	return int64(n>>1) ^ -int64(n&1)
}
