package main

import (
	"strings"
	"testing"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// TestSemicolon: an id that fits in no connection string connects with a token,
// as the note says that takes the string's place.
func TestSemicolon(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := startDev(t, dir)
	env := []string{"HUBGATE_DATA_DIR=" + dir}
	for _, tt := range []struct{ kind, id string }{{"device", "a;b"}, {"module", "a;b/c;d"}} {
		if r := hubgate(t, env, tt.kind, "create", tt.id); r.code != exitOK || !strings.Contains(r.out, "hubgate sas") {
			t.Fatalf("create: %d, %s%s", r.code, r.out, r.err)
		}
		token := hubgate(t, env, "sas", "--"+tt.kind, tt.id)
		d, err := dialDeviceWith(t, p, p.ready.DeviceConnectionString, func(o *paho.ClientOptions) {
			o.SetClientID(tt.id)
			o.SetUsername("127.0.0.1/" + tt.id + "/?api-version=2021-04-12")
			o.SetPassword(strings.TrimSpace(token.out))
		})
		if err != nil {
			t.Errorf("%s: %v", tt.id, err)
			continue
		}
		d.Disconnect(100)
	}
	p.stopCleanly(t)
}
