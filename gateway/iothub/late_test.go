package iothub

import (
	"testing"
	"time"

	"github.com/hubgate/hubgate/gateway"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/sas"
	"github.com/hubgate/hubgate/trust/trusttest"
)

// stopChannel is a link that tells why it was stopped.
type stopChannel struct {
	gateway.Link
	causes chan error
}

func (s *stopChannel) Stop(cause error) { s.causes <- cause }

// What changes while a client is let in, before the table of connections has
// it, does not let it stay.
func TestChangesDuringAdmission(t *testing.T) {
	dev, mod := hub.Identity{Device: "dev1"}, hub.Identity{Device: "dev1", Module: "mod1"}
	edit := func(p *plant, id hub.Identity, change func(*identity.Record)) {
		r := p.devices[id]
		change(&r)
		p.devices[id] = r
	}
	rekey := func(r *identity.Record) {
		r.Authentication.SymmetricKey = identity.SymmetricKey{PrimaryKey: sas.NewKey(), SecondaryKey: sas.NewKey()}
	}
	for name, tc := range map[string]struct {
		id     string
		change func(*plant)
		want   hub.Code // 0: it stays
	}{
		"another device's":      {"dev1", func(p *plant) { edit(p, hub.Identity{Device: "dev2"}, rekey) }, 0},
		"keys replaced":         {"dev1", func(p *plant) { edit(p, dev, rekey) }, hub.Unauthorized},
		"disabled":              {"dev1", func(p *plant) { edit(p, dev, func(r *identity.Record) { r.Status = identity.StatusDisabled }) }, hub.DeviceDisabled},
		"made again":            {"dev1", func(p *plant) { edit(p, dev, func(r *identity.Record) { r.GenerationID = "x" }) }, hub.DeviceNotFound},
		"deleted":               {"dev1", func(p *plant) { delete(p.devices, dev) }, hub.DeviceNotFound},
		"its device disabled":   {"dev1/mod1", func(p *plant) { edit(p, dev, func(r *identity.Record) { r.Status = identity.StatusDisabled }) }, hub.DeviceDisabled},
		"module's keys":         {"dev1/mod1", func(p *plant) { edit(p, mod, rekey) }, hub.Unauthorized},
		"thumbprint replaced":   {"self", func(p *plant) { p.add("self", identity.Authentication{Type: identity.AuthSelfSigned}) }, hub.Unauthorized},
		"from CA to thumbprint": {"ca", func(p *plant) { p.add("ca", identity.Authentication{Type: identity.AuthSelfSigned}) }, hub.Unauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlant(t)
			chains := map[string]*trusttest.Pair{"self": p.first, "ca": p.root.Leaf(t, "ca")}
			var a gateway.Admission
			if pair := chains[tc.id]; pair != nil {
				var err error
				if a, err = p.come(t, tc.id, "", pair.Chain()); err != nil {
					t.Fatal(err)
				}
			} else {
				a = admitted(t, p.Face, p.devices, tc.id)
			}
			h, l := a.Handler.(*handler), &stopChannel{Link: newLink(), causes: make(chan error, 1)}
			h.recheckIdentity(l) // nothing has changed: nobody is asked
			tc.change(p)
			p.Changed(&gateway.Server{}, identity.Change{ID: hub.Identity{Device: "any"}})
			if tc.want == 0 {
				if err := h.recheckNow(t.Context()); err != nil {
					t.Errorf("stopped because of %v", err)
				}
				return
			}
			h.Attach(l)
			select {
			case cause := <-l.causes:
				if hub.CodeOf(cause) != tc.want {
					t.Errorf("stopped because of %v, want %d", cause, tc.want)
				}
			case <-time.After(time.Minute):
				t.Error("it stays")
			}
		})
	}
}
