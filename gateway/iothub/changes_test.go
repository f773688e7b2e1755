package iothub

import (
	"testing"
	"time"

	"github.com/hubgate/hubgate/gateway"
	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/sas"
	"github.com/hubgate/hubgate/trust"
)

// A change ends the connections that it does not let in any more, and no other one.
func TestChangesOfLiveConnections(t *testing.T) {
	dev1 := hub.Identity{Device: "dev1"}
	disabled := identity.Record{ID: dev1, GenerationID: "g-dev1", Status: identity.StatusDisabled}
	noPolicies := func(f *Face) { f.Policies = policies{} }
	for name, tc := range map[string]struct {
		policy string // whose key lets dev1 in; empty: its own
		before func(*Face)
		change func(*Face, *gateway.Server)
		want   hub.Code // 0: it goes on
	}{
		"disabled":                     {"", nil, func(f *Face, s *gateway.Server) { f.Changed(s, identity.Change{ID: dev1, Record: &disabled}) }, hub.DeviceDisabled},
		"another one deleted":          {"", nil, func(f *Face, s *gateway.Server) { f.Changed(s, identity.Change{ID: hub.Identity{Device: "dev2"}}) }, 0},
		"deleted at another face":      {"", nil, func(_ *Face, s *gateway.Server) { (&Face{}).Changed(s, identity.Change{ID: dev1}) }, 0},
		"its policy gone":              {"device", noPolicies, (*Face).PoliciesChanged, hub.Unauthorized},
		"its policy as it was":         {"device", nil, (*Face).PoliciesChanged, 0},
		"policies gone, its own key":   {"", noPolicies, (*Face).PoliciesChanged, 0},
		"policies of another face":     {"device", noPolicies, func(_ *Face, s *gateway.Server) { (&Face{}).PoliciesChanged(s) }, 0},
		"no authority, and by a token": {"", func(f *Face) { f.Trust = &trust.Pool{} }, (*Face).TrustChanged, 0},
	} {
		t.Run(name, func(t *testing.T) {
			f, devices, _ := newFace()
			key := devices.key(t, "dev1", 0)
			if tc.policy != "" {
				key = policyKey(t, f, tc.policy)
			}
			s, d := onlineBy(t, f, sas.Sign(host, key, time.Now().Add(time.Hour), tc.policy))
			if tc.before != nil {
				tc.before(f)
			}
			tc.change(f, s)
			if tc.want == 0 {
				d.write(&mqtt.Pingreq{})
				if p, err := d.next(); err != nil {
					t.Fatalf("the connection has ended: %v", err)
				} else if _, ok := p.(*mqtt.Pingresp); !ok {
					t.Errorf("%T came", p)
				}
				return
			}
			select {
			case end := <-d.ends:
				if end.Code != tc.want {
					t.Errorf("the connection ended with %d, %s; want %d", end.Code, end.Reason, tc.want)
				}
			case <-time.After(patience):
				t.Error("the connection goes on")
			}
		})
	}
}
