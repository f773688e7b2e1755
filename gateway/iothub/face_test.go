package iothub

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/hubgate/hubgate/gateway"
	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/sas"
	"github.com/hubgate/hubgate/session"
	"github.com/hubgate/hubgate/telemetry"
)

const host = "127.0.0.1"

// fleet is a registry in a map.
type fleet map[hub.Identity]identity.Record

func (f fleet) Get(_ context.Context, id hub.Identity) (identity.Record, error) {
	r, ok := f[id]
	if !ok {
		return r, identity.NotFound(id)
	}
	return r, nil
}

type policies map[string]sas.Policy

func (p policies) Lookup(name string) (sas.Policy, bool) {
	v, ok := p[name]
	return v, ok
}

// sink keeps copies of what it stores, as headers and body.
type sink struct {
	bodies  []string
	headers []map[string][]string
}

func (s *sink) Store(m *telemetry.Message, done telemetry.Receipt, tag uint64) {
	var h telemetry.Headers
	m.Headers(&h)
	headers := map[string][]string{}
	for i := range h.Len() {
		name, value := h.At(i)
		headers[string(name)] = append(headers[string(name)], string(value))
	}
	s.bodies, s.headers = append(s.bodies, string(m.Body)), append(s.headers, headers)
	done.Stored(tag, nil)
}

type receipt struct{}

func (receipt) Stored(uint64, error) {}

func record(id string, secret ...string) identity.Record {
	identityOf, _ := hub.ParseIdentity(id)
	r := identity.Record{ID: identityOf, GenerationID: "g-" + id, Status: identity.StatusEnabled}
	r.Authentication.Type = identity.AuthSAS
	r.Authentication.SymmetricKey = identity.SymmetricKey{PrimaryKey: secret[0], SecondaryKey: secret[1]}
	return r
}

// newFace returns a face with dev1, its module mod1, off (disabled), cert
// (X.509) and two policies.
func newFace() (*Face, fleet, *sink) {
	devices := fleet{}
	for _, id := range []string{"dev1", "dev1/mod1", "dev2", "off", "off/mod1", "cert"} {
		r := record(id, sas.NewKey(), sas.NewKey())
		devices[r.ID] = r
	}
	off := devices[hub.Identity{Device: "off"}]
	off.Status = identity.StatusDisabled
	devices[off.ID] = off
	cert := devices[hub.Identity{Device: "cert"}]
	cert.Authentication.Type = identity.AuthCA
	devices[cert.ID] = cert
	s := &sink{}
	f := &Face{
		HostName: host, Aliases: []string{"Old.Azure-Devices.net"}, Devices: devices, Telemetry: s,
		Policies: policies{
			"device":  {Name: "device", PrimaryKey: sas.NewKey(), SecondaryKey: sas.NewKey(), Permissions: sas.DeviceConnect},
			"service": {Name: "service", PrimaryKey: sas.NewKey(), SecondaryKey: sas.NewKey(), Permissions: sas.ServiceConnect},
		},
	}
	return f, devices, s
}

func (f fleet) key(t *testing.T, id string, which int) []byte {
	t.Helper()
	identityOf, err := hub.ParseIdentity(id)
	if err != nil {
		t.Fatal(err)
	}
	r := f[identityOf]
	keys, err := r.Keys()
	if err != nil {
		t.Fatal(err)
	}
	return keys[which]
}

func policyKey(t *testing.T, f *Face, name string) []byte {
	t.Helper()
	p, _ := f.Policies.Lookup(name)
	key, err := sas.DecodeKey(p.SecondaryKey)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func connectOf(id, user, password string) *mqtt.Connect {
	return &mqtt.Connect{
		ClientID: []byte(id), Username: []byte(user), Password: []byte(password),
		HasUsername: true, HasPassword: password != "",
	}
}

func TestAdmit(t *testing.T) {
	f, devices, _ := newFace()
	hour := time.Now().Add(time.Hour)
	device := func(id string, which int) string {
		identityOf, _ := hub.ParseIdentity(id)
		return sas.Sign(sas.Resource(host, identityOf), devices.key(t, id, which), hour, "")
	}
	const old = "old.azure-devices.net"
	for name, tc := range map[string]struct {
		id, user, password string
		want               hub.Code // 0: admitted
	}{
		"primary key":          {"dev1", host + "/dev1/?api-version=2021-04-12", device("dev1", 0), 0},
		"secondary key":        {"dev1", host + "/dev1/?api-version=2021-04-12", device("dev1", 1), 0},
		"module":               {"dev1/mod1", host + "/dev1/mod1/?api-version=2021-04-12", device("dev1/mod1", 0), 0},
		"alias":                {"dev1", old + "/dev1/", sas.Sign(sas.Resource(old, hub.Identity{Device: "dev1"}), devices.key(t, "dev1", 0), hour, ""), 0},
		"gateway name in user": {"dev1", host + "/dev1/", sas.Sign(sas.Resource(old, hub.Identity{Device: "dev1"}), devices.key(t, "dev1", 0), hour, ""), 0},
		"hub-wide, device key": {"dev1", host + "/dev1/", sas.Sign(host, devices.key(t, "dev1", 0), hour, ""), 0},
		"policy":               {"dev1", host + "/dev1/", sas.Sign(host, policyKey(t, f, "device"), hour, "device"), 0},
		"policy, for a module": {"dev1/mod1", host + "/dev1/mod1/", sas.Sign(host+"/devices", policyKey(t, f, "device"), hour, "device"), 0},
		"expired within skew":  {"dev1", host + "/dev1/", sas.Sign(sas.Resource(host, hub.Identity{Device: "dev1"}), devices.key(t, "dev1", 0), time.Now().Add(-time.Minute), ""), 0},

		"expired":                   {"dev1", host + "/dev1/", sas.Sign(sas.Resource(host, hub.Identity{Device: "dev1"}), devices.key(t, "dev1", 0), time.Now().Add(-time.Hour), ""), hub.Unauthorized},
		"no password":               {"dev1", host + "/dev1/", "", hub.Unauthorized},
		"password is no token":      {"dev1", host + "/dev1/", "secret", hub.Unauthorized},
		"another device's token":    {"dev1", host + "/dev1/", device("dev2", 0), hub.Unauthorized},
		"another device's key":      {"dev1", host + "/dev1/", sas.Sign(sas.Resource(host, hub.Identity{Device: "dev1"}), devices.key(t, "dev2", 0), hour, ""), hub.Unauthorized},
		"device's token for module": {"dev1/mod1", host + "/dev1/mod1/", device("dev1", 0), hub.Unauthorized},
		"module's token for device": {"dev1", host + "/dev1/", device("dev1/mod1", 0), hub.Unauthorized},
		"client id is another":      {"dev2", host + "/dev1/", device("dev1", 0), hub.Unauthorized},
		"client id in another case": {"DEV1", host + "/dev1/", device("dev1", 0), hub.Unauthorized},
		"another hub's name":        {"dev1", "other.example/dev1/", device("dev1", 0), hub.Unauthorized},
		"token for another hub":     {"dev1", host + "/dev1/", sas.Sign("other.example/devices/dev1", devices.key(t, "dev1", 0), hour, ""), hub.Unauthorized},
		"unknown device":            {"nobody", host + "/nobody/", device("dev1", 0), hub.DeviceNotFound},
		"unknown module":            {"dev1/no", host + "/dev1/no/", device("dev1/mod1", 0), hub.ModuleNotFound},
		"disabled":                  {"off", host + "/off/", device("off", 0), hub.DeviceDisabled},
		"module of a disabled":      {"off/mod1", host + "/off/mod1/", device("off/mod1", 0), hub.DeviceDisabled},
		"registered for X.509":      {"cert", host + "/cert/", sas.Sign(host+"/devices/cert", devices.key(t, "dev1", 0), hour, ""), hub.Unauthorized},
		"policy without the right":  {"dev1", host + "/dev1/", sas.Sign(host, policyKey(t, f, "service"), hour, "service"), hub.Unauthorized},
		"policy with a wrong key":   {"dev1", host + "/dev1/", sas.Sign(host, policyKey(t, f, "service"), hour, "device"), hub.Unauthorized},
		"unknown policy":            {"dev1", host + "/dev1/", sas.Sign(host, policyKey(t, f, "device"), hour, "nobody"), hub.Unauthorized},
		"malformed user name":       {"dev1", "dev1", device("dev1", 0), hub.Unauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := f.Admit(t.Context(), connectOf(tc.id, tc.user, tc.password), gateway.Peer{})
			if hub.CodeOf(err) != tc.want {
				t.Fatalf("Admit: %v, want code %d", err, tc.want)
			}
			if err == nil && a.ID.String() != tc.id {
				t.Errorf("admitted as %s, want %s", a.ID, tc.id)
			}
			if known := tc.want != hub.DeviceNotFound && tc.want != hub.ModuleNotFound && name != "malformed user name"; err != nil && (a.ID.Device != "") != known {
				t.Errorf("the refusal is about %q", a.ID)
			}
			if err != nil && tc.password != "" && strings.Contains(err.Error(), tc.password) {
				t.Error("the error holds the token")
			}
		})
	}
}

// Who takes the password for the user name does not find it in a log.
func TestRefusalShowsNoSecret(t *testing.T) {
	t.Parallel()
	f, _, _ := newFace()
	for user, secret := range map[string]string{
		"HostName=" + host + ";DeviceId=dev1;SharedAccessKey=c2VjcmV0c2VjcmV0/c2VjcmV0=": "c2VjcmV0",
		"SharedAccessSignature sig=c2VjcmV0&se=1&sr=" + host + "/devices/dev1":           "c2VjcmV0",
		"c2VjcmV0c2VjcmV0/c2VjcmV0": "c2VjcmV0",
	} {
		_, err := f.Admit(t.Context(), connectOf("dev1", user, "x"), gateway.Peer{})
		if hub.CodeOf(err) != hub.Unauthorized || strings.Contains(err.Error(), secret) {
			t.Errorf("%q is refused with %v", user, err)
		}
	}
	_, err := f.Admit(t.Context(), connectOf("dev1", "other.example/dev1/", "x"), gateway.Peer{})
	if err == nil || !strings.Contains(err.Error(), `the hub "other.example"`) {
		t.Errorf("another hub's name: %v", err)
	}
}

// admitted lets dev1 or another identity in and returns its handler.
func admitted(t *testing.T, f *Face, devices fleet, id string) gateway.Admission {
	t.Helper()
	identityOf, _ := hub.ParseIdentity(id)
	token := sas.Sign(sas.Resource(host, identityOf), devices.key(t, id, 0), time.Now().Add(time.Hour), "")
	a, err := f.Admit(t.Context(), connectOf(id, host+"/"+id+"/?api-version=2021-04-12&model-id=dtmi:x;1", token), gateway.Peer{})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestPublishStoresWithAnnotations(t *testing.T) {
	f, devices, s := newFace()
	a := admitted(t, f, devices, "dev1/mod1")
	p := &mqtt.Publish{
		Topic:   []byte("devices/dev1/modules/mod1/messages/events/%24.mid=m%201&iothub-connection-device-id=forged&a+b=c+d&n&e=/"),
		Payload: []byte("body"), Retain: true,
	}
	before := time.Now().Truncate(time.Millisecond)
	if err := a.Handler.Publish(p, receipt{}, 0); err != nil {
		t.Fatal(err)
	}
	if got := f.Stats().Received; got["telemetry"] != 1 || got["twin_get"] != 0 {
		t.Errorf("%v messages were counted", got)
	}
	if len(s.bodies) != 1 || s.bodies[0] != "body" {
		t.Fatalf("stored %q", s.bodies)
	}
	for name, want := range map[string]string{
		"iothub-connection-device-id":            "dev1",
		"iothub-connection-module-id":            "mod1",
		"iothub-connection-auth-generation-id":   "g-dev1/mod1",
		"iothub-connection-auth-method":          telemetry.AuthMethodModule,
		"iothub-message-source":                  "Telemetry",
		"dt-dataschema":                          "dtmi:x;1",
		"message-id":                             "m 1",
		"iothub-app-iothub-connection-device-id": "forged",
		"iothub-app-a%2Bb":                       "c+d",
		"iothub-app-n":                           "%null",
		"iothub-app-e":                           "",
		"iothub-app-mqtt-retain":                 "true",
	} {
		if got := s.headers[0][name]; len(got) != 1 || got[0] != want {
			t.Errorf("header %s = %q, want %q", name, got, want)
		}
	}
	at, err := time.Parse(time.RFC3339Nano, s.headers[0]["iothub-enqueuedtime"][0])
	if err != nil || at.Before(before) || at.After(time.Now()) {
		t.Errorf("iothub-enqueuedtime: %v, %v", at, err)
	}
	if !json.Valid([]byte(s.headers[0]["iothub-connection-auth-method"][0])) {
		t.Error("iothub-connection-auth-method is no JSON")
	}
}

func TestPublishRefuses(t *testing.T) {
	f, devices, s := newFace()
	a := admitted(t, f, devices, "dev1")
	for name, tc := range map[string]struct {
		topic string
		size  int
		want  hub.Code
	}{
		"another device's topic": {"devices/dev2/messages/events/", 1, hub.ArgumentInvalid},
		"its module's topic":     {"devices/dev1/modules/mod1/messages/events/", 1, hub.ArgumentInvalid},
		"any topic":              {"hello/world", 1, hub.ArgumentInvalid},
		"bag is not UTF-8":       {"devices/dev1/messages/events/a=%FF", 1, hub.ArgumentInvalid},
		"property without name":  {"devices/dev1/messages/events/=b", 1, hub.ArgumentInvalid},
		"one byte too large":     {"devices/dev1/messages/events/a=b", telemetry.MaxSize - 1, hub.MessageTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			p := &mqtt.Publish{Topic: []byte(tc.topic), Payload: make([]byte, tc.size)}
			if err := a.Handler.Publish(p, receipt{}, 0); hub.CodeOf(err) != tc.want {
				t.Errorf("Publish: %v, want code %d", err, tc.want)
			}
		})
	}
	if len(s.bodies) != 0 {
		t.Errorf("%d refused messages were stored", len(s.bodies))
	}
	largest := &mqtt.Publish{Topic: []byte("devices/dev1/messages/events/a=b"), Payload: make([]byte, telemetry.MaxSize-2)}
	if err := a.Handler.Publish(largest, receipt{}, 0); err != nil {
		t.Errorf("the largest message: %v", err)
	}
}

func TestWillIsTelemetry(t *testing.T) {
	f, devices, _ := newFace()
	token := sas.Sign(host+"/devices/dev1", devices.key(t, "dev1", 0), time.Now().Add(time.Hour), "")
	c := connectOf("dev1", host+"/dev1/", token)
	var will *session.Will
	for topic, ok := range map[string]bool{
		"devices/dev1/messages/events/k=v": true, "devices/dev2/messages/events/": false,
		"anything": false, "devices/dev1/messages/events/k=%FF": false,
	} {
		c.Will = &mqtt.Will{Topic: []byte(topic), Payload: []byte("bye"), QoS: 1}
		a, err := f.Admit(t.Context(), c, gateway.Peer{})
		if (err == nil) != ok {
			t.Errorf("will on %s: %v, want admitted %v", topic, err, ok)
		}
		if err == nil {
			will = a.Will
		}
	}
	if will == nil || string(will.Body) != "bye" {
		t.Fatalf("the will is %+v", will)
	}
	h := map[string]string{}
	for _, line := range will.Headers {
		h[line[0]] = line[1]
	}
	if h["iothub-app-iothub-MessageType"] != "Will" || h["iothub-app-k"] != "v" || h[telemetry.HeaderDeviceID] != "dev1" {
		t.Errorf("headers %v, want iothub-MessageType=Will and k=v", h)
	}
}

func TestRecheck(t *testing.T) {
	f, devices, _ := newFace()
	dev, mod := hub.Identity{Device: "dev1"}, hub.Identity{Device: "dev1", Module: "mod1"}
	changed := func(id hub.Identity, edit func(*identity.Record)) identity.Change {
		r := devices[id]
		edit(&r)
		return identity.Change{ID: id, Record: &r}
	}
	rekey := func(r *identity.Record) { r.Authentication.SymmetricKey.PrimaryKey = sas.NewKey() }
	for name, tc := range map[string]struct {
		change         identity.Change
		device, module hub.Code // 0: goes on
	}{
		"tag-like change":       {changed(dev, func(r *identity.Record) { r.StatusReason = "x" }), 0, 0},
		"device disabled":       {changed(dev, func(r *identity.Record) { r.Status = identity.StatusDisabled }), hub.DeviceDisabled, hub.DeviceDisabled},
		"device deleted":        {identity.Change{ID: dev}, hub.DeviceNotFound, hub.DeviceNotFound},
		"device made again":     {changed(dev, func(r *identity.Record) { r.GenerationID = "new" }), hub.DeviceNotFound, 0},
		"device's key replaced": {changed(dev, rekey), hub.Unauthorized, 0},
		"device's other key":    {changed(dev, func(r *identity.Record) { r.Authentication.SymmetricKey.SecondaryKey = sas.NewKey() }), 0, 0},
		"device's keys swapped": {changed(dev, func(r *identity.Record) {
			k := &r.Authentication.SymmetricKey
			k.PrimaryKey, k.SecondaryKey = k.SecondaryKey, k.PrimaryKey
		}), 0, 0},
		"device changed to X.509": {changed(dev, func(r *identity.Record) { r.Authentication.Type = identity.AuthCA }), hub.Unauthorized, 0},
		"module deleted":          {identity.Change{ID: mod}, 0, hub.ModuleNotFound},
		"module's key replaced":   {changed(mod, rekey), 0, hub.Unauthorized},
		"another module of dev1":  {identity.Change{ID: hub.Identity{Device: "dev1", Module: "m2"}}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			for id, want := range map[hub.Identity]hub.Code{dev: tc.device, mod: tc.module} {
				h := admitted(t, f, devices, id.String()).Handler.(*handler)
				if err := h.recheck(id, tc.change); hub.CodeOf(err) != want {
					t.Errorf("recheck(%s) = %v, want code %d", id, err, want)
				}
			}
		})
	}
}

func TestRecheckPolicy(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*sas.Policy)
		want   hub.Code
	}{
		"unchanged":        {func(*sas.Policy) {}, 0},
		"other key":        {func(p *sas.Policy) { p.PrimaryKey = sas.NewKey() }, 0},
		"key replaced":     {func(p *sas.Policy) { p.SecondaryKey = sas.NewKey() }, hub.Unauthorized},
		"right taken away": {func(p *sas.Policy) { p.Permissions = sas.ServiceConnect }, hub.Unauthorized},
		"removed":          {nil, hub.Unauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			f, _, _ := newFace()
			token := sas.Sign(host, policyKey(t, f, "device"), time.Now().Add(time.Hour), "device")
			a, err := f.Admit(t.Context(), connectOf("dev1", host+"/dev1/", token), gateway.Peer{})
			if err != nil {
				t.Fatal(err)
			}
			all := f.Policies.(policies)
			if p := all["device"]; tc.change != nil {
				tc.change(&p)
				all["device"] = p
			} else {
				delete(all, "device")
			}
			h := a.Handler.(*handler)
			if err := h.recheckPolicy(); hub.CodeOf(err) != tc.want {
				t.Errorf("recheckPolicy: %v, want code %d", err, tc.want)
			}
			// A change of the device's own keys does not matter to it.
			if err := h.recheck(h.id, identity.Change{ID: h.id, Record: &identity.Record{
				ID: h.id, Status: identity.StatusEnabled, GenerationID: h.generation,
				Authentication: identity.Authentication{Type: identity.AuthSAS},
			}}); err != nil {
				t.Errorf("recheck: %v", err)
			}
		})
	}
}
