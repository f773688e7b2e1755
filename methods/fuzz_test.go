package methods

import (
	"maps"
	"testing"

	"github.com/hubgate/hubgate/hub"
)

// FuzzOrderHeaders reads the headers of a request: what they say is written so
// that it reads the same.
func FuzzOrderHeaders(f *testing.F) {
	f.Add(HeaderConnectTimeout, "5s", HeaderWait, "1h")
	f.Add(HeaderResponseTimeout, "30", HeaderReplyTo, "x.y")
	f.Add("hub-wait", "1s", "Nats-Msg-Id", "x")
	f.Add(HeaderWait, "-1s", HeaderWait, "9223372036854775807ns")
	f.Fuzz(func(t *testing.T, name, value, name2, value2 string) {
		var o Order
		if _, err := o.ParseHeaders(map[string][]string{name: {value}, name2: {value2}}); err != nil {
			if hub.CodeOf(err) != hub.ArgumentInvalid || len(err.Error()) > 1000 {
				t.Errorf("%v: code %d", err, hub.CodeOf(err))
			}
			return
		}
		if o.Wait < 0 || o.ConnectTimeout < 0 || o.ResponseTimeout < 0 {
			t.Errorf("a time below nothing: %+v", o)
		}
		h := o.Headers()
		var again Order
		if _, err := again.ParseHeaders(h); err != nil && o.Wait != 0 {
			t.Fatalf("%v: %v", h, err)
		} else if err == nil && !maps.EqualFunc(h, again.Headers(), func(a, b []string) bool { return a[0] == b[0] }) {
			t.Errorf("%v became %v", h, again.Headers())
		}
	})
}
