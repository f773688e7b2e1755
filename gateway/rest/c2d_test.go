package rest

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hubgate/hubgate/c2d"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
)

// queue is what waits for a device, as it stands in the stream.
func (h *testHub) queue(t *testing.T, device string) []c2d.Message {
	t.Helper()
	var all []c2d.Message
	for m, err := range h.client.C2D().Queue(t.Context(), device) {
		if err != nil {
			t.Fatal(err)
		}
		m.Sequence, m.Enqueued = 0, time.Time{}
		all = append(all, m)
	}
	return all
}

func TestSend(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	at := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	tests := map[string]struct {
		path    string
		headers []string
		want    c2d.Message
	}{
		"a script": {"/devices/dev1/messages/deviceBound", []string{"Content-Type", "application/json"}, c2d.Message{}},
		"all properties": {
			"/devices/dev1/messages/devicebound/",
			[]string{
				"iothub-messageid", "m1", "iothub-correlationid", "c1", "iothub-userid", "u1", "iothub-ack", "Full", "iothub-expiry", at.Format(time.RFC3339),
				"iothub-contenttype", "text/plain", "iothub-contentencoding", "utf-8", "iothub-creationtimeutc", at.Format(http.TimeFormat), "iothub-app-room", " a=b%", "iothub-app-empty", " ",
			},
			c2d.Message{
				MessageID: "m1", CorrelationID: "c1", UserID: "u1", Ack: c2d.AckFull, Expires: at, ContentType: "text/plain", ContentEncoding: "utf-8", Created: at,
				Properties: map[string]string{"room": "a=b%", "empty": ""},
			},
		},
		"Azure IoT Explorer": {
			"/devices%2Fdev1%2Fmessages%2FdeviceBound",
			[]string{
				"Content-Encoding", "utf-8", "iothub-app-messageId", "m1", "iothub-app-ack", "positive", "iothub-app-correlationId", "c1", "iothub-app-contentType", "text/plain",
				"iothub-app-contentEncoding", "utf-8", "iothub-app-expiryTimeUtc", at.Format(time.RFC3339), "iothub-app-lockToken", "l", "iothub-app-Room", "kitchen",
			},
			c2d.Message{
				MessageID: "m1", CorrelationID: "c1", Ack: c2d.AckPositive, Expires: at, ContentType: "text/plain", ContentEncoding: "utf-8",
				Properties: map[string]string{"room": "kitchen"},
			},
		},
		"an id as it is":       {"/devices/a+50%25/messages/deviceBound", nil, c2d.Message{}},
		"an id, encoded twice": {"/devices%2Fa%252B50%2525%2Fmessages%2FdeviceBound", nil, c2d.Message{}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tt.want.Device, tt.want.Body = "dev1", []byte("hello \x00\xff")
			if strings.Contains(tt.path, "50") {
				tt.want.Device = "a+50%"
			}
			res, body := h.ask(t, "POST", tt.path, string(tt.want.Body), tt.headers...)
			if res.StatusCode != 204 || body != "" {
				t.Errorf("%d %s, want 204", res.StatusCode, body)
			}
			got := h.queue(t, tt.want.Device) // it is there when the answer is
			for i := range got {
				if tt.want.MessageID == "" && len(got[i].MessageID) == 32 {
					got[i].MessageID = ""
				}
			}
			if diff := cmp.Diff([]c2d.Message{tt.want}, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			res, body = h.ask(t, "DELETE", strings.NewReplacer("messages", "commands", "/deviceBound", "", "/devicebound", "", "%2FdeviceBound", "", "%252B", "%2B", "%2525", "%25").Replace(tt.path), "")
			if want := `{"totalMessagesPurged":1,"deviceId":"` + tt.want.Device + `","moduleId":null}`; res.StatusCode != 200 || body != want {
				t.Errorf("purge: %d %s, want %s", res.StatusCode, body, want)
			}
		})
	}
}

func TestSendRefused(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	if _, err := h.Registry.Create(t.Context(), identity.Record{ID: hub.Identity{Device: "full"}}); err != nil {
		t.Fatal(err)
	}
	for range c2d.MaxDepth {
		if res, body := h.ask(t, "POST", "/devices/full/messages/deviceBound", ""); res.StatusCode != 204 {
			t.Fatalf("%d %s", res.StatusCode, body)
		}
	}
	late := time.Now().Add(50 * time.Hour).Format(time.RFC3339)
	tests := map[string]struct {
		device, body string
		headers      []string
		code         hub.Code
		says         string
	}{
		"no device":         {"gone", "", nil, hub.DeviceNotFound, "gone"},
		"no device, twice":  {"go%2525ne", "", nil, hub.DeviceNotFound, "go%25ne"},
		"not an id":         {"a%20b", "", nil, hub.ArgumentInvalid, "a b"},
		"full":              {"full", "", nil, hub.QueueFull, "is full"},
		"large":             {"dev1", strings.Repeat("x", c2d.MaxSize+1), nil, hub.MessageTooLarge, "65537 bytes"},
		"huge":              {"dev1", strings.Repeat("x", 300<<10), nil, hub.MessageTooLarge, "at most"},
		"large by a header": {"dev1", strings.Repeat("x", c2d.MaxSize-3), []string{"iothub-app-abc", "d"}, hub.MessageTooLarge, "65537 bytes"},
		"a wrong ack":       {"dev1", "", []string{"iothub-ack", "always"}, hub.ArgumentInvalid, "iothub-ack"},
		"late":              {"dev1", "", []string{"iothub-expiry", late}, hub.InvalidExpiry, "after it was sent"},
		"no time":           {"dev1", "", []string{"iothub-expiry", "tomorrow"}, hub.ArgumentInvalid, "tomorrow"},
		"a long id":         {"dev1", "", []string{"iothub-messageid", strings.Repeat("m", 129)}, hub.ArgumentInvalid, "129 bytes"},
		"an unknown header": {"dev1", "", []string{"iothub-message-id", "m"}, hub.ArgumentInvalid, "iothub-messageid"},
		"no name":           {"dev1", "", []string{"iothub-app-", "m"}, hub.ArgumentInvalid, "no name"},
		"a name of ours":    {"dev1", "", []string{"iothub-app-iothub-ack", "m"}, hub.ArgumentInvalid, "belongs to IoT Hub"},
		"compressed":        {"dev1", "", []string{"Content-Encoding", "gzip"}, hub.WrongMediaType, "gzip"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			res, body := h.ask(t, "POST", "/devices/"+tt.device+"/messages/deviceBound", tt.body, tt.headers...)
			if res.StatusCode != tt.code.Status() || res.Header.Get("iothub-errorcode") != tt.code.Name() || !strings.Contains(body, tt.says) {
				t.Errorf("%d %s %s, want %d with %q", res.StatusCode, res.Header.Get("iothub-errorcode"), body, tt.code, tt.says)
			}
		})
	}
	if waits := h.queue(t, "dev1"); len(waits) > 0 {
		t.Errorf("what was refused waits: %v", waits)
	}
	if res, body := h.ask(t, "DELETE", "/devices/gone/commands", ""); res.StatusCode != 404 || !strings.Contains(body, "ErrorCode:DeviceNotFound;") {
		t.Errorf("purge of nobody: %d %s", res.StatusCode, body)
	}
	if _, body := h.ask(t, "DELETE", "/devices/full/commands", ""); !strings.HasPrefix(body, `{"totalMessagesPurged":50,`) {
		t.Errorf("purge: %s", body)
	}
}

// A header that is there twice is not half a property.
func TestSendHeaderTwice(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"Iothub-App-A", "Iothub-Messageid"} {
		if _, err := messageOf(http.Header{name: {"1", "2"}}); hub.CodeOf(err) != hub.ArgumentInvalid || !strings.Contains(err.Error(), "more than once") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
