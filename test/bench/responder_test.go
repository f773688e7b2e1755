//go:build linux

package main

import (
	"bufio"
	"bytes"
	"testing"
)

func TestReadPacket(t *testing.T) {
	long := newPublish("a", make([]byte, 20_000)).append(nil, 3)
	in := bufio.NewReader(bytes.NewReader(append(append([]byte{typePingresp, 0}, long...), 0x30, 0xFF, 0xFF, 0xFF, 0xFF, 1)))
	buf := make([]byte, 0, 4)
	for _, want := range [][]byte{{typePingresp, 0}, long} {
		got, err := readPacket(in, buf)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("got %d bytes, %v, want %d", len(got), err, len(want))
		}
		buf = got
	}
	if _, err := readPacket(in, buf); err == nil {
		t.Error("a length of five bytes passes")
	}
}
