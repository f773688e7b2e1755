package mqtt_test

import (
	"bytes"
	"testing"

	"github.com/hubgate/hubgate/gateway/mqtt"
)

// benchmarked are the packets of the benchmarks: those that come often, in the
// sizes that the Azure SDKs send.
func benchmarked() []struct {
	name string
	golden
} {
	topic := []byte("devices/dev-0001/messages/events/$.ct=application%2Fjson")
	payload := bytes.Repeat([]byte("x"), 256)
	four := properties(text(mqtt.PropertyContentType, "application/json"), number(mqtt.PropertyPayloadFormat, 1),
		user("temperatureAlert", "true"), user("building", "43"))
	filters := []mqtt.Filter{
		{Topic: []byte("devices/dev-0001/messages/devicebound/#"), QoS: 1},
		{Topic: []byte("$iothub/methods/POST/#")},
		{Topic: []byte("$iothub/twin/res/#")},
	}
	connect := mqtt.Connect{
		CleanStart: true, KeepAlive: 240, HasUsername: true, HasPassword: true, ClientID: []byte("dev-0001"),
		Username: []byte("hub.example.com/dev-0001/?api-version=2021-04-12&DeviceClientType=azure-iot-device%2F1.18"),
		Password: bytes.Repeat([]byte("s"), 150),
	}
	packets := []struct {
		name string
		golden
	}{
		{"PUBLISH/3.1.1", golden{v: v3, packet: &mqtt.Publish{QoS: 1, ID: 7, Topic: topic, Payload: payload}}},
		{"PUBLISH/5", golden{v: mqtt.V5, packet: &mqtt.Publish{QoS: 1, ID: 7, Topic: topic, Payload: payload}}},
		{"PUBLISH/5+4props", golden{v: mqtt.V5, packet: &mqtt.Publish{QoS: 1, ID: 7, Topic: topic, Payload: payload, Properties: four}}},
		{"CONNECT/3.1.1", golden{v: v3, packet: &connect}},
		{"CONNECT/5", golden{v: mqtt.V5, packet: &connect}},
		{"SUBSCRIBEx3/3.1.1", golden{v: v3, packet: &mqtt.Subscribe{ID: 7, Filters: filters}}},
		{"SUBSCRIBEx3/5", golden{v: mqtt.V5, packet: &mqtt.Subscribe{ID: 7, Filters: filters}}},
		{"PUBACK/3.1.1", golden{v: v3, packet: &mqtt.Puback{ID: 7}}},
		{"PUBACK/5", golden{v: mqtt.V5, packet: &mqtt.Puback{ID: 7}}},
		{"PINGREQ", golden{v: v3, packet: &mqtt.Pingreq{}}},
	}
	for i := range packets {
		p := &packets[i]
		var err error
		if p.wire, err = p.packet.Append(nil, p.v); err != nil {
			panic(err)
		}
	}
	return packets
}

func BenchmarkDecode(b *testing.B) {
	for _, p := range benchmarked() {
		b.Run(p.name, func(b *testing.B) {
			version := versionOf(p.golden)
			var d mqtt.Decoder
			b.ReportAllocs()
			b.SetBytes(int64(len(p.wire)))
			for b.Loop() {
				d.Version = version
				if _, err := d.Decode(p.wire); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkFrameAndDecode is what a connection does for a packet.
func BenchmarkFrameAndDecode(b *testing.B) {
	p := benchmarked()[0]
	d := mqtt.Decoder{Version: p.v, From: mqtt.FromClient, MaxPacket: 256 << 10, LenientTopics: true}
	b.ReportAllocs()
	for b.Loop() {
		n, err := d.Frame(p.wire)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := d.Decode(p.wire[:n]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, p := range benchmarked() {
		b.Run(p.name, func(b *testing.B) {
			buf := make([]byte, 0, 2*len(p.wire))
			b.ReportAllocs()
			b.SetBytes(int64(len(p.wire)))
			for b.Loop() {
				if _, err := p.packet.Append(buf, p.v); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppendPuback(b *testing.B) {
	buf := make([]byte, 0, 64)
	for b.Loop() {
		if len(mqtt.AppendPuback(buf, 7)) != 4 {
			b.Fatal("not four bytes")
		}
	}
}
