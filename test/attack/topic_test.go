package attack

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/test/hubtest"
)

// stored is how many messages of a device the stream has.
func (g *target) stored(t *testing.T, id string) (n int) {
	t.Helper()
	g.Each(t, "HUB_TELEMETRY", "hub.telemetry."+hubtest.Key(id), func(jetstream.Msg) { n++ })
	return n
}

// publishing is a PUBLISH with any topic at all, which the codec would not
// write.
func publishing(topic, body string) []byte {
	rest := append([]byte{byte(len(topic) >> 8), byte(len(topic))}, topic...)
	rest = append(rest, 0, 9)
	rest = append(rest, body...)
	return append(length(0x32, len(rest)), rest...)
}

// length is a fixed header that announces size bytes.
func length(first byte, size int) []byte {
	b := []byte{first}
	for size >= 0x80 {
		b = append(b, byte(size)|0x80)
		size >>= 7
	}
	return append(b, byte(size))
}

// TestTopicEscapes publishes out of the identity that the attacker has: the
// connection ends, the timeline says why, and neither the victim's subject nor
// any other stream has what was sent.
func TestTopicEscapes(t *testing.T) {
	g := start(t)
	w := watch(t, g, 1, 2*time.Millisecond)
	d, victim := g.create(t, "dev1"), g.create(t, "dev10")
	g.create(t, "dev1/mod")
	const mine = "devices/dev1/messages/events/"
	const foreign, none = "another identity", "no topic"
	for name, c := range map[string]struct {
		topic string
		code  hub.Code
		words string
	}{
		"the victim's":                 {"devices/dev10/messages/events/", hub.ArgumentInvalid, foreign},
		"the victim's, another case":   {"devices/DEV1/messages/events/", hub.ArgumentInvalid, foreign},
		"a way up":                     {"devices/dev1/../dev10/messages/events/", hub.ArgumentInvalid, none},
		"a way up before":              {"devices/../devices/dev10/messages/events/", hub.ArgumentInvalid, foreign},
		"a way up, encoded":            {"devices/dev1/%2e%2e/dev10/messages/events/", hub.ArgumentInvalid, none},
		"an encoded slash":             {"devices/dev1%2Fmessages/events/", hub.ArgumentInvalid, foreign},
		"an encoded letter":            {"devices/%64ev1/messages/events/", hub.ArgumentInvalid, foreign},
		"an encoded zero behind":       {"devices/dev1%30/messages/events/", hub.ArgumentInvalid, foreign},
		"encoded as a key":             {"devices/dev1=30/messages/events/", hub.ArgumentInvalid, foreign},
		"two slashes":                  {"devices//dev1/messages/events/", hub.ArgumentInvalid, foreign},
		"a slash before":               {"/devices/dev1/messages/events/", hub.ArgumentInvalid, none},
		"a space behind the id":        {"devices/dev1 /messages/events/", hub.ArgumentInvalid, foreign},
		"its own module's":             {"devices/dev1/modules/mod/messages/events/", hub.ArgumentInvalid, none},
		"a NATS wildcard":              {"devices/*/messages/events/", hub.ArgumentInvalid, foreign},
		"every NATS token":             {"devices/>", hub.ArgumentInvalid, foreign},
		"dots":                         {"devices.dev1.messages.events", hub.ArgumentInvalid, none},
		"a subject":                    {"hub.telemetry.dev10", hub.ArgumentInvalid, none},
		"JetStream":                    {"$JS.API.STREAM.DELETE.HUB_TELEMETRY", hub.ArgumentInvalid, none},
		"the system account":           {"$SYS/REQ/SERVER/PING", hub.ArgumentInvalid, none},
		"a bucket":                     {"$KV/hub_devices/dev10", hub.ArgumentInvalid, none},
		"an inbox":                     {"_INBOX/x", hub.ArgumentInvalid, none},
		"what devices are sent":        {"devices/dev10/messages/devicebound/", hub.ArgumentInvalid, ""},
		"its own desired properties":   {"$iothub/twin/PATCH/properties/desired/?$rid=1", hub.ArgumentInvalid, none},
		"desired, by a way up":         {"$iothub/twin/PATCH/properties/reported/../desired/?$rid=1", hub.ArgumentInvalid, none},
		"tags":                         {"$iothub/twin/PATCH/tags/?$rid=1", hub.ArgumentInvalid, none},
		"a method call":                {"$iothub/methods/POST/reboot/?$rid=1", hub.ArgumentInvalid, none},
		"the victim's twin":            {"$iothub/dev10/twin/GET/?$rid=1", hub.ArgumentInvalid, none},
		"events of another kind":       {"devices/dev1/messages/events2/", hub.ArgumentInvalid, none},
		"NUL in the id":                {"devices/dev1\x00/messages/events/", hub.GenericBadRequest, ""},
		"NUL in the bag":               {mine + "a=\x00", hub.GenericBadRequest, ""},
		"a surrogate":                  {mine + "a=\xED\xA0\x80", hub.GenericBadRequest, ""},
		"no UTF-8":                     {mine + "a=\xFF", hub.GenericBadRequest, ""},
		"an overlong slash":            {"devices\xC0\xAFdev10", hub.GenericBadRequest, ""},
		"an MQTT wildcard for the id":  {"devices/+/messages/events/", hub.ArgumentInvalid, foreign},
		"an MQTT wildcard for all":     {"devices/#", hub.ArgumentInvalid, foreign},
		"no topic":                     {"", hub.GenericBadRequest, ""},
		"64 KiB of slashes":            {strings.Repeat("/", 65535), hub.ArgumentInvalid, none},
		"a new line behind the id":     {"devices/dev1\r\n/messages/events/", hub.ArgumentInvalid, foreign},
		"a line separator in the id":   {"devices/dev1\u2028/messages/events/", hub.ArgumentInvalid, foreign},
		"a byte order mark before all": {"\uFEFF" + mine, hub.ArgumentInvalid, none},
	} {
		t.Run(name, func(t *testing.T) {
			p := d.joinPlain(t)
			_ = p.write(publishing(c.topic, "forged"))
			if rest := p.closed(t); len(rest) > 0 {
				t.Errorf("answered by % x, want the end of the connection", rest)
			}
			g.told(t, p, d.id, c.code, c.words)
		})
	}
	for _, id := range []string{"dev1", "dev10", "dev1/mod"} {
		if n := g.stored(t, id); n != 0 {
			t.Errorf("%d messages of %s are stored, want none", n, id)
		}
	}
	victim.join(t)
	w.finish(t)
}

// TestFilters subscribes to what is not the device's: each filter is refused,
// alone; the connection goes on, and hears nothing that was sent to others.
func TestFilters(t *testing.T) {
	g := start(t)
	w := watch(t, g, 1, 2*time.Millisecond)
	d, victim := g.create(t, "dev1"), g.create(t, "dev10")
	p := d.joinPlain(t)
	filters := []string{
		"#", "+", "+/#", "/#", "devices/#", "devices/+/#", "+/dev1/messages/devicebound/#",
		"devices/dev10/messages/devicebound/#", "devices/dev1/../dev10/messages/devicebound/#",
		"devices/dev1%30/messages/devicebound/#", "devices/dev1/messages/devicebound/#/..", "devices/dev1/messages/#",
		"devices/dev1/+/devicebound/#", "devices/+/+/devicebound/#", "devices/DEV1/messages/devicebound/#",
		"devices/*/messages/devicebound/#", "devices/>", "hub.>", ">", "$SYS/#", "$JS/#", "$KV/#",
		"$share/g/devices/dev10/messages/devicebound/#", "$iothub/#", "$iothub/twin/#", "$iothub/+/res/#",
		"$iothub/twin/PATCH/properties/reported/#", "$iothub/methods/#", "$iothub/methods/POST/+/#",
		"devices/dev1/modules/+/#", "devices/dev1/modules/#", "devices/dev10/modules/mod/#", strings.Repeat("/", 60_000),
	}
	for _, filter := range filters {
		codes, err := p.subscribe(filter)
		if err != nil {
			g.told(t, p, d.id, hub.GenericBadRequest, "") // against MQTT itself
			p = d.joinPlain(t)
			continue
		}
		if len(codes) != 1 || codes[0] != 0x80 {
			t.Errorf("SUBSCRIBE to %.80q: % x, want 80", filter, codes)
		}
	}
	g.await(t, "refused subscription", func() bool {
		r, err := g.client.Why(t.Context(), d.id)
		return err == nil && tells(r.Entries, hub.ArgumentInvalid, "subscribe")
	})
	if codes, err := p.subscribe("devices/+/messages/devicebound/#", "$iothub/methods/POST/#"); err != nil || codes[0] != 1 {
		t.Fatalf("its own filter: % x, %v", codes, err)
	}
	g.hearsOnlyItsOwn(t, d, p, victim)
	w.finish(t)
}

// hearsOnlyItsOwn sends a message to the victim and then one to d, which must
// be the first that p receives.
func (g *target) hearsOnlyItsOwn(t *testing.T, d *device, p *peer, victim *device) {
	t.Helper()
	for _, to := range []*device{victim, d} {
		if _, err := g.JS.Publish(t.Context(), "hub.c2d."+hubtest.Key(to.id.String()), []byte("to "+to.id.String())); err != nil {
			t.Fatal(err)
		}
	}
	for {
		packet, err := p.receive()
		if err != nil {
			t.Fatalf("%s: %v", d.id, err)
		}
		m, ok := packet.(*mqtt.Publish)
		if !ok {
			continue
		}
		if string(m.Payload) != "to "+d.id.String() || !strings.HasPrefix(string(m.Topic), "devices/"+d.id.Device+"/") {
			t.Fatalf("%s was sent %q on %q", d.id, m.Payload, m.Topic)
		}
		return
	}
}

// TestWildcardIDs are devices whose ids mean everything in MQTT or in NATS: to
// the hub they mean themselves.
func TestWildcardIDs(t *testing.T) {
	g := start(t)
	w := watch(t, g, 1, 2*time.Millisecond)
	victim := g.create(t, "dev10")
	home := victim.join(t)
	if err := home.publish(victim.events(""), "the victim's"); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{
		"*", "#", "+", "..", ".", "*.*", "dev10.*", "dev1*", "dev1=30", "=2A", "$JS.API", "$SYS", "%2A", "%2F", "%00", "dev10%0D%0A", "dev10'", "dev10,", "a:b", "$share",
	} {
		t.Run(id, func(t *testing.T) {
			d := g.create(t, id)
			p := dialPlain(t, g, plainPort)
			hello := d.hello()
			hello.Password = []byte(forge(d.sr(), inAnHour(), d.primary, ""))
			p.welcomed(t, hello)
			if err := p.publish(d.events("a=b"), "its own"); err != nil {
				t.Fatal(err)
			}
			if got := g.Messages(t, id, 1); len(got) != 1 || string(got[0].Data()) != "its own" || got[0].Subject() != "hub.telemetry."+hubtest.Key(id) {
				t.Errorf("stored %v", got)
			}
			if codes, err := p.subscribe("devices/" + id + "/messages/devicebound/#"); err != nil {
				return // an id that no filter can hold
			} else if codes[0] == 0x80 {
				t.Fatalf("its own filter was refused")
			}
			g.hearsOnlyItsOwn(t, d, p, victim)
			if err := g.client.Registry().Delete(t.Context(), d.id, ""); err != nil {
				t.Fatal(err)
			}
		})
	}
	if n := g.stored(t, "dev10"); n != 1 {
		t.Errorf("%d messages of the victim are stored, want its one", n)
	}
	if err := home.publish(victim.events(""), "still here"); err != nil {
		t.Errorf("the victim was disturbed: %v", err)
	}
	w.finish(t)
}
