package docs

import (
	"fmt"
	"strings"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/test/hubtest"
)

// contextPage begins with the line that tells the nats command where the hub
// is.
const contextPage = "docs/nats.md"

// sentMessages is more than any page reads at once.
const sentMessages = 12

// expectations returns, by page, what the lines for the nats command print, in
// the order in which they stand there.
func expectations() map[string][]expectation {
	return map[string][]expectation{
		"README.md":       {{line: `nats --server nats://127.0.0.1:4222 --creds ~/.local/share/hubgate/nats/backend.creds sub 'hub.telemetry.>'`, endless: sendOne, want: oneMessage()}},
		contextPage:       natsPage(),
		"docs/twins.md":   twinsPage(),
		"docs/methods.md": methodsPage(),
		"docs/c2d.md":     c2dPage(),
		"docs/jobs.md":    jobsPage(),
		"docs/why.md":     whyPage(),
		"docs/query.md":   queryPage(),
		"docs/rights.md":  {{line: `nats --inbox-prefix _INBOX_hub req hub.registry.keys.dev1 ''`, want: []string{`{"deviceId":"dev1"`, `"primaryKey":"`}}},
	}
}

func sendOne(r *reader) { r.dev1.send(`{"n":1}`) }

func oneMessage() []string {
	return []string{`{"n":1}`, "iothub-connection-device-id: dev1", "iothub-app-level: info", "iothub-app-plant%207: %25"}
}

func sendMany(r *reader) {
	for range sentMessages {
		sendOne(r)
	}
}

// makeThermostat has the device of docs/nats.md connected, and
// removeThermostat takes it back: later the page makes it itself.
func makeThermostat(r *reader) {
	id := r.hub.Create(r.t, "thermostat")
	r.thermostat = connect(r.t, r.hub, id.ConnectionString)
	r.thermostat.client.Disconnect(250)
	r.hub.AwaitSession(r.t, "thermostat", "end of the connection", func(s hubtest.Session) bool { return !s.Connected })
}

func natsPage() []expectation {
	const keys = `"primaryKey":"`
	return []expectation{
		{line: `nats context save hub --server nats://127.0.0.1:4222 --creds ~/.local/share/hubgate/nats/hub.creds --inbox-prefix _INBOX_hub --select`, want: []string{`Configuration Context "hub"`, "Connection: OK"}},
		{line: `nats micro ls`, want: []string{"hub-registry", "hub-twin", "hub-method", "hub-command", "hub-c2d", "hub-query", "hub-job", "hub-why"}},
		{line: `nats sub 'hub.telemetry.>'`, endless: sendOne, want: oneMessage()},
		{line: `nats stream view HUB_TELEMETRY`, tty: true, want: append(oneMessage(), "Subject: hub.telemetry.dev1")},
		{line: `nats consumer add HUB_TELEMETRY billing --pull --deliver all --ack explicit --defaults`, want: []string{"HUB_TELEMETRY > billing", "Deliver Policy: All", "Ack Policy: Explicit"}},
		{line: `nats consumer next HUB_TELEMETRY billing --count 10`, before: sendMany, want: append(oneMessage(), "Acknowledged message")},
		{line: `nats kv get hub_presence thermostat --raw`, before: makeThermostat, want: []string{`"generation":"`, `"connected":false`, `"disconnectedTime":"`, `"persistent":true`, `"filter":"$iothub/methods/POST/#"`}},
		{line: `nats kv watch hub_presence`, endless: func(*reader) {}, want: []string{"hub_presence > dev1", "hub_presence > thermostat", `"connected":true`}, after: func(r *reader) {
			r.hub.CLI(r.t, "device", "delete", "thermostat")
		}},
		{line: `nats micro info hub-registry --json`, want: []string{`"request_schema":`, `"response_schema":`, `"hostName": "127.0.0.1"`, `"subject": "hub.registry.list"`}},
		{line: `nats req hub.registry.put.thermostat '{}'`, want: []string{`{"deviceId":"thermostat"`, keys, `"status":"enabled"`}},
		{line: `nats req hub.registry.keys.thermostat ''`, want: []string{`{"deviceId":"thermostat"`, keys}},
		{line: `nats req hub.registry.put.thermostat '{"status":"disabled","statusReason":"stolen"}' -H 'If-Match:*'`, want: []string{`"status":"disabled"`, `"statusReason":"stolen"`, keys}},
		{line: `nats req hub.registry.list ''`, want: []string{`{"items":[{"deviceId":"dev1"`, `{"deviceId":"thermostat"`, `"primaryKey":null`}},
		{line: `nats req hub.registry.delete.thermostat ''`, want: []string{"\n{}\n"}, after: func(r *reader) {
			if left := r.hub.CLI(r.t, "device", "list", "-o", "json"); strings.Contains(string(left), "thermostat") {
				r.t.Errorf("the device is still there: %s", left)
			}
		}},
	}
}

func twinsPage() []expectation {
	return []expectation{
		{line: `nats req hub.twin.update.dev1 '{"properties":{"desired":{"interval":60}}}' -H 'If-Match:AAAAAAAAAAI='`, before: func(r *reader) {
			r.hub.CLI(r.t, "twin", "update", "dev1", "--desired", `{"interval":30}`, "--tags", `{"plant":"A"}`) // the line above it
		}, want: []string{`"etag":"AAAAAAAAAAM="`, `"version":4`, `"tags":{"plant":"A"}`, `"desired":{"interval":60`}},
		{line: `nats kv get hub_twins dev1 --raw`, want: []string{`{"deviceId":"dev1","etag":"AAAAAAAAAAM=","version":4`, `"desired":{"interval":60`}},
		{line: `nats micro info hub-twin --json`, want: []string{`"subject": "hub.twin.update.\u003e"`, `"request_schema":`, `"response_schema":`}},
	}
}

func methodsPage() []expectation {
	return []expectation{
		{line: `nats req hub.method.dev1.reboot '{"delay":5}' --timeout 40s`, want: []string{"Hub-Status: 200", `{"done":true}`}},
		{line: `nats micro info hub-method --json`, want: []string{`"subject": "hub.method.\u003e"`, `"request_schema":`, `"response_schema":`, `"hostName": "127.0.0.1"`}},
		{line: `nats req hub.method.dev1.update '{"to":"1.4"}' -H Hub-Wait:24h`, want: []string{"Hub-Status: 202", "Hub-Command-Id: ", `"deviceId":"dev1"`, `"method":"update"`, `"state":"pending"`}, after: func(r *reader) {
			got := r.hub.Consume(r.t, "HUB_EVENTS", "hub.events.command.dev1", hasOne)
			if outcome := got[0].Headers().Get("Hub-Command-Outcome"); outcome != "answered" {
				r.t.Errorf("the command has ended as %q", outcome)
			}
		}},
	}
}

func queryPage() []expectation {
	return []expectation{
		{line: `nats req hub.query '{"query":"SELECT deviceId, status FROM devices WHERE status = \"enabled\""}'`, want: []string{`{"items":[{"deviceId":"dev1","status":"enabled"}],"itemType":"Raw"}`}},
		{line: `nats req hub.query '{"query":"SELECT * FROM devices WHERE tags.plant = \"A\"","explain":true}'`, want: []string{`{"items":[],"itemType":"Twin","plan":{"source":"devices","access":"`, `"total":1}`}},
		{
			line:    `nats req hub.query.watch '{"query":"SELECT deviceId FROM devices WHERE connectionState = \"Connected\""}' --replies 0 --reply-timeout 1h`,
			endless: func(r *reader) { r.hub.CLI(r.t, "twin", "update", "dev1", "--tags", `{"plant":"A"}`) },
			want:    []string{`{"event":"added","seq":1,"key":"dev1","row":{"deviceId":"dev1"}}`, `{"event":"loaded","seq":2}`, `{"event":"changed","seq":3,"key":"dev1"`},
		},
		{line: `nats micro stats hub-query`, want: []string{"hub-query", "query", "watch"}},
	}
}

func jobsPage() []expectation {
	jobs := 0
	return []expectation{
		{line: `nats req hub.job.put.night-light '{"type":"scheduleUpdateTwin","updateTwin":{"etag":"*","tags":{"light":"off"}},"queryCondition":"tags.floor = 3"}'`, want: []string{`{"jobId":"night-light"`, `"status":"queued"`, `"deviceCount":0`}, after: func(r *reader) {
			r.hub.CLI(r.t, "job", "watch", "night-light")
		}},
		{line: `nats req hub.job.get.night-light ''`, want: []string{`{"jobId":"night-light"`, `"status":"completed"`}},
		{line: `nats req hub.job.list '{"jobStatus":"completed"}'`, want: []string{`{"items":[{"jobId":"night-light"`}},
		{line: `nats kv watch hub_jobrows`, endless: func(r *reader) {
			jobs++
			r.hub.CLI(r.t, "job", "create", fmt.Sprintf("everybody-%d", jobs), "--twin", `{"tags":{"plant":"A"}}`)
		}, want: []string{"hub_jobrows > everybody-", `"status":"completed"`}},
	}
}

func whyPage() []expectation {
	return []expectation{
		{line: `nats req hub.why.thermostat ''`, before: func(r *reader) {
			r.hub.Create(r.t, "thermostat")
			refused(r.t, r.hub, hub.Identity{Device: "thermostat"})
		}, want: []string{`{"deviceId":"thermostat","registered":true,"status":"enabled"`, `"entries":[`}},
		{line: `nats req hub.why-address.192=2E0=2E2=2E7 ''`, want: []string{`{"address":"192.0.2.7","entries":[]}`}},
		{line: `nats sub 'hub.timeline.>'`, endless: func(r *reader) {
			refused(r.t, r.hub, hub.Identity{Device: "thermostat"})
		}, want: []string{`"hub.timeline.device.thermostat"`, `"what":"connectRefused"`, `"errorCode":401003`}},
		{line: `nats micro stats hub-why`, want: []string{"hub-why", "device", "address"}},
	}
}

func c2dPage() []expectation {
	return []expectation{
		{line: `nats pub --jetstream hub.c2d.dev1 '{"light":"on"}' -H message-id:m1 -H iothub-ack:full -H iothub-app-room:kitchen`, want: []string{"Stored in Stream: HUB_C2D"}, after: func(r *reader) {
			r.dev1.receive(`{"light":"on"}`)
			got := r.hub.Consume(r.t, "HUB_FEEDBACK", "hub.feedback.dev1", hasOne)
			if text := string(got[0].Data()); len(missing(text, []string{`"originalMessageId":"m1"`, `"statusCode":"Success"`})) > 0 {
				r.t.Errorf("the feedback is %s", text)
			}
		}},
		{line: `nats req hub.c2d.purge.dev1 ''`, before: func(r *reader) {
			r.dev1.client.Disconnect(250)
			r.hub.AwaitSession(r.t, "dev1", "end of the connection", func(s hubtest.Session) bool { return !s.Connected })
			r.hub.CLI(r.t, "c2d", "send", "dev1", "hello")
		}, want: []string{`{"deviceId":"dev1","totalMessagesPurged":1}`}},
	}
}
