package attack

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/sas"
	"github.com/hubgate/hubgate/test/hubtest"
)

// connections is the number of connection events of a device.
func (g *target) connections(t *testing.T, d *device) (n int) {
	t.Helper()
	g.Each(t, "HUB_EVENTS", "hub.events.connection."+hubtest.Key(d.id.String()), func(jetstream.Msg) { n++ })
	return n
}

// replace gives a device other keys, and waits until the gateway knows.
func (d *device) replace(t *testing.T, change func(*identity.SymmetricKey)) {
	t.Helper()
	r, err := d.g.client.Registry().GetWithKeys(t.Context(), d.id)
	if err != nil {
		t.Fatal(err)
	}
	change(&r.Authentication.SymmetricKey)
	if r, err = d.g.client.Registry().Update(t.Context(), r, r.ETag); err != nil {
		t.Fatal(err)
	}
	d.setKeys(t, r)
}

// TestReplay sends tokens again that were good once: after the key was
// replaced, after the device was made anew, after its policy has other keys.
// Each time what is good now goes on, and a connection by the old key ends.
func TestReplay(t *testing.T) {
	g := start(t)
	w := watch(t, g, 1, 2*time.Millisecond)
	d := g.create(t, "rotated")
	primary, secondary := d.token(), forge(d.sr(), inAnHour(), d.secondary, "")
	steady := d.join(t) // by the primary key
	d.replace(t, func(k *identity.SymmetricKey) { k.SecondaryKey = sas.NewKey() })
	replayed(t, d, secondary, hub.Unauthorized, "neither key")
	if err := steady.publish(d.events(""), "still here"); err != nil {
		t.Errorf("a connection by the key that stays has ended: %v", err)
	}

	d.replace(t, func(k *identity.SymmetricKey) { k.PrimaryKey, k.SecondaryKey = k.SecondaryKey, sas.NewKey() })
	if _, err := steady.receive(); !isClosed(err) {
		t.Errorf("a connection by the key that went: %v, want that it ends", err)
	}
	replayed(t, d, primary, hub.Unauthorized, "neither key")
	d.join(t) // by what was the secondary key

	old := d.token()
	if err := g.client.Registry().Delete(t.Context(), d.id, ""); err != nil {
		t.Fatal(err)
	}
	replayed(t, d, old, hub.DeviceNotFound, "rotated")
	d = g.create(t, "rotated")
	replayed(t, d, old, hub.Unauthorized, "neither key")

	policy := forge(d.sr(), inAnHour(), g.policies["device"], "device")
	kv, err := g.JS.KeyValue(t.Context(), "hub_policies")
	if err != nil {
		t.Fatal(err)
	}
	next := sas.Policy{Name: "device", PrimaryKey: sas.NewKey(), SecondaryKey: sas.NewKey(), Permissions: sas.DeviceConnect}
	guest := dialTLS(t, g, mqttPort)
	hello := d.hello()
	hello.Password = []byte(policy)
	guest.welcomed(t, hello)
	value, err := json.Marshal(next)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Put(t.Context(), "device", value); err != nil {
		t.Fatal(err)
	}
	if _, err := guest.receive(); !isClosed(err) {
		t.Errorf("a connection by the policy's old key: %v, want that it ends", err)
	}
	replayed(t, d, policy, hub.Unauthorized, "neither key of the policy")
	if err := kv.Delete(t.Context(), "device"); err != nil {
		t.Fatal(err)
	}
	gone := forge(d.sr(), inAnHour(), decodeKey(t, next.PrimaryKey), "device")
	g.await(t, "end of the policy", func() bool {
		hello.Password = []byte(gone)
		code, err := dialTLS(t, g, mqttPort).ask(hello)
		return err == nil && code != 0
	})
	replayed(t, d, gone, hub.Unauthorized, "there is no policy")
	w.finish(t)
}

func replayed(t *testing.T, d *device, token string, code hub.Code, words string) {
	t.Helper()
	hello := d.hello()
	hello.Password = []byte(token)
	refused(t, d.g, d.id, hello, code, words)
}
