package plainjson

import (
	"encoding/json"
	"math"
	"reflect"
	"testing"
	"time"
)

// all has a member of each kind.
type all struct {
	Text    string    `json:"text"`
	Yes     bool      `json:"yes"`
	Number  int64     `json:"number,omitempty"`
	Large   uint64    `json:"large"`
	At      time.Time `json:"at,omitzero"`
	Names   []string  `json:"names,omitempty"`
	Objects []inner   `json:"objects,omitempty"`
	Object  inner     `json:"object"`
	Null    string    `json:"null"`
	Seconds float64   `json:"seconds,omitempty"`
}

type inner struct {
	A string `json:"a,omitempty"`
	B string `json:"b,omitempty"`
}

func write(v *all) ([]byte, bool) {
	w := Write(nil)
	w.Text("text", v.Text)
	w.Bool("yes", v.Yes)
	w.IntIfAny("number", v.Number)
	w.Uint("large", v.Large)
	w.TimeIfAny("at", v.At)
	if len(v.Names) > 0 {
		w.List("names")
		for _, name := range v.Names {
			w.ElementText(name)
		}
		w.EndList()
	}
	if len(v.Objects) > 0 {
		w.List("objects")
		for _, o := range v.Objects {
			w.Element()
			w.TextIfAny("a", o.A)
			w.TextIfAny("b", o.B)
			w.End()
		}
		w.EndList()
	}
	w.FloatIfAny("seconds", v.Seconds)
	return w.Done()
}

func read(text []byte) (v all, ok bool) {
	r := Read(text)
	v.Text = r.Text("text")
	v.Yes = r.Bool("yes")
	v.Number = int64(r.Uint("number", math.MaxInt64))
	v.Large = r.Uint("large", math.MaxUint64)
	v.At = r.Time("at")
	if r.List("names") {
		for r.More() {
			v.Names = append(v.Names, r.ElementText())
		}
	}
	if r.List("objects") {
		for r.More() {
			r.Element()
			v.Objects = append(v.Objects, inner{r.Text("a"), r.Text("b")})
			r.End()
		}
	}
	if r.Object("object") {
		v.Object = inner{r.Text("a"), r.Text("b")}
		r.End()
	}
	v.Null = r.TextOrNull("null")
	return v, r.Done()
}

// What is read is what encoding/json reads.
func FuzzRead(f *testing.F) {
	for _, text := range []string{
		``, `{}`, `{} `, `{`, `}`, `[]`, `null`, `{"text":"a"}`, `{"text":"a",}`, `{,"text":"a"}`, `{"text":"a""yes":true}`, `{"yes":true,"text":"a"}`, `{"text":"a","text":"b"}`,
		`{"Text":"a"}`, `{"text":null}`, `{"text":"a\n"}`, `{"text":"é"}`, "{\"text\":\"\x7f\xff\"}", "{\"text\":\"\t\"}", `{"yes":tru}`, `{"yes":false}`, `{"number":-1}`, `{"number":00}`, `{"number":0}`,
		`{"number":1.0}`, `{"number":1e3}`, `{"number":9223372036854775808}`, `{"large":18446744073709551615}`, `{"large":9999999999999999999}`, `{"large":99999999999999999999}`,
		`{"at":"2026-01-02T03:04:05.6Z"}`, `{"at":"2026-01-02T03:04:05"}`, `{"at":""}`, `{"names":[]}`, `{"names":["a"]}`, `{"names":["a","b"],"objects":[{"a":"x"},{"b":"y"},{}]}`,
		`{"names":["a",]}`, `{"names":["a"}`, `{"names":[,"a"]}`, `{"objects":[{"a":"x","b":"y"}],"object":{"a":"z"}}`, `{"object":{"a":"z","c":1}}`, `{"object":{}}`, `{"null":null}`, `{"null":"x"}`, `{"text":"a"`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, ok := read(text)
		if !ok {
			return
		}
		var want all
		if err := json.Unmarshal(text, &want); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %+v; encoding/json says %+v, %v", text, got, want, err)
		}
	})
}

// What is written is what encoding/json writes, and is read again.
func FuzzWrite(f *testing.F) {
	f.Add("a", true, int64(-1), uint64(math.MaxUint64), int64(5), int64(7), "x", 1.5)
	f.Add("<", false, int64(0), uint64(0), int64(0), int64(0), "", 1e-7)
	f.Add("é\x00\"\\", false, int64(1), uint64(1), int64(math.MaxInt64), int64(1), "\u2028", 1e21)
	f.Fuzz(func(t *testing.T, text string, yes bool, number int64, large uint64, seconds, nanos int64, name string, float float64) {
		v := all{Text: text, Yes: yes, Number: number, Large: large, At: time.Unix(seconds, nanos).UTC(), Names: []string{name, text}, Objects: []inner{{}, {A: name}, {name, text}}, Seconds: float}
		if name == "" {
			v.Names, v.Objects = nil, nil
		}
		got, ok := write(&v)
		if !ok {
			return
		}
		// What has no fast lane here stands between.
		want, err := json.Marshal(struct {
			all
			Object *inner  `json:"object,omitempty"`
			Null   *string `json:"null,omitempty"`
		}{all: v})
		if err != nil || string(got) != string(want) {
			t.Errorf("%s; encoding/json says %s, %v", got, want, err)
		}
		if back, ok := read(got); number >= 0 && large < 1e19 && float == 0 && (!ok || !reflect.DeepEqual(back, v)) {
			t.Errorf("%s is read as %+v, %v", got, back, ok)
		}
	})
}

// What is usual is plain.
func TestUsual(t *testing.T) {
	v := all{Text: "a", Yes: true, Number: 3, Large: 4, At: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), Names: []string{"b"}, Objects: []inner{{"c", "d"}}}
	text, ok := write(&v)
	if !ok {
		t.Errorf("%s is not plain", text)
	}
	if back, ok := read(text); !ok || !reflect.DeepEqual(back, v) {
		t.Errorf("%s is read as %+v, %v", text, back, ok)
	}
}
