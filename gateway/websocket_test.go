package gateway

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
)

// A client gets its own spelling back, of whichever line and place.
func TestSubprotocol(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		lines []string
		want  []string
	}{
		"none":         {nil, nil},
		"mqtt":         {[]string{"mqtt"}, []string{"mqtt"}},
		"the C SDK's":  {[]string{"MQTT"}, []string{"MQTT"}},
		"among others": {[]string{"amqp, Mqtt ,mqtt"}, []string{"Mqtt"}},
		"another line": {[]string{"amqp", "mqtt"}, []string{"mqtt"}},
		"others only":  {[]string{"amqp,mqttv3.1", ""}, nil},
		"a part of it": {[]string{"mqt"}, nil},
	} {
		if got := mqttSubprotocol(http.Header{"Sec-Websocket-Protocol": tc.lines}); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

// Whoever is refused may not ask again on the same connection; whoever is let in keeps it.
func TestRefusedHandshakeClosesItsConnection(t *testing.T) {
	t.Parallel()
	for status, want := range map[int][]string{
		101: {"Upgrade"}, 399: {"Upgrade"}, 400: {"close", "Upgrade"}, 426: {"close", "Upgrade"}, 500: {"close", "Upgrade"},
	} {
		rec := httptest.NewRecorder()
		w := closing{rec}
		w.Header().Set("Connection", "Upgrade")
		w.WriteHeader(status)
		if got := rec.Header()["Connection"]; !slices.Equal(got, want) || w.Unwrap() != http.ResponseWriter(rec) {
			t.Errorf("%d: %q, want %q", status, got, want)
		}
	}
}

// A connection leaves the gate with its first request, and not before; by TLS or not.
func TestGateIsLeftWithTheFirstRequest(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{false, true} {
		near, far := net.Pipe()
		g := gate{limit: 1}
		own := newTurns().enter()
		own.ticket = g.enter(near)
		gated := &gatedConn{near, own}
		var nc net.Conn = gated
		if secure {
			nc = tls.Server(gated, &tls.Config{MinVersion: tls.VersionTLS12})
		}
		if err := own.take(); err != nil {
			t.Fatal(err)
		}
		for _, state := range []http.ConnState{http.StateNew, http.StateIdle, http.StateClosed} {
			if ConnState(nc, state); g.waiting() != 1 || len(own.of.slots) != 1 {
				t.Errorf("%v: it has left the gate", state)
			}
		}
		for range 2 {
			if ConnState(nc, http.StateActive); g.waiting() != 0 || len(own.of.slots) != 0 {
				t.Error("it has not left the gate")
			}
		}
		ConnState(far, http.StateActive) // which is none of the gate's
		if err := gated.Close(); err != nil || g.waiting() != 0 {
			t.Errorf("close: %v, %d are in the gate", err, g.waiting())
		}
		_ = far.Close()
	}
}

// Only bad credentials are counted against a client: of anything else he can be innocent.
func TestWhatCountsAsAnOffence(t *testing.T) {
	for code, want := range map[hub.Code]bool{
		hub.Unauthorized: true, hub.DeviceNotFound: true, hub.ModuleNotFound: true,
		hub.ServiceUnavailable: false, hub.Throttled: false, hub.ConnectionReplaced: false, hub.ArgumentInvalid: false,
	} {
		w := newWorld(t, func(w *world) {
			w.face.refuse = func(string) error { return hub.Errorf(code, "no") }
		})
		c := dial(t, w.addr)
		c.write(&mqtt.Connect{ClientID: []byte("d")})
		c.connack()
		c.closed()
		if got := w.offences.count.Load() > 0; got != want {
			t.Errorf("%d counts as an offence: %v, want %v", code, got, want)
		}
	}
}
