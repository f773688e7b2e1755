package faults

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/sas"
	"github.com/hubgate/hubgate/test/hubtest"
)

const (
	// otherKey is a well-formed key that belongs to nobody.
	otherKey = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	alias    = "old-hub.azure-devices.net"
)

// everyIDCharacter is an id with each character that an id may have and a
// subject, a key, a topic or a shell may stumble on.
const everyIDCharacter = `-:.+%_#*?!(),=@;$'aZ9`

func key(t *testing.T, text string) []byte {
	t.Helper()
	k, err := sas.DecodeKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// password replaces the token.
func password(token string) func(*mqtt.Connect) {
	return func(c *mqtt.Connect) { c.Password = []byte(token) }
}

// signed is a token for what a device is called, with any key and policy.
func signed(d *device, who hub.Identity, key []byte, policy string) string {
	return sas.Sign(sas.Resource(d.host, who), key, time.Now().Add(time.Hour), policy)
}

// TestRefused goes through every way in which a CONNECT may lie about who it
// is: a CONNACK with the documented code, one log line that says why, and no
// connection event, for nobody was connected.
func TestRefused(t *testing.T) {
	g := start(t, hubtest.Options{Flags: loud("--alias", alias, "--set", "limits.penalty=0")})
	innocent := newBystander(t, g, newDevice(t, g, "innocent"))
	d := newDevice(t, g, "victim")
	other := newDevice(t, g, "other")
	module := newDevice(t, g, "victim/mod")
	off := newDevice(t, g, "off")
	g.CLI(t, "device", "disable", "off")
	owner := policyOf(t, g)
	unknown := *d
	unknown.id = hub.Identity{Device: "nobody"}
	noModule := *module
	noModule.id = hub.Identity{Device: "victim", Module: "nothing"}

	for name, c := range map[string]struct {
		device *device
		change func(*mqtt.Connect)
		code   byte
		number hub.Code
		reason string // a part of it
	}{
		"wrong key":                   {d, password(signed(d, d.id, key(t, otherKey), "")), 5, hub.Unauthorized, "neither key"},
		"expired token":               {d, password(d.token(time.Now().Add(-10 * time.Minute))), 5, hub.Unauthorized, "expired"},
		"no token":                    {d, password(""), 5, hub.Unauthorized, "no SAS token"},
		"not a token":                 {d, password("letmein"), 5, hub.Unauthorized, "password"},
		"unknown device":              {&unknown, nil, 5, hub.DeviceNotFound, "nobody"},
		"unknown module":              {&noModule, nil, 5, hub.ModuleNotFound, "nothing"},
		"disabled device":             {off, nil, 3, hub.DeviceDisabled, "disabled"},
		"client id of another device": {d, func(c *mqtt.Connect) { c.ClientID = []byte("other") }, 5, hub.Unauthorized, "client id"},
		"no client id":                {d, func(c *mqtt.Connect) { c.ClientID = nil }, 5, hub.Unauthorized, "client id"},
		"no user name":                {d, func(c *mqtt.Connect) { c.HasUsername, c.Username = false, nil; c.HasPassword, c.Password = false, nil }, 5, hub.Unauthorized, "user name"},
		"token of another device":     {d, password(other.token(time.Now().Add(time.Hour))), 5, hub.Unauthorized, "does not cover"},
		"own name, another's key":     {d, password(signed(d, d.id, other.key, "")), 5, hub.Unauthorized, "neither key"},
		"module's token for device":   {d, password(module.token(time.Now().Add(time.Hour))), 5, hub.Unauthorized, ""},
		"device's key for its module": {module, password(signed(d, module.id, d.key, "")), 5, hub.Unauthorized, "neither key"},
		"policy that may not connect": {d, password(signed(d, d.id, owner["service"], "service")), 5, hub.Unauthorized, "DeviceConnect"},
		"unknown policy":              {d, password(signed(d, d.id, key(t, otherKey), "root")), 5, hub.Unauthorized, "policy"},
		"policy with the wrong key":   {d, password(signed(d, d.id, d.key, "iothubowner")), 5, hub.Unauthorized, "policy"},
		"unknown host in user name":   {d, func(c *mqtt.Connect) { c.Username = []byte("elsewhere.example/victim/?api-version=2021-04-12") }, 5, hub.Unauthorized, "elsewhere.example"},
		"unknown host in token":       {d, password(sas.Sign("elsewhere.example/devices/victim", d.key, time.Now().Add(time.Hour), "")), 5, hub.Unauthorized, "elsewhere.example"},
	} {
		t.Run(name, func(t *testing.T) {
			refusal(t, g, c.device.with(c.change), c.code, c.number, c.reason)
		})
	}
	for _, id := range []string{"victim", "off", "nobody"} {
		if n := events(t, g, id); n != 0 {
			t.Errorf("%s was never connected and has %d connection events", id, n)
		}
	}
	innocent.finish(t)
}

// refusal connects d, and checks the answer and the log.
func refusal(t *testing.T, g *hubtest.Gateway, d *device, code byte, number hub.Code, reason string) {
	t.Helper()
	c, err := d.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	k, err := c.handshake(d.hello())
	if err != nil {
		t.Fatalf("no CONNACK: %v", err)
	}
	if k.Code != code || k.SessionPresent {
		t.Errorf("CONNACK %d, session present %v, want %d, false", k.Code, k.SessionPresent, code)
	}
	c.closed(t)
	line := loggedOnce(t, g, c.remote())
	if line.Text("code") != codeText(number) || !strings.Contains(line.Text("reason"), reason) {
		t.Errorf("logged %v, want code %d and a reason with %q", line, number, reason)
	}
	if secret := string(d.hello().Password); len(secret) > 40 && strings.Contains(g.Log.String(), secret[40:]) {
		t.Error("the log holds a token")
	}
}

func TestAccepted(t *testing.T) {
	g := start(t, hubtest.Options{Flags: []string{"--alias", alias}})
	d := newDevice(t, g, "good")
	module := newDevice(t, g, "good/mod")
	owner := policyOf(t, g)
	_, secondary := keysOf(t, g, "good")
	aliased := *d
	aliased.host = alias
	odd := newDevice(t, g, everyIDCharacter)
	oddModule := newDevice(t, g, everyIDCharacter+"/"+everyIDCharacter)
	long := newDevice(t, g, strings.Repeat("x", 128))
	longest := newDevice(t, g, strings.Repeat("$", 128))
	for name, d := range map[string]*device{
		"primary key":             d,
		"secondary key":           d.with(password(signed(d, d.id, secondary, ""))),
		"policy iothubowner":      d.with(password(signed(d, d.id, owner["iothubowner"], "iothubowner"))),
		"policy device":           d.with(password(signed(d, d.id, owner["device"], "device"))),
		"policy for the whole":    d.with(password(sas.Sign(d.host, owner["iothubowner"], time.Now().Add(time.Hour), "iothubowner"))),
		"policy for a module":     module.with(password(signed(module, module.id, owner["device"], "device"))),
		"module":                  module,
		"alias":                   &aliased,
		"every character":         odd,
		"module, every character": oddModule,
		"128 characters":          long,
		"128 dollars":             longest,
		"expired within the skew": d.with(password(d.token(time.Now().Add(-time.Minute)))),
	} {
		t.Run(name, func(t *testing.T) {
			c := d.mustConnect(t)
			if err := c.publish(d.eventsTopic("p=1"), t.Name(), 1); err != nil {
				t.Fatalf("publish: %v", err)
			}
			for _, m := range g.Messages(t, d.id.String(), 1) {
				if string(m.Data()) == t.Name() {
					if got := m.Headers().Get("iothub-connection-device-id"); got != headerText(d.id.Device) {
						t.Errorf("stored as from %q, want %q", got, d.id.Device)
					}
					return
				}
			}
			t.Error("the message is not in the stream")
		})
	}
}

// headerText is a header value as docs/nats.md has it.
func headerText(s string) string { return strings.ReplaceAll(s, "%", "%25") }

// TestCutMidConnection changes an identity that is connected: the connection
// ends within a second, and event and session say why.
func TestCutMidConnection(t *testing.T) {
	g := start(t, hubtest.Options{Flags: loud()})
	innocent := newBystander(t, g, newDevice(t, g, "innocent"))
	disabled := end{code: hub.DeviceDisabled, reason: "disabled"}
	for name, c := range map[string]struct {
		verb   []string
		device end
		module end  // zero: it goes on
		then   byte // the next CONNACK
	}{
		"disabled": {[]string{"device", "disable"}, disabled, disabled, 3},
		"deleted": {
			[]string{"device", "delete"},
			end{code: hub.DeviceNotFound, reason: "deleted", deleted: true},
			end{code: hub.ModuleNotFound, reason: "deleted", deleted: true},
			5,
		},
		"key regenerated": {[]string{"device", "keys", "--regenerate", "primary"}, end{code: hub.Unauthorized, reason: "key"}, end{}, 5},
	} {
		t.Run(name, func(t *testing.T) {
			id := strings.ReplaceAll(name, " ", "-")
			d, module := newDevice(t, g, id), newDevice(t, g, id+"/mod")
			conn, moduleConn := d.mustConnect(t), module.mustConnect(t)
			g.CLI(t, append(c.verb, "--", id)...)
			changed := time.Now()
			conn.closed(t)
			if took := time.Since(changed); took > time.Second {
				t.Errorf("the connection was cut after %v, want within a second", took)
			}
			checkEnd(t, g, id, conn, c.device)
			var refused *refusedError
			if _, _, err := d.connect(); !errors.As(err, &refused) || refused.code != c.then {
				t.Errorf("the next connect: %v, want CONNACK %d", err, c.then)
			}
			if c.module == (end{}) {
				if err := moduleConn.publish(module.eventsTopic(""), "alive", 1); err != nil {
					t.Errorf("the module was disturbed: %v", err)
				}
				return
			}
			moduleConn.closed(t)
			checkEnd(t, g, id+"/mod", moduleConn, c.module)
		})
	}
	innocent.finish(t)
}

// TestDeletedAndCreatedAgain checks that a new device with an old name gets
// nothing of its predecessor: neither connection, key nor session.
func TestDeletedAndCreatedAgain(t *testing.T) {
	g := start(t, hubtest.Options{})
	d := newDevice(t, g, "phoenix").with(persistent)
	c := d.mustConnect(t)
	if _, err := c.subscribe("$iothub/methods/POST/#"); err != nil {
		t.Fatal(err)
	}
	g.CLI(t, "device", "delete", "--", "phoenix")
	c.closed(t)
	again := newDevice(t, g, "phoenix").with(persistent)
	if _, _, err := d.connect(); err == nil {
		t.Error("the old key still gets in")
	}
	conn, present, err := again.connect()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.close()
	if present {
		t.Error("session present for a device that was just created")
	}
	g.AwaitSession(t, "phoenix", "a fresh session", func(s hubtest.Session) bool {
		return s.Connected && len(s.Subscriptions) == 0
	})
}
