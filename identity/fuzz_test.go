package identity

import (
	"encoding/json"
	"testing"

	"github.com/hubgate/hubgate/hub"
)

// FuzzRecordJSON reads what back ends send to the registry: a fault is theirs,
// and what can be read is written so that it reads the same.
func FuzzRecordJSON(f *testing.F) {
	f.Add([]byte(`{"deviceId":"d","status":"enabled","authentication":{"type":"sas","symmetricKey":{"primaryKey":"AAAA","secondaryKey":"BBBB"}}}`))
	f.Add([]byte(`{"deviceId":"d","moduleId":"m","generationId":"1","etag":"x","statusUpdatedTime":"2026-11-26T08:02:41Z"}`))
	f.Add([]byte(`{"authentication":{"symmetricKey":null,"type":"certificateAuthority"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var r Record
		if err := json.Unmarshal(data, &r); err != nil {
			if json.Valid(data) && hub.CodeOf(err).Status() != 400 {
				t.Errorf("%v", err)
			}
			return
		}
		text, err := json.Marshal(r)
		if err != nil {
			return // a time that JSON has not
		}
		var again Record
		if err := json.Unmarshal(text, &again); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		second, err := json.Marshal(again)
		if err != nil || string(second) != string(text) {
			t.Errorf("%s became %s, %v", text, second, err)
		}
	})
}
