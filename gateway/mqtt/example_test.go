package mqtt_test

import (
	"fmt"

	"github.com/hubgate/hubgate/gateway/mqtt"
)

// A server reads packets from its buffer and answers.
func ExampleDecoder() {
	buf := []byte("\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x02d1" + "\x32\x06\x00\x01t\x00\x07x" + "\x30\x7f\x00\x01")
	d := mqtt.Decoder{From: mqtt.FromClient, MaxPacket: 256 << 10}
	var out []byte
	for {
		size, err := d.Frame(buf)
		if err != nil {
			fmt.Println(err)
			return
		}
		if size == 0 || size > len(buf) {
			fmt.Println(len(buf), "bytes of", size, "are there")
			break
		}
		packet, err := d.Decode(buf[:size])
		if err != nil {
			fmt.Println(err)
			return
		}
		switch p := packet.(type) {
		case *mqtt.Connect:
			fmt.Printf("%s says %v\n", p.ClientID, d.Version)
			out, _ = (&mqtt.Connack{}).Append(out, d.Version)
		case *mqtt.Publish:
			fmt.Printf("%s to %s\n", p.Payload, p.Topic)
			out = mqtt.AppendPuback(out, p.ID)
		}
		buf = buf[size:]
	}
	fmt.Printf("% x\n", out)
	// Output:
	// d1 says MQTT 3.1.1
	// x to t
	// 4 bytes of 129 are there
	// 20 02 00 00 40 02 00 07
}

// User properties keep their order, and a property that is absent is not one
// that is zero.
func ExampleProperties() {
	p := mqtt.Publish{Topic: []byte("t")}
	p.Properties.SetNumber(mqtt.PropertyMessageExpiry, 0)
	p.Properties.AddUser([]byte("b"), []byte("1"))
	p.Properties.AddUser([]byte("a"), []byte("2"))
	for name, value := range p.Properties.User() {
		fmt.Printf("%s=%s\n", name, value)
	}
	fmt.Println(p.Properties.Number(mqtt.PropertyMessageExpiry))
	fmt.Println(p.Properties.Number(mqtt.PropertyTopicAlias))
	// Output:
	// b=1
	// a=2
	// 0 true
	// 0 false
}
