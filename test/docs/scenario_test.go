package docs

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/sas"
	"github.com/hubgate/hubgate/test/hubtest"
	"github.com/hubgate/hubgate/trust"
	"github.com/hubgate/hubgate/trust/trusttest"
)

// backEnd is a back-end app that uses all that a hub offers.
type backEnd struct {
	t   *testing.T
	hub *hubtest.Gateway
}

// play makes every message of the document appear at least once.
func (b *backEnd) play() {
	b.registry()
	b.authorities()
	b.configurations()
	pump, module := b.devices()
	b.twins(pump)
	b.methods()
	b.jobs()
	b.messages(pump)
	pump.renew()
	b.why()
	b.queries()
	b.ask("hub.node.reload", ``, "")
	b.ask("hub.node.reload", `{"x":1}`, "400004")
	b.ask("hub.node.reload.a=2Eb", ``, "")
	b.ask("hub.node.reload.a=2Eb", `{"x":1}`, "400004")
	pump.client.Disconnect(250)
	module.client.Disconnect(250)
	b.ask("hub.registry.delete.pump", "", "")
	b.removePolicy()
}

// ask sends a request that is answered with a code, or none.
func (b *backEnd) ask(to, body, code string, headers ...string) *nats.Msg {
	b.t.Helper()
	m := nats.NewMsg(to)
	m.Data = []byte(body)
	for i := 0; i < len(headers); i += 2 {
		m.Header.Set(headers[i], headers[i+1])
	}
	reply, err := b.hub.NATS.RequestMsg(m, hubtest.Patience)
	if err != nil {
		b.t.Fatalf("ask %s: %v", to, err)
	}
	if got := reply.Header.Get("Nats-Service-Error-Code"); got != code {
		b.t.Errorf("%s %s is answered with the code %q, and not %q: %s", to, body, got, code, reply.Header.Get("Nats-Service-Error"))
	}
	return reply
}

func (b *backEnd) registry() {
	b.ask("hub.registry.put.pump", `{}`, "")
	b.ask("hub.registry.put.pump", `{}`, "409001")
	b.ask("hub.registry.put.pump.cam", ``, "")
	b.ask("hub.registry.put.pump.cam", ``, "409301")
	b.ask("hub.registry.put.away", `{"authentication":{"type":"selfSigned"}}`, "")
	b.ask("hub.registry.put.away", `{"status":"disabled","statusReason":"stolen"}`, "", "If-Match", "*")
	b.ask("hub.registry.put.away", `{"status":"enabled"}`, "412001", "If-Match", "x")
	b.ask("hub.registry.put.away", `{"status":"broken"}`, "400004", "If-Match", "*")
	b.ask("hub.registry.get.pump", ``, "")
	b.ask("hub.registry.get.pump.cam", "", "")
	b.ask("hub.registry.get.pump", `{"keys":true}`, "400004")
	b.ask("hub.registry.keys.pump", `{"key":true}`, "400004")
	b.ask("hub.registry.get.nobody", ``, "404001")
	b.ask("hub.registry.get.pump.none", ``, "404010")
	b.ask("hub.registry.delete.nobody", ``, "404001")
	b.ask("hub.registry.list", `{"top":1}`, "")
	b.ask("hub.registry.list", `{"top":"x"}`, "400004")
	b.ask("hub.registry.list.pump", ``, "")
	b.ask("hub.registry.list.nobody", ``, "404001")
}

// configurations makes a configuration, which applies to devices that there are.
func (b *backEnd) configurations() {
	b.t.Helper()
	const content = `"content":{"deviceContent":{"properties.desired.configured":{"x":1}}}`
	b.ask("hub.configuration.put.c=21", `{`+content+`,"targetCondition":"tags.configured = true","metrics":{"queries":{"all":"SELECT deviceId FROM devices"}}}`, "")
	b.ask("hub.configuration.put.c=21", `{`+content+`}`, "409401")
	b.ask("hub.configuration.put.c=21", `{"priority":2}`, "", "If-Match", "*")
	b.ask("hub.configuration.put.c=21", `{}`, "412001", "If-Match", "x")
	b.ask("hub.configuration.put.none", `{}`, "404301", "If-Match", "*")
	b.ask("hub.configuration.put.none", ``, "400005")
	b.ask("hub.configuration.put.none", `{}`, "400402")
	b.ask("hub.configuration.put.none", `{`+content+`,"targetCondition":"="}`, "400401")
	b.ask("hub.configuration.put.none", `{`+content+`,"metrics":{"queries":{"m":"="}}}`, "400404")
	b.ask("hub.configuration.get.c=21", ``, "")
	b.ask("hub.configuration.get.none", ``, "404301")
	b.ask("hub.configuration.list", ``, "")
	b.ask("hub.configuration.list", `{"a":1}`, "400004")
	b.ask("hub.configuration.delete.none", ``, "404301")
	b.ask("hub.configuration.delete.c=21", ``, "412001", "If-Match", "x")
	b.ask("hub.configuration.delete.c=21", ``, "")
	b.ask("hub.configuration.put.stays", `{`+content+`}`, "")
}

// authorities registers a certificate authority and proves that its key is at
// hand.
func (b *backEnd) authorities() {
	b.t.Helper()
	root := trusttest.Root(b.t, "root")
	body := func(name string, value []byte) string {
		return `{"` + name + `":"` + base64.StdEncoding.EncodeToString(value) + `"}`
	}
	resource := `{"properties":` + body("certificate", root.Cert.Raw) + `}`
	b.ask("hub.authority.put.plant=2E1", resource, "")
	b.ask("hub.authority.put.plant=2E1", resource, "412001")
	b.ask("hub.authority.put.nobody", resource, "404008", "If-Match", "*")
	b.ask("hub.authority.put.plant", `{}`, "400004")
	b.ask("hub.authority.get.plant=2E1", ``, "")
	b.ask("hub.authority.get.nobody", ``, "404008")
	var a trust.Authority
	if err := json.Unmarshal(b.ask("hub.authority.code.plant=2E1", ``, "").Data, &a); err != nil {
		b.t.Fatal(err)
	}
	b.ask("hub.authority.verify.plant=2E1", body("certificate", root.Cert.Raw), "400004")
	b.ask("hub.authority.verify.plant=2E1", body("certificate", root.Leaf(b.t, a.VerificationCode).Cert.Raw), "")
	b.ask("hub.authority.code.nobody", ``, "404008")
	b.ask("hub.authority.list", ``, "")
	b.ask("hub.authority.list", `{"top":1}`, "")
	b.ask("hub.authority.list", `{"limit":1}`, "400004")
	b.ask("hub.authority.delete.plant=2E1", ``, "412001", "If-Match", "x")
	b.ask("hub.authority.delete.plant=2E1", ``, "")
	b.ask("hub.authority.put.stays", resource, "")
}

// devices connects the pump and its module, which send.
func (b *backEnd) devices() (pump, module *device) {
	b.t.Helper()
	pump = connect(b.t, b.hub, b.connectionString(hub.Identity{Device: "pump"}))
	module = connect(b.t, b.hub, b.connectionString(hub.Identity{Device: "pump", Module: "cam"}))
	pump.send(`{"temperature":21}`)
	module.send("no JSON")
	return pump, module
}

// connectionString makes that of an identity from what the registry knows.
func (b *backEnd) connectionString(id hub.Identity) string {
	b.t.Helper()
	var r identity.Record
	answer := b.ask(subject.Names{}.Registry(subject.Keys, id), "", "")
	if err := json.Unmarshal(answer.Data, &r); err != nil {
		b.t.Fatal(err)
	}
	return sas.ConnectionString{
		HostName: b.hub.Ready.HostName, DeviceID: id.Device, ModuleID: id.Module, SharedAccessKey: r.Authentication.SymmetricKey.PrimaryKey,
	}.String()
}

func (b *backEnd) queries() {
	b.ask("hub.query", `{"query":"SELECT * FROM devices","pageSize":1}`, "")
	b.ask("hub.query", `{"query":"SELECT COUNT() AS n FROM devices.modules"}`, "")
	b.ask("hub.query", `{"query":"SELECT * FROM devices WHERE tags.a = 1","explain":true}`, "")
	b.ask("hub.query", `{"query":"SELEC"}`, "400004")
	b.ask("hub.query", `{}`, "400004")
	b.ask("hub.query.watch", `{"query":"SELECT deviceId FROM devices"}`, "")
	b.ask("hub.query.watch", `{"query":"SELECT deviceId FROM devices WHERE deviceId = 'nobody'","acknowledge":true}`, "")
	b.ask("hub.query.watch", `{"query":"SELECT COUNT() AS n FROM devices"}`, "400004")
}

func (b *backEnd) twins(pump *device) {
	b.ask("hub.twin.get.pump", ``, "")
	b.ask("hub.twin.get.nobody", ``, "404001")
	b.ask("hub.twin.update.pump", `{"tags":{"a":{"b":1}},"properties":{"desired":{"c":[1,null]}}}`, "400004")
	b.ask("hub.twin.update.pump", `{"tags":{"a":{"b":1}},"properties":{"desired":{"c":[1,2]}}}`, "", "Hub-By", "me")
	b.ask("hub.twin.update.pump", `{"tags":{}}`, "412001", "If-Match", "x")
	b.ask("hub.twin.update.pump", `{"version":1}`, "400004")
	b.ask("hub.twin.replace.pump", `{"properties":{"desired":{"e":"f"}}}`, "")
	b.ask("hub.twin.replace.pump.none", `{"tags":{}}`, "404010")
	b.ask("hub.twin.update.pump.cam", `{"tags":{"g":1}}`, "")
	pump.report(`{"h":{"i":1}}`)
}

func (b *backEnd) methods() {
	b.ask("hub.method.pump.start", `{"speed":1}`, "", "Hub-Response-Timeout", "20s", "Hub-Connect-Timeout", "1")
	b.ask("hub.method.pump.cam.start", ``, "")
	b.ask("hub.method.pump.start", `{`, "400004")
	b.ask("hub.method.pump.start", ``, "400004", "Hub-Timeout", "1s")
	b.ask("hub.method.away.start", ``, "404103")
	b.ask("hub.method.nobody.start", ``, "404001")
	b.ask("hub.method.pump.start", `1`, "", "Hub-Wait", "1h", "Hub-Reply-To", replySubject)
	receipt := b.ask("hub.method.away.start", `1`, "", "Hub-Wait", "1h30m", "Hub-Reply-To", replySubject)
	b.ask("hub.command.list", ``, "")
	b.ask("hub.command.list", `{"a":1}`, "400004")
	b.ask("hub.command.list.away", `{"top":5}`, "")
	b.ask("hub.command.list.away", `[]`, "400004")
	b.ask("hub.command.cancel.away", `{"id":"`+receipt.Header.Get("Hub-Command-Id")+`"}`, "")
	b.ask("hub.command.cancel.away", `{"id":"0"}`, "404002")
}

// jobs has one job done, and one cancelled.
func (b *backEnd) jobs() {
	b.ask("hub.job.put.night", `{"type":"scheduleUpdateTwin","updateTwin":{"etag":"*","tags":{"a":1}},"queryCondition":"deviceId = 'pump'"}`, "", "Hub-By", "me")
	b.ask("hub.job.put.night", `{"type":"scheduleUpdateTwin","updateTwin":{"etag":"*","tags":{"a":1}}}`, "409104")
	b.ask("hub.job.put.Night", `{"type":"scheduleUpdateTwin"}`, "400004")
	b.ask("hub.job.put.x", ``, "400005")
	b.ask("hub.job.put.x", `{"type":"scheduleUpdateTwin","updateTwin":{"tags":{}}}`, "412001")
	later := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	b.ask("hub.job.put.it=27s", `{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"start","payload":[1]},"startTime":"`+later+`","maxExecutionTimeInSeconds":60}`, "")
	b.ask("hub.job.get.it=27s", ``, "")
	b.ask("hub.job.get.it=27s", `{"a":1}`, "400004")
	b.ask("hub.job.get.none", ``, "404002")
	b.ask("hub.job.cancel.it=27s", ``, "")
	b.ask("hub.job.cancel.it=27s", ``, "405102")
	b.ask("hub.job.cancel.none", ``, "404002")
	b.ask("hub.job.list", ``, "")
	b.ask("hub.job.list", `{"jobStatus":"cancelled","top":1}`, "")
	b.ask("hub.job.list", `{"jobStatus":"over"}`, "400004")
	b.ask("hub.job.put.calls", `{"type":"scheduleDeviceMethod","cloudToDeviceMethod":{"methodName":"start"},"queryCondition":"deviceId IN ['pump', 'away']"}`, "")
	b.hub.Consume(b.t, "KV_hub_jobs", "$KV.hub_jobs.calls", func(all []jetstream.Msg) bool {
		return strings.Contains(string(all[len(all)-1].Data()), `"settled":true`)
	})
}

// messages sends one message that arrives, one to nobody and one that is
// purged.
func (b *backEnd) messages(pump *device) {
	b.t.Helper()
	b.publish("hub.c2d.pump", "now", "iothub-ack", "full", "message-id", "m1", "iothub-app-room", "1", "absolute-expiry-time", "2001-01-01T00:00:00Z")
	b.publish("hub.c2d.pump", "hello", "iothub-ack", "full", "message-id", "m2", "content-type", "text/plain", "iothub-app-room", "1")
	pump.receive("hello")
	b.publish("hub.c2d.nobody", "hello")
	b.publish("hub.c2d.away", "hello", "iothub-ack", "negative")
	b.ask("hub.c2d.purge.away", ``, "")
	b.ask("hub.c2d.purge.nobody", ``, "404001")
}

// why has a device refused, and somebody who is none, and asks about them.
func (b *backEnd) why() {
	b.t.Helper()
	refused(b.t, b.hub, hub.Identity{Device: "away"})
	refused(b.t, b.hub, hub.Identity{Device: "ghost"})
	b.ask("hub.why.pump", ``, "")
	b.ask("hub.why.pump.cam", ``, "")
	b.ask("hub.why.away", ``, "")
	b.ask("hub.why.away", `{"x":1}`, "400004")
	b.ask("hub.why.nobody", ``, "") // to whom somebody has sent a message
	b.ask("hub.why.noone", ``, "404001")
	b.ask("hub.why.pump.none", ``, "404010")
	b.ask("hub.why-address.127=2E0=2E0=2E1", ``, "")
	b.ask("hub.why-address.home", ``, "400004")
}

func (b *backEnd) publish(to, body string, headers ...string) {
	b.t.Helper()
	m := nats.NewMsg(to)
	m.Data = []byte(body)
	for i := 0; i < len(headers); i += 2 {
		m.Header.Set(headers[i], headers[i+1])
	}
	if _, err := b.hub.JS.PublishMsg(b.t.Context(), m, jetstream.WithRetryAttempts(5)); err != nil {
		b.t.Fatalf("publish to %s: %v", to, err)
	}
}

// removePolicy does what an operator may do by hand.
func (b *backEnd) removePolicy() {
	b.t.Helper()
	kv, err := b.hub.JS.KeyValue(b.t.Context(), "hub_policies")
	if err != nil {
		b.t.Fatal(err)
	}
	e, err := kv.Get(b.t.Context(), "registryRead")
	if err == nil {
		_, err = kv.Put(b.t.Context(), "registryRead", e.Value())
	}
	if err == nil {
		err = kv.Delete(b.t.Context(), "registryRead")
	}
	if err != nil {
		b.t.Fatal(err)
	}
}
