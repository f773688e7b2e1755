package jobs_test

import (
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/jobs"
)

// Whatever a device answers gets into a row that queries can read.
func TestRowsOfAnyAnswer(t *testing.T) {
	t.Parallel()
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for name, tt := range map[string]struct{ answer, want string }{
		"nothing":            {"", `null`},
		"JSON":               {` { "a" : 1.0 } `, `{"a":1.0}`},
		"no JSON":            {`restarted`, `"restarted"`},
		"two values":         {`1 2`, `"1 2"`},
		"not UTF-8":          {"\"\xff\"", `"\"\ufffd\""`},
		"a name not UTF-8":   {"{\"\xff\":1}", `"{\"\ufffd\":1}"`},
		"a name twice":       {`{"a":1,"a":2}`, `"{\"a\":1,\"a\":2}"`},
		"deeper than a twin": {nested(60), nested(60)},
		"too deep":           {nested(61), `"` + nested(61) + `"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			alone(t, 1, func(t *testing.T, w *world, _ *node) {
				t.Helper()
				w.fleet.answer = []byte(tt.answer)
				w.put("j", methodBody)
				w.settled("j", time.Minute)
				r := w.hub.rows["j"][hub.Identity{Device: "dev-0"}]
				text, err := r.Encode()
				if err != nil || !jsontext.Value(text).IsValid() {
					t.Errorf("the row is %q: %v", text, err)
				}
				if r.Status != jobs.RowCompleted || !strings.Contains(string(text), `"payload":`+tt.want+`}`) {
					t.Errorf("the row is %s, want the payload %s", text, tt.want)
				}
			})
		})
	}
}
