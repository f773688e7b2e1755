package faults

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/sas"
	"github.com/hubgate/hubgate/test/hubtest"
)

// TestPolicyKeyReplaced replaces the keys of a policy: the connection that a
// token of the old key let in ends within a second, others go on.
func TestPolicyKeyReplaced(t *testing.T) {
	g := start(t, hubtest.Options{})
	innocent := newBystander(t, g, newDevice(t, g, "innocent"))
	d := newDevice(t, g, "guest")
	conn := d.with(password(signed(d, d.id, policyOf(t, g)["device"], "device"))).mustConnect(t)
	policy, err := json.Marshal(sas.Policy{
		Name: "device", PrimaryKey: sas.NewKey(), SecondaryKey: sas.NewKey(), Permissions: sas.DeviceConnect,
	})
	if err != nil {
		t.Fatal(err)
	}
	kv, err := g.JS.KeyValue(t.Context(), "hub_policies")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Put(t.Context(), "device", policy); err != nil {
		t.Fatal(err)
	}
	changed := time.Now()
	conn.closed(t)
	if took := time.Since(changed); took > time.Second {
		t.Errorf("the connection was cut after %v, want within a second", took)
	}
	checkEnd(t, g, "guest", conn, end{code: hub.Unauthorized, reason: "policy"})
	innocent.finish(t)
}
