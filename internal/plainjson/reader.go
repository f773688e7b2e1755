package plainjson

import (
	"bytes"
	"time"
)

// Reader reads the members of an object in the order in which it is asked for
// them. Of one that is not there it returns the zero value. The result counts if
// [Reader.Done] says so.
type Reader struct {
	rest  []byte
	begun bool // there is a member before the next one
	odd   bool
}

// Read begins to read an object.
func Read(object []byte) Reader {
	r := Reader{rest: object}
	r.expect('{')
	return r
}

// Done ends the object, and reports whether all of it was read and is plain.
func (r *Reader) Done() bool {
	r.expect('}')
	return !r.odd && len(r.rest) == 0
}

// Object goes into the object that is the member name, if it is the next one:
// its members come next, and then [Reader.End].
func (r *Reader) Object(name string) bool {
	if !r.member(name) {
		return false
	}
	r.expect('{')
	r.begun = false
	return !r.odd
}

// End leaves an object.
func (r *Reader) End() {
	r.expect('}')
	r.begun = true
}

// List goes into the list that is the member name, if it is the next one:
// [Reader.More] says of each element that it comes.
func (r *Reader) List(name string) bool {
	if !r.member(name) {
		return false
	}
	r.expect('[')
	r.begun = false
	return !r.odd
}

// More reports whether there is one more element in the list, and leaves the list
// after the last one. One that is empty is not plain: it is written as none.
func (r *Reader) More() bool {
	switch {
	case r.odd:
		return false
	case !r.begun:
	case r.next(','):
	default:
		r.expect(']')
		return false
	}
	r.begun = true
	return true
}

// ElementText is an element that is a string.
func (r *Reader) ElementText() string { return string(r.quoted()) }

// Element goes into an element that is an object.
func (r *Reader) Element() {
	r.expect('{')
	r.begun = false
}

// Text is a member that is a string.
func (r *Reader) Text(name string) string {
	if !r.member(name) {
		return ""
	}
	return string(r.quoted())
}

// TextOrNull is a member that is a string, or null, which is empty.
func (r *Reader) TextOrNull(name string) string {
	if !r.member(name) || r.literal("null") {
		return ""
	}
	return string(r.quoted())
}

// Bool is a member that is true or false.
func (r *Reader) Bool(name string) bool {
	if !r.member(name) {
		return false
	}
	is := r.literal("true")
	if !is && !r.literal("false") {
		r.odd = true
	}
	return is
}

// Uint is a member that is a whole number from 0 to most.
func (r *Reader) Uint(name string, most uint64) (n uint64) {
	if !r.member(name) {
		return 0
	}
	const digits = 19 // no number of so many is too large for n
	i := 0
	for ; i < len(r.rest) && i < digits && '0' <= r.rest[i] && r.rest[i] <= '9'; i++ {
		n = 10*n + uint64(r.rest[i]-'0')
	}
	if i == 0 || i > 1 && r.rest[0] == '0' || n > most {
		r.odd = true
	}
	r.rest = r.rest[i:]
	return n
}

// Time is a member that is a time.
func (r *Reader) Time(name string) (t time.Time) {
	if !r.member(name) {
		return time.Time{}
	}
	if t.UnmarshalText(r.quoted()) != nil {
		r.odd = true
	}
	return t
}

// member goes to the value of the next member, if that has this name.
func (r *Reader) member(name string) bool {
	b := r.rest
	if r.begun {
		if len(b) == 0 || b[0] != ',' {
			return false
		}
		b = b[1:]
	}
	if len(b) < len(name)+3 || b[0] != '"' || string(b[1:1+len(name)]) != name || b[1+len(name)] != '"' || b[2+len(name)] != ':' {
		return false
	}
	r.rest, r.begun = b[len(name)+3:], true
	return true
}

// quoted is what is between the quotes of a string.
func (r *Reader) quoted() []byte {
	if !r.expect('"') {
		return nil
	}
	end := bytes.IndexByte(r.rest, '"')
	if end < 0 {
		r.odd = true
		return nil
	}
	text := r.rest[:end]
	r.rest = r.rest[end+1:]
	for _, c := range text {
		if c < ' ' || c == '\\' || c >= 0x80 {
			r.odd = true
			return nil
		}
	}
	return text
}

func (r *Reader) literal(text string) bool {
	if len(r.rest) < len(text) || string(r.rest[:len(text)]) != text {
		return false
	}
	r.rest = r.rest[len(text):]
	return true
}

func (r *Reader) next(c byte) bool {
	if len(r.rest) == 0 || r.rest[0] != c {
		return false
	}
	r.rest = r.rest[1:]
	return true
}

func (r *Reader) expect(c byte) bool {
	is := r.next(c)
	r.odd = r.odd || !is
	return is
}
