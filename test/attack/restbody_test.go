package attack

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/hubgate/hubgate/hub"
)

// TestRESTBodies sends bodies that are too large, too deep or not what they say
// to every kind of operation that takes one: nothing of it is held, and nothing
// is done.
func TestRESTBodies(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.create(t, "victim")
	n := innocent(t, g)
	o := g.operator(t, "iothubowner")
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write(make([]byte, 10<<20))
	_ = z.Close()
	bad := []hub.Code{hub.ArgumentInvalid, hub.ArgumentNull, hub.InvalidContent, hub.MessageTooLarge, hub.BulkFailed, hub.BulkKeysFailed, hub.DefinedTwice, hub.TooManyDevices}
	for name, c := range map[string]struct {
		body    string
		headers []string
		codes   []hub.Code
	}{
		"10 MB":                         {`{"a":"` + strings.Repeat("x", 10<<20) + `"}`, nil, []hub.Code{hub.MessageTooLarge}},
		"10,000 objects deep":           {strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000), nil, bad},
		"10,000 arrays deep":            {strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000), nil, bad},
		"10,000 arrays that don't end":  {strings.Repeat("[", 10_000), nil, bad},
		"200 deep where nobody looks":   {`{"x":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`, nil, bad},
		"a name twice":                  {`{"deviceId":"victim","deviceId":"victim","tags":{},"tags":{}}`, nil, bad},
		"a name twice, by an escape":    {`{"tags":{"a":1,"\u0061":2}}`, nil, bad},
		"no UTF-8":                      {"{\"tags\":{\"a\":\"\xff\xfe\"}}", nil, bad},
		"half a surrogate":              {`{"tags":{"a":"\ud800"}}`, nil, bad},
		"a control character":           {"{\"tags\":{\"a\":\"\x01\"}}", nil, bad},
		"UTF-16":                        {"\xff\xfe{\x00}\x00", nil, bad},
		"a mark of UTF-8":               {"\xef\xbb\xbf{\"a\":", nil, bad},
		"nothing":                       {"", nil, bad},
		"spaces":                        {"   \r\n ", nil, bad},
		"null":                          {"null", nil, bad},
		"a number":                      {"1e999999999", nil, bad},
		"a string":                      {`"x"`, nil, bad},
		"two values":                    {`{"tags":{}}{"tags":{"a":1}}`, nil, bad},
		"something behind it":           {`{"tags":{}};`, nil, bad},
		"a comment":                     {`{"tags":{}/**/}`, nil, bad},
		"a comma too many":              {`{"tags":{},}`, nil, bad},
		"single quotes":                 {`{'tags':{}}`, nil, bad},
		"NaN":                           {`{"tags":{"a":NaN}}`, nil, bad},
		"a form":                        {"tags=1&deviceId=victim", []string{"Content-Type", "application/x-www-form-urlencoded"}, bad},
		"XML":                           {`<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "&b;">]><x>&a;</x>`, []string{"Content-Type", "application/xml"}, bad},
		"gzip":                          {zipped.String(), []string{"Content-Encoding", "gzip"}, []hub.Code{hub.WrongMediaType}},
		"an encoding that there is not": {"{}", []string{"Content-Encoding", strings.Repeat("x", 1000)}, []hub.Code{hub.WrongMediaType}},
	} {
		t.Run(name, func(t *testing.T) {
			for verb, path := range takers() {
				verb, _, _ := strings.Cut(verb, " ")
				a := o.do(t, verb, path+version, c.body, append([]string{"If-Match", "*"}, c.headers...)...)
				a.refused(t, append(c.codes, hub.MessageTooLarge)...)
			}
		})
	}
	if before, after := g.Memory(t), g.flood10MB(t, o); after > before+100<<20 {
		t.Errorf("resident memory grew from %d to %d MiB", before>>20, after>>20)
	}
	n.finish(t)
}

// takers are operations that take a body which has to be JSON of a certain
// kind; the number tells those of one verb apart.
func takers() map[string]string {
	return map[string]string{
		"PUT 1": "/devices/victim", "PATCH 1": "/twins/victim", "PUT 2": "/twins/victim", "POST 1": "/devices", "POST 2": "/devices/query",
		"POST 3": "/devices/keys/regenerate", "POST 4": "/twins/victim/methods", "PUT 3": "/jobs/v2/job-1", "PUT 4": "/configurations/c1",
		"POST 5": "/devices/victim/applyConfigurationContent", "PATCH 2": "/digitaltwins/victim",
	}
}

// flood10MB sends many large bodies at once, with a length and without, and
// returns the memory behind that.
func (g *target) flood10MB(t *testing.T, o *operator) int64 {
	t.Helper()
	done := make(chan struct{})
	const many = 16
	for range many {
		go func() {
			defer func() { done <- struct{}{} }()
			r, err := http.NewRequestWithContext(t.Context(), "PATCH", "https://"+g.address(httpsPort)+"/twins/victim"+version, io.LimitReader(zeros{}, 10<<20))
			if err != nil {
				return
			}
			r.Header.Set("Authorization", o.token)
			if got, err := o.web.Do(r); err == nil { // the gateway may close while the rest is on its way
				_ = got.Body.Close()
				if got.StatusCode != hub.MessageTooLarge.Status() {
					t.Errorf("10 MB in chunks are answered with %s", got.Status)
				}
			}
		}()
	}
	for range many {
		<-done
	}
	return g.Memory(t)
}

// zeros is what never ends.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = '0'
	}
	return len(b), nil
}

// TestRESTTwins breaks the limits of twins.
func TestRESTTwins(t *testing.T) {
	t.Parallel()
	g := start(t)
	g.create(t, "victim")
	n := innocent(t, g)
	o := g.operator(t, "service")
	deep := strings.Repeat(`{"a":`, 15) + "1" + strings.Repeat("}", 15)
	var many strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&many, `"k%d":%d,`, i, i)
	}
	for name, body := range map[string]string{
		"tags of 9 KB":             `{"tags":{"a":"` + strings.Repeat("x", 3000) + `","b":"` + strings.Repeat("x", 3000) + `","c":"` + strings.Repeat("x", 3000) + `"}}`,
		"5000 properties":          `{"properties":{"desired":{` + many.String() + `"z":1}}}`,
		"a string of 5 KB":         `{"tags":{"a":"` + strings.Repeat("x", 5000) + `"}}`,
		"a key of 2 KB":            `{"tags":{"` + strings.Repeat("x", 2000) + `":1}}`,
		"15 levels":                `{"tags":` + deep + `}`,
		"a dot in a key":           `{"tags":{"a.b":1}}`,
		"a dollar in a key":        `{"tags":{"$a":1}}`,
		"a space in a key":         `{"tags":{"a b":1}}`,
		"a control in a key":       `{"tags":{"a\u0001":1}}`,
		"NUL in a key":             `{"tags":{"a\u0000":1}}`,
		"an integer beyond 52 bit": `{"tags":{"a":4503599627370496}}`,
		"a number beyond double":   `{"tags":{"a":1e400}}`,
		"tags that are a list":     `{"tags":[1]}`,
		"desired that is text":     `{"properties":{"desired":"x"}}`,
		"properties that are text": `{"properties":"x"}`,
	} {
		for _, verb := range []string{"PATCH", "PUT"} {
			t.Run(name+" by "+verb, func(t *testing.T) {
				o.do(t, verb, "/twins/victim"+version, body).refused(t, hub.ArgumentInvalid)
			})
		}
	}
	n.finish(t)
}
