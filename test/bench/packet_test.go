//go:build linux

package main

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

func TestConnectAppend(t *testing.T) {
	tests := map[string]struct {
		connect connect
		want    string
	}{
		"no user":  {connect{ClientID: "a", Clean: true, KeepAlive: 300}, "100d00044d5154540402012c000161"},
		"password": {connect{ClientID: "a", Username: "u", Password: "pw", KeepAlive: 1}, "101400044d51545404c00001000161" + "000175" + "00027077"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := hex.EncodeToString(tc.connect.append(nil)); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

func TestPublishAppend(t *testing.T) {
	p := newPublish("a/b", []byte("xyz"))
	got := p.append([]byte{0xFF}, 0x0102)
	want, _ := hex.DecodeString("ff" + "320a" + "0003612f62" + "0102" + "78797a")
	if !bytes.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
	if again := p.append(nil, 7); again[7] != 0 || again[8] != 7 || p.packet[8] != 0 {
		t.Errorf("second id: got %x, template %x", again, p.packet)
	}
}

func TestPublishLongHeader(t *testing.T) {
	p := newPublish("t", bytes.Repeat([]byte("x"), 300))
	b := p.append(nil, 9)
	size, err := frame(b)
	if err != nil || size != len(b) {
		t.Errorf("frame of %d bytes: got %d, %v", len(b), size, err)
	}
	if b[p.idAt] != 0 || b[p.idAt+1] != 9 {
		t.Errorf("packet id: got %x", b[p.idAt:p.idAt+2])
	}
}

func TestSubscribeAndDisconnect(t *testing.T) {
	got := hex.EncodeToString(appendDisconnect(appendSubscribe(nil, 1, "d/#")))
	if want := "82080001" + "0003642f23" + "01" + "e000"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestFrame(t *testing.T) {
	tests := map[string]struct {
		packet string
		want   int
		err    error
	}{
		"nothing":         {"", 0, nil},
		"first byte":      {"40", 0, nil},
		"puback":          {"40020001", 4, nil},
		"puback and more": {"4002000140", 4, nil},
		"body missing":    {"400200", 0, nil},
		"empty body":      {"d000", 2, nil},
		"length cut off":  {"3080", 0, nil},
		"five digits":     {"30ffffffff7f", 0, errFrame},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			b, err := hex.DecodeString(tc.packet)
			if err != nil {
				t.Fatal(err)
			}
			got, err := frame(b)
			if got != tc.want || !errors.Is(err, tc.err) {
				t.Errorf("got %d, %v, want %d, %v", got, err, tc.want, tc.err)
			}
		})
	}
}

func TestPacketID(t *testing.T) {
	for n, want := range map[uint64]uint16{0: 1, 1: 2, 65534: 65535, 65535: 1} {
		if got := packetID(n); got != want {
			t.Errorf("message %d: got %d, want %d", n, got, want)
		}
	}
}

func TestCheckConnack(t *testing.T) {
	tests := map[string]struct {
		packet []byte
		want   string
	}{
		"accepted":        {[]byte{typeConnack, 2, 0, 0}, ""},
		"session present": {[]byte{typeConnack, 2, 1, 0}, ""},
		"refused":         {[]byte{typeConnack, 2, 0, 5}, "return code 5"},
		"other packet":    {[]byte{typePuback, 2, 0, 0}, "expected CONNACK"},
		"short":           {[]byte{typeConnack}, "expected CONNACK"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			err := checkConnack(tc.packet)
			if (err == nil) != (tc.want == "") || (err != nil && !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}
