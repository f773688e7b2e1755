package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/hubgate/hubgate/backend/client"
)

func TestTwinTranscript(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := startDev(t, dir)
	transcript(t, "twin.txt", p, dir)
	p.stopCleanly(t)
}

func TestTwinBody(t *testing.T) {
	t.Parallel()
	c := twinWrite{Body: "-"}
	if got, err := c.body(strings.NewReader(`{"tags":{}}`)); err != nil || string(got) != `{"tags":{}}` {
		t.Errorf("got %s, %v", got, err)
	}
	c = twinWrite{Tags: `{"a":1}`, Desired: `{"b":2}`}
	if got, err := c.body(nil); err != nil || string(got) != `{"tags":{"a":1},"properties":{"desired":{"b":2}}}` {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestCompareJSON(t *testing.T) {
	t.Parallel()
	got, err := compareJSON(nil, "x", []byte(`{"a":1,"b":{"c":2,"d":[1]},"e":true}`), []byte(`{"b":{"c":3,"d":[1]},"e":{"f":1},"g":null}`))
	want := "- x.a: 1|~ x.b.c: 2 → 3|~ x.e: true → {\"f\":1}|+ x.g: null"
	var lines []string
	for _, d := range got {
		lines = append(lines, d.String())
	}
	if text := strings.Join(lines, "|"); err != nil || text != want {
		t.Errorf("got %s, %v, want %s", text, err, want)
	}
	if _, _, err := (&twinDiffCmd{}).pick([]client.TwinRevision{{Deleted: true}}); err != nil {
		t.Errorf("got %v for a twin that was deleted", err)
	}
}

// TestTwinSpeaksToNoTerminal: what a device reports is shown as text, and as JSON that
// says the same.
func TestTwinSpeaksToNoTerminal(t *testing.T) {
	t.Parallel()
	const given = "{\"csi\":\"\u009b31m\",\"ß\u202e\":[\"\u007f\",\"\U000e0001\",\"café 🎉\"]}"
	var out bytes.Buffer
	if err := (&app{out: &out}).sayIndented([]byte(given)); err != nil {
		t.Fatal(err)
	}
	if i := strings.IndexFunc(out.String(), func(r rune) bool { return r != '\n' && unprintable(r) }); i >= 0 {
		t.Errorf("there is a control character at %d of %q", i, out.String())
	}
	wantAll(t, out.String(), `"\u009b31m"`, "café 🎉")
	var want, got any
	if err := errors.Join(json.Unmarshal([]byte(given), &want), json.Unmarshal(out.Bytes(), &got)); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
