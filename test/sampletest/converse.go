package sampletest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/test/hubtest"
)

// Device is a sample that runs, and what differs between them.
type Device struct {
	*Process
	ID string
	// Round numbers the conversations with it, from 0.
	Round int
	// Silent: its SDK answers no call of a method that is not registered.
	Silent bool
	// Outage is in the line of one that notices by a message that the hub is
	// away: its SDK leaves it to the sample to send it again. Empty: the SDK does.
	Outage string
}

// Converse is the back end's side of all four conversations: what the device
// prints counts for nothing here but for the message that only it can have seen.
func Converse(t *testing.T, g *hubtest.Gateway, d Device) {
	t.Helper()
	changeTwin(t, g, d)
	callMethods(t, g, d)
	sendMessages(t, g, d)
	hearTelemetry(t, g, d)
}

// hearTelemetry waits for a message that is not there yet, and looks at all.
func hearTelemetry(t *testing.T, g *hubtest.Gateway, d Device) {
	t.Helper()
	there := len(g.Messages(t, d.ID, 1))
	for _, m := range g.Messages(t, d.ID, there+1) {
		var body struct{ Temperature float64 }
		if err := json.Unmarshal(m.Data(), &body); err != nil || body.Temperature < 20 || body.Temperature > 21 {
			t.Errorf("a message is %q (%v)", m.Data(), err)
		}
		want := map[string]string{"content-type": "application/json", "content-encoding": "utf-8", "iothub-app-level": "info"}
		for name, value := range want {
			if got := m.Headers().Get(name); got != value {
				t.Errorf("header %s of a message is %q, want %q", name, got, value)
			}
		}
	}
}

// changeTwin makes two changes, of which the device takes up one: a value that
// makes no sense must not end the conversation, nor be reported.
func changeTwin(t *testing.T, g *hubtest.Gateway, d Device) {
	t.Helper()
	awaitReported(t, g, d.ID, "firmware", `"1.0.0"`)
	request(t, g, "hub.twin.update."+d.ID, `{"properties":{"desired":{"telemetryInterval":"often"}}}`, nil)
	want := strconv.Itoa(2 + d.Round)
	request(t, g, "hub.twin.update."+d.ID, `{"properties":{"desired":{"telemetryInterval":`+want+`}}}`, nil)
	awaitReported(t, g, d.ID, "telemetryInterval", want)
	if got := reported(t, g, d.ID, "telemetryInterval"); got != want {
		t.Errorf("telemetryInterval is reported as %s, want %s", got, want)
	}
}

// awaitReported waits until the device has reported a property at some time;
// an empty value is any.
func awaitReported(t *testing.T, g *hubtest.Gateway, id, name, value string) {
	t.Helper()
	g.Consume(t, "HUB_EVENTS", "hub.events.twin."+id, func(all []jetstream.Msg) bool {
		return slices.ContainsFunc(all, func(m jetstream.Msg) bool {
			got := readReported(t, m.Data(), name)
			return got != "" && (value == "" || got == value)
		})
	})
}

// reported reads a reported property out of the twin.
func reported(t *testing.T, g *hubtest.Gateway, id, name string) string {
	t.Helper()
	return readReported(t, request(t, g, "hub.twin.get."+id, "", nil).Data, name)
}

func readReported(t *testing.T, text []byte, name string) string {
	t.Helper()
	var twin struct {
		Properties struct{ Reported map[string]json.RawMessage }
	}
	if err := json.Unmarshal(text, &twin); err != nil {
		t.Fatalf("read the twin %q: %v", text, err)
	}
	return string(twin.Properties.Reported[name])
}

// callMethods calls a method that there is, well and badly, and one that there
// is not; the twin must tell of the reboot.
func callMethods(t *testing.T, g *hubtest.Gateway, d Device) {
	t.Helper()
	wait := nats.Header{"Hub-Connect-Timeout": {"30s"}}
	call := func(method, payload string) (status string, body []byte) {
		m := request(t, g, "hub.method."+d.ID+"."+method, payload, wait)
		return m.Header.Get("Hub-Status"), m.Data
	}
	var answer struct{ RebootingIn *float64 }
	status, body := call("reboot", `{"delay": 1,`+"\n"+` "why": "a payload of two lines"}`)
	if err := json.Unmarshal(body, &answer); status != "200" || err != nil || answer.RebootingIn == nil || *answer.RebootingIn != 1 {
		t.Errorf("reboot is answered with %s and %q, want 200 and rebootingIn 1", status, body)
	}
	awaitReported(t, g, d.ID, "lastReboot", "")
	if status, body = call("reboot", `{"delay":"soon"}`); status != "400" || !json.Valid(body) {
		t.Errorf("reboot with a bad delay is answered with %s and %q, want 400", status, body)
	}
	if d.Silent {
		return
	}
	if status, body = call("fly", `{}`); status != "404" || !json.Valid(body) {
		t.Errorf("a method that there is not is answered with %s and %q, want 404", status, body)
	}
}

// sendMessages sends two messages: the device must print them, and the hub know
// that it has got them. Their order is that of the handlers, which not every SDK
// keeps.
func sendMessages(t *testing.T, g *hubtest.Gateway, d Device) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), hubtest.Patience)
	defer cancel()
	ids := []string{fmt.Sprintf("sample-%d-a", d.Round), fmt.Sprintf("sample-%d-b", d.Round)}
	for _, id := range ids {
		m := nats.NewMsg("hub.c2d." + d.ID)
		m.Data = []byte("I am " + id + ", größer & schöner")
		m.Header = nats.Header{"message-id": {id}, "iothub-ack": {"full"}, "iothub-app-plant": {"a+b = 50%25"}}
		if _, err := g.JS.PublishMsg(ctx, m); err != nil {
			t.Fatalf("send a message: %v", err)
		}
	}
	outcomes := map[string]string{}
	g.Consume(t, "HUB_FEEDBACK", "hub.feedback."+d.ID, func(all []jetstream.Msg) bool {
		for _, m := range all {
			var f struct{ OriginalMessageID, StatusCode string }
			if err := json.Unmarshal(m.Data(), &f); err != nil {
				t.Fatalf("read feedback %q: %v", m.Data(), err)
			}
			outcomes[f.OriginalMessageID] = f.StatusCode
		}
		return outcomes[ids[0]] != "" && outcomes[ids[1]] != ""
	})
	for _, id := range ids {
		if outcomes[id] != "Success" {
			t.Errorf("feedback for %s is %q, want Success; all of it: %v", id, outcomes[id], outcomes)
		}
		d.Await("I am "+id+", größer & schöner", "plant", "a+b = 50%")
	}
}

// request asks a service of the hub, which must do it.
func request(t *testing.T, g *hubtest.Gateway, subject, body string, header nats.Header) *nats.Msg {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*hubtest.Patience)
	defer cancel()
	m := nats.NewMsg(subject)
	m.Data, m.Header = []byte(body), header
	answer, err := g.NATS.RequestMsgWithContext(ctx, m)
	if err != nil {
		t.Fatalf("%s: %v", subject, err)
	}
	if code := answer.Header.Get("Nats-Service-Error-Code"); code != "" {
		t.Fatalf("%s: %s %s", subject, code, answer.Header.Get("Nats-Service-Error"))
	}
	return answer
}
