package iothub

import (
	"testing"

	"github.com/hubgate/hubgate/gateway"
	"github.com/hubgate/hubgate/hub"
)

// TestStrangerAtDisabledDevice: who proves nothing does not hear that a device is disabled, and has bad credentials.
func TestStrangerAtDisabledDevice(t *testing.T) {
	f, _, _ := newFace()
	for name, password := range map[string]string{"nothing": "", "no token": "secret"} {
		_, err := f.Admit(t.Context(), connectOf("off", host+"/off/", password), gateway.Peer{})
		if code := hub.CodeOf(err); code != hub.Unauthorized {
			t.Errorf("%s: %v (CONNACK %d), want Unauthorized (CONNACK %d)", name, err, code.Connack(), hub.Unauthorized.Connack())
		}
	}
}
