package rest

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hubgate/hubgate/hub"
)

// TestEnvelopes: SDKs take an error apart, each in the form that its path has.
func TestEnvelopes(t *testing.T) {
	const id = "0123456789abcdef0123456789abcdef"
	at := time.Date(2026, 11, 5, 7, 8, 9, 120_000_000, time.FixedZone("", 3600))
	const traced, when = "Tracking ID:" + id, "-TimeStamp:11/05/2026 06:08:09"
	escaped := func(code int) string {
		return fmt.Sprintf(`{"errorCode":%d,"trackingId":"%s-G:0%s","message":"a, b","info":{},"timestampUtc":"2026-11-05T06:08:09.12Z"}`, code, id, when)
	}
	for name, tc := range map[string]struct {
		route *route
		code  hub.Code
		want  fault
	}{
		"no route":                {nil, hub.NotFound, fault{"ErrorCode:" + hub.NotFound.Name() + ";a, b", traced + "-G:0" + when}},
		"identities":              {&route{envelope: envelopeA}, hub.DeviceNotFound, fault{"ErrorCode:DeviceNotFound;a, b", traced + "-G:0" + when}},
		"identities, access":      {&route{envelope: envelopeA}, hub.AccessDenied, fault{"ErrorCode:" + hub.AccessDenied.Name() + ";a, b", traced + "-G:0" + when}},
		"methods":                 {&route{envelope: envelopeB}, hub.DeviceNotOnline, fault{Message: escaped(int(hub.DeviceNotOnline))}},
		"methods, no such device": {&route{envelope: envelopeB}, hub.DeviceNotFound, fault{"ErrorCode:DeviceNotFound;a, b", traced + "-G:0" + when}},
		"twins":                   {&route{envelope: envelopeTwin}, hub.DeviceNotFound, fault{"ErrorCode:DeviceNotFound;a, b", traced + when}},
		"twins, access":           {&route{envelope: envelopeTwin}, hub.AccessDenied, fault{Message: escaped(int(hub.AccessDenied))}},
	} {
		t.Run(name, func(t *testing.T) {
			c := &call{request: id, begun: at, route: tc.route}
			out := c.refusal(hub.Errorf(tc.code, "a; b"))
			if out.body != tc.want || out.status != tc.code.Status() {
				t.Errorf("%d %+v, want %d %+v", out.status, out.body, tc.code.Status(), tc.want)
			}
			if got := out.headers; len(got) != 1 || got.Get("Iothub-Errorcode") != tc.code.Name() {
				t.Errorf("headers %v", got)
			}
		})
	}
	out := (&call{request: id, begun: at, allow: "GET, PUT"}).refusal(hub.Errorf(hub.MethodNotAllowed, "no"))
	if out.headers.Get("Allow") != "GET, PUT" || out.status != http.StatusMethodNotAllowed {
		t.Errorf("%d, headers %v", out.status, out.headers)
	}
}

// TestSentence: a fault that nobody has classified is for the log alone.
func TestSentence(t *testing.T) {
	fault := errors.New("pq: the password of admin; is secret")
	if got := sentence(fault); strings.Contains(got, "secret") || got != strings.ReplaceAll(hub.ServerError.Hint(), ";", ",") {
		t.Errorf("a fault is told as %q", got)
	}
	if cause(fault) != fault { //nolint:errorlint // exactly this one
		t.Errorf("the log has %v of a fault", cause(fault))
	}
	wrapped := fmt.Errorf("somewhere: %w", &hub.Error{Code: hub.DeviceNotFound, Message: "there is none; yet", Err: fault})
	if got := sentence(wrapped); got != "there is none, yet" {
		t.Errorf("told is %q", got)
	}
	if cause(wrapped) != fault { //nolint:errorlint // exactly this one
		t.Errorf("the log has %v", cause(wrapped))
	}
}

// TestRequestID: the id of a request is a random UUID.
func TestRequestID(t *testing.T) {
	form := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	seen := map[string]bool{}
	for range 1000 {
		id := guid(newRequestID())
		if !form.MatchString(id) || seen[id] {
			t.Fatalf("%s is no new UUID", id)
		}
		seen[id] = true
	}
	varies := func(place int) bool { // a fixed byte would make ids meet
		digits := map[byte]bool{}
		for id := range seen {
			digits[id[place]] = true
		}
		return len(digits) > 1
	}
	for place := range 36 {
		if isFixed := place == 8 || place == 13 || place == 14 || place == 18 || place == 23; varies(place) == isFixed {
			t.Errorf("digit %d varies: %v", place, !isFixed)
		}
	}
}

// TestErrorsOfItems: of an id that is none, and of a long sentence, a part is enough.
func TestErrorsOfItems(t *testing.T) {
	long := strings.Repeat("x", hub.MaxIDLength)
	for id, want := range map[hub.Identity]hub.Identity{
		{Device: long, Module: long}:         {Device: long, Module: long},
		{Device: long + "x", Module: long}:   {Device: clip(long + "x"), Module: long},
		{Device: long, Module: long + " xx"}: {Device: long, Module: clip(long + " xx")},
		{Device: long}:                       {Device: long},
	} {
		if got := shown(id); got != want {
			t.Errorf("%s is shown as %s, want %s", id, got, want)
		}
	}
	for _, tc := range []struct{ text, want string }{
		{strings.Repeat("x", maxBulkError), strings.Repeat("x", maxBulkError)},
		{strings.Repeat("x", maxBulkError+1), strings.Repeat("x", maxBulkError) + "…"},
		{strings.Repeat("x", maxBulkError-1) + "ü", strings.Repeat("x", maxBulkError-1) + "…"},
	} {
		if got := short(hub.Errorf(hub.ArgumentInvalid, "%s", tc.text)); got != tc.want {
			t.Errorf("%d bytes are %d: %.20s…%.10s", len(tc.text), len(got), got, got[len(got)-9:])
		}
	}
}
