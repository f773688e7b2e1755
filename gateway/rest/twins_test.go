package rest

import (
	"strings"
	"testing"

	"github.com/hubgate/hubgate/hub"
)

const (
	freshTwin = `{"deviceId":"dev1","etag":"AAAAAAAAAAE=","deviceEtag":"E","status":"enabled","statusUpdateTime":"0001-01-01T00:00:00Z",` +
		`"connectionState":"Disconnected","lastActivityTime":"0001-01-01T00:00:00Z","cloudToDeviceMessageCount":0,"authenticationType":"sas",` +
		`"x509Thumbprint":{"primaryThumbprint":null,"secondaryThumbprint":null},"modelId":"","version":2,"properties":{` +
		`"desired":{"$metadata":{"$lastUpdated":"T"},"$version":1},"reported":{"$metadata":{"$lastUpdated":"T"},"$version":1}},"capabilities":{"iotEdge":false}}`
	changedTwin = `{"deviceId":"dev1","etag":"AAAAAAAAAAI=","deviceEtag":"E","status":"enabled","statusUpdateTime":"0001-01-01T00:00:00Z",` +
		`"connectionState":"Disconnected","lastActivityTime":"0001-01-01T00:00:00Z","cloudToDeviceMessageCount":0,"authenticationType":"sas",` +
		`"x509Thumbprint":{"primaryThumbprint":null,"secondaryThumbprint":null},"modelId":"","version":3,"properties":{` +
		`"desired":{"username":"userA","$metadata":{"$lastUpdated":"T","$lastUpdatedVersion":2,"username":{"$lastUpdated":"T","$lastUpdatedVersion":2}},"$version":2},` +
		`"reported":{"$metadata":{"$lastUpdated":"T"},"$version":1}},"capabilities":{"iotEdge":false}}`
)

// TestTwinLifecycle is DevicesClient_TwinLifecycle of Azure.IoT.Hub.Service as a
// hub has answered it: what was read goes back with one change, and only desired
// properties move. There is no ETag header.
func TestTwinLifecycle(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	res, body := h.ask(t, "GET", "/twins/dev1", "")
	if got := golden(body); res.StatusCode != 200 || got != freshTwin || res.Header.Get("ETag") != "" {
		t.Errorf("GET = %d %v\n%s\nwant\n%s", res.StatusCode, res.Header, got, freshTwin)
	}
	back := strings.Replace(body, `"desired":{`, `"desired":{"username":"userA",`, 1)
	back = strings.Replace(back, `"reported":{`, `"reported":{"x":1,`, 1)
	back = strings.Replace(back, `"x509Thumbprint":{"primaryThumbprint":null,"secondaryThumbprint":null}`, `"x509Thumbprint":{}`, 1)
	back = strings.Replace(back, `"status":"enabled"`, `"status":"disabled","tagsX":null`, 1)
	for _, match := range []string{"*", `"*"`, "", `"AAAAAAAAAAI="`} {
		res, body = h.ask(t, "PATCH", "/twins/dev1", back, "If-Match", match)
		got := golden(body)
		if match == "*" && got != changedTwin {
			t.Errorf("PATCH =\n%s\nwant\n%s", got, changedTwin)
		}
		if res.StatusCode != 200 && match != `"AAAAAAAAAAI="` || res.Header.Get("ETag") != "" {
			t.Errorf("PATCH with If-Match %s = %d %s", match, res.StatusCode, got)
		}
	}
	checkError(t, res, body, hub.PreconditionFailed, `{"Message":"ErrorCode:PreconditionFailed;ETag mismatch for device ID 'dev1'","ExceptionMessage":"Tracking ID:ID"}`)
	if _, body = h.ask(t, "PUT", "/twins/dev1", `{"tags":{"a":{"b":[1]}}}`, "If-Match", "AAAAAAAAAAQ="); !strings.Contains(body, `"version":6,"tags":{"a":{"b":[1]}},"properties":{"desired":{"$metadata"`) {
		t.Errorf("PUT has not made what it leaves out empty: %s", body)
	}
	if _, body = h.ask(t, "POST", "/twins/dev1", `{"tags":{"a":null}}`, "X-HTTP-Method-Override", "PATCH", "If-Match", "AAAAAAAAAAU="); !strings.Contains(body, `"version":7,"properties"`) {
		t.Errorf("POST that means PATCH = %s", body)
	}
	if entry, err := h.client.Twins().Get(t.Context(), hub.Identity{Device: "dev1"}); err != nil || entry.Version != 7 {
		t.Errorf("by NATS: version %d, %v", entry.Version, err)
	}
}

func TestModuleTwin(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	h.report(t, hub.Identity{Device: "dev1", Module: "cam"}, `{"fps":25}`)
	_, body := h.ask(t, "PATCH", "/twins/dev1/modules/cam", `{"properties":{"desired":{"fps":30}}}`, "If-Match", `"AAAAAAAAAAE="`)
	for _, part := range []string{`{"deviceId":"dev1","moduleId":"cam","etag":"AAAAAAAAAAI=",`, `"status":"enabled"`, `"version":4,`, `"desired":{"fps":30,`, `"reported":{"fps":25,`} {
		if !strings.Contains(body, part) || strings.Contains(body, "capabilities") {
			t.Errorf("%s has no %s, or has capabilities", body, part)
		}
	}
	if _, again := h.ask(t, "GET", "/twins/dev1/modules/cam", ""); again != body {
		t.Errorf("GET = %s, want %s", again, body)
	}
	res, body := h.ask(t, "PATCH", "/twins/dev1/modules/cam", `{"tags":{}}`, "If-Match", `"AAAAAAAAAAE="`)
	checkError(t, res, body, hub.PreconditionFailed, `{"Message":"ErrorCode:PreconditionFailed;ETag mismatch for device ID 'dev1'","ExceptionMessage":"Tracking ID:ID"}`)
}

// An id may have characters that are something else in a URL.
func TestOddID(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	for _, path := range []string{"/twins/a+50%25", "/twins/a%2b50%25", "/twins%2Fa%2B50%25", "/Twins/a+50%25/"} {
		if res, body := h.ask(t, "GET", path, ""); res.StatusCode != 200 || !strings.HasPrefix(body, `{"deviceId":"a+50%",`) {
			t.Errorf("GET %s = %d %s", path, res.StatusCode, body)
		}
	}
}

func TestTwinRefused(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	tests := map[string]struct {
		verb, path, body string
		code             hub.Code
		says             string
	}{
		"no device":          {"GET", "/twins/gone", "", hub.DeviceNotFound, "gone"},
		"no module":          {"GET", "/twins/dev1/modules/gone", "", hub.DeviceNotFound, "gone"},
		"no device, module":  {"PATCH", "/twins/gone/modules/gone", `{"tags":{}}`, hub.DeviceNotFound, "gone"},
		"put, no device":     {"PUT", "/twins/gone", `{"tags":{}}`, hub.DeviceNotFound, "gone"},
		"not an id":          {"GET", "/twins/a%20b", "", hub.ArgumentInvalid, "a b"},
		"not an id, module":  {"GET", "/twins/dev1/modules/%C3%A4", "", hub.ArgumentInvalid, "dev1/"},
		"a long id":          {"GET", "/twins/" + strings.Repeat("a", 129), "", hub.ArgumentInvalid, "aaa"},
		"no body":            {"PATCH", "/twins/dev1", "", hub.ArgumentInvalid, "empty"},
		"no JSON":            {"PATCH", "/twins/dev1", "{", hub.ArgumentInvalid, "not JSON"},
		"nothing to write":   {"PATCH", "/twins/dev1", `{"properties":{"reported":{"a":1}}}`, hub.ArgumentInvalid, "neither tags"},
		"a key with a dot":   {"PATCH", "/twins/dev1", `{"tags":{"a.b":1}}`, hub.ArgumentInvalid, "tags.a.b"},
		"tags of null":       {"PATCH", "/twins/dev1", `{"tags":null}`, hub.ArgumentInvalid, "tags"},
		"deep":               {"PATCH", "/twins/dev1", `{"tags":` + strings.Repeat(`{"a":`, 100000) + `1` + strings.Repeat(`}`, 100000) + `}`, hub.MessageTooLarge, "at most"},
		"deep, short":        {"PATCH", "/twins/dev1", `{"tags":` + strings.Repeat(`{"a":`, 12) + `1` + strings.Repeat(`}`, 12) + `}`, hub.ArgumentInvalid, "10 deep"},
		"much":               {"PUT", "/twins/dev1", `{"tags":{"a":"` + strings.Repeat("x", 300<<10) + `"}}`, hub.MessageTooLarge, "at most"},
		"more than tags may": {"PUT", "/twins/dev1", `{"tags":{"a":"` + strings.Repeat("x", 4096) + `","b":"` + strings.Repeat("x", 4096) + `"}}`, hub.ArgumentInvalid, "8192"},
		"another verb":       {"DELETE", "/twins/dev1", "", hub.MethodNotAllowed, "GET, PATCH, PUT"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			res, body := h.ask(t, tt.verb, tt.path, tt.body)
			if res.StatusCode != tt.code.Status() || res.Header.Get("iothub-errorcode") != tt.code.Name() || !strings.Contains(body, tt.says) ||
				!strings.HasPrefix(body, `{"Message":"ErrorCode:`+tt.code.Name()+`;`) {
				t.Errorf("%d %s %s, want %d with %q", res.StatusCode, res.Header.Get("iothub-errorcode"), body, tt.code, tt.says)
			}
		})
	}
	if _, body := h.ask(t, "GET", "/twins/dev1", ""); golden(body) != freshTwin {
		t.Errorf("what was refused has changed the twin: %s", body)
	}
	// Of bad credentials the twin's path tells in the other form.
	res, body := h.ask(t, "GET", "/twins/dev1", "", "Authorization", h.Policies.(keyring).token(t, "registryReadWrite", hostName))
	if inner := `{"Message":"{\"errorCode\":401002,\"trackingId\":\"ID-G:0\",\"message\":\"`; res.StatusCode != 401 || !strings.HasPrefix(golden(body), inner) || !strings.HasSuffix(body, `"ExceptionMessage":""}`) {
		t.Errorf("%d %s, want %s", res.StatusCode, golden(body), inner)
	}
}
