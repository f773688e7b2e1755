package iothub

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubgate/hubgate/gateway"
	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/sas"
)

// acked notes when the PUBACK was due.
type acked struct{ at time.Time }

func (a *acked) Stored(uint64, error) { a.at = time.Now() }

func TestPubackOfJavasPatchWaits(t *testing.T) {
	const (
		java     = "com.microsoft.azure.sdk.iot.iot-device-client/2.5.0 (OpenJDK; 17)"
		python   = "azure-iot-device-iothub-py/2.14.0(3.11.7;Linux)"
		reported = "$iothub/twin/PATCH/properties/reported/?$rid=1"
	)
	for name, tc := range map[string]struct {
		agent, topic string
		qos          byte
		want         time.Duration
	}{
		"patch":              {java, reported, 1, javaPause},
		"patch with QoS 0":   {java, reported, 0, 0},
		"patch of another":   {python, reported, 1, 0},
		"patch of a nobody":  {"", reported, 1, 0},
		"get":                {java, "$iothub/twin/GET/?$rid=1", 1, 0},
		"answer to a method": {java, "$iothub/methods/res/200/?$rid=1", 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, link, _ := withTwin(t, filterTwinResults)
				h.java = isJava(tc.agent)
				begin, ack := time.Now(), &acked{}
				p := &mqtt.Publish{Topic: []byte(tc.topic), QoS: tc.qos, ID: 1, Payload: []byte(`{"a":1}`)}
				if err := h.Publish(p, ack, 0); err != nil {
					t.Fatal(err)
				}
				if got := ack.at.Sub(begin); got != tc.want {
					t.Errorf("PUBACK after %v, want %v", got, tc.want)
				}
				if tc.topic == reported {
					sent(t, link) // the answer follows the PUBACK
				}
			})
		})
	}
}

func TestAdmitKnowsJava(t *testing.T) {
	f, devices, _ := newFace()
	token := sas.Sign(sas.Resource(host, hub.Identity{Device: "dev1"}), devices.key(t, "dev1", 0), time.Now().Add(time.Hour), "")
	for agent, want := range map[string]bool{
		"com.microsoft.azure.sdk.iot.iot-device-client%2F2.5.0": true,
		"azure-iot-device%2F1.18.4":                             false,
	} {
		user := host + "/dev1/?api-version=2020-09-30&DeviceClientType=" + agent
		a, err := f.Admit(t.Context(), connectOf("dev1", user, token), gateway.Peer{})
		if err != nil {
			t.Fatal(err)
		}
		if got := a.Handler.(*handler).java; got != want {
			t.Errorf("%s is Java: %v, want %v", agent, got, want)
		}
	}
}
