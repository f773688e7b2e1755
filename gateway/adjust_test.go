package gateway

import (
	"testing"

	"github.com/hubgate/hubgate/gateway/mqtt"
)

// Limits change while devices are connected, who stay.
func TestAdjust(t *testing.T) {
	w := newWorld(t, nil)
	a := w.connect(t, "a")
	w.Adjust(Adjustable{Connections: 1, Memory: 1 << 20})
	refused := dial(t, w.addr)
	refused.write(&mqtt.Connect{ClientID: []byte("b"), KeepAlive: 60})
	if k := refused.connack(); k.Code != 3 {
		t.Errorf("CONNACK %d above the new limit", k.Code)
	}
	a.write(&mqtt.Pingreq{})
	next[*mqtt.Pingresp](a)
	w.Adjust(Adjustable{})
	w.connect(t, "b")
	p := w.Protection()
	if p.Connections != 2 || p.Draining || p.Memory != 0 || w.memory.limit.Load() != defaultMemory {
		t.Errorf("got %+v", p)
	}
}
