package timeline

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hubgate/hubgate/hub"
)

func at(second int64) time.Time { return time.Unix(second, 0).UTC() }

func TestEntryJSON(t *testing.T) {
	for name, tc := range map[string]struct {
		e    Entry
		want string
	}{
		"of a device": {
			Entry{ID: hub.Identity{Device: "d"}, What: Closed, Code: hub.ConnectionReplaced, Message: "a newer one", Time: at(5), Remote: "192.0.2.1:7", Node: "n", Count: 1},
			`{"time":"1970-01-01T00:00:05Z","what":"connectionClosed","errorCode":400027,"errorName":"ConnectionForcefullyClosedOnNewConnection","message":"a newer one","hint":"another connection came with this identity; if they alternate, two devices share one id","deviceId":"d","remote":"192.0.2.1:7","node":"n","count":1}`,
		},
		"several, of an address": {
			Entry{Claimed: "x", What: Refused, Code: hub.DeviceNotFound, Message: "none", Time: at(5), Count: 3, Until: at(9)},
			`{"time":"1970-01-01T00:00:05Z","what":"connectRefused","errorCode":404001,"errorName":"DeviceNotFound","message":"none","hint":"create the device with: hubgate device create","claimed":"x","count":3,"until":"1970-01-01T00:00:09Z"}`,
		},
		"twice": {
			Entry{Claimed: "x", What: Refused, Code: hub.DeviceNotFound, Message: "none", Time: at(5), Count: 2, Until: at(9)},
			`{"time":"1970-01-01T00:00:05Z","what":"connectRefused","errorCode":404001,"errorName":"DeviceNotFound","message":"none","hint":"create the device with: hubgate device create","claimed":"x","count":2,"until":"1970-01-01T00:00:09Z"}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := json.Marshal(tc.e)
			if err != nil || string(b) != tc.want {
				t.Errorf("JSON %s, %v, want\n%s", b, err, tc.want)
			}
			var back Entry
			if err := json.Unmarshal(b, &back); err != nil || !cmp.Equal(back, tc.e) {
				t.Errorf("read back: %v\n%s", err, cmp.Diff(tc.e, back))
			}
		})
	}
	var e Entry
	if b, err := json.Marshal(e); err != nil || !strings.Contains(string(b), `"count":1}`) {
		t.Errorf("an entry that counts nothing is %s, %v: it stands for one", b, err)
	}
	if err := json.Unmarshal([]byte(`{"time":7}`), &e); err == nil {
		t.Error("something that is no entry was read")
	}
}

func TestMerge(t *testing.T) {
	e := func(what What, from int64, count int, until int64) Entry {
		e := Entry{What: what, Code: hub.Unauthorized, Time: at(from), Count: count}
		if count > 1 {
			e.Until = at(until)
		}
		return e
	}
	got := Merge(
		[]Entry{e(Closed, 1, 1, 0), e(Closed, 2, 4, 5), e(TwinRefused, 6, 1, 0), e(Closed, 8, 1, 0)},
		[]Entry{e(TwinRefused, 7, 0, 0)})
	want := []Entry{e(Closed, 1, 5, 5), e(TwinRefused, 6, 2, 7), e(Closed, 8, 1, 0)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := Merge(nil, nil); len(got) != 0 {
		t.Errorf("nothing merged is %v", got)
	}
}

// What differs in anything that people read is not joined.
func TestCompactKeepsApart(t *testing.T) {
	e := Entry{ID: hub.Identity{Device: "d"}, Claimed: "c", What: Refused, Code: hub.Unauthorized, Message: "m", Time: at(1), Count: 1}
	for name, change := range map[string]func(*Entry){
		"device":  func(e *Entry) { e.ID.Device = "x" },
		"module":  func(e *Entry) { e.ID.Module = "x" },
		"claim":   func(e *Entry) { e.Claimed = "x" },
		"what":    func(e *Entry) { e.What = Closed },
		"code":    func(e *Entry) { e.Code = hub.DeviceNotFound },
		"message": func(e *Entry) { e.Message = "x" },
	} {
		other := e
		change(&other)
		if got := Compact([]Entry{e, other, e}); len(got) != 3 {
			t.Errorf("another %s: joined to %v", name, got)
		}
	}
	for count := range 4 {
		second := e
		second.Time, second.Count, second.Until, second.Remote = at(3), count, at(9), "192.0.2.1:5"
		want := e
		want.Count, want.Until, want.Remote = 1+max(count, 1), at(3), second.Remote
		if count > 1 {
			want.Until = at(9)
		}
		if diff := cmp.Diff([]Entry{want}, Compact([]Entry{e, second})); diff != "" {
			t.Errorf("one and %d: %s", count, diff)
		}
	}
}

func TestAddressOf(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.7:1883":            "192.0.2.7",
		"192.0.2.7":                 "192.0.2.7",
		"[2001:db8:1:2:3:4:5:6]:44": "2001:db8:1:2::/64",
		"2001:db8:1:2:3:4:5:6":      "2001:db8:1:2::/64",
		"[::ffff:192.0.2.7]:9":      "192.0.2.7",
		"[fe80::1%eth0]:9":          "fe80::/64",
		"pipe":                      "",
		"":                          "",
	} {
		if got := AddressOf(in); got != want {
			t.Errorf("AddressOf(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestParseAddress(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.7": "192.0.2.7", "2001:db8::9": "2001:db8::/64", "2001:db8::9/64": "2001:db8::/64",
	} {
		if got, err := ParseAddress(in); err != nil || got != want {
			t.Errorf("ParseAddress(%q) = %q, %v, want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"", "host.example", "192.0.2.0/24", "2001:db8::/32", "1.2.3"} {
		if got, err := ParseAddress(in); hub.CodeOf(err) != hub.ArgumentInvalid {
			t.Errorf("ParseAddress(%q) = %q, %v, want ArgumentInvalid", in, got, err)
		}
	}
}
