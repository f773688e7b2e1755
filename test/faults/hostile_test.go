package faults

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/test/hubtest"
)

// impatient has the gateway wait less for silent peers.
func impatient() []string {
	return []string{"--set", "limits.handshake_timeout=2s", "--set", "limits.connect_timeout=3s"}
}

// bytesOf is a packet as version v has it.
func bytesOf(t *testing.T, p mqtt.Packet, v mqtt.Version) []byte {
	t.Helper()
	b, err := p.Append(nil, v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// garbage is random, but the same each time, and no TLS record.
func garbage(first byte) []byte {
	b := make([]byte, 4096)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	b[0] = first
	return b
}

const httpRequest = "GET / HTTP/1.1\r\nHost: example\r\nConnection: close\r\n\r\n"

// tlsHello is the first flight of a TLS client.
func tlsHello(t *testing.T) []byte {
	t.Helper()
	here, there := net.Pipe()
	defer here.Close()
	go func() {
		_ = tls.Client(there, &tls.Config{InsecureSkipVerify: true}).Handshake()
		_ = there.Close()
	}()
	header := make([]byte, 5)
	if _, err := io.ReadFull(here, header); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, binary.BigEndian.Uint16(header[3:]))
	if _, err := io.ReadFull(here, body); err != nil {
		t.Fatal(err)
	}
	return append(header, body...)
}

// TestStrangers sends to the MQTT ports what is no CONNECT: the connection is
// closed, without a word unless there was a CONNECT to answer, and one log line
// says why. An innocent device does not notice.
func TestStrangers(t *testing.T) {
	g := start(t, hubtest.Options{Flags: loud(impatient()...)})
	d := newDevice(t, g, "somebody")
	innocent := newBystander(t, g, newDevice(t, g, "innocent"))
	secure, sockets := d.tls, address(g, mqttPort)
	plain := address(g, plainPort)
	connect := bytesOf(t, d.hello(), mqtt.V311)
	old := &mqtt.Connect{Version: mqtt.V31, CleanStart: true, ClientID: []byte("d")}
	five := &mqtt.Connect{Version: mqtt.V5, CleanStart: true, ClientID: []byte("d")}
	hello := tlsHello(t)

	cases := map[string]struct {
		addr   string
		tls    *tls.Config // nil: raw bytes
		data   []byte
		leave  bool // then the stranger closes its half
		answer string
		code   hub.Code
		reason string
	}{
		"tls port: garbage":              {sockets, nil, garbage(0x00), false, "", hub.GenericBadRequest, "does not speak TLS"},
		"tls port: garbage like TLS":     {sockets, nil, append([]byte{0x16, 3, 1, 0x10, 0}, garbage(1)...), false, "*", hub.ConnectionLost, "TLS handshake failed"},
		"tls port: http":                 {sockets, nil, []byte(httpRequest), false, "", hub.GenericBadRequest, "does not speak TLS"},
		"tls port: mqtt without tls":     {sockets, nil, connect, false, "", hub.GenericBadRequest, "does not speak TLS"},
		"tls port: silence":              {sockets, nil, nil, false, "", hub.ConnectionLost, "TLS handshake was not finished"},
		"tls port: half a hello":         {sockets, nil, hello[:len(hello)/2], false, "", hub.ConnectionLost, "TLS handshake was not finished"},
		"tls port: hello, then silence":  {sockets, nil, hello, false, "*", hub.ConnectionLost, "TLS handshake was not finished"},
		"tls port: half a hello, leaves": {sockets, nil, hello[:len(hello)/2], true, "", hub.ConnectionLost, "TLS handshake"},

		"in tls: garbage":           {sockets, secure, garbage(0xF3), false, "", hub.GenericBadRequest, ""},
		"in tls: http":              {sockets, secure, []byte(httpRequest), false, "", hub.GenericBadRequest, ""},
		"in tls: silence":           {sockets, secure, nil, false, "", hub.ConnectionLost, "no CONNECT came"},
		"in tls: half a CONNECT":    {sockets, secure, connect[:len(connect)/2], false, "", hub.ConnectionLost, "CONNECT was begun"},
		"in tls: leaves amid":       {sockets, secure, connect[:len(connect)/2], true, "", hub.ConnectionLost, "the peer left"},
		"in tls: PINGREQ first":     {sockets, secure, bytesOf(t, &mqtt.Pingreq{}, mqtt.V311), false, "", hub.GenericBadRequest, "CONNECT"},
		"in tls: PUBLISH first":     {sockets, secure, bytesOf(t, &mqtt.Publish{Topic: []byte("devices/somebody/messages/events/")}, mqtt.V311), false, "", hub.GenericBadRequest, "CONNECT"},
		"in tls: MQTT 3.1":          {sockets, secure, bytesOf(t, old, mqtt.V31), false, "\x20\x02\x00\x01", hub.InvalidProtocol, "level 3"},
		"in tls: MQTT 5":            {sockets, secure, bytesOf(t, five, mqtt.V5), false, "\x20\x31\x00\x84\x2e\x1f\x00\x2bMQTT protocol level 5 is not supported here", hub.InvalidProtocol, "level 5"},
		"in tls: MQTT 6":            {sockets, secure, []byte("\x10\x0c\x00\x04MQTT\x06\x02\x00\x00\x00\x00"), false, "\x20\x03\x00\x84\x00", hub.InvalidProtocol, ""},
		"in tls: 200 MB announced":  {sockets, secure, []byte{0x10, 0xFF, 0xFF, 0xFF, 0x5F, 0, 4}, false, "", hub.MessageTooLarge, ""},
		"in tls: an endless length": {sockets, secure, []byte{0x10, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F}, false, "", hub.GenericBadRequest, ""},

		"plain port: garbage":           {plain, nil, garbage(0x00), false, "", hub.GenericBadRequest, ""},
		"plain port: tls":               {plain, nil, hello, false, "", hub.GenericBadRequest, "speaks TLS"},
		"plain port: http":              {plain, nil, []byte(httpRequest), false, "", hub.GenericBadRequest, ""},
		"plain port: silence":           {plain, nil, nil, false, "", hub.ConnectionLost, "no CONNECT came"},
		"plain port: half a CONNECT":    {plain, nil, connect[:len(connect)/2], false, "", hub.ConnectionLost, "CONNECT was begun"},
		"plain port: 200 MB announced":  {plain, nil, []byte{0x10, 0xFF, 0xFF, 0xFF, 0x5F, 0, 4}, false, "", hub.MessageTooLarge, ""},
		"plain port: one byte, leaves":  {plain, nil, []byte{0x10}, true, "", hub.ConnectionLost, "the peer left"},
		"plain port: leaves right away": {plain, nil, nil, true, "", hub.ConnectionLost, "the peer left"},
	}
	t.Run("all", func(t *testing.T) { // ends when all of them have
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s, err := dial(c.addr, c.tls)
				if err != nil {
					t.Fatal(err)
				}
				defer s.close()
				begin := time.Now()
				_ = s.write(c.data) // the gateway may close before it has read all
				if c.leave {
					_ = s.nc.(interface{ CloseWrite() error }).CloseWrite()
				}
				answer := s.drain(t)
				if c.answer != "*" && string(answer) != c.answer {
					t.Errorf("answer % x, want % x", answer, c.answer)
				}
				if took := time.Since(begin); took > 8*time.Second {
					t.Errorf("closed after %v", took)
				}
				line := loggedOnce(t, g, s.remote())
				if line.Text("code") != codeText(c.code) || !strings.Contains(line.Text("reason"), c.reason) {
					t.Errorf("logged %v, want code %d and a reason with %q", line, c.code, c.reason)
				}
			})
		}
	})
	innocent.finish(t)
}

// drain reads what the gateway sends until it closes the connection.
func (c *client) drain(t *testing.T) []byte {
	t.Helper()
	_ = c.nc.SetReadDeadline(time.Now().Add(patience))
	got, err := io.ReadAll(io.LimitReader(c.nc, 1<<20))
	if err != nil && !isClosed(err) {
		t.Fatalf("the connection was not closed: %v (after % x)", err, got)
	}
	return got
}

// TestBadPackets sends what a connected device may not send: the connection is
// closed without PUBACK, and log, event and session say why.
func TestBadPackets(t *testing.T) {
	g := start(t, hubtest.Options{})
	innocent := newBystander(t, g, newDevice(t, g, "innocent"))
	raw := func(text string) func(string) []byte {
		return func(string) []byte { return []byte(text) }
	}
	publish := func(p mqtt.Publish) func(string) []byte {
		return func(id string) []byte {
			p.ID, p.Topic = 1, bytes.ReplaceAll(p.Topic, []byte("ID"), []byte(id))
			return bytesOf(t, &p, mqtt.V311)
		}
	}
	topic := func(topic string) func(string) []byte {
		return publish(mqtt.Publish{QoS: 1, Topic: []byte(topic), Payload: []byte("x")})
	}
	cases := []struct {
		name   string
		data   func(id string) []byte
		code   hub.Code
		reason string
	}{
		{"another device's topic", topic("devices/innocent/messages/events/"), hub.ArgumentInvalid, "another identity"},
		{"another's module", topic("devices/ID/modules/m/messages/events/"), hub.ArgumentInvalid, "topic"},
		{"an id that begins with its own", topic("devices/IDx/messages/events/"), hub.ArgumentInvalid, "another identity"},
		{"unknown topic", topic("foo/bar"), hub.ArgumentInvalid, "no topic"},
		{"almost a topic", topic("devices/ID/messages/event"), hub.ArgumentInvalid, "no topic"},
		{"the topic of the hub", topic("devices/ID/messages/devicebound/"), hub.ArgumentInvalid, "no topic"},
		{"twin topic of another kind", topic("$iothub/methods/POST/x/?$rid=1"), hub.ArgumentInvalid, "no topic"},
		{"a bag that is not UTF-8", topic("devices/ID/messages/events/a=%FF"), hub.ArgumentInvalid, "UTF-8"},
		{"QoS 2", publish(mqtt.Publish{QoS: 2, Topic: []byte("devices/ID/messages/events/")}), hub.ArgumentInvalid, "QoS 2"},
		{"a body of 256 KiB and a bit", publish(mqtt.Publish{QoS: 1, Topic: []byte("devices/ID/messages/events/"), Payload: bytes.Repeat([]byte("x"), 256<<10+1)}), hub.MessageTooLarge, "limit"},
		{"200 MB announced", raw("\x32\xFF\xFF\xFF\x5F\x00\x04de"), hub.MessageTooLarge, ""},
		{"an endless length", raw("\x32\xFF\xFF\xFF\xFF\x7F"), hub.GenericBadRequest, ""},
		{"a second CONNECT", raw("\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01d"), hub.GenericBadRequest, "CONNECT"},
		{"a server's packet", raw("\x20\x02\x00\x00"), hub.GenericBadRequest, ""},
		{"a reserved type", raw("\xF0\x00"), hub.GenericBadRequest, ""},
		{"PUBACK of nothing, then garbage", raw("\x40\x02\x00\x01\x00\xFF"), hub.GenericBadRequest, ""},
		{"packet id 0", raw("\x32\x05\x00\x01a\x00\x00"), hub.GenericBadRequest, ""},
		{"SUBSCRIBE without filter", raw("\x82\x02\x00\x01"), hub.GenericBadRequest, ""},
		{"SUBSCRIBE with wrong flags", raw("\x80\x06\x00\x01\x00\x01a\x00"), hub.GenericBadRequest, ""},
		{"garbage", raw(string(garbage(0x00))), hub.GenericBadRequest, ""},
		{"http", raw(httpRequest), hub.GenericBadRequest, ""},
	}
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			id := "bad-" + strconv.Itoa(10+i)
			d := newDevice(t, g, id)
			conn := d.mustConnect(t)
			if err := conn.publish(d.eventsTopic(""), "good", 7); err != nil {
				t.Fatal(err)
			}
			_ = conn.write(c.data(id)) // the gateway may close before it has read all
			conn.closed(t)
			checkEnd(t, g, id, conn, end{code: c.code, reason: c.reason})
			if got := len(g.Messages(t, id, 1)); got != 1 {
				t.Errorf("%d messages of it are in the stream, want the good one", got)
			}
			d.mustConnect(t) // it has learned
		})
	}
	innocent.finish(t)
}
