package rest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
)

// TestFeedback sends messages that want to be heard of, and has the queue
// purged: their outcomes come by GET, until they are completed.
func TestFeedback(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	const path = "/messages/serviceBound/feedback"
	if res, body := h.ask(t, "GET", path, ""); res.StatusCode != 204 || body != "" || res.Header.Get("ETag") != "" {
		t.Errorf("none: %d %q %v", res.StatusCode, body, res.Header)
	}
	r, err := h.Registry.Get(t.Context(), hub.Identity{Device: "dev1"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		h.ask(t, "POST", "/devices/dev1/messages/deviceBound", "x", "iothub-ack", "full", "iothub-messageid", fmt.Sprint("m", i))
	}
	h.ask(t, "DELETE", "/devices/dev1/commands", "")
	take := func() (token string) {
		res, body := h.ask(t, "GET", strings.ToLower(path)+"/", "")
		for res.StatusCode == 204 { // the server's consumer does not know of it yet
			res, body = h.ask(t, "GET", path, "")
		}
		want := ""
		for i := range 2 {
			want += fmt.Sprintf(`,{"originalMessageId":"m%d","description":"The queue was purged","statusCode":"Purged","deviceId":"dev1","deviceGenerationId":"%s","enqueuedTimeUtc":"T"}`, i, r.GenerationID)
		}
		got := golden(body)
		etag := res.Header.Get("ETag")
		if res.StatusCode != 200 || got != "["+want[1:]+"]" || len(etag) != 38 || etag[0] != '"' {
			t.Fatalf("%d %q %s, want %s", res.StatusCode, etag, got, want[1:])
		}
		return strings.Trim(etag, `"`)
	}
	first := take()
	if res, _ := h.ask(t, "GET", path, ""); res.StatusCode != 204 {
		t.Errorf("what is locked comes again: %d", res.StatusCode)
	}
	if res, body := h.ask(t, "POST", path+"/"+first+"/abandon", ""); res.StatusCode != 204 {
		t.Errorf("abandon: %d %s", res.StatusCode, body)
	}
	second := take()
	for _, token := range []string{first, "nonsense", "%22" + first + "%22"} {
		res, body := h.ask(t, "DELETE", path+"/"+token, "")
		checkError(t, res, body, hub.LockLost, `{"Message":"ErrorCode:DeviceMessageLockLost;nobody holds feedback by this lock token any more: a lock lasts 1m0s, and ends when it is completed or abandoned","ExceptionMessage":"Tracking ID:ID-G:0"}`)
	}
	if res, body := h.ask(t, "DELETE", path+"/%22"+second+"%22", ""); res.StatusCode != 204 || body != "" {
		t.Errorf("complete: %d %s", res.StatusCode, body)
	}
	if res, _ := h.ask(t, "GET", path, ""); res.StatusCode != 204 {
		t.Errorf("what is complete comes again: %d", res.StatusCode)
	}
	if res, _ := h.ask(t, "DELETE", path+"/%22%22", ""); res.StatusCode != 400 {
		t.Errorf("no token: %d", res.StatusCode)
	}
}

// A time that JSON can't have in UTC is in no feedback, and in nobody's way.
func TestFeedbackOfNoTime(t *testing.T) {
	t.Parallel()
	h := newHub(t)
	h.ask(t, "GET", "/messages/serviceBound/feedback", "") // makes the consumer
	for _, at := range []string{"9999-12-31T23:00:00-02:00", "2026-11-21T10:00:00.123456789+02:00"} {
		body := fmt.Sprintf(`{"originalMessageId":"m","description":"Success","statusCode":"Success","deviceId":"dev1","deviceGenerationId":"1","enqueuedTimeUtc":%q}`, at)
		if _, err := h.back.JetStream().Publish(t.Context(), h.back.Names().Feedback("dev1"), []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	res, body := h.ask(t, "GET", "/messages/serviceBound/feedback", "")
	for res.StatusCode == 204 { // the server's consumer does not know of it yet
		res, body = h.ask(t, "GET", "/messages/serviceBound/feedback", "")
	}
	if res.StatusCode != 200 || !strings.Contains(body, `"enqueuedTimeUtc":"2026-11-21T08:00:00.1234567Z"`) || strings.Count(body, "originalMessageId") != 1 {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}

// What a hub does not have says so.
func TestFeaturesThatAreNot(t *testing.T) {
	t.Parallel()
	s := &Server{HostName: hostName, Policies: newKeyring(), Registry: &identity.Registry{}}
	web := newWeb(t, s)
	for _, path := range []string{
		"GET /twins/d", "PUT /twins/d", "POST /twins/d/methods", "POST /devices/query", "POST /devices/d/messages/deviceBound", "DELETE /devices/d/commands",
		"GET /messages/serviceBound/feedback", "GET /digitaltwins/d", "POST /digitaltwins/d/commands/c",
	} {
		verb, path, _ := strings.Cut(path, " ")
		if res, body := do(t, s, web, verb, path+version, "{}"); res.StatusCode != 404 || res.Header.Get("iothub-errorcode") != "FeatureNotSupported" {
			t.Errorf("%s %s = %d %s", verb, path, res.StatusCode, body)
		}
	}
}
