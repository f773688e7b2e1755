package identity

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hubgate/hubgate/hub"
)

// FuzzRecordJSON reads what back ends send to the registry: a fault is theirs,
// and what can be read is written so that it reads the same.
func FuzzRecordJSON(f *testing.F) {
	f.Add([]byte(`{"deviceId":"d","status":"enabled","authentication":{"type":"sas","symmetricKey":{"primaryKey":"AAAA","secondaryKey":"BBBB"}}}`))
	f.Add([]byte(`{"deviceId":"d","moduleId":"m","generationId":"1","etag":"x","statusUpdatedTime":"2026-11-26T08:02:41Z"}`))
	f.Add([]byte(`{"authentication":{"symmetricKey":null,"type":"certificateAuthority"}}`))
	for _, r := range usualRecords() {
		text, err := json.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if plain, ok := plainRecord(data); ok {
			want, err := anyRecord(data)
			if diff := cmp.Diff(want, plain); err != nil || diff != "" {
				t.Fatalf("%v; the fast lane (-encoding/json +got):\n%s", err, diff)
			}
		}
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

// usualRecords are a device and a module that have all there is.
func usualRecords() []Record {
	keys := Authentication{
		SymmetricKey: SymmetricKey{"AAAA", "BBBB"}, X509Thumbprint: Thumbprints{"0A", "0B"}, Type: AuthSAS,
	}
	created := "639000000000000000"
	return []Record{
		{ID: hub.Identity{Device: "d", Module: "m"}, GenerationID: created, ETag: "MQ==", CreatedTime: CreatedTime(created), Authentication: keys, ManagedBy: "iotEdge"},
		{
			ID: hub.Identity{Device: "d"}, GenerationID: created, ETag: "MQ==", CreatedTime: CreatedTime(created), Status: StatusEnabled, StatusReason: "why",
			StatusUpdatedTime: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), Authentication: keys, Edge: true, Scope: "s", ParentScopes: []string{"p", "q"},
		},
		{ID: hub.Identity{Device: "d"}, Status: StatusDisabled, CreatedTime: CreatedTime("")},
	}
}

// The usual records are read in the fast lane.
func TestRecordIsPlainJSON(t *testing.T) {
	for _, r := range usualRecords() {
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := plainRecord(text)
		if diff := cmp.Diff(r, got); !ok || diff != "" {
			t.Errorf("%s: plain %v (-want +got):\n%s", text, ok, diff)
		}
	}
}

func BenchmarkRecordJSON(b *testing.B) {
	text, err := json.Marshal(usualRecords()[1])
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		var r Record
		if err := r.UnmarshalJSON(text); err != nil {
			b.Fatal(err)
		}
	}
}
