package backend

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hubgate/hubgate/session"
)

// fill sets all that v is made of to something, each to something else.
func fill(v reflect.Value, n *int) {
	*n++
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprint("s", *n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*n))
	case reflect.Uint8, reflect.Uint64:
		v.SetUint(uint64(*n))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fill(v.Index(i), n)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Date(2026, 1, 2, 3, 4, *n, 1000**n, time.UTC)))
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).Tag.Get("json") != "-" {
				fill(v.Field(i), n)
			}
		}
	default:
		panic(v.Type().String() + " is new here")
	}
}

func fullSession() stored {
	var v stored
	n := 0
	fill(reflect.ValueOf(&v).Elem(), &n)
	return v
}

// Nothing that a session has is left out in the fast lane, and nothing is left to
// the slow one that is usual.
func TestSessionIsPlainJSON(t *testing.T) {
	t.Parallel()
	for name, v := range map[string]stored{
		"all there is": fullSession(),
		"nothing":      {},
		"a claim":      {Session: session.Session{Generation: "1", Connected: true, Node: "n1", Connection: "c-1", Remote: "[::1]:4711", ConnectedTime: time.Now().UTC()}},
		"elsewhere":    {Session: session.Session{ConnectedTime: time.Now().In(time.FixedZone("", 3600)).Round(0)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			text, ok := v.appendPlain(nil)
			if !ok || string(text) != string(want) {
				t.Errorf("plain %v:\n%s, want\n%s", ok, text, want)
			}
			back, ok := plainStored(text)
			if diff := cmp.Diff(v, back); !ok || diff != "" {
				t.Errorf("plain %v, read back (-want +got):\n%s", ok, diff)
			}
		})
	}
}

// Whatever the text, the fast lane reads what encoding/json reads, or nothing; and
// what is read is written as encoding/json writes it.
func FuzzSessionJSON(f *testing.F) {
	full, err := json.Marshal(fullSession())
	if err != nil {
		f.Fatal(err)
	}
	for _, text := range []string{
		string(full), `{"generation":"1","persistent":false,"connected":true,"node":"n","connection":"c","remote":"r"}`, `{}`, `{"epoch":7}`, `{"epoch":18446744073709551615}`,
		`{"subscriptions":[]}`, `{"subscriptions":[{"filter":"a","qos":256}]}`, `{"owed":["a","b"],"ends":[{}]}`, `{"owed":["a",]}`, `{"node":"a\u0062"}`, `{"Node":"a"}`, `{"node":null}`,
		`{"node":"a","node":"b"}`, `{"errorCode":-1}`, `{"errorCode":01}`, `{"connectedTime":"2026-01-02T03:04:05+24:00"}`, `{"reason":"<é>"}`, `{"epoch":1} `, `{"epoch":1}}`, `{,"epoch":1}`, `{"epoch":1,}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var want, got stored
		failed := json.Unmarshal(text, &want)
		if err := got.parse(text); (err != nil) != (failed != nil) {
			t.Fatalf("parse = %v, encoding/json says %v", err, failed)
		}
		if failed != nil {
			return
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-encoding/json +got):\n%s", diff)
		}
		wantText, failed := json.Marshal(want)
		gotText, err := got.append([]byte("behind"))
		if (err != nil) != (failed != nil) || string(gotText) != "behind"+string(wantText) {
			t.Errorf("text = %s, %v, encoding/json says %s, %v", gotText, err, wantText, failed)
		}
	})
}

// Events and announcements are what encoding/json makes of them.
func TestEventsArePlainJSON(t *testing.T) {
	t.Parallel()
	var e session.Event
	n := 0
	fill(reflect.ValueOf(&e).Elem(), &n)
	odd := e
	odd.Reason, odd.Code, odd.Duration = "é", -1, -1
	for _, e := range []session.Event{e, odd, {}, {Epoch: 5, Duration: time.Hour + 1}} {
		want, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := eventBody(e); err != nil || string(got) != string(want) {
			t.Errorf("%s, %v, want %s", got, err, want)
		}
	}
	for _, c := range []session.Claim{{}, {Epoch: 5, Node: "n", Connection: "c"}, {Epoch: math.MaxUint64, Node: "<é>"}} {
		want, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		got, err := claimBody(c)
		if back, parseErr := parseClaim(got); err != nil || string(got) != string(want) || parseErr != nil || back != c {
			t.Errorf("%s, %v, want %s; read back %+v, %v", got, err, want, back, parseErr)
		}
	}
	if c, err := parseClaim([]byte(`{"epoch":5,"node":1}`)); err == nil {
		t.Errorf("read %+v", c)
	}
}

func BenchmarkSessionJSON(b *testing.B) {
	v := fullSession()
	v.Subscriptions, v.Owed, v.Ends = nil, nil, nil
	for b.Loop() {
		text, err := v.append(nil)
		if err == nil {
			err = v.parse(text)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}
