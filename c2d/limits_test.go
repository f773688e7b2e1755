package c2d

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubgate/hubgate/hub"
)

func TestLimits(t *testing.T) {
	t.Parallel()
	now := time.Now()
	l := Limits{Size: 10, DefaultTTL: time.Minute, MaxTTL: time.Hour}
	for name, tt := range map[string]struct {
		m    Message
		code hub.Code
	}{
		"largest":      {Message{Device: "d", Body: make([]byte, 10)}, 0},
		"too large":    {Message{Device: "d", MessageID: "1", Body: make([]byte, 10)}, hub.MessageTooLarge},
		"longest":      {Message{Device: "d", Expires: now.Add(time.Hour)}, 0},
		"too long":     {Message{Device: "d", Expires: now.Add(time.Hour + 2*time.Minute)}, hub.InvalidExpiry},
		"a long id":    {Message{Device: "d", MessageID: strings.Repeat("i", 129)}, hub.ArgumentInvalid},
		"expired":      {Message{Device: "d", Expires: now.Add(-time.Hour)}, 0}, // it is no fault of the message
		"ack in upper": {Message{Device: "d", Ack: "Full"}, hub.ArgumentInvalid},
	} {
		if err := l.Validate(&tt.m, now); hub.CodeOf(err) != tt.code {
			t.Errorf("%s: Validate = %v, want %d", name, err, tt.code)
		}
	}
	if got := l.Deadline(&Message{Enqueued: now}); !got.Equal(now.Add(time.Minute)) {
		t.Errorf("the default deadline is %v", got.Sub(now))
	}
}

// What nobody has set is as documented.
func TestDefaultLimits(t *testing.T) {
	t.Parallel()
	var l Limits
	if l.deliveries() != 10 || l.lock() != time.Minute || l.MaxSize() != 64<<10 || l.Longest() != 48*time.Hour || l.defaultTTL() != time.Hour {
		t.Errorf("%d deliveries, %v, %d bytes, %v, %v", l.deliveries(), l.lock(), l.MaxSize(), l.Longest(), l.defaultTTL())
	}
	l = Limits{Deliveries: 1, Lock: 1, Window: 1, Size: 1, DefaultTTL: 1, MaxTTL: 1}
	if l.deliveries() != 1 || l.lock() != 1 || l.window() != 1 || l.MaxSize() != 1 || l.Longest() != 1 || l.defaultTTL() != 1 {
		t.Errorf("the least of all limits are not taken: %+v", l)
	}
}

// Senders read what the gateway has written.
func TestLimitsMetadata(t *testing.T) {
	t.Parallel()
	l := Limits{Size: 1000, DefaultTTL: 90 * time.Second, MaxTTL: 30 * 24 * time.Hour}
	if got := ParseMetadata(l.Metadata()); got != l {
		t.Errorf("got %+v, want %+v", got, l)
	}
	if got := ParseMetadata((Limits{}).Metadata()); got != (Limits{Size: MaxSize, DefaultTTL: DefaultTTL, MaxTTL: MaxTTL}) {
		t.Errorf("the defaults: got %+v", got)
	}
	bad := map[string]string{keySize: "-5", keyDefaultTTL: "-1h", keyMaxTTL: "soon"}
	if got := ParseMetadata(bad); got != (Limits{}) {
		t.Errorf("got %+v of what is damaged", got)
	}
}

// What waits for a slow client stays below what its connection is ended for.
func TestWindowOfBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		for range 16 {
			f.put(Message{Device: "d", Body: make([]byte, MaxSize)})
		}
		m, l := open(t, f.queues(), 1)
		defer m.Close()
		m.Start()
		synctest.Wait()
		sent := 0
		for _, d := range l.got {
			sent += len(d.Topic) + len(d.Payload)
		}
		if sent < windowBytes || sent > windowBytes+2*MaxSize {
			t.Errorf("%d bytes are on their way", sent)
		}
		for n := uint16(1); n <= 16; n++ {
			m.Acked(packet(n))
			synctest.Wait()
		}
		if len(f.left()) > 0 {
			t.Errorf("messages %v are left", f.left())
		}
	})
}
