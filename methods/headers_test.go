package methods

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/span"
)

func TestParseHeaders(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		header map[string][]string
		want   Order
		stored bool
		code   hub.Code
	}{
		"none":          {nil, Order{}, false, 0},
		"others":        {map[string][]string{"X-Request": {"x"}, "hubris": {"y"}}, Order{}, false, 0},
		"trace":         {map[string][]string{"Traceparent": {"p"}, "tracestate": {"a=1", "b=2"}}, Order{Call: Call{Trace: span.Context{Parent: "p", State: "a=1,b=2"}}}, false, 0},
		"two traces":    {map[string][]string{"traceparent": {"p", "q"}}, Order{}, false, 0},
		"durations":     {map[string][]string{HeaderConnectTimeout: {"1m30s"}, HeaderResponseTimeout: {"5s"}}, Order{Call: Call{ConnectTimeout: 90 * time.Second, ResponseTimeout: 5 * time.Second}}, false, 0},
		"seconds":       {map[string][]string{HeaderConnectTimeout: {"0"}, HeaderResponseTimeout: {"300"}}, Order{Call: Call{ResponseTimeout: 300 * time.Second}}, false, 0},
		"wait":          {map[string][]string{HeaderWait: {"24h"}, HeaderReplyTo: {"app.results"}}, Order{Wait: 24 * time.Hour, ReplyTo: "app.results"}, true, 0},
		"wait of 0":     {map[string][]string{HeaderWait: {"0"}}, Order{}, true, 0},
		"no time":       {map[string][]string{HeaderWait: {"tomorrow"}}, Order{}, false, hub.ArgumentInvalid},
		"negative":      {map[string][]string{HeaderResponseTimeout: {"-5s"}}, Order{}, false, hub.ArgumentInvalid},
		"huge":          {map[string][]string{HeaderResponseTimeout: {"99999999999999999999"}}, Order{}, false, hub.ArgumentInvalid},
		"twice":         {map[string][]string{HeaderWait: {"1s", "2s"}}, Order{}, false, hub.ArgumentInvalid},
		"misspelt":      {map[string][]string{"hub-response-timeout": {"5s"}}, Order{}, false, hub.ArgumentInvalid},
		"unknown":       {map[string][]string{"Hub-Retry": {"5"}}, Order{}, false, hub.ArgumentInvalid},
		"0s":            {map[string][]string{HeaderConnectTimeout: {"0s"}}, Order{}, false, 0},
		"unknown, kept": {map[string][]string{HeaderWait: {"1m"}, "Hub-Retry": {"5"}}, Order{}, false, hub.ArgumentInvalid},
		"reply-to only": {map[string][]string{HeaderReplyTo: {"app"}}, Order{}, false, hub.ArgumentInvalid},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got Order
			stored, err := got.ParseHeaders(tt.header)
			if hub.CodeOf(err) != tt.code {
				t.Fatalf("got %v, want code %d", err, tt.code)
			}
			if err != nil {
				return
			}
			if diff := cmp.Diff(tt.want, got); diff != "" || stored != tt.stored {
				t.Errorf("stored %v, want %v; %s", stored, tt.stored, diff)
			}
			var again Order
			stored, err = again.ParseHeaders(got.Headers())
			if err != nil || stored != (got.Wait != 0) {
				t.Errorf("%v: stored %v, %v", got.Headers(), stored, err)
			}
			if _, named := got.Headers()[HeaderReplyTo]; named != (got.ReplyTo != "") {
				t.Errorf("%v", got.Headers())
			}
			if diff := cmp.Diff(got, again); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCallBetweenNodes(t *testing.T) {
	t.Parallel()
	want := Call{
		ID: hub.Identity{Device: "a.b'$", Module: "$edgeHub"}, Method: "x*.>", Payload: []byte("[1]"), ResponseTimeout: 7 * time.Second,
		Trace: span.Context{Parent: "p", State: "s"},
	}
	got, err := ParseCall(want.CallHeaders(), want.Payload)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for name, spoil := range map[string]func(map[string][]string){
		"no device":  func(h map[string][]string) { delete(h, HeaderDevice) },
		"bad module": func(h map[string][]string) { h[HeaderModule] = []string{"a b"} },
		"no timeout": func(h map[string][]string) { delete(h, HeaderResponseTimeout) },
		"no method":  func(h map[string][]string) { delete(h, HeaderMethod) },
	} {
		h := want.CallHeaders()
		spoil(h)
		if _, err := ParseCall(h, nil); hub.CodeOf(err) != hub.ArgumentInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCallOfADeviceBetweenNodes(t *testing.T) {
	t.Parallel()
	want := Call{ID: dev1, Method: "m", Payload: []byte("1"), ResponseTimeout: 7 * time.Second}
	h := want.CallHeaders()
	got, err := ParseCall(h, want.Payload)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" || len(h) != 3 {
		t.Errorf("%v: %s", h, diff)
	}
	h[HeaderDevice] = []string{"a b"}
	if _, err := ParseCall(h, nil); hub.CodeOf(err) != hub.ArgumentInvalid {
		t.Errorf("a bad device: %v", err)
	}
}

// Only an answer has a status: 0 would pass for one that the device has sent.
func TestResultHeaders(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		c    Command
		want map[string][]string
	}{
		"answer of a module": {
			Command{For: hub.Identity{Device: "d", Module: "m"}, ID: "1", Method: "x", Result: &Result{Outcome: Answered, Status: 201}},
			map[string][]string{
				HeaderCommandID: {"1"}, HeaderOutcome: {"answered"}, HeaderDevice: {"d"}, HeaderModule: {"m"},
				HeaderMethod: {"x"}, HeaderStatus: {"201"},
			},
		},
		"expiry of a device": {
			Command{For: dev1, ID: "2", Method: "x", Result: &Result{Outcome: Expired, Code: hub.DeviceNotOnline}},
			map[string][]string{HeaderCommandID: {"2"}, HeaderOutcome: {"expired"}, HeaderDevice: {"dev1"}, HeaderMethod: {"x"}},
		},
	} {
		if diff := cmp.Diff(tc.want, tc.c.ResultHeaders()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestAnswerHeaders(t *testing.T) {
	t.Parallel()
	for _, status := range []int{200, 0, -7, 1 << 40} {
		got, ok := ParseAnswer(Answer{Status: status}.Headers(), []byte("x"))
		if !ok || got.Status != status || string(got.Payload) != "x" {
			t.Errorf("got %+v, %v for status %d", got, ok, status)
		}
	}
	if _, ok := ParseAnswer(nil, nil); ok {
		t.Error("an answer without a status")
	}
}
