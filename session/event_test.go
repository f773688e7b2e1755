package session

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/hubgate/hubgate/hub"
)

func TestEventJSON(t *testing.T) {
	begin := Event{
		ID: hub.Identity{Device: "d"}, Connected: true, Time: time.Unix(5, 0), Epoch: 0x1F, Node: "n1",
		Connection: "c1", Remote: "192.0.2.1:4711", ClientAgent: "azure-iot-device/1.18",
	}
	end := begin
	end.Connected, end.Reason, end.Code, end.Duration = false, "the token expired", hub.Unauthorized, 1500*time.Millisecond
	for name, tc := range map[string]struct {
		e            Event
		opType, want string
	}{
		"begin": {begin, "deviceConnected", `{"sequenceNumber":"000000000000000000000000000000000000000000000` + `01F0000000000000000",` +
			`"node":"n1","connection":"c1","remote":"192.0.2.1:4711","clientAgent":"azure-iot-device/1.18"}`},
		"end": {end, "deviceDisconnected", `{"sequenceNumber":"000000000000000000000000000000000000000000000` + `01F0000000000000001",` +
			`"node":"n1","connection":"c1","remote":"192.0.2.1:4711","clientAgent":"azure-iot-device/1.18",` +
			`"reason":"the token expired","errorCode":401003,"durationSeconds":1.5}`},
		"module": {Event{ID: hub.Identity{Device: "d", Module: "m"}}, "deviceDisconnected", `{"sequenceNumber":"0000000000000000000000000000000000000000000000000000000000000001"}`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tc.e.Type(); got != tc.opType {
				t.Errorf("Type() = %s, want %s", got, tc.opType)
			}
			b, err := json.Marshal(tc.e)
			if err != nil || string(b) != tc.want {
				t.Errorf("JSON %s, %v, want\n%s", b, err, tc.want)
			}
		})
	}
}

// As text, a later event of an identity has the greater number.
func TestSequenceNumbersGoUp(t *testing.T) {
	var got []string
	for _, epoch := range []uint64{0, 1, 9, 10, 15, 16, 255, 1 << 32, 1<<64 - 1} {
		got = append(got, Event{Connected: true, Epoch: epoch}.SequenceNumber(), Event{Epoch: epoch}.SequenceNumber())
	}
	if !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) {
		t.Errorf("sequence numbers %q do not go up", got)
	}
	for _, n := range got {
		if len(n) != 64 {
			t.Errorf("sequence number %s has %d digits, want 64", n, len(n))
		}
	}
}

func TestSequenceNumberIsHexadecimal(t *testing.T) {
	for _, epoch := range []uint64{0, 1, 0xF, 0x10, 0xABCDEF, math.MaxUint64} {
		for end, e := range []Event{{Epoch: epoch, Connected: true}, {Epoch: epoch}} {
			if want := fmt.Sprintf("%048X%016X", epoch, end); e.SequenceNumber() != want {
				t.Errorf("%s, want %s", e.SequenceNumber(), want)
			}
		}
	}
}
