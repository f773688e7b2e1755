package query

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/hubgate/hubgate/hub"
)

// maxNesting is how deep objects and arrays of a document stand inside each
// other. A twin has 10 levels, and some around them.
const maxNesting = 64

// encoder makes a tape of JSON text. It is used again and again.
type encoder struct {
	dict    *dictionary
	key     string
	input   bytes.Buffer
	decoder *jsontext.Decoder
	tape    []byte
	names   []byte // of the objects that are open, each after its length
	ends    []int  // of the values of the objects that are open
	scratch []byte
	base    int64 // the first time
	timed   bool
}

// maxRoom is how much an encoder keeps for the next document.
const maxRoom = 64 << 10

// encode makes a part of the document with the key: the base of its times, and
// its object.
func (d *dictionary) encode(key string, object []byte) (string, error) {
	e, ok := d.encoders.Get().(*encoder)
	if !ok {
		e = &encoder{dict: d, decoder: new(jsontext.Decoder)}
	}
	tape, err := e.part(key, object)
	if err != nil {
		return "", hub.Errorf(hub.ArgumentInvalid, "a part of the document %.130q cannot be kept: %w", key, err)
	}
	if len(object) < maxRoom {
		e.input = bytes.Buffer{}
		d.encoders.Put(e)
	}
	return tape, nil
}

func (e *encoder) part(key string, object []byte) (string, error) {
	e.key, e.base, e.timed = key, 0, false
	e.names, e.ends = e.names[:0], e.ends[:0]
	e.tape = append(e.tape[:0], make([]byte, binary.MaxVarintLen64)...)
	e.input = *bytes.NewBuffer(object)
	e.decoder.Reset(&e.input, jsontext.AllowDuplicateNames(true))
	if e.decoder.PeekKind() != '{' {
		return "", errors.New("it is no JSON object")
	}
	if err := e.object(0); err != nil {
		return "", err
	}
	if _, err := e.decoder.ReadToken(); !errors.Is(err, io.EOF) {
		return "", errors.New("something follows the object")
	}
	var base [binary.MaxVarintLen64]byte
	n := binary.PutUvarint(base[:], uint64(e.base))
	part := e.tape[binary.MaxVarintLen64-n:]
	copy(part, base[:n])
	return string(part), nil
}

func (e *encoder) value(depth int) error {
	if kind := e.decoder.PeekKind(); kind == '{' || kind == '[' {
		if depth == maxNesting {
			return errors.New("objects and arrays stand more than 64 deep inside each other")
		}
		if kind == '{' {
			return e.object(depth + 1)
		}
		return e.array(depth + 1)
	}
	text, err := e.decoder.ReadValue()
	if err != nil {
		return err
	}
	switch text[0] {
	case 'n':
		e.tape = append(e.tape, tagNull)
	case 'f':
		e.tape = append(e.tape, tagFalse)
	case 't':
		e.tape = append(e.tape, tagTrue)
	case '"':
		s, err := e.unquote(text)
		e.text(s)
		return err
	default:
		e.tape = appendNumber(e.tape, text)
	}
	return nil
}

// unquote is what a JSON string means; it is valid until the next.
func (e *encoder) unquote(text []byte) ([]byte, error) {
	if bytes.IndexByte(text, '\\') < 0 {
		return text[1 : len(text)-1], nil
	}
	var err error
	e.scratch, err = jsontext.AppendUnquote(e.scratch[:0], text)
	return e.scratch, err
}

// object writes the values of an object, and in front of them its shape, or all
// again with the names when the shape is not to be known.
func (e *encoder) object(depth int) error {
	if _, err := e.decoder.ReadToken(); err != nil {
		return err
	}
	begin, outer, first := len(e.tape), len(e.names), len(e.ends)
	for e.decoder.PeekKind() != '}' {
		quoted, err := e.decoder.ReadValue()
		if err != nil {
			return err
		}
		name, err := e.unquote(quoted)
		if err != nil {
			return err
		}
		e.names = binary.AppendUvarint(e.names, uint64(len(name)))
		e.names = append(e.names, name...)
		if err := e.value(depth); err != nil {
			return err
		}
		e.ends = append(e.ends, len(e.tape))
	}
	if _, err := e.decoder.ReadToken(); err != nil {
		return err
	}
	shape, known, err := e.dict.shape(e.names[outer:])
	switch {
	case err != nil:
		return err
	case known:
		var head [1 + 2*binary.MaxVarintLen64]byte
		b := binary.AppendUvarint(append(head[:0], tagShape), shape)
		e.insert(begin, binary.AppendUvarint(b, uint64(len(e.tape)-begin)))
	default:
		e.named(begin, e.ends[first:], e.names[outer:])
	}
	e.names, e.ends = e.names[:outer], e.ends[:first]
	return nil
}

// named puts names in front of the values that stand from begin on.
func (e *encoder) named(begin int, ends []int, list []byte) {
	values := slices.Clone(e.tape[begin:])
	e.tape = append(e.tape[:begin], tagObject)
	e.tape = binary.AppendUvarint(e.tape, uint64(len(values)+len(list)))
	from := 0
	for _, end := range ends {
		n, size := binary.Uvarint(list)
		e.tape = append(e.tape, list[:size+int(n)]...)
		list = list[size+int(n):]
		e.tape = append(e.tape, values[from:end-begin]...)
		from = end - begin
	}
}

func (e *encoder) array(depth int) error {
	if _, err := e.decoder.ReadToken(); err != nil {
		return err
	}
	begin := len(e.tape)
	for e.decoder.PeekKind() != ']' {
		if err := e.value(depth); err != nil {
			return err
		}
	}
	if _, err := e.decoder.ReadToken(); err != nil {
		return err
	}
	var head [1 + binary.MaxVarintLen64]byte
	e.insert(begin, binary.AppendUvarint(append(head[:0], tagArray), uint64(len(e.tape)-begin)))
	return nil
}

func (e *encoder) insert(at int, head []byte) { e.tape = slices.Insert(e.tape, at, head...) }

// text writes a string as short as it can be.
func (e *encoder) text(s []byte) {
	if ticks, ok := parseInstant(s); ok {
		if !e.timed {
			e.timed, e.base = true, ticks
		}
		e.tape = binary.AppendVarint(append(e.tape, tagTime), ticks-e.base)
		return
	}
	if from, ok := e.inKey(s); ok {
		e.tape = binary.AppendUvarint(append(e.tape, tagKey), uint64(from))
		e.tape = binary.AppendUvarint(e.tape, uint64(len(s)))
		return
	}
	if tag, n, ok := etag(s); ok {
		e.tape = binary.AppendUvarint(append(e.tape, tag), n)
		return
	}
	if n, ok := e.dict.word(s); ok {
		e.tape = binary.AppendUvarint(append(e.tape, tagWord), n)
		return
	}
	if len(s) < 0x100-tagShort {
		e.tape = append(e.tape, tagShort|byte(len(s)))
	} else {
		e.tape = binary.AppendUvarint(append(e.tape, tagText), uint64(len(s)))
	}
	e.tape = append(e.tape, s...)
}

// inKey reports whether s is the beginning or the end of the document's key, as
// ids are.
func (e *encoder) inKey(s []byte) (from int, ok bool) {
	if len(s) < 3 || len(s) > len(e.key) {
		return 0, false
	}
	if strings.HasPrefix(e.key, string(s)) {
		return 0, true
	}
	return len(e.key) - len(s), strings.HasSuffix(e.key, string(s))
}

// etag reads the two forms that etags have.
func etag(s []byte) (tag byte, n uint64, ok bool) {
	if len(s) < 4 || len(s) > 24 || len(s)%4 != 0 {
		return 0, 0, false
	}
	var b, again [24]byte
	length, err := base64.StdEncoding.Decode(b[:], s)
	if err != nil {
		return 0, 0, false
	}
	base64.StdEncoding.Encode(again[:], b[:length])
	if string(again[:len(s)]) != string(s) {
		return 0, 0, false
	}
	if length == 8 {
		return tagCounter, binary.BigEndian.Uint64(b[:]), true
	}
	n, err = strconv.ParseUint(string(b[:length]), 10, 64)
	if err != nil || strconv.FormatUint(n, 10) != string(b[:length]) {
		return 0, 0, false
	}
	return tagDigits, n, true
}
