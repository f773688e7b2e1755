package twin

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/hubgate/hubgate/hub"
)

var errTest = errors.New("a secret of the store")

func nested(depth int, open, end string) string {
	return strings.Repeat(open, depth) + "1" + strings.Repeat(end, depth)
}

// TestRules has, for every rule, what just passes and what just does not, and
// for the latter the words that tell rule and place.
func TestRules(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		body string
		want string // words in the error, separated by |; empty: passes
	}{
		"empty object":          {`{}`, ""},
		"white space":           {" \t\n{ \"a\" : [ 1 , 2 ] }\r\n ", ""},
		"empty":                 {``, "empty"},
		"a space":               {` `, "empty"},
		"array at the top":      {`[1]`, "the body is not a JSON object"},
		"null at the top":       {`null`, "not a JSON object"},
		"number at the top":     {`1`, "not a JSON object"},
		"cut":                   {`{"a":{"b":"x`, "not JSON|ends|a.b"},
		"cut after key":         {`{"a"`, "not JSON"},
		"cut array":             {`{"a":[1,`, "not JSON|a[1]"},
		"wrong character":       {`{"a":@}`, "not JSON|byte 5"},
		"no JSON at all":        {`hello`, "not JSON"},
		"single quotes":         {`{'a':1}`, "not JSON"},
		"trailing comma":        {`{"a":1,}`, "not JSON"},
		"leading zero":          {`{"a":01}`, "not JSON"},
		"comment":               {`{"a":1/*x*/}`, "not JSON"},
		"NaN":                   {`{"a":NaN}`, "not JSON"},
		"two objects":           {`{} {}`, "follows"},
		"rubbish behind":        {`{} x`, "not JSON"},
		"duplicate key":         {`{"a":{"b":1,"b":2}}`, "twice|a.b"},
		"duplicate by escape":   {`{"a":1,"\u0061":2}`, "twice"},
		"byte order mark":       {"\xef\xbb\xbf{}", "not JSON"},
		"invalid UTF-8":         {"{\"a\":\"\xff\"}", "not JSON|UTF-8"},
		"invalid UTF-8 in key":  {"{\"\xff\":1}", "not JSON|UTF-8"},
		"lone surrogate":        {`{"a":"\ud800"}`, "not JSON"},
		"bad array":             {`{"a":[1 2]}`, "not JSON"},
		"bad metadata":          {`{"$metadata":{"a":}}`, "not JSON"},
		"longest key":           {`{"` + strings.Repeat("k", 1024) + `":1}`, ""},
		"key too long":          {`{"` + strings.Repeat("k", 1025) + `":1}`, "1024|1025"},
		"longest key in bytes":  {`{"` + strings.Repeat("é", 512) + `":1}`, ""},
		"too long in bytes":     {`{"` + strings.Repeat("é", 513) + `":1}`, "1024|1026"},
		"key with dot":          {`{"x":{"a.b":1}}`, "x.a.b|. $"},
		"key with dollar":       {`{"x":{"$version":1}}`, "x.$version"},
		"dollar at the top":     {`{"$x":1}`, "$x"},
		"key with space":        {`{"a b":1}`, "a b|space"},
		"place with a quote":    {`{"a\"b":{"$x":1}}`, `"a\"b.$x": `},
		"place of a new line":   {`{"a":{"\u2028":{"$x":1}}}`, `"a.\u2028.$x": `},
		"place in clear":        {`{"größe":{"$x":1}}`, `größe.$x: `},
		"key with hash":         {`{"a#b":1}`, "a#b"},
		"key with tab":          {`{"a\tb":1}`, `a\tb|control`},
		"key with DEL":          {`{"a\u007fb":1}`, "control"},
		"key with C1":           {`{"a\u0085b":1}`, "control"},
		"key in an array":       {`{"a":[0,{"b.c":1}]}`, "a[1].b.c"},
		"odd keys":              {`{"":1,"ä€😀":2,"__t":3,"a-b_c:d/e\\\"'":4,"a":5,"A":6}`, ""},
		"longest string":        {`{"a":"` + strings.Repeat("s", 4096) + `"}`, ""},
		"string too long":       {`{"a":["` + strings.Repeat("s", 4097) + `"]}`, "a[0]|4096|4097"},
		"bytes count":           {`{"a":"` + strings.Repeat("é", 2049) + `"}`, "4096|4098"},
		"escapes do not count":  {`{"a":"` + strings.Repeat(`\u0041`, 4096) + `"}`, ""},
		"control characters":    {`{"a":"\u0000\u0007\u0085"}`, ""},
		"greatest integer":      {`{"a":4503599627370495}`, ""},
		"integer too great":     {`{"a":{"b":4503599627370496}}`, "a.b|4503599627370495"},
		"least integer":         {`{"a":-4503599627370496}`, ""},
		"integer too small":     {`{"a":-4503599627370497}`, "-4503599627370496"},
		"integer beyond 64 bit": {`{"a":99999999999999999999}`, "integer"},
		"double":                {`{"a":4503599627370496.5,"b":1e300,"c":-0,"d":0.1E-5,"e":1e20}`, ""},
		"double too great":      {`{"a":1e309}`, "double"},
		"longest number":        {`{"a":0.` + strings.Repeat("1", 62) + `}`, ""},
		"number too long":       {`{"a":0.` + strings.Repeat("1", 63) + `}`, "64|65"},
		"10 objects":            {`{"a":` + nested(10, `{"a":`, `}`) + `}`, ""},
		"11 objects":            {`{"a":` + nested(11, `{"a":`, `}`) + `}`, "10 deep|a.a.a.a.a.a.a.a.a.a.a"},
		"10 arrays":             {`{"a":` + nested(10, `[`, `]`) + `}`, ""},
		"11 arrays":             {`{"a":` + nested(11, `[`, `]`) + `}`, "10 deep|a[0][0]"},
		"objects in arrays":     {`{"a":` + nested(5, `[{"b":`, `}]`) + `}`, ""},
		"too deep in arrays":    {`{"a":` + nested(6, `[{"b":`, `}]`) + `}`, "10 deep"},
		"a bomb of objects":     {strings.Repeat(`{"a":`, 40000), "10 deep"},
		"a bomb of arrays":      {`{"a":` + strings.Repeat(`[`, 200000), "10 deep"},
		"a bomb in metadata":    {`{"$metadata":` + strings.Repeat(`[`, 200000), "not JSON"},
		"null in an array":      {`{"a":[1,null]}`, "a[1]|null"},
		"null in arrays object": {`{"a":[{"b":null}]}`, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for kind, parse := range map[string]func() error{
				"reported": func() error { _, err := ParseReported([]byte(tt.body)); return err },
				"desired":  func() error { _, err := ParseUpdate([]byte(desired(tt.body))); return err },
				"tags":     func() error { _, err := ParseUpdate([]byte(`{"tags":` + tt.body + `}`)); return err },
			} {
				err := parse()
				if tt.want == "" {
					if err != nil {
						t.Errorf("%s: %v", kind, err)
					}
					continue
				}
				if hub.CodeOf(err) != hub.ArgumentInvalid {
					t.Errorf("%s: got %v, want ArgumentInvalid", kind, err)
				}
				for word := range strings.SplitSeq(tt.want, "|") {
					if kind == "reported" && !strings.Contains(fmt.Sprint(err), word) {
						t.Errorf("the error %q does not say %q", err, word)
					}
				}
			}
		})
	}
}

func TestTheErrorIsShort(t *testing.T) {
	t.Parallel()
	key := strings.Repeat("é", 500)
	_, err := ParseReported([]byte(`{"` + key + `":{"` + key + `":1e999}}`))
	if err == nil || len(err.Error()) > 500 || !strings.Contains(err.Error(), "…") {
		t.Errorf("got %d bytes: %v", len(err.Error()), err)
	}
}

func TestRequests(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]hub.Code{
		`{"tags":{}}`: 0, `{"properties":{"desired":{}}}`: 0,
		`{}`: hub.ArgumentInvalid, `{"desired":{"a":1}}`: hub.ArgumentInvalid, `{"properties":{}}`: hub.ArgumentInvalid,
		`{"properties":{"reported":{"a":1}}}`: hub.ArgumentInvalid, `{"tags":null}`: hub.ArgumentInvalid, `{"tags":[]}`: hub.ArgumentInvalid,
		`{"properties":null}`: hub.ArgumentInvalid, `{"properties":{"desired":null}}`: hub.ArgumentInvalid, `{"tags":{},"x":[}`: hub.ArgumentInvalid,
		`{"properties":{"reported":{"a.b":1},"desired":{}},"etag":"x","schemaVersion":"1.0"}`: 0,
		`{"tags":{"a":"` + strings.Repeat(" ", MaxBody) + `"}}`:                               hub.MessageTooLarge,
	} {
		_, err := ParseUpdate([]byte(body))
		if got := hub.CodeOf(err); got != want {
			t.Errorf("%.60s: got %v, want %d", body, err, want)
		}
	}
	if _, err := ParseReported(make([]byte, MaxBody+1)); hub.CodeOf(err) != hub.MessageTooLarge {
		t.Errorf("got %v for a huge body", err)
	}
}

// fill is an object of exactly that size.
func fill(size int) string {
	var b strings.Builder
	b.WriteString(`{`)
	for i := 0; size > 0; i++ {
		n := min(size, 1000)
		size -= n
		if i > 0 {
			b.WriteByte(',')
		}
		key := fmt.Sprintf("k%03d", i)
		fmt.Fprintf(&b, "%q:%q", key[4-min(n, 4):], strings.Repeat("é", n-min(n, 4)))
	}
	b.WriteString(`}`)
	return b.String()
}

func TestSectionSizes(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		max   int
		code  hub.Code
		apply func(body string) (Twin, error)
	}{
		"tags": {MaxTags, hub.ArgumentInvalid, func(body string) (Twin, error) {
			p, err := ParseUpdate([]byte(`{"tags":` + body + `}`))
			if err != nil {
				return Twin{}, err
			}
			next, _, err := fresh().Patch(p, "", later)
			return next, err
		}},
		"desired": {MaxDesired, hub.ArgumentInvalid, func(body string) (Twin, error) {
			p, err := ParseUpdate([]byte(desired(body)))
			if err != nil {
				return Twin{}, err
			}
			next, _, err := fresh().Replace(p, "", later)
			return next, err
		}},
		"reported": {MaxReported, hub.TooManyProperties, func(body string) (Twin, error) {
			p, err := ParseReported([]byte(body))
			if err != nil {
				return Twin{}, err
			}
			next, _, err := fresh().PatchReported(p, 0, later)
			return next, err
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := tt.apply(fill(tt.max))
			s := got.Sizes()
			if err != nil || s.Tags+s.Desired+s.Reported != tt.max {
				t.Errorf("got %+v, %v for the greatest size", s, err)
			}
			_, err = tt.apply(fill(tt.max + 1))
			wantCode(t, err, tt.code)
			if !strings.Contains(fmt.Sprint(err), name) || !strings.Contains(fmt.Sprint(err), fmt.Sprint(tt.max)) {
				t.Errorf("the error %q names neither section nor limit", err)
			}
		})
	}
}

func TestSizes(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]int{
		`{}`: 0, `{"a":null}`: 0, `{"a":1}`: 9, `{"a":1.5e10}`: 9, `{"a":true}`: 5, `{"a":false}`: 5, `{"a":"xyz"}`: 4,
		`{"aé":"é😀"}`: 4, `{"a":"\u0041\n"}`: 3, `{"a":{}}`: 1, `{"a":{"bc":{"d":2}}}`: 12, `{"a":[]}`: 1, `{"a":[1,"xy",true,{"k":2},[3]]}`: 1 + 8 + 2 + 4 + 9 + 8,
	} {
		got, _, err := fresh().PatchReported(mustReport(t, body), 0, later)
		if err != nil || got.Sizes().Reported != want {
			t.Errorf("%s: got size %d, %v, want %d", body, got.Sizes().Reported, err, want)
		}
	}
}
