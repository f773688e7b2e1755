package conformance

import (
	"fmt"
	"slices"
	"testing"
)

// telemetryArrives sends 200 messages with every system property the SDK can set
// and hostile application properties; all arrive byte for byte, in order.
func telemetryArrives(t *testing.T, g *gateway, s *sdk) {
	id := deviceName(t)
	who := g.create(id)
	d := s.start(t)
	d.do("open", "a", s.open(g, id, who.ConnectionString, nil))
	all := telemetry(s.trim(id))
	window := len(all) // in flight at once
	if s.reorders {
		window = 1
	}
	for some := range slices.Chunk(all, window) {
		var answers []<-chan line
		for _, m := range some {
			answers = append(answers, d.begin("send", "a", args{"message": m}))
		}
		for i, answer := range answers {
			if l := d.finish("send of "+some[i].MessageID, answer); l.Error != nil {
				t.Fatalf("send %s: %v", some[i].MessageID, l.Error)
			}
		}
	}
	compare(t, id, who, all, g.messages(id, len(all)))
	d.do("close", "a", nil)
}

// hostileDeviceID sends from a device whose id has most of the marks that ids may
// have. Not +, # and %: the SDKs' own MQTT libraries refuse them.
func hostileDeviceID(t *testing.T, g *gateway, s *sdk) {
	id := "a.b-c:d_e*f?g!h(i)j,k=l@m$n'o-" + s.String()
	who := g.create(id)
	d := s.start(t)
	d.do("open", "a", s.open(g, id, who.ConnectionString, nil))
	all := telemetry(s.trim(id))[:10]
	for _, m := range all {
		d.do("send", "a", args{"message": m})
	}
	compare(t, id, who, all, g.messages(id, len(all)))
	d.do("close", "a", nil)
}

// formerHub is the name of the IoT Hub that a fleet comes from.
const formerHub = "contoso.azure-devices.net"

// gatewayHostName leaves a device's connection string as it was, but for a
// GatewayHostName: the SDK dials that and goes on naming its former hub.
func gatewayHostName(t *testing.T, g *gateway, s *sdk) {
	id := deviceName(t)
	who := g.create(id)
	old := withHost(who.ConnectionString, g.Ready.HostName, formerHub) + ";GatewayHostName=" + g.Ready.HostName
	d := s.start(t)
	d.do("open", "a", s.open(g, id, old, nil))
	m := s.adapt(id, message{Body: []byte("by way of the gateway"), MessageID: "1"})
	d.do("send", "a", args{"message": m})
	compare(t, id, who, []message{m}, g.messages(id, 1))
	d.do("close", "a", nil)
}

// moduleSends sends from a module, to an output too where the SDK can.
func moduleSends(t *testing.T, g *gateway, s *sdk) {
	device := deviceName(t)
	id := device + "/mod.1"
	g.create(device)
	who := g.create(id)
	d := s.start(t)
	d.do("open", "a", s.open(g, id, who.ConnectionString, nil))
	all := telemetry(s.trim(id))[:20]
	if s.outputs {
		for i := range all[10:] {
			all[10+i].Output = "out 1/&=" + fmt.Sprint(i)
		}
	}
	for _, m := range all {
		d.do("send", "a", args{"message": m})
	}
	compare(t, id, who, all, g.messages(id, len(all)))
	d.do("close", "a", nil)
}
