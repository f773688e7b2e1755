package hub

import (
	"encoding/json"
	"testing"
)

type embedded struct {
	Name string         `json:"name"`
	Tags map[string]int `json:"tags"`
}

func TestJSONFault(t *testing.T) {
	t.Parallel()
	var v struct {
		embedded
		Inner struct {
			Count int `json:"count"`
		} `json:"inner"`
	}
	for text, want := range map[string]string{
		`{"name":5}`:              `"name" can't be a number`,
		`{"name":[]}`:             `"name" can't be an array`,
		`{"tags":{"a":true}}`:     `"tags" can't be a boolean`,
		`{"inner":{"count":{}}}`:  `"inner.count" can't be an object`,
		`{"inner":{"count":5.5}}`: `"inner.count" can't be a number`,
		`{"inner":{"count":"5"}}`: `"inner.count" can't be a string`,
		`[]`:                      `it is an array`,
		`{`:                       `unexpected end of JSON input`,
	} {
		if err := JSONFault(json.Unmarshal([]byte(text), &v), "embedded"); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}
