package attack

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
)

// TestOversizeConnect makes each field of CONNECT as large as it may be, and one
// byte larger than a CONNECT may be: nothing is held that long, and the log and
// the timeline stay short.
func TestOversizeConnect(t *testing.T) {
	t.Parallel()
	g := start(t)
	w := watch(t, g, 1, 2*time.Millisecond)
	d := g.create(t, "dev10")
	long := bytes.Repeat([]byte("x"), 65535)
	before := g.Memory(t)
	for name, c := range map[string]struct {
		change func(*mqtt.Connect)
		code   hub.Code
	}{
		"client id":               {func(c *mqtt.Connect) { c.ClientID = long }, hub.MessageTooLarge},
		"user name":               {func(c *mqtt.Connect) { c.Username = append(c.Username, long[:65400]...) }, hub.MessageTooLarge},
		"model id, less":          {func(c *mqtt.Connect) { c.Username = append(append(c.Username, "&model-id="...), long[:3000]...) }, hub.Unauthorized},
		"password":                {func(c *mqtt.Connect) { c.Password = long }, hub.MessageTooLarge},
		"topic of the will":       {func(c *mqtt.Connect) { c.Will = &mqtt.Will{Topic: long} }, hub.MessageTooLarge},
		"will":                    {func(c *mqtt.Connect) { c.Will = &mqtt.Will{Topic: []byte("x"), Payload: long} }, hub.MessageTooLarge},
		"all of them":             {func(c *mqtt.Connect) { c.ClientID, c.Username, c.Password = long, long, long }, hub.MessageTooLarge},
		"topic of the will, less": {func(c *mqtt.Connect) { c.Will = &mqtt.Will{Topic: long[:60_000]} }, hub.ArgumentInvalid},
		"properties of the will": {func(c *mqtt.Connect) {
			c.Will = &mqtt.Will{Topic: append([]byte(d.events("")), strings.Repeat("&", 60_000)+"=1"...)}
		}, hub.ArgumentInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			hello := d.hello()
			c.change(hello)
			for range 3 {
				p := dialPlain(t, g, plainPort)
				_ = p.send(hello) // the gateway may close before it has read all
				if answer := p.closed(t); len(answer) > 4 {
					t.Errorf("answered by %d bytes", len(answer))
				}
				g.told(t, p, d.id, c.code, "")
			}
		})
	}
	if after := g.Memory(t); after > before+64<<20 {
		t.Errorf("resident memory grew from %d to %d MiB", before>>20, after>>20)
	}
	w.finish(t)
}

// TestOversizePackets has a device that was let in send the largest of all:
// what is taken is stored, what is not ends the connection, or gets an error,
// and what was held for it is given back.
func TestOversizePackets(t *testing.T) {
	t.Parallel()
	g := start(t)
	w := watch(t, g, 1, 2*time.Millisecond)
	d := g.create(t, "dev10")
	filters := &mqtt.Subscribe{ID: 1}
	for i := range 10_000 {
		filters.Filters = append(filters.Filters, mqtt.Filter{Topic: fmt.Appendf(nil, "devices/dev10/%d/#", i)})
	}
	var methods []mqtt.Filter
	for i := range 5000 {
		methods = append(methods, mqtt.Filter{Topic: fmt.Appendf(nil, "$iothub/methods/POST/%04d/#", i), QoS: 1})
	}
	unsubscribe := &mqtt.Unsubscribe{ID: 1}
	for i := range 10_000 {
		unsubscribe.Filters = append(unsubscribe.Filters, fmt.Appendf(nil, "%d", i))
	}
	packet := func(p mqtt.Packet) []byte {
		b, err := p.Append(nil, mqtt.V311)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	before := g.Memory(t)
	for name, c := range map[string]struct {
		data  []byte
		types []byte // that may answer, in the first byte; none: the connection ends
	}{
		"a topic of 64 KiB":             {publishing(d.events(strings.Repeat("a=1&", 16_000)), "x"), []byte{0x40}},
		"a property of 60,000 bytes":    {publishing(d.events("a="+strings.Repeat("x", 60_000)), "x"), []byte{0x40}},
		"a name of 60,000 bytes":        {publishing(d.events(strings.Repeat("x", 60_000)+"=1"), "x"), []byte{0x40}},
		"a name that grows threefold":   {publishing(d.events(strings.Repeat("%00", 20_000)+"=1"), "x"), []byte{0x40}},
		"10,000 properties":             {publishing(d.events(manyNames(10_000)), "x"), []byte{0x40}},
		"10,000 properties of nothing":  {publishing(d.events(strings.Repeat("&", 10_000)), "x"), []byte{0x40}},
		"a body of 256 KiB":             {publishing(d.events(""), string(make([]byte, 256<<10-100))), []byte{0x40}},
		"a body of 256 KiB and a bit":   {publishing(d.events(""), string(make([]byte, 256<<10+1))), nil},
		"a packet of 256 MiB announced": {length(0x32, 268435455), nil},
		"10,000 filters of others":      {packet(filters), []byte{0x90}},
		"5000 filters of its own":       {packet(&mqtt.Subscribe{ID: 1, Filters: methods}), []byte{0x90}},
		"10,000 filters to leave":       {packet(unsubscribe), []byte{0xB0}},
		"a twin patch of 250 KiB":       {packet(&mqtt.Publish{Topic: []byte("$iothub/twin/PATCH/properties/reported/?$rid=1"), Payload: []byte(`{"a":"` + strings.Repeat("x", 250<<10) + `"}`)}), []byte{0x30}},
		"a twin patch of brackets":      {packet(&mqtt.Publish{Topic: []byte("$iothub/twin/PATCH/properties/reported/?$rid=1"), Payload: bytes.Repeat([]byte(`{"a":`), 50_000)}), []byte{0x30}},
		"a request id of 60,000 bytes":  {packet(&mqtt.Publish{Topic: []byte("$iothub/twin/GET/?$rid=" + strings.Repeat("1", 60_000))}), nil},
	} {
		t.Run(name, func(t *testing.T) {
			p := d.joinPlain(t)
			if strings.Contains(name, "twin") {
				if _, err := p.subscribe("$iothub/twin/res/#"); err != nil {
					t.Fatal(err)
				}
			}
			_ = p.write(c.data) // the gateway may close before it has read all
			_ = p.SetReadDeadline(time.Now().Add(patience))
			first := make([]byte, 1)
			_, err := readFull(p.Conn, first)
			ended := err != nil && isClosed(err)
			if len(c.types) == 0 && !ended {
				t.Errorf("answered by % x, %v, want the end of the connection", first, err)
			}
			if len(c.types) > 0 && !ended && !bytes.Contains(c.types, first) {
				t.Errorf("answered by % x, %v, want % x", first, err, c.types)
			}
			if ended {
				g.told(t, p, d.id, anyCode, "")
				if len(c.types) > 0 {
					t.Logf("ends the connection: %v", err)
				}
			}
			if strings.Contains(name, "filters") {
				pause(t, 1100*time.Millisecond) // as many lines in the log as a second may have
			}
		})
	}
	d.join(t)
	if after := g.Memory(t); after > before+100<<20 {
		t.Errorf("resident memory grew from %d to %d MiB", before>>20, after>>20)
	}
	w.finish(t)
}

func manyNames(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%04d&", i)
	}
	return b.String()
}
