package mqtt

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"
)

// content is what a string holds that some rule cares for, as a set of bits.
type content byte

const (
	hasIllFormed content = 1 << iota // not UTF-8, surrogates included
	hasNUL                           // U+0000
	hasWildcard                      // '+' or '#'
)

// One byte eight times over, for looking at eight bytes at once.
const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
	plus  = '+' * ones &^ apart // what '+' and '#' have in common
	apart = ('+' ^ '#') * ones  // the one bit in which they differ
)

// contentOf looks at every byte of b once. Nearly all strings are ASCII, where
// a byte is zero exactly if subtracting 1 from it borrows: that needs no branch
// for eight bytes at a time.
func contentOf(b []byte) content {
	if len(b) < 8 {
		return contentOfFew(b)
	}
	var high, nul, wild uint64
	look := func(w uint64) {
		high |= w
		nul |= w - ones
		wild |= (w&^apart ^ plus) - ones
	}
	for i := 0; i+8 < len(b); i += 8 {
		look(binary.LittleEndian.Uint64(b[i:]))
	}
	look(binary.LittleEndian.Uint64(b[len(b)-8:]))
	if high&highs != 0 {
		return contentOfText(b)
	}
	var c content
	if nul&highs != 0 {
		c |= hasNUL
	}
	if wild&highs != 0 {
		c |= hasWildcard
	}
	return c
}

// contentOfFew is contentOf for a few bytes.
func contentOfFew(b []byte) content {
	var c content
	for _, x := range b {
		switch {
		case x >= utf8.RuneSelf:
			return contentOfText(b)
		case x == 0:
			c |= hasNUL
		case x == '+' || x == '#':
			c |= hasWildcard
		}
	}
	return c
}

// contentOfText is contentOf for what is not all ASCII. utf8.Valid refuses
// surrogates and overlong forms, and takes U+FEFF as the character that it is
// [MQTT3-1.5.3-3] [MQTT5-1.5.4-3]. Control characters and non-characters,
// which a receiver may refuse, are taken.
func contentOfText(b []byte) content {
	var c content
	if !utf8.Valid(b) {
		c |= hasIllFormed
	}
	if bytes.IndexByte(b, 0) >= 0 {
		c |= hasNUL
	}
	if bytes.IndexByte(b, '+') >= 0 || bytes.IndexByte(b, '#') >= 0 {
		c |= hasWildcard
	}
	return c
}

// textFault says what is wrong with b as a UTF-8 string.
func textFault(b []byte) fault {
	switch c := contentOf(b); {
	case c&hasIllFormed != 0:
		return faultIllFormed
	case c&hasNUL != 0:
		return faultNUL
	default:
		return tooLong(b)
	}
}

// tooLong says whether b is longer than its two-byte length prefix can say. It
// can only be so when encoding.
func tooLong(b []byte) fault {
	if len(b) > maxString {
		return faultTooLong
	}
	return faultNone
}
