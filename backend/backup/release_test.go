package backup

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/session"
)

// TestRelease: who was connected is released, and owed an event; nobody keeps an
// epoch; what this version does not know stays.
func TestRelease(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, tc := range map[string]struct {
		rec   record
		want  string
		epoch uint64 // of the event; 0: none
	}{
		"a claim": {
			record{Key: "d", Seq: 7, Value: []byte(`{"generation":"g","connected":true,"node":"n","connection":"c","new":1}`)},
			`{"connected":false,"connection":"c","disconnectedTime":"2026-01-02T03:04:05Z","errorCode":503001,"generation":"g","new":1,"node":"n","reason":"the hub has been restored from a backup"}`, 7,
		},
		"a saved session": {
			record{Key: "d.m", Seq: 9, Value: []byte(`{"connected":true,"epoch":5,"subscriptions":[{"filter":"a/#","qos":1}]}`)},
			`{"connected":false,"disconnectedTime":"2026-01-02T03:04:05Z","errorCode":503001,"reason":"the hub has been restored from a backup","subscriptions":[{"filter":"a/#","qos":1}]}`, 5,
		},
		"with a will, and one that it displaced": {
			record{Key: "d", Seq: 9, Value: []byte(`{"connected":true,"will":"w2","owed":["w1"],"ends":[{"epoch":4,"node":"old"}],"repairedBy":"x"}`)},
			`{"connected":false,"disconnectedTime":"2026-01-02T03:04:05Z","errorCode":503001,"owed":["w1","w2"],"reason":"the hub has been restored from a backup"}`, 9,
		},
		"not connected": {record{Key: "d", Value: []byte(`{"connected":false,"epoch":5,"reason":"bye"}`)}, `{"connected":false,"reason":"bye"}`, 0},
		"deleted":       {record{Key: "d", Header: nats.Header{"KV-Operation": {"PURGE"}}}, "", 0},
		"damaged":       {record{Key: "d", Value: []byte(`{"connected":tr`)}, `{"connected":tr`, 0},
		"no session":    {record{Key: "a.b.c", Value: []byte(`{"connected":true}`)}, `{"connected":true}`, 0},
	} {
		events := release(&tc.rec, now)
		var e *session.Event
		if len(events) > 0 {
			e = &events[len(events)-1]
		}
		if len(events) == 2 && (events[0].Epoch != 4 || events[0].Connected || events[0].Node != "old") {
			t.Errorf("%s: before that comes %+v", name, events[0])
		}
		if string(tc.rec.Value) != tc.want {
			t.Errorf("%s: got %s, want %s", name, tc.rec.Value, tc.want)
		}
		if (e == nil) != (tc.epoch == 0) {
			t.Errorf("%s: the event is %+v", name, e)
			continue
		}
		if e != nil && (e.Epoch != tc.epoch || e.Connected || e.Time != now || e.Code != hub.ServiceUnavailable || e.ID.Device != "d") {
			t.Errorf("%s: the event is %+v", name, e)
		}
	}
}
