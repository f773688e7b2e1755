package iothub

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubgate/hubgate/c2d"
	"github.com/hubgate/hubgate/gateway"
	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
)

// oneMessage is a queue with one message, until that is removed.
type oneMessage struct{ removed bool }

func (q *oneMessage) Next(_ context.Context, device string, after uint64) (c2d.Message, error) {
	if after > 0 || q.removed {
		return c2d.Message{}, nil
	}
	return c2d.Message{Device: device, Body: []byte("x"), MessageID: "m", Sequence: 1, Enqueued: time.Now()}, nil
}

func (q *oneMessage) Holds(context.Context, uint64) (bool, error) { return !q.removed, nil }

func (q *oneMessage) Remove(context.Context, uint64) error {
	q.removed = true
	return nil
}

func (q *oneMessage) Load(context.Context, string) (c2d.State, error) { return c2d.State{}, nil }

func (q *oneMessage) Save(context.Context, string, c2d.State) error { return nil }

// mailFor lets dev1 in with a link and one message that waits.
func mailFor(t *testing.T, l gateway.Link) (*handler, *oneMessage) {
	t.Helper()
	q := &oneMessage{}
	f, devices, _ := newFace()
	f.C2D = &c2d.Queues{Store: q}
	h := admitted(t, f, devices, "dev1").Handler.(*handler)
	h.Attach(l)
	return h, q
}

func TestMailFilters(t *testing.T) {
	for name, filter := range map[string]string{
		"documented": "devices/dev1/messages/devicebound/#",
		"embedded C": "devices/+/messages/devicebound/#",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLink()
				h, q := mailFor(t, l)
				h.Subscribed() // to something else
				synctest.Wait()
				if len(l.sent) > 0 {
					t.Fatal("a message without a subscription")
				}
				l.subscribed[filter] = 1
				h.Subscribed()
				synctest.Wait()
				m := <-l.sent
				if want := "devices/dev1/messages/devicebound/%24.mid=m&%24.to=%2Fdevices%2Fdev1%2Fmessages%2FdeviceBound&iothub-ack=none"; m.Topic != want || m.QoS != 1 || m.Dup || !m.Yields || m.PacketID != gateway.FirstFixedID|1 {
					t.Errorf("message %+v", m)
				}
				h.Acked(gateway.FirstFixedID | 1)
				synctest.Wait()
				if !q.removed {
					t.Error("PUBACK has not completed the message")
				}
				wantSent(t, h, 1, 0)
				h.Detached()
			})
		})
	}
}

// A subscription of an earlier connection: the application may not listen yet.
func TestMailWaitsForTheApplication(t *testing.T) {
	for name, wake := range map[string]func(*handler){
		"time": func(*handler) { time.Sleep(flushDelay) }, //nolint:forbidigo // of a bubble's clock
		"PUBLISH": func(h *handler) {
			_ = h.Publish(&mqtt.Publish{Topic: []byte("$iothub/methods/res/200/?$rid=1")}, receipt{}, 0)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLink("devices/dev1/messages/devicebound/#")
				h, _ := mailFor(t, l)
				synctest.Wait()
				if len(l.sent) > 0 {
					t.Fatal("a message right after CONNACK")
				}
				wake(h)
				synctest.Wait()
				if len(l.sent) != 1 {
					t.Errorf("%d messages", len(l.sent))
				}
				h.Acked(gateway.FirstFixedID | 1)
				h.Detached()
				synctest.Wait()
			})
		})
	}
}

// Whoever was cut off may have got the message already.
func TestMailAfterACut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLink("devices/dev1/messages/devicebound/#")
		l.cut = true
		h, _ := mailFor(t, l)
		time.Sleep(flushDelay) //nolint:forbidigo // of a bubble's clock
		synctest.Wait()
		if m := <-l.sent; !m.Dup {
			t.Error("the message is not marked")
		}
		wantSent(t, h, 0, 1)
		h.Detached()
		synctest.Wait()
	})
}

// wantSent compares what was counted of messages to the device.
func wantSent(t *testing.T, h *handler, first, again uint64) {
	t.Helper()
	if sent := h.face.Stats().Sent; sent["c2d"] != first || sent["c2d_redelivery"] != again {
		t.Errorf("%v messages were counted, want %d and %d again", sent, first, again)
	}
}

// A device that unsubscribes before its time to deliver gets nothing, and what waits
// for it is kept.
func TestMailAfterUnsubscribe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &fickleLink{fakeLink: newLink("devices/dev1/messages/devicebound/#")}
		h, q := mailFor(t, l)
		l.set(true)
		time.Sleep(2 * flushDelay) //nolint:forbidigo // of a bubble's clock
		synctest.Wait()
		if len(l.sent) > 0 || q.removed {
			t.Errorf("%d messages without a subscription, removed: %v", len(l.sent), q.removed)
		}
		h.Detached()
		synctest.Wait()
	})
}

// A connection that ended before its time to deliver takes no message any more.
func TestMailEndsWithTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLink("devices/dev1/messages/devicebound/#")
		h, q := mailFor(t, l)
		h.Detached()
		time.Sleep(2 * flushDelay) //nolint:forbidigo // of a bubble's clock
		synctest.Wait()
		if len(l.sent) > 0 || q.removed {
			t.Errorf("%d messages, removed: %v", len(l.sent), q.removed)
		}
	})
}

func TestModulesHaveNoMail(t *testing.T) {
	h := &handler{face: &Face{C2D: &c2d.Queues{}}, id: hub.Identity{Device: "d", Module: "m"}}
	h.Attach(newLink("devices/d/modules/m/messages/devicebound/#"))
	h.Subscribed()
	h.Acked(1)
	h.Detached()
}
