package iothub

import (
	"net/url"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/hubgate/hubgate/hub"
)

// refusedWell fails t unless err is of the client's making, in one short
// sentence.
func refusedWell(t *testing.T, err error) {
	t.Helper()
	if status := hub.CodeOf(err).Status(); status < 400 || status > 499 {
		t.Errorf("%v is no fault of the client", err)
	}
	if len(err.Error()) > 1000 {
		t.Errorf("%d bytes of error", len(err.Error()))
	}
}

// escaped is s as the value of an option.
func escaped(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

func FuzzUsername(f *testing.F) {
	f.Add("h.x/dev1/mod1/?api-version=2021-04-12&DeviceClientType=a%2Fb&model-id=dtmi:a;1")
	f.Add("h.x:8883//dev1/api-version=2017-06-30/DeviceClientType=x")
	f.Add("[::1]/%64ev/..?&model-id=%FF&model-id=%zz")
	f.Add("h/d/?DeviceClientType=a%26b&model-id=%26+%20%25%2B")
	f.Add("h:1//d///m/x/?DeviceClientType=%25%zz;&DeviceClientType=b#+c=d e")
	f.Add("::1/?/api-version=/?DeviceClientType=" + strings.Repeat("%F0%9F%98%80", 300))
	f.Add("h/?/?/?DeviceClientType=" + strings.Repeat("é", 600))
	f.Fuzz(func(t *testing.T, s string) {
		u, err := parseUsername(s)
		if err != nil {
			refusedWell(t, err)
			return
		}
		if !hub.ValidID(u.ID.Device) || (u.ID.IsModule() && !hub.ValidID(u.ID.Module)) || !strings.Contains(s, u.ID.String()) && !u.ID.IsModule() {
			t.Fatalf("parseUsername(%q) = %+v", s, u)
		}
		if len(u.ClientAgent) > maxAgent || len(u.ModelID) > maxModelID || !utf8.ValidString(u.ClientAgent+u.ModelID) {
			t.Fatalf("parseUsername(%q): agent and model are %q, %q", s, u.ClientAgent, u.ModelID)
		}
		again := u.Host + "/" + u.ID.String() + "/?DeviceClientType=" + escaped(u.ClientAgent) + "&model-id=" + escaped(u.ModelID)
		if v, err := parseUsername(again); hostOf(u.Host) == u.Host && !isOptions(u.ID.Module) && (err != nil || v != u) {
			t.Errorf("%q is %+v, and %q is %+v, %v", s, u, again, v, err)
		}
	})
}

func FuzzFilter(f *testing.F) {
	for _, filter := range []string{
		filterTwinResults, filterDesired, prefixMethods + "#", prefixMethods + "reboot/#", "devices/d/messages/devicebound/#",
		"devices/+/messages/devicebound/#", "devices/d/modules/m/#", "devices/d/modules/m/inputs/in/#", "#", "$share/g/#",
	} {
		f.Add(filter, "d", "m", byte(1))
		f.Add(filter, "d", "", byte(2))
	}
	f.Fuzz(func(t *testing.T, filter, device, module string, qos byte) {
		id := hub.Identity{Device: device, Module: module}
		got, err := grant(id, filter, qos)
		if err != nil {
			refusedWell(t, err)
			return
		}
		if got > 1 || got > qos {
			t.Errorf("QoS %d granted for %d", got, qos)
		}
		own := "devices/" + device + "/"
		if id.IsModule() {
			own += "modules/" + module + "/"
		}
		shared := filter == "devices/+/messages/devicebound/#" && !id.IsModule() // sent by its own id
		if !strings.HasPrefix(filter, "$iothub/") && !strings.HasPrefix(filter, own) && !shared {
			t.Errorf("%v may subscribe to %q", id, filter)
		}
		if body := strings.TrimSuffix(strings.TrimPrefix(filter, own), "#"); !shared && strings.ContainsAny(body, "+#") {
			t.Errorf("%v may subscribe to %q, which has a wildcard within", id, filter)
		}
	})
}

func FuzzMethodAnswer(f *testing.F) {
	for _, rest := range []string{"200/?$rid=1f", "-1/?$rid=", "999999999999999999999/?$rid=1", "200/?rid=1&$rid=2", "200?$rid=1", "/?$rid=1"} {
		f.Add(rest)
	}
	f.Add("+5/?$rid=fffffffffffffffff")
	f.Add("-0/?&$rid=-1&$rid=1_0")
	f.Fuzz(func(t *testing.T, rest string) {
		status, rid, err := parseMethodAnswer([]byte(prefixMethodAnswer + rest))
		if err != nil {
			refusedWell(t, err)
			return
		}
		again := prefixMethodAnswer + strconv.Itoa(status) + "/?$rid=" + strconv.FormatUint(rid, 16)
		if s, r, err := parseMethodAnswer([]byte(again)); s != status || r != rid || err != nil {
			t.Errorf("%q is %d, %d; %q is %d, %d, %v", rest, status, rid, again, s, r, err)
		}
	})
}

// FuzzTwinTopic reads the topics of twin requests: the request id comes back as
// it was sent, and can't make a second parameter of the answer.
func FuzzTwinTopic(f *testing.F) {
	for _, query := range []string{"$rid=1", "$rid=1&$version=5", "$version=-1&$rid=a&$rid=b", "$rid=", "$rid=" + strings.Repeat("x", 1025), "$rid=/#+&"} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		h := &handler{face: &Face{}, id: hub.Identity{Device: "d"}}
		for _, prefix := range []string{prefixTwinGet, prefixTwinReported} {
			act, err := h.twinRequest([]byte(prefix+query), nil)
			if (act == nil) == (err == nil) {
				t.Fatalf("%q: neither, or both, of an answer and an error", prefix+query)
			}
			if err != nil {
				refusedWell(t, err)
			}
		}
		rid := ridOf(query)
		if strings.Contains(rid, "&") || (rid != "" && !strings.Contains(query, "$rid="+rid)) {
			t.Errorf("the request id of %q is %q", query, rid)
		}
		if v, err := versionOf(query); err != nil {
			refusedWell(t, err)
		} else if v < 0 {
			t.Errorf("the version of %q is %d", query, v)
		}
	})
}
