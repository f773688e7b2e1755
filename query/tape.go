package query

import (
	"encoding/base64"
	"encoding/binary"
	"strconv"
)

// A tape is a JSON value in bytes: a tag, and what the tag needs. Objects of a
// known shape have no names, containers know their length so that they can be
// passed over, and what IoT Hub prints again and again is short: times, etags,
// words, small numbers, and parts of the document's own key.
const (
	tagNull    = iota
	tagFalse   //
	tagTrue    //
	tagInteger // varint
	tagDecimal // scale, varint
	tagNumber  // length, text
	tagText    // length, text
	tagWord    // number of the word
	tagTime    // varint: 100 ns from the part's base
	tagKey     // from, length: a part of the key
	tagCounter // uvarint: base64 of 8 bytes, a twin's etag
	tagDigits  // uvarint: base64 of a decimal number, an identity's etag
	tagShape   // number of the shape, length, values
	tagObject  // length, (length, name, value)…
	tagArray   // length, values

	tagSmall = 0x40 // and the integer, below 64
	tagShort = 0x80 // and the length of the text that follows
)

// skip is where the value at the place ends.
func skip(tape string, at int) int {
	t := tape[at]
	switch {
	case t >= tagShort:
		return at + 1 + int(t&^tagShort)
	case t >= tagSmall || t <= tagTrue:
		return at + 1
	}
	switch t {
	case tagInteger, tagWord, tagTime, tagCounter, tagDigits:
		return skipVarint(tape, at+1)
	case tagDecimal:
		return skipVarint(tape, at+2)
	case tagKey:
		return skipVarint(tape, skipVarint(tape, at+1))
	case tagShape:
		at = skipVarint(tape, at+1) - 1
	}
	n, at := uvarint(tape, at+1)
	return at + int(n)
}

func skipVarint(tape string, at int) int {
	for tape[at] >= 0x80 {
		at++
	}
	return at + 1
}

// container is what an object or an array at the beginning of a tape has: its
// shape, its length and where its content begins.
func container(tape string) (shape uint64, n, at int) { return containerAt(tape, 0) }

func containerAt(tape string, at int) (shape uint64, n, begin int) {
	tag := tape[at]
	at++
	if tag == tagShape {
		shape, at = uvarint(tape, at)
	}
	length, at := uvarint(tape, at)
	return shape, int(length), at
}

// source is what a tape needs to be read.
type source struct {
	key  string // of the document
	base int64  // of its times
	dict *dictionary
}

// value reads the value at the place.
func (s *source) value(tape string, at int) value {
	t := tape[at]
	switch {
	case t >= tagShort:
		return textOf(tape[at+1 : at+1+int(t&^tagShort)])
	case t >= tagSmall:
		return value{kind: kindNumber, num: float64(t &^ tagSmall), str: tape[at : at+1]}
	}
	switch t {
	case tagNull:
		return value{kind: kindNull}
	case tagFalse, tagTrue:
		return boolOf(float64(t - tagFalse))
	case tagInteger, tagDecimal, tagNumber:
		return value{kind: kindNumber, num: number(tape, at), str: tape[at:skip(tape, at)]}
	case tagShape, tagObject:
		return value{kind: kindObject, str: tape[at:skip(tape, at)], src: s}
	case tagArray:
		return value{kind: kindArray, str: tape[at:skip(tape, at)], src: s}
	}
	return textOf(s.text(tape, at))
}

// text reads a text that is not short.
func (s *source) text(tape string, at int) string {
	n, end := uvarint(tape, at+1)
	switch tape[at] {
	case tagText:
		return tape[end : end+int(n)]
	case tagWord:
		return (*s.dict.words.Load())[n]
	case tagKey:
		length, _ := uvarint(tape, end)
		return s.key[n : n+length]
	}
	var b [40]byte
	return string(s.appendText(b[:0], tape, at))
}

// appendText appends what a text means, without quotes.
func (s *source) appendText(dst []byte, tape string, at int) []byte {
	if t := tape[at]; t >= tagShort {
		return append(dst, tape[at+1:at+1+int(t&^tagShort)]...)
	}
	n, _ := uvarint(tape, at+1)
	switch tape[at] {
	case tagTime:
		return appendInstant(dst, s.base+varint(tape, at+1))
	case tagCounter:
		var b [8]byte
		binary.BigEndian.PutUint64(b[:], n)
		return base64.StdEncoding.AppendEncode(dst, b[:])
	case tagDigits:
		var b [20]byte
		return base64.StdEncoding.AppendEncode(dst, strconv.AppendUint(b[:0], n, 10))
	}
	return append(dst, s.text(tape, at)...)
}
