//go:build linux

package main

import (
	"bufio"
	"bytes"
	"net"
	"strings"
	"testing"
	"time"
)

func TestRequest(t *testing.T) {
	r := newRequest(twinPatch, `{"a":"@","b":"@"}`, patchReply)
	b := r.append([]byte("before"), 0x1f3)
	packet, found := bytes.CutPrefix(b, []byte("before"))
	size, err := frame(packet)
	topic, body, splitErr := splitPublish(packet)
	if !found || err != nil || splitErr != nil || size != len(packet) || packet[0] != typePublishQ0 {
		t.Fatalf("got %q: %v, %v", b, err, splitErr)
	}
	if string(topic) != twinPatch+"000001f3" || string(body) != `{"a":"000001f3","b":"000001f3"}` {
		t.Errorf("topic %q, body %q", topic, body)
	}
	if string(r.answer) != "$iothub/twin/res/204/?$rid=" {
		t.Errorf("answer %q", r.answer)
	}
	if again := r.append(nil, 2); !bytes.Contains(again, []byte(twinPatch+"00000002")) {
		t.Errorf("the next one is %q", again)
	}
}

func TestSplitPublish(t *testing.T) {
	long := strings.Repeat("x", 300)
	if topic, rest, err := splitPublish(newPublish("a/b", []byte(long)).append(nil, 7)); err != nil || string(topic) != "a/b" || string(rest) != "\x00\x07"+long {
		t.Errorf("got %q, %q, %v", topic, rest, err)
	}
	for _, packet := range []string{"", "\x30", "\x30\x01\x00", "\x30\x04\x00\x09ab", "\x30\x80"} {
		if _, _, err := splitPublish([]byte(packet)); err == nil {
			t.Errorf("%x passes for a PUBLISH", packet)
		}
	}
}

// hubServer answers the requests of a device, and delivers its messages.
type hubServer struct {
	status   string
	skew     int // added to the number of an answer
	mail     int // messages that are delivered after SUBSCRIBE, in two halves
	numberAt int // number of the first message
}

func (h hubServer) serve(t *testing.T) *client {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go h.answer(conn)
		}
	}()
	who := login{connect: connect{ClientID: "d", Clean: true}.append(nil)}
	c, err := dialClient(l.Addr().(*net.TCPAddr).AddrPort(), nil, who)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	return c
}

func (h hubServer) answer(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	for n, acked := 0, 0; ; {
		packet, err := readPacket(in, nil)
		if err != nil {
			return
		}
		var out []byte
		switch packet[0] {
		case typeConnect:
			out = []byte{typeConnack, 2, 0, 0}
		case typeSubscribe:
			out = []byte{typeSuback, 3, packet[2], packet[3], 1}
			out = h.deliver(out, 0, h.mail/2)
		case typePuback:
			if acked++; acked == h.mail/2 { // the rest, so that it does not come with the first half
				out = h.deliver(nil, acked, h.mail)
			}
		case typePublishQ0:
			number := make([]byte, numberSize)
			putNumber(number, uint64(n+h.skew))
			topic := "$iothub/twin/res/" + h.status + "/?$rid=" + string(number)
			out = appendString(appendHeader(nil, typePublishQ0, 2+len(topic)), topic)
			n++
		default:
			continue
		}
		if _, err := conn.Write(out); err != nil {
			return
		}
	}
}

// deliver appends the messages from one to another.
func (h hubServer) deliver(b []byte, from, to int) []byte {
	for i := from; i < to; i++ {
		body := make([]byte, numberSize+4)
		putNumber(body, uint64(h.numberAt+i))
		b = newPublish("devices/d/messages/devicebound/", body).append(b, uint16(i+1))
	}
	return b
}

func TestTwinAnswers(t *testing.T) {
	tests := map[string]struct {
		hub     hubServer
		refused bool
		astray  bool
	}{
		"answers":      {hubServer{status: "200"}, false, false},
		"refusals":     {hubServer{status: "429"}, true, false},
		"out of order": {hubServer{status: "200", skew: 1}, false, true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := tc.hub.serve(t)
			c.asks = newRequest(twinGet, " ", getReply)
			out, err := run([]*client{c}, load{window: 4, measure: 50 * time.Millisecond, probe: func() usage { return usage{} }})
			if err != nil {
				t.Fatal(err)
			}
			if out.Sent == 0 || out.Acked != out.Sent || out.Dropped > 0 {
				t.Errorf("got %+v", out)
			}
			if (out.Refused == int(out.Acked)) != tc.refused || (out.Disorder == int(out.Acked)) != tc.astray {
				t.Errorf("%d refused, %d out of order, of %d", out.Refused, out.Disorder, out.Acked)
			}
		})
	}
}

func TestCollect(t *testing.T) {
	tests := map[string]struct {
		hub      hubServer
		disorder int
	}{
		"in order":   {hubServer{mail: 20}, 0},
		"one missed": {hubServer{mail: 20, numberAt: 1}, 20},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			e, err := newEngine([]*client{tc.hub.serve(t)}, load{probe: func() usage { return usage{} }})
			if err != nil {
				t.Fatal(err)
			}
			defer e.close()
			asked, early := 0, false
			err = e.collect(20, func() (bool, error) {
				asked, early = asked+1, early || e.out.Acked < 20
				return asked > 2, nil
			})
			if err != nil || e.out.Acked != 20 || e.out.Counted != 20 || e.out.Disorder != tc.disorder || e.out.Dropped > 0 {
				t.Errorf("got %+v, %v", e.out, err)
			}
			if asked != 3 || early {
				t.Errorf("asked %d times whether the queues are empty, want 3; before all has come: %v", asked, early)
			}
		})
	}
}
