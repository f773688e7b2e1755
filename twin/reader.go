package twin

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/hubgate/hubgate/hub"
)

// reader reads the JSON of a request by the rules of twins. Its errors are
// *hub.Error that name the rule and the path of what breaks it.
type reader struct {
	d     *jsontext.Decoder
	input bytes.Buffer
	path  []byte // of the value that is read next, as a.b[2]
	// lax leaves the rules aside, for documents that have been checked when
	// they were stored.
	lax bool
}

// readers are those that nobody uses now: a decoder is half of what a small patch
// needs.
//
//nolint:gochecknoglobals // a pool
var readers = sync.Pool{New: func() any { return &reader{d: new(jsontext.Decoder)} }}

// newReader returns a reader, which has to be freed.
func newReader(body []byte) *reader {
	r, _ := readers.Get().(*reader)
	r.input, r.path, r.lax = *bytes.NewBuffer(body), r.path[:0], false
	r.d.Reset(&r.input)
	return r
}

func (r *reader) free() {
	r.input = bytes.Buffer{}
	readers.Put(r)
}

// read reads a whole request with f.
func read(body []byte, f func(*reader) error) error {
	if len(body) > MaxBody {
		return hub.Errorf(hub.MessageTooLarge, "a request about a twin has at most %d bytes, and this one has %d", MaxBody, len(body))
	}
	r := newReader(body)
	defer r.free()
	if err := f(r); err != nil {
		return err
	}
	return r.end()
}

// end expects the end of the input.
func (r *reader) end() error {
	_, err := r.d.ReadToken()
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return r.malformed(err)
	}
	return hub.Errorf(hub.ArgumentInvalid, "something follows the JSON object at byte %d", r.d.InputOffset())
}

// members reads an object and calls f for each key, when its value comes next.
func (r *reader) members(f func(key string) error) error {
	if kind := r.d.PeekKind(); kind != '{' {
		return r.notAnObject(kind)
	}
	if _, err := r.d.ReadToken(); err != nil {
		return r.malformed(err)
	}
	for {
		key, err := r.d.ReadToken()
		if err != nil {
			return r.malformed(err)
		}
		if key.Kind() == '}' {
			return nil
		}
		outer := len(r.path)
		name := key.String()
		r.enter(name)
		if err := f(name); err != nil {
			return err
		}
		r.path = r.path[:outer]
	}
}

func (r *reader) enter(key string) {
	if len(r.path) > 0 {
		r.path = append(r.path, '.')
	}
	r.path = append(r.path, key...)
}

// section reads a section: an object below whose own keys, $version and
// $metadata, nothing is taken from a request.
func (r *reader) section() (*value, error) {
	var members []member
	err := r.members(func(key string) error {
		if key == "$version" || key == "$metadata" {
			return r.skip()
		}
		v, err := r.member(key, 0)
		members = append(members, member{key, v})
		return err
	})
	if err != nil {
		return nil, err
	}
	return newObject(members, mark{}), nil
}

// member checks a key and reads its value, which is in depth objects and
// arrays.
func (r *reader) member(key string, depth int) (*value, error) {
	// A key with $ in front would stand for one of the document's own members.
	if wrong := checkKey(key); wrong != "" && (!r.lax || strings.HasPrefix(key, "$")) {
		return nil, r.broken(wrong)
	}
	return r.value(depth)
}

// laxDepth is how deep a document may be that was stored, by whatever rules. What is
// printed of it is one deeper, and JSON is read back to a depth of 10000.
const laxDepth = 1000

func (r *reader) value(depth int) (*value, error) {
	kind, deepest := r.d.PeekKind(), MaxDepth
	if r.lax {
		deepest = laxDepth
	}
	if (kind == '{' || kind == '[') && depth == deepest {
		return nil, r.broken(fmt.Sprintf("objects and arrays are at most %d deep", deepest))
	}
	switch kind {
	case '{':
		return r.object(depth + 1)
	case '[':
		return r.array(depth + 1)
	default:
		return r.scalar()
	}
}

func (r *reader) object(depth int) (*value, error) {
	var members []member
	err := r.members(func(key string) error {
		v, err := r.member(key, depth)
		members = append(members, member{key, v})
		return err
	})
	if err != nil {
		return nil, err
	}
	return newObject(members, mark{}), nil
}

// array reads an array into its text: it is replaced as a whole, and has one
// mark.
func (r *reader) array(depth int) (*value, error) {
	if _, err := r.d.ReadToken(); err != nil {
		return nil, r.malformed(err)
	}
	outer := len(r.path)
	text, size := []byte{'['}, 0
	for i := 0; r.d.PeekKind() != ']'; i++ {
		r.path = append(strconv.AppendInt(append(r.path[:outer], '['), int64(i), 10), ']')
		v, err := r.value(depth)
		if err != nil {
			return nil, err
		}
		if v.isNull() && !r.lax {
			return nil, r.broken("an array holds no null")
		}
		if i > 0 {
			text = append(text, ',')
		}
		text, size = appendValue(text, v), size+v.size
	}
	r.path = r.path[:outer]
	if _, err := r.d.ReadToken(); err != nil {
		return nil, r.malformed(err)
	}
	return &value{text: string(append(text, ']')), size: size}, nil
}

func (r *reader) scalar() (*value, error) {
	token, err := r.d.ReadToken()
	if err != nil {
		return nil, r.malformed(err)
	}
	text, wrong := token.String(), ""
	v := &value{text: text}
	switch token.Kind() {
	case '"':
		v.text, v.size = string(appendString(nil, text)), sizeOf(text)
		wrong = checkString(text)
	case '0':
		v.size, wrong = numberSize, checkNumber(text)
	case 't', 'f':
		v.size = booleanSize
	default: // null
	}
	if wrong != "" && !r.lax {
		return nil, r.broken(wrong)
	}
	return v, nil
}

// skip passes over a value that has to be JSON and nothing more.
func (r *reader) skip() error {
	if err := r.d.SkipValue(); err != nil {
		return r.malformed(err)
	}
	return nil
}

// shown is how much of a path an error shows, in bytes.
const shown = 256

// where is the path of the value that is read.
func (r *reader) where() string {
	path := string(r.path)
	if path == "" {
		return "the body"
	}
	if len(path) > shown {
		cut := shown
		for !utf8.RuneStart(path[cut]) {
			cut--
		}
		path = path[:cut] + "…"
	}
	if strings.ContainsFunc(path, func(c rune) bool { return !strconv.IsPrint(c) || c == '"' }) {
		return strconv.Quote(path)
	}
	return path
}

// broken is the error for a rule that does not hold.
func (r *reader) broken(rule string) error {
	return hub.Errorf(hub.ArgumentInvalid, "%s: %s", r.where(), rule)
}

func (r *reader) notAnObject(kind jsontext.Kind) error {
	if kind == jsontext.KindInvalid { // the error comes with the token
		_, err := r.d.ReadToken()
		return r.malformed(err)
	}
	return hub.Errorf(hub.ArgumentInvalid, "%s is not a JSON object", r.where())
}

// malformed is the error for what is not JSON.
func (r *reader) malformed(err error) error {
	s, ok := errors.AsType[*jsontext.SyntacticError](err)
	if !ok { // nothing but white space
		return hub.Errorf(hub.ArgumentInvalid, "the body is not JSON: it is empty")
	}
	at, reason := s.ByteOffset, s.Err
	switch {
	case errors.Is(reason, jsontext.ErrDuplicateName):
		r.enter(s.JSONPointer.LastToken())
		return hub.Errorf(hub.ArgumentInvalid, "%s is there twice, again at byte %d", r.where(), at)
	case errors.Is(reason, io.ErrUnexpectedEOF):
		return hub.Errorf(hub.ArgumentInvalid, "the body is not JSON: it ends at byte %d, inside of %s", at, r.where())
	}
	return hub.Errorf(hub.ArgumentInvalid, "the body is not JSON: %v at byte %d, in %s", reason, at, r.where())
}
