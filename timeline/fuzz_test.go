package timeline

import (
	"encoding/json"
	"reflect"
	"testing"
)

// FuzzEntryJSON reads entries, which come from streams to which others may
// publish: one that can be read comes back as it is.
func FuzzEntryJSON(f *testing.F) {
	f.Add([]byte(`{"time":"2026-11-26T08:02:41Z","what":"connectRefused","errorCode":401003,"message":"m","deviceId":"d","count":12,"until":"2026-11-26T08:05:10Z"}`))
	f.Add([]byte(`{"count":-1,"errorCode":0,"claimed":"\u0000","until":null}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var e Entry
		if json.Unmarshal(data, &e) != nil {
			return
		}
		if e.Count < 1 {
			t.Errorf("%d times", e.Count)
		}
		text, err := json.Marshal(e)
		if err != nil {
			return // a time that JSON has not
		}
		var again Entry
		if err := json.Unmarshal(text, &again); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if e.Count == 1 {
			e.Until = again.Until
		}
		if !e.Time.Equal(again.Time) || !e.Until.Equal(again.Until) {
			t.Errorf("%v became %v", e, again)
		}
		e.Time, e.Until = again.Time, again.Until
		if !reflect.DeepEqual(e, again) {
			t.Errorf("%+v became %+v", e, again)
		}
	})
}

func FuzzParseAddress(f *testing.F) {
	for _, s := range []string{"192.0.2.7", "2001:db8::1", "::ffff:192.0.2.7", "fe80::1%eth0", "1.2.3", "", "2001:db8::/64"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAddress(s)
		if err != nil {
			return
		}
		if again, err := ParseAddress(a); err != nil || again != a {
			t.Errorf("%q is %q, and that is %q, %v", s, a, again, err)
		}
	})
}
