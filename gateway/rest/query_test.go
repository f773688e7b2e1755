package rest

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
)

func TestQuery(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	for i := range 5 {
		if _, err := h.Registry.Create(t.Context(), identity.Record{ID: hub.Identity{Device: fmt.Sprintf("q%d", i)}}); err != nil {
			t.Fatal(err)
		}
	}
	// Who has just written finds it.
	if res, body := h.ask(t, "PATCH", "/twins/q3", `{"tags":{"floor":2}}`); res.StatusCode != 200 {
		t.Fatal(body)
	}
	tests := map[string]struct{ query, kind, want string }{
		"a projection": {"SELECT deviceId FROM devices WHERE tags.floor = 2", "Raw", `[{"deviceId":"q3"}]`},
		"a count":      {"select count() AS numberOfDevices from devices", "Raw", `[{"numberOfDevices":7}]`},
		"nothing":      {"select * from devices where deviceId = 'gone'", "Twin", `[]`},
		"jobs":         {"select * from devices.jobs", "DeviceJob", `[]`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			res, body := h.ask(t, "POST", "/devices/query", fmt.Sprintf(`{"query":%q}`, tt.query))
			_, more := res.Header["X-Ms-Continuation"]
			if res.StatusCode != 200 || body != tt.want || res.Header.Get("x-ms-item-type") != tt.kind || more {
				t.Errorf("%d %v %s, want %s %s", res.StatusCode, res.Header, body, tt.kind, tt.want)
			}
		})
	}
	_, twin := h.ask(t, "GET", "/twins/q3", "")
	if res, body := h.ask(t, "POST", "/devices/query", `{"query":"select * from devices where deviceId = 'q3'"}`); res.Header.Get("x-ms-item-type") != "Twin" || body != "["+twin+"]" {
		t.Errorf("%s\nand GET is\n%s", body, twin)
	}
	// Pages end without a header for more, whatever their size.
	var all []string
	token := ""
	for size := 1; ; size++ {
		res, body := h.ask(t, "POST", "/devices/query", `{"query":"SELECT deviceId FROM devices WHERE STARTSWITH(deviceId,'q')"}`, "x-ms-max-item-count", fmt.Sprint(size), "x-ms-continuation", token)
		var page []struct{ DeviceID string }
		if err := json.Unmarshal([]byte(body), &page); err != nil || res.StatusCode != 200 {
			t.Fatalf("%d %s", res.StatusCode, body)
		}
		for _, row := range page {
			all = append(all, row.DeviceID)
		}
		if values, more := res.Header["X-Ms-Continuation"]; !more {
			break
		} else if token = values[0]; token == "" {
			t.Fatal("an empty header for more: Node would read for ever")
		}
	}
	if got := strings.Join(all, " "); got != "q0 q1 q2 q3 q4" {
		t.Errorf("the pages have %s", got)
	}
}

func TestQueryRefused(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	const all = `{"query":"SELECT * FROM devices"}`
	tests := map[string]struct {
		body    string
		headers []string
		code    hub.Code
		says    string
	}{
		"no body":           {"", nil, hub.ArgumentNull, "no body"},
		"no query":          {"{}", nil, hub.ArgumentNull, "no query"},
		"an empty query":    {`{"query":" "}`, nil, hub.ArgumentNull, "no query"},
		"no JSON":           {`{"query":`, nil, hub.ArgumentInvalid, "not JSON"},
		"no SQL":            {`{"query":"DROP TABLE devices"}`, nil, hub.ArgumentInvalid, "line 1, column 1"},
		"a wrong source":    {`{"query":"SELECT * FROM tables"}`, nil, hub.ArgumentInvalid, "line 1, column 15"},
		"a long query":      {`{"query":"SELECT * FROM devices` + strings.Repeat(" ", 8192) + `"}`, nil, hub.ArgumentInvalid, "8192"},
		"a very long query": {`{"query":"` + strings.Repeat(" ", 200<<10) + `"}`, nil, hub.MessageTooLarge, "at most"},
		"no size":           {all, []string{"x-ms-max-item-count", "many"}, hub.ArgumentInvalid, "x-ms-max-item-count"},
		"a size of nothing": {all, []string{"x-ms-max-item-count", "0"}, hub.ArgumentInvalid, "x-ms-max-item-count"},
		"a forged token":    {all, []string{"x-ms-continuation", "AAAA"}, hub.ArgumentInvalid, "continuation"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			res, body := h.ask(t, "POST", "/devices/query", tt.body, tt.headers...)
			if res.StatusCode != tt.code.Status() || res.Header.Get("iothub-errorcode") != tt.code.Name() || !strings.Contains(body, tt.says) ||
				!strings.HasPrefix(body, `{"Message":"ErrorCode:`+tt.code.Name()+`;`) {
				t.Errorf("%d %s %s, want %d with %q", res.StatusCode, res.Header.Get("iothub-errorcode"), body, tt.code, tt.says)
			}
		})
	}
}
