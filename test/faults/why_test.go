package faults

import (
	"encoding/json"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/test/hubtest"
	"github.com/hubgate/hubgate/timeline"
)

// why asks the command line for a timeline until it satisfies enough, for
// entries are stored without anybody waiting for them.
func why(t *testing.T, g *hubtest.Gateway, who string, enough func(timeline.Report) bool) timeline.Report {
	t.Helper()
	var r timeline.Report
	waitFor(t, "timeline of "+who, func() bool {
		r = timeline.Report{}
		if err := json.Unmarshal(g.CLI(t, "why", who, "-o", "json"), &r); err != nil {
			t.Fatal(err)
		}
		return enough(r)
	})
	return r
}

// told reports whether an entry tells of this.
func told(r timeline.Report, what timeline.What, code hub.Code, words string) bool {
	for _, e := range r.Entries {
		if e.What == what && e.Code == code && strings.Contains(e.Message, words) {
			return true
		}
	}
	return false
}

// TestWhy makes everything go wrong that has an entry in the timeline, and finds
// it there, also after a kill -9 and a new start.
func TestWhy(t *testing.T) {
	g := start(t, hubtest.Options{})
	d := newDevice(t, g, "victim")
	refusal(t, g, d.with(password(signed(d, d.id, key(t, otherKey), ""))), 5, hub.Unauthorized, "neither key")

	c := d.mustConnect(t)
	if codes, err := c.subscribe("devices/other/messages/devicebound/#", "$iothub/twin/res/#", "$iothub/methods/POST/#"); err != nil || codes[0] != 0x80 {
		t.Fatalf("SUBSCRIBE: %v, %v", codes, err)
	}
	if err := c.send(&mqtt.Publish{Topic: []byte("$iothub/twin/PATCH/properties/reported/?$rid=1"), Payload: []byte(`{"a.b":1}`)}); err != nil {
		t.Fatal(err)
	}
	if p, err := c.receive(); err != nil || !strings.HasPrefix(string(p.(*mqtt.Publish).Topic), "$iothub/twin/res/400/") {
		t.Fatalf("the answer to a bad patch is %+v, %v", p, err)
	}
	if _, err := g.NATS.Request("hub.method.victim.reboot", []byte("{"), patience); err != nil {
		t.Fatal(err)
	}
	second := d.mustConnect(t)
	c.closed(t)
	if err := second.send(&mqtt.Publish{QoS: 1, ID: 1, Topic: []byte("devices/other/messages/events/")}); err != nil {
		t.Fatal(err)
	}
	second.closed(t)
	if _, err := g.NATS.Request("hub.method.victim.reboot", nil, patience); err != nil {
		t.Fatal(err)
	}
	never := nats.NewMsg("hub.c2d.victim")
	never.Header.Set("iothub-ack", "whenever")
	if _, err := g.JS.PublishMsg(t.Context(), never); err != nil {
		t.Fatal(err)
	}

	wanted := []struct {
		what  timeline.What
		code  hub.Code
		words string
	}{
		{timeline.Refused, hub.Unauthorized, "neither key"},
		{timeline.SubscribeRefused, hub.ArgumentInvalid, ""},
		{timeline.TwinRefused, hub.ArgumentInvalid, "a.b"},
		{timeline.Closed, hub.ConnectionReplaced, "newer connection"},
		{timeline.Closed, hub.ArgumentInvalid, "another identity"},
		{timeline.MethodFailed, hub.ArgumentInvalid, "JSON"},
		{timeline.MethodFailed, hub.DeviceNotOnline, "reboot"},
		{timeline.C2DDropped, hub.ArgumentInvalid, ""},
	}
	all := func(r timeline.Report) bool {
		for _, w := range wanted {
			if !told(r, w.what, w.code, w.words) {
				return false
			}
		}
		return true
	}
	r := why(t, g, "victim", all)
	if !r.Registered || r.Connection == nil || r.Connection.Connected || r.Connection.Code != hub.ArgumentInvalid {
		t.Errorf("the report says of the connection: %+v", r.Connection)
	}
	g.Restart(t, syscall.SIGKILL)
	if again := why(t, g, "victim", all); len(again.Entries) < len(r.Entries) {
		t.Errorf("%d entries after a kill, %d before", len(again.Entries), len(r.Entries))
	}
}

// TestWhyStrangers asks about peers who never got as far as an identity.
func TestWhyStrangers(t *testing.T) {
	g := start(t, hubtest.Options{})
	nobody := *newDevice(t, g, "somebody")
	nobody.id = hub.Identity{Device: "nobody"}
	refusal(t, g, &nobody, 5, hub.DeviceNotFound, "nobody")
	nc, err := net.Dial("tcp", address(g, plainPort))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = nc.Close() }()
	if _, err := nc.Write([]byte("GET / HTTP/1.1\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	r := why(t, g, "nobody", func(r timeline.Report) bool { return len(r.Entries) > 0 })
	if r.Registered || r.Entries[0].Code != hub.DeviceNotFound {
		t.Errorf("the report of a device that does not exist: %+v", r)
	}
	local, _, err := net.SplitHostPort(nc.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, "timeline of the address", func() bool {
		var a timeline.AddressReport
		if err := json.Unmarshal(g.CLI(t, "why", "--address", local, "-o", "json"), &a); err != nil {
			t.Fatal(err)
		}
		at := timeline.Report{Entries: a.Entries}
		return told(at, timeline.Refused, hub.DeviceNotFound, "nobody") && told(at, timeline.Refused, hub.GenericBadRequest, "")
	})
}

// TestWhyOfAFight has two connections take an identity from each other: a few
// entries tell of all of it.
func TestWhyOfAFight(t *testing.T) {
	g := start(t, hubtest.Options{})
	d := newDevice(t, g, "twins").plain()
	const rounds = 300
	for range rounds {
		d.mustConnect(t)
	}
	r := why(t, g, "twins", func(r timeline.Report) bool {
		n := 0
		for _, e := range r.Entries {
			if e.What == timeline.Closed && e.Code == hub.ConnectionReplaced {
				n += e.Count
			}
		}
		return n == rounds-1
	})
	if n := len(r.Entries); n > 4 {
		t.Errorf("%d entries about one fight: %v", n, r.Entries)
	}
	if !told(r, timeline.DuplicateID, hub.ConnectionReplaced, "several clients") {
		t.Errorf("no entry tells of the fight as such: %v", r.Entries)
	}
	if n := strings.Count(g.Log.String(), "took over"); n > 3 {
		t.Errorf("%d lines in the log about one fight", n)
	}
}
