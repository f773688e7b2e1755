package rest

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hubgate/hubgate/hub"
)

// blur makes what is another in each run the same: keys, etags, generations,
// and the guids and times of errors.
func blur(body string) string {
	for _, b := range []struct{ what, with string }{
		{`"(primaryKey|secondaryKey)":"[A-Za-z0-9+/]{43}="`, `"$1":"KEY"`},
		{`"etag":"[A-Za-z0-9]+={0,2}"`, `"etag":"ETAG"`},
		{`"generationId":"[0-9]{18}"`, `"generationId":"TICKS"`},
		{`-[0-9]{18}"`, `-TICKS"`},
		{`Tracking ID:[0-9a-f]{32}-G:0-TimeStamp:[0-9/]{10} [0-9:]{8}`, "TRACKING"},
	} {
		body = regexp.MustCompile(b.what).ReplaceAllString(body, b.with)
	}
	return body
}

const (
	sasAuth  = `"authentication":{"symmetricKey":{"primaryKey":"KEY","secondaryKey":"KEY"},"x509Thumbprint":{"primaryThumbprint":null,"secondaryThumbprint":null},"type":"sas"}`
	newState = `"connectionState":"Disconnected","status":"enabled","statusReason":null,"connectionStateUpdatedTime":"0001-01-01T00:00:00Z",` +
		`"statusUpdatedTime":"0001-01-01T00:00:00Z","lastActivityTime":"0001-01-01T00:00:00Z","cloudToDeviceMessageCount":0,`
)

// TestIdentitiesAsRecorded sends what SDKs send, in this order, and compares
// whole answers with the form that real hubs were seen to give.
func TestIdentitiesAsRecorded(t *testing.T) {
	w := newWorld(t)
	device := func(id, rest string) string {
		return `{"deviceId":"` + id + `","generationId":"TICKS","etag":"ETAG",` + newState + rest + `}`
	}
	plain := sasAuth + `,"capabilities":{"iotEdge":false}`
	module := `{"moduleId":"m","managedBy":null,"deviceId":"d","generationId":"TICKS","etag":"ETAG","connectionState":"Disconnected",` +
		`"connectionStateUpdatedTime":"0001-01-01T00:00:00Z","lastActivityTime":"0001-01-01T00:00:00Z","cloudToDeviceMessageCount":0,` + sasAuth + `}`
	fault := func(code, text string) string {
		return `{"Message":"ErrorCode:` + code + `;` + text + `","ExceptionMessage":"TRACKING"}`
	}
	for i, step := range []struct {
		verb, path, body, ifMatch string
		status                    int
		want                      string
		etag                      bool // in the header
	}{
		{"PUT", "/devices/d", `{"deviceId":"d"}`, "", 200, device("d", plain), true},
		{"GET", "/devices/d", "", "", 200, device("d", plain), true},
		{"PUT", "/devices/d", `{"deviceId":"d","etag":"*"}`, "", 409, fault("DeviceAlreadyExists", "the device d exists already"), false},
		{"PUT", "/devices/d", `{"deviceId":"d"}`, `""`, 409, fault("DeviceAlreadyExists", "the device d exists already"), false},
		{"PUT", "/devices/d", `{"deviceId":"e"}`, "*", 400, fault("ArgumentInvalid", "the path names d and the body e"), false},
		{"PUT", "/devices/d", `{"deviceId":"d","statusReason":null,"generationId":"1","connectionState":"Connected","$x":1}`, "*", 200, device("d", plain), true},
		{"PUT", "/devices/d", `{"deviceId":"d","authentication":{"type":"sas","symmetricKey":{"primaryKey":"","secondaryKey":""}}}`, `"*"`, 200, device("d", plain), true},
		{"PUT", "/devices/nobody", `{"deviceId":"nobody"}`, "*", 404, fault("DeviceNotFound", "the device nobody does not exist"), false},
		{"GET", "/devices/nobody", "", "", 404, fault("DeviceNotFound", "the device nobody does not exist"), false},
		{"PUT", "/devices/a%25b%23+%3f@", `{"deviceId":"a%b#+?@"}`, "", 200, device("a%b#+?@", plain), true},
		{"GET", "/devices/a%25b%23+%3F@", "", "", 200, device("a%b#+?@", plain), true},
		{"DELETE", "/devices/a%25b%23+%3F@", "", `"*"`, 204, "", false},
		{"PUT", "/devices/d/modules/m", `{"deviceId":"d","moduleId":"m"}`, "", 200, module, false},
		{"GET", "/devices/d/modules/m", "", "", 200, module, false},
		{"GET", "/devices/d/modules", "", "", 200, "[" + module + "]", false},
		{"PUT", "/devices/d/modules/m", `{"deviceId":"d","moduleId":"m"}`, "", 409, fault("ModuleAlreadyExistsOnDevice", "the module d/m exists already"), false},
		{"PUT", "/devices/nobody/modules/m", `{}`, "", 404, fault("DeviceNotFound", "the device nobody does not exist"), false},
		{"GET", "/devices/nobody/modules/m", "", "", 404, fault("DeviceNotFound", "the device nobody does not exist"), false},
		{"GET", "/devices/d/modules/nothing", "", "", 404, fault("ModuleNotFound", "the module d/nothing does not exist"), false},
		{"GET", "/devices/nobody/modules", "", "", 404, fault("DeviceNotFound", "the device nobody does not exist"), false},
		{"PUT", "/devices/d/modules/$edgeHub", `{}`, "", 400, fault("ArgumentInvalid", "a module id does not begin with $: such modules are the hub's own, and come and go with their edge device"), false},
		{"DELETE", "/devices/d/modules/m", "", "", 412, fault("PreconditionFailed", "the etag is missing: give the etag of d/m, or *"), false},
		{"DELETE", "/devices/d/modules/m", "", "*", 204, "", false},
		{"DELETE", "/devices/d", "", "", 412, fault("PreconditionFailed", "the etag is missing: give the etag of d, or *"), false},
		{"DELETE", "/devices/nobody", "", "*", 404, fault("DeviceNotFound", "the device nobody does not exist"), false},
		{"PUT", "/devices/e", `{"deviceId":"e","capabilities":{"iotEdge":true}}`, "", 200, device("e", sasAuth+`,"capabilities":{"iotEdge":true},"deviceScope":"ms-azure-iot-edge://e-TICKS"`), true},
		{"PUT", "/devices/e", `{"deviceId":"e","capabilities":{"iotEdge":true}}`, "*", 400, "Device scope is immutable", false},
		{"DELETE", "/devices/e", "", "*", 204, "", false},
		{"GET", "/devices", "", "", 200, "[" + device("d", plain) + "]", false},
		{"DELETE", "/devices/d", "", `"*"`, 204, "", false},
		{"GET", "/devices/", "", "", 200, "[]", false},
		{"POST", "/jobs/create", `{"type":"export"}`, "", 400, "BlobContainerValidationError", false},
		{"GET", "/jobs", "", "", 200, "[]", false},
		{"GET", "/jobs/x", "", "", 404, fault("JobNotFound", `there is no import or export job \"x\"`), false},
		{"DELETE", "/jobs/x", "", "", 404, fault("JobNotFound", `there is no import or export job \"x\"`), false},
	} {
		var headers []string
		if step.ifMatch != "" {
			headers = []string{"If-Match", step.ifMatch}
		}
		res, body := w.ask(step.verb, step.path, step.body, headers...)
		got := blur(body)
		if res.StatusCode != step.status || got != step.want && (step.status < 400 || !strings.Contains(got, step.want)) {
			t.Errorf("%d: %s %s = %d\n%s, want %d\n%s", i, step.verb, step.path, res.StatusCode, got, step.status, step.want)
		}
		if etag := res.Header.Get("ETag"); (etag != "") != step.etag {
			t.Errorf("%d: %s %s has the ETag %q", i, step.verb, step.path, etag)
		} else if step.etag && !strings.Contains(body, `"etag":`+etag+`,`) {
			t.Errorf("%d: the ETag is %s, and the body %s", i, etag, body)
		}
	}
}

// TestConditions walks through the etags of a device, in all forms.
func TestConditions(t *testing.T) {
	w := newWorld(t)
	first := w.must(200, nil, "PUT", "/devices/d", `{}`).Header.Get("ETag")
	bare := strings.Trim(first, `"`)
	if first != `"`+bare+`"` || bare == "" {
		t.Fatalf("ETag %q", first)
	}
	second := w.must(200, nil, "PUT", "/devices/d", `{}`, "If-Match", first).Header.Get("ETag")
	if second == first {
		t.Error("the etag has not changed")
	}
	res, body := w.ask("PUT", "/devices/d", `{}`, "If-Match", bare)
	checkRefusal(t, res, body, hub.PreconditionFailed, "was changed meanwhile")
	third := w.must(200, nil, "PUT", "/devices/d", `{}`, "If-Match", strings.Trim(second, `"`)).Header.Get("ETag")
	res, body = w.ask("DELETE", "/devices/d", "", "If-Match", second)
	checkRefusal(t, res, body, hub.PreconditionFailed, "")
	w.must(204, nil, "DELETE", "/devices/d", "", "If-Match", third)
	w.must(404, nil, "DELETE", "/devices/d", "", "If-Match", third)
}

func TestListTop(t *testing.T) {
	w := newWorld(t)
	for i := range 5 {
		w.must(200, nil, "PUT", fmt.Sprintf("/devices/d%d", i), `{}`)
	}
	for top, want := range map[string]int{"": 5, "2": 2, "0": 5, "-1": 5, "5000": 5} {
		res, body := do(t, w.api, w.web, "GET", "/devices"+version+"&top="+top, "")
		var all []object
		if err := json.Unmarshal([]byte(body), &all); err != nil || res.StatusCode != 200 || len(all) != want {
			t.Errorf("top=%s: %d %s", top, res.StatusCode, body)
		}
	}
	res, body := do(t, w.api, w.web, "GET", "/devices"+version+"&top=x", "")
	checkRefusal(t, res, body, hub.ArgumentInvalid, "top")
}

func TestStatistics(t *testing.T) {
	w := newWorld(t)
	w.must(200, nil, "PUT", "/devices/a", `{}`)
	w.must(200, nil, "PUT", "/devices/b", `{"status":"disabled"}`)
	w.must(200, nil, "PUT", "/devices/a/modules/m", `{}`)
	if _, body := w.ask("GET", "/statistics/devices", ""); body != `{"totalDeviceCount":2,"enabledDeviceCount":1,"disabledDeviceCount":1}` {
		t.Errorf("devices: %s", body)
	}
	if _, body := w.ask("GET", "/statistics/service", ""); body != `{"connectedDeviceCount":0}` {
		t.Errorf("service: %s", body)
	}
}

// What is wrong with an identity is said, and the keys in it are not.
func TestWrongIdentities(t *testing.T) {
	w := newWorld(t)
	w.must(200, nil, "PUT", "/devices/e", `{"capabilities":{"iotEdge":true}}`)
	for name, tc := range map[string]struct {
		path, body string
		code       hub.Code
		says       string
	}{
		"no body":         {"/devices/d", "", hub.ArgumentNull, "no body"},
		"no object":       {"/devices/d", "[]", hub.ArgumentInvalid, ""},
		"no JSON":         {"/devices/d", `{"authentication":{"symmetricKey":{"primaryKey":"s3cret`, hub.ArgumentInvalid, "not JSON"},
		"a name twice":    {"/devices/d", `{"status":"enabled","status":"disabled"}`, hub.ArgumentInvalid, "twice"},
		"status":          {"/devices/d", `{"status":"asleep"}`, hub.ArgumentInvalid, "status"},
		"a number":        {"/devices/d", `{"status":7}`, hub.ArgumentInvalid, "status"},
		"one key":         {"/devices/d", `{"authentication":{"symmetricKey":{"primaryKey":"s3cret"}}}`, hub.ArgumentInvalid, "both keys"},
		"short key":       {"/devices/d", `{"authentication":{"symmetricKey":{"primaryKey":"s3cret==","secondaryKey":"s3cret=="}}}`, hub.ArgumentInvalid, "key"},
		"thumbprint":      {"/devices/d", `{"authentication":{"type":"selfSigned","x509Thumbprint":{"primaryThumbprint":"s3cret"}}}`, hub.ArgumentInvalid, "thumbprint"},
		"none":            {"/devices/d", `{"authentication":{"type":"none"}}`, hub.ArgumentInvalid, "none"},
		"id":              {"/devices/a%20b", `{}`, hub.ArgumentInvalid, "device id"},
		"long id":         {"/devices/" + strings.Repeat("x", 129), `{}`, hub.ArgumentInvalid, "device id"},
		"module in body":  {"/devices/d", `{"moduleId":"m"}`, hub.ArgumentInvalid, "the path names"},
		"module of other": {"/devices/e/modules/m", `{"deviceId":"d"}`, hub.ArgumentInvalid, "the path names"},
		"no parent":       {"/devices/d", `{"deviceScope":"ms-azure-iot-edge://x-1"}`, hub.InvalidScope, "no edge device"},
		"too large":       {"/devices/d", `{"x":"` + strings.Repeat("x", maxBody) + `"}`, hub.MessageTooLarge, "bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			res, body := w.ask("PUT", tc.path, tc.body)
			checkRefusal(t, res, body, tc.code, tc.says)
			if strings.Contains(body, "s3cret") {
				t.Errorf("%s shows a key", body)
			}
		})
	}
	var modules []struct{ ModuleID, ManagedBy string }
	w.must(200, &modules, "GET", "/devices/e/modules", "")
	if want := []struct{ ModuleID, ManagedBy string }{{"$edgeAgent", "iotEdge"}, {"$edgeHub", "iotEdge"}}; !cmp.Equal(modules, want) {
		t.Errorf("the edge device has %v", modules)
	}
}
