package backend

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/timeline"
)

// whyOn serves registry and timelines and returns a back-end app's connection.
func whyOn(t *testing.T) (*Backbone, *nats.Conn) {
	t.Helper()
	b, nc := registryOn(t)
	service, err := b.ServeWhy(&identity.Registry{Store: b.Devices()})
	if err != nil {
		t.Fatalf("ServeWhy: %v", err)
	}
	t.Cleanup(func() { _ = service.Stop() })
	return b, nc
}

// why asks for the timeline of a device as nats req would.
func why[Report timeline.Report | timeline.AddressReport](t *testing.T, nc *nats.Conn, subject string) (r Report) {
	t.Helper()
	answer, code, text := ask(t, nc, subject, "", "")
	if code != "" {
		t.Fatalf("%s: %s %s", subject, code, text)
	}
	if err := json.Unmarshal([]byte(answer), &r); err != nil {
		t.Fatalf("%s: %v in %s", subject, err, answer)
	}
	return r
}

// settled returns when what was published before is in the streams: they take
// messages in order.
func settled(t *testing.T, b *Backbone) {
	t.Helper()
	for _, last := range []string{b.names.Timeline("last"), b.names.TimelineOfAddress("last")} {
		if _, err := b.js.Publish(testContext(t), last, nil); err != nil {
			t.Fatal(err)
		}
	}
}

func messagesOf(entries []timeline.Entry) string {
	var all []string
	for _, e := range entries {
		all = append(all, e.Message)
	}
	return strings.Join(all, ",")
}

func TestWhyDevice(t *testing.T) {
	t.Parallel()
	b, nc := whyOn(t)
	r := &identity.Registry{Store: b.Devices()}
	for _, id := range []hub.Identity{{Device: "a.b"}, {Device: "a.b", Module: "m"}, {Device: "other"}} {
		if _, err := r.Create(testContext(t), identity.Record{ID: id}); err != nil {
			t.Fatal(err)
		}
	}
	record := func(module, message string, what timeline.What) {
		b.Recorder().Record(timeline.Entry{
			ID: hub.Identity{Device: "a.b", Module: module}, What: what, Code: hub.Unauthorized, Message: message, Remote: "192.0.2.7:5000",
		})
	}
	record("", "one", timeline.Refused)
	record("m", "two", timeline.Closed)
	record("", "three", timeline.TwinRefused)
	settled(t, b)
	got := why[timeline.Report](t, nc, "hub.why.a=2Eb")
	if messagesOf(got.Entries) != "one,two,three" || !got.Registered || got.Status != "enabled" || got.Connection != nil {
		t.Errorf("the device's report is %+v", got)
	}
	if got := why[timeline.Report](t, nc, "hub.why.a=2Eb.m"); messagesOf(got.Entries) != "two" || !got.Registered || got.Status != "" {
		t.Errorf("the module's report is %+v", got)
	}
	if got := why[timeline.Report](t, nc, "hub.why.other"); len(got.Entries) != 0 || !got.Registered {
		t.Errorf("the report of an innocent device is %+v", got)
	}
	if got := why[timeline.AddressReport](t, nc, "hub.why-address.192=2E0=2E2=2E7"); messagesOf(got.Entries) != "one" || got.Entries[0].Claimed != "a.b" {
		t.Errorf("the report of the address is %+v", got)
	}
}

func TestWhyOfWhoDoesNotExist(t *testing.T) {
	t.Parallel()
	b, nc := whyOn(t)
	for _, remote := range []string{"192.0.2.7:5000", "[2001:db8::1]:5000"} {
		b.Recorder().Record(timeline.Entry{What: timeline.Refused, Code: hub.DeviceNotFound, Message: "no ghost", Claimed: "ghost", Remote: remote})
	}
	b.Recorder().Record(timeline.Entry{What: timeline.Refused, Code: hub.DeviceNotFound, Message: "bad id", Claimed: "gh ost\r\n*.>", Remote: "192.0.2.8:1"})
	settled(t, b)
	if got := why[timeline.Report](t, nc, "hub.why.ghost"); got.Registered || messagesOf(got.Entries) != "no ghost" || got.Entries[0].Count != 2 {
		t.Errorf("the report of a ghost is %+v", got)
	}
	if got := why[timeline.AddressReport](t, nc, "hub.why-address.2001=3Adb8=3A=3A5"); got.Address != "2001:db8::/64" || len(got.Entries) != 1 {
		t.Errorf("the report of a neighbour in the network is %+v", got)
	}
	if _, code, text := ask(t, nc, "hub.why.nobody", "", ""); code != "404001" {
		t.Errorf("a device that nobody has heard of: %s %s, want 404001", code, text)
	}
	for subject, body := range map[string]string{
		"hub.why-address.host": "", "hub.why-address.=2E": "", "hub.why.a=2eb": "", "hub.why.a.b.c": "", "hub.why.ghost": `{"x":1}`,
	} {
		if _, code, text := ask(t, nc, subject, "", body); code != "400004" || text == "" {
			t.Errorf("%s %s: %q %q, want 400004", subject, body, code, text)
		}
	}
}

// A timeline outlives the server, keeps the newest entries and is bounded.
func TestTimelineIsKeptAndBounded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := serve(t, dir, 0)
	b := open(t, s, Config{Node: "n7"})
	id := hub.Identity{Device: "d"}
	for i := range 2 * timelineDepth {
		b.timeline.Append(timeline.Entry{ID: id, What: timeline.Closed, Code: hub.ConnectionLost, Message: fmt.Sprint(i), Time: time.Now(), Count: 1})
		b.timeline.Append(timeline.Entry{What: timeline.Refused, Code: hub.ConnectionLost, Message: fmt.Sprint(i), Time: time.Now(), Count: 1, Remote: "192.0.2.7:1"})
	}
	b.Recorder().Record(timeline.Entry{ID: id, What: timeline.TwinRefused, Code: hub.ArgumentInvalid, Message: "first"})
	b.Recorder().Record(timeline.Entry{ID: id, What: timeline.TwinRefused, Code: hub.ArgumentInvalid, Message: "first"}) // pending when it stops
	b.recorder.Close()
	settled(t, b)
	shut(b)
	halt(t, s)
	s = serve(t, dir, 0)
	b = open(t, s, Config{})
	got, err := b.timeline.OfDevice(testContext(t), "d")
	if err != nil || len(got) != timelineDepth-1 {
		t.Fatalf("%d entries after a restart, %v, want %d", len(got), err, timelineDepth-1)
	}
	if last := got[len(got)-1]; last.Message != "first" || last.Count != 2 || last.Node != "n7" {
		t.Errorf("the last entry is %+v, want both refusals of the twin", last)
	}
	if newest := got[len(got)-2].Message; newest != fmt.Sprint(2*timelineDepth-1) {
		t.Errorf("the newest of the others is %s", newest)
	}
	if got, err := b.timeline.OfAddress(testContext(t), "192.0.2.7"); err != nil || len(got) != strangerDepth {
		t.Errorf("%d entries of the address, %v, want %d", len(got), err, strangerDepth)
	}
}

// What somebody else publishes on a timeline does no harm.
func TestTimelinePassesOverNonsense(t *testing.T) {
	t.Parallel()
	b := open(t, serve(t, "", 0), Config{})
	for _, body := range []string{"", "{", `{"time":1}`, "null"} {
		if err := b.nc.Publish(b.names.Timeline("d"), []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	b.timeline.Append(timeline.Entry{ID: hub.Identity{Device: "d"}, What: timeline.Closed, Code: hub.ConnectionLost, Message: "true", Time: time.Now()})
	settled(t, b)
	got, err := b.timeline.OfDevice(testContext(t), "d")
	if err != nil || len(got) == 0 || got[len(got)-1].Message != "true" {
		t.Errorf("entries %+v, %v", got, err)
	}
}

func TestWhyCounts(t *testing.T) {
	t.Parallel()
	b, nc := whyOn(t)
	for range 5 {
		b.Recorder().Record(timeline.Entry{ID: hub.Identity{Device: "d"}, What: timeline.Closed, Code: hub.ConnectionReplaced, Message: "x"})
	}
	m, err := nc.Request("$SRV.STATS.hub-why", nil, testTimeout)
	if err != nil {
		t.Fatal(err)
	}
	var stats micro.Stats
	if err := json.Unmarshal(m.Data, &stats); err != nil {
		t.Fatal(err)
	}
	var data struct {
		ByCode  map[string]int `json:"by_code"`
		NotKept int            `json:"not_kept"`
	}
	if err := json.Unmarshal(stats.Endpoints[0].Data, &data); err != nil || data.ByCode["400027"] != 5 || data.NotKept != 0 {
		t.Errorf("stats %s, %v, want five of 400027", stats.Endpoints[0].Data, err)
	}
}
