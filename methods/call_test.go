package methods

import (
	"strings"
	"testing"
	"time"

	"github.com/hubgate/hubgate/hub"
)

func TestComplete(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		call Call
		code hub.Code
	}{
		"plain":                 {Call{Method: "reboot"}, 0},
		"dots":                  {Call{Method: "fan.speed.set"}, 0},
		"wildcards of NATS":     {Call{Method: "a.*.>"}, 0},
		"longest name":          {Call{Method: strings.Repeat("m", MaxName)}, 0},
		"no name":               {Call{}, hub.ArgumentInvalid},
		"long name":             {Call{Method: strings.Repeat("m", MaxName+1)}, hub.ArgumentInvalid},
		"space":                 {Call{Method: "re boot"}, hub.ArgumentInvalid},
		"wildcard of MQTT":      {Call{Method: "a/+"}, hub.ArgumentInvalid},
		"tail wildcard of MQTT": {Call{Method: "#"}, hub.ArgumentInvalid},
		"query":                 {Call{Method: "a?$rid=1"}, hub.ArgumentInvalid},
		"umlaut":                {Call{Method: "lüfter"}, hub.ArgumentInvalid},
		"number":                {Call{Method: "m", Payload: []byte("1e400")}, 0},
		"string":                {Call{Method: "m", Payload: []byte(`"x"`)}, 0},
		"array":                 {Call{Method: "m", Payload: []byte(` [1, {"a":null}] `)}, 0},
		"no JSON":               {Call{Method: "m", Payload: []byte("{")}, hub.ArgumentInvalid},
		"two values":            {Call{Method: "m", Payload: []byte("1 2")}, hub.ArgumentInvalid},
		"blank":                 {Call{Method: "m", Payload: []byte(" ")}, hub.ArgumentInvalid},
		"not UTF-8":             {Call{Method: "m", Payload: []byte("\"\xFF\"")}, hub.ArgumentInvalid},
		"largest payload":       {Call{Method: "m", Payload: []byte(`"` + strings.Repeat("x", MaxPayload-2) + `"`)}, 0},
		"large payload":         {Call{Method: "m", Payload: []byte(`"` + strings.Repeat("x", MaxPayload-1) + `"`)}, hub.MessageTooLarge},
		"shortest response":     {Call{Method: "m", ResponseTimeout: MinResponseTimeout}, 0},
		"short response":        {Call{Method: "m", ResponseTimeout: MinResponseTimeout - 1}, hub.ArgumentInvalid},
		"longest response":      {Call{Method: "m", ResponseTimeout: MaxResponseTimeout}, 0},
		"long response":         {Call{Method: "m", ResponseTimeout: MaxResponseTimeout + 1}, hub.ArgumentInvalid},
		"negative response":     {Call{Method: "m", ResponseTimeout: -time.Second}, hub.ArgumentInvalid},
		"longest connect":       {Call{Method: "m", ConnectTimeout: MaxConnectTimeout}, 0},
		"long connect":          {Call{Method: "m", ConnectTimeout: MaxConnectTimeout + 1}, hub.ArgumentInvalid},
		"negative connect":      {Call{Method: "m", ConnectTimeout: -1}, hub.ArgumentInvalid},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := tt.call
			if err := c.Complete(); hub.CodeOf(err) != tt.code {
				t.Errorf("got %v, want code %d", err, tt.code)
			}
		})
	}
}

func TestCompleteFillsIn(t *testing.T) {
	t.Parallel()
	c := Call{Method: "m"}
	if err := c.Complete(); err != nil {
		t.Fatal(err)
	}
	if string(c.Payload) != "null" || c.ResponseTimeout != DefaultResponseTimeout || c.ConnectTimeout != 0 {
		t.Errorf("got %q, %v and %v", c.Payload, c.ResponseTimeout, c.ConnectTimeout)
	}
}

// Every byte: what MQTT or a URL gives a meaning is out, as SDKs differ there.
func TestNameBytes(t *testing.T) {
	t.Parallel()
	for b := range 256 {
		c := Call{Method: "a" + string([]byte{byte(b)}) + "b"}
		want := b > ' ' && b < 0x7F && !strings.ContainsRune("/?#+%&", rune(b))
		if err := c.Complete(); (err == nil) != want {
			t.Errorf("byte %#x: %v", b, err)
		}
	}
}

func TestOrderComplete(t *testing.T) {
	t.Parallel()
	call := Call{Method: "m"}
	tests := map[string]struct {
		order Order
		code  hub.Code
	}{
		"shortest":        {Order{Call: call, Wait: MinWait}, 0},
		"longest":         {Order{Call: call, Wait: MaxWait}, 0},
		"none":            {Order{Call: call}, hub.ArgumentInvalid},
		"short":           {Order{Call: call, Wait: MinWait - 1}, hub.ArgumentInvalid},
		"long":            {Order{Call: call, Wait: MaxWait + 1}, hub.ArgumentInvalid},
		"connect timeout": {Order{Call: Call{Method: "m", ConnectTimeout: 1}, Wait: MinWait}, hub.ArgumentInvalid},
		"bad call":        {Order{Wait: MinWait}, hub.ArgumentInvalid},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := tt.order
			if err := o.Complete(); hub.CodeOf(err) != tt.code {
				t.Errorf("got %v, want code %d", err, tt.code)
			}
		})
	}
}
