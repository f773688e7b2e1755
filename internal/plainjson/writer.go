package plainjson

import (
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Writer writes the members of an object in the order in which it gets them. What
// it has written counts if [Writer.Done] says so.
type Writer struct {
	text []byte
	odd  bool
}

// Write begins an object, behind what is in dst.
func Write(dst []byte) Writer { return Writer{text: append(dst, '{')} }

// Done ends the object, and returns all there is, and whether the object is plain.
func (w *Writer) Done() ([]byte, bool) {
	w.text = append(w.text, '}')
	return w.text, !w.odd
}

// Text writes a member that is a string.
func (w *Writer) Text(name, value string) {
	w.member(name)
	w.quote(value)
}

// TextIfAny is Text, but nothing if it is empty.
func (w *Writer) TextIfAny(name, value string) {
	if value != "" {
		w.Text(name, value)
	}
}

// Bool writes a member that is true or false.
func (w *Writer) Bool(name string, value bool) {
	w.member(name)
	w.text = strconv.AppendBool(w.text, value)
}

// IntIfAny writes a member that is a whole number, but nothing if it is 0.
func (w *Writer) IntIfAny(name string, value int64) {
	if value != 0 {
		w.member(name)
		w.text = strconv.AppendInt(w.text, value, 10)
	}
}

// Uint writes a member that is a whole number.
func (w *Writer) Uint(name string, value uint64) {
	w.member(name)
	w.text = strconv.AppendUint(w.text, value, 10)
}

// FloatIfAny writes a member that is a number, but nothing if it is 0.
func (w *Writer) FloatIfAny(name string, value float64) {
	const small, large = 1e-6, 1e21 // encoding/json writes these and beyond with an exponent
	if value == 0 {
		return
	}
	if size := math.Abs(value); !(small <= size && size < large) {
		w.odd = true
		return
	}
	w.member(name)
	w.text = strconv.AppendFloat(w.text, value, 'f', -1, 64)
}

// TimeIfAny writes a member that is a time, but nothing if it is zero.
func (w *Writer) TimeIfAny(name string, value time.Time) {
	if value.IsZero() {
		return
	}
	w.member(name)
	w.text = append(w.text, '"')
	text, err := value.AppendText(w.text)
	if err != nil {
		w.odd = true
		return
	}
	w.text = append(text, '"')
}

// List begins a list that is a member, which [Writer.EndList] ends.
func (w *Writer) List(name string) {
	w.member(name)
	w.text = append(w.text, '[')
}

// EndList ends a list.
func (w *Writer) EndList() { w.text = append(w.text, ']') }

// ElementText writes an element that is a string.
func (w *Writer) ElementText(value string) {
	w.comma()
	w.quote(value)
}

// Element begins an element that is an object, which [Writer.End] ends.
func (w *Writer) Element() {
	w.comma()
	w.text = append(w.text, '{')
}

// End ends an object in a list.
func (w *Writer) End() { w.text = append(w.text, '}') }

func (w *Writer) member(name string) {
	w.comma()
	w.quote(name)
	w.text = append(w.text, ':')
}

// comma is written behind what is not the first one in its object or list.
func (w *Writer) comma() {
	if c := w.text[len(w.text)-1]; c != '{' && c != '[' {
		w.text = append(w.text, ',')
	}
}

func (w *Writer) quote(value string) {
	for i := range len(value) {
		if !isPlain[value[i]] {
			w.odd = true
			return
		}
	}
	w.text = append(w.text, '"')
	w.text = append(w.text, value...)
	w.text = append(w.text, '"')
}

// isPlain says of each byte whether encoding/json writes it as it is.
//
//nolint:gochecknoglobals // a table
var isPlain = func() (plain [0x100]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		plain[c] = !strings.ContainsRune(`"\<>&`, c)
	}
	return plain
}()
