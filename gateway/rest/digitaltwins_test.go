package rest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hubgate/hubgate/hub"
)

// TestDigitalTwin does what the samples of the SDKs do: read, patch, and see
// what the device says to it.
func TestDigitalTwin(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	res, body := h.ask(t, "GET", "/digitaltwins/dev1", "")
	if want := `{"$dtId":"dev1","$metadata":{"$model":""}}`; res.StatusCode != 200 || body != want || res.Header.Get("ETag") != `"AAAAAAAAAAE="` {
		t.Errorf("GET = %d %q %s, want %s", res.StatusCode, res.Header.Get("ETag"), body, want)
	}
	patches := []struct{ etag, patch string }{
		{"", `[{"op":"add","path":"/targetTemperature","value":42}]`},
		{`"AAAAAAAAAAI="`, `[{"op":"add","path":"/thermostat1","value":{"targetTemperature":21.4,"anotherWritableProperty":42,"$metadata":{}}}]`},
		{"*", `[{"op":"replace","path":"/thermostat1/targetTemperature","value":21.8},{"op":"remove","path":"/thermostat1/anotherWritableProperty"}]`},
	}
	for i, p := range patches {
		res, body := h.ask(t, "PATCH", "/digitaltwins/dev1", p.patch, "If-Match", p.etag)
		if etag := fmt.Sprintf(`"AAAAAAAAAA%c="`, "IMQ"[i]); res.StatusCode != 202 || body != "" || res.Header.Get("ETag") != etag || res.Header.Get("Location") != "/digitaltwins/dev1" {
			t.Errorf("PATCH %d = %d %v %s, want the etag %s", i, res.StatusCode, res.Header, body, etag)
		}
	}
	h.report(t, hub.Identity{Device: "dev1"}, `{"serialNumber":"s","thermostat1":{"__t":"c","targetTemperature":{"value":21.8,"ac":200,"av":4,"ad":"done"}}}`)
	_, body = h.ask(t, "GET", "/digitaltwins/dev1", "")
	const want = `{"$dtId":"dev1","serialNumber":"s","thermostat1":{"targetTemperature":21.8,"$metadata":{` +
		`"targetTemperature":{"desiredValue":21.8,"desiredVersion":4,"ackVersion":4,"ackCode":200,"ackDescription":"done","lastUpdateTime":"T"}}},` +
		`"$metadata":{"$model":"","serialNumber":{"lastUpdateTime":"T"},"targetTemperature":{"desiredValue":42,"desiredVersion":2}}}`
	if got := golden(body); got != want {
		t.Errorf("GET = %s\nwant %s", got, want)
	}
	if _, body := h.ask(t, "GET", "/twins/dev1", ""); !strings.Contains(body, `"desired":{"targetTemperature":42,"thermostat1":{"__t":"c","targetTemperature":21.8},"$metadata"`) {
		t.Errorf("the device twin is %s", body)
	}
}

func TestDigitalTwinRefused(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	h.report(t, hub.Identity{Device: "dev1"}, `{"plain":{"a":1}}`)
	const patch = `[{"op":"add","path":"/plain/a","value":1}]`
	res, body := h.ask(t, "PATCH", "/digitaltwins/dev1", patch)
	checkError(t, res, body, hub.ArgumentInvalid, `{"Message":"ErrorCode:ArgumentInvalid;'plain' exists within the device twin and is not digital twin conformant property. Please refer to aka.ms/dtpatch to update this to be conformant.","ExceptionMessage":"Tracking ID:ID"}`)
	res, body = h.ask(t, "PATCH", "/digitaltwins/dev1", `[{"op":"add","path":"/a","value":1}]`, "If-Match", `"AAAAAAAAAAk="`)
	checkError(t, res, body, hub.PreconditionFailed, `{"Message":"ErrorCode:PreconditionFailed;ETag mismatch for device ID 'dev1'","ExceptionMessage":"Tracking ID:ID"}`)
	for _, tt := range []struct {
		verb, path, body string
		code             hub.Code
	}{
		{"GET", "/digitaltwins/gone", "", hub.DeviceNotFound},
		{"PATCH", "/digitaltwins/gone", patch, hub.DeviceNotFound},
		{"GET", "/digitaltwins/a%20b", "", hub.ArgumentInvalid},
		{"PATCH", "/digitaltwins/dev1", "", hub.ArgumentInvalid},
		{"PATCH", "/digitaltwins/dev1", "[]", hub.ArgumentInvalid},
		{"PATCH", "/digitaltwins/dev1", `[{"op":"add","path":"/a","value":"` + strings.Repeat("x", 5000) + `"}]`, hub.ArgumentInvalid},
		{"PATCH", "/digitaltwins/dev1", strings.Repeat(" ", 300<<10), hub.MessageTooLarge},
		{"PUT", "/digitaltwins/dev1", patch, hub.MethodNotAllowed},
		{"POST", "/digitaltwins/gone/commands/c", "", hub.DeviceNotFound},
		{"POST", "/digitaltwins/dev1/commands/c", "", hub.DeviceNotOnline},
		{"POST", "/digitaltwins/dev1/commands/c", "{", hub.ArgumentInvalid},
		{"POST", "/digitaltwins/dev1/components/a*b/commands/c", "", hub.ArgumentInvalid},
		{"POST", "/digitaltwins/dev1/commands/c?api-version=2021-04-12&responseTimeoutInSeconds=x", "", hub.ArgumentInvalid},
		{"POST", "/digitaltwins/dev1/commands/c?api-version=2021-04-12&connectTimeoutInSeconds=301", "", hub.ArgumentInvalid},
	} {
		if res, body := h.ask(t, tt.verb, tt.path, tt.body); res.StatusCode != tt.code.Status() || res.Header.Get("iothub-errorcode") != tt.code.Name() {
			t.Errorf("%s %s %.80s = %d %s, want %d", tt.verb, tt.path, tt.body, res.StatusCode, body, tt.code)
		}
	}
}

func TestCommand(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	h.devices.connect(hub.Identity{Device: "dev1"}, echoes)
	tests := map[string]struct{ path, body, want string }{
		"of the device":  {"commands/reboot" + version, `"2021-07-07T20:45:24Z"`, `{"name":"reboot","payload":"2021-07-07T20:45:24Z","response":"30s","connect":"0s"}`},
		"of a component": {"components/thermostat1/commands/getMaxMinReport" + version + "&connectTimeoutInSeconds=15&responseTimeoutInSeconds=20", `{"a":1}`, `{"name":"thermostat1*getMaxMinReport","payload":{"a":1},"response":"20s","connect":"15s"}`},
		"of no payload":  {"commands/reboot" + version, ``, `{"name":"reboot","payload":null,"response":"30s","connect":"0s"}`},
	}
	for name, tt := range tests {
		res, body := h.ask(t, "POST", "/digitaltwins/dev1/"+tt.path, tt.body)
		if res.StatusCode != 200 || body != tt.want || res.Header.Get("x-ms-command-statuscode") != "200" || res.Header.Get("x-ms-request-id") == "" {
			t.Errorf("%s: %d %v %s, want %s", name, res.StatusCode, res.Header, body, tt.want)
		}
	}
	h.devices.connect(hub.Identity{Device: "dev1"}, answers(404, ""))
	if res, body := h.ask(t, "POST", "/digitaltwins/dev1/commands/nothing", "null"); res.StatusCode != 200 || body != "null" || res.Header.Get("x-ms-command-statuscode") != "404" {
		t.Errorf("a device that says 404: %d %v %s", res.StatusCode, res.Header, body)
	}
}
