package codec

import (
	"bytes"

	"github.com/hubgate/hubgate/gateway/mqtt"
)

// sample is a packet that every codec is given.
type sample struct {
	name   string
	v      mqtt.Version
	packet mqtt.Packet
	wire   []byte
}

// samples are the packets that come often, in the sizes that the Azure SDKs
// send.
func samples() []sample {
	publish := mqtt.Publish{
		QoS: 1, ID: 7, Payload: bytes.Repeat([]byte("x"), 256),
		Topic: []byte("devices/dev-0001/messages/events/$.ct=application%2Fjson"),
	}
	four := publish
	four.Properties.SetBytes(mqtt.PropertyContentType, []byte("application/json"))
	four.Properties.SetNumber(mqtt.PropertyPayloadFormat, 1)
	four.Properties.AddUser([]byte("temperatureAlert"), []byte("true"))
	four.Properties.AddUser([]byte("building"), []byte("43"))
	connect := mqtt.Connect{
		CleanStart: true, KeepAlive: 240, HasUsername: true, HasPassword: true, ClientID: []byte("dev-0001"),
		Username: []byte("hub.example.com/dev-0001/?api-version=2021-04-12&DeviceClientType=azure-iot-device%2F1.18"),
		Password: bytes.Repeat([]byte("s"), 150),
	}
	subscribe := mqtt.Subscribe{ID: 7, Filters: []mqtt.Filter{
		{Topic: []byte("devices/dev-0001/messages/devicebound/#"), QoS: 1},
		{Topic: []byte("$iothub/methods/POST/#")},
		{Topic: []byte("$iothub/twin/res/#")},
	}}
	all := []sample{
		{name: "PUBLISH/3.1.1", v: mqtt.V311, packet: &publish},
		{name: "PUBLISH/5", v: mqtt.V5, packet: &publish},
		{name: "PUBLISH/5+4props", v: mqtt.V5, packet: &four},
		{name: "CONNECT/3.1.1", v: mqtt.V311, packet: &connect},
		{name: "CONNECT/5", v: mqtt.V5, packet: &connect},
		{name: "SUBSCRIBEx3/3.1.1", v: mqtt.V311, packet: &subscribe},
		{name: "SUBSCRIBEx3/5", v: mqtt.V5, packet: &subscribe},
		{name: "PUBACK/3.1.1", v: mqtt.V311, packet: &mqtt.Puback{ID: 7}},
		{name: "PUBACK/5", v: mqtt.V5, packet: &mqtt.Puback{ID: 7}},
	}
	for i := range all {
		var err error
		if all[i].wire, err = all[i].packet.Append(nil, all[i].v); err != nil {
			panic(err)
		}
	}
	return all
}
