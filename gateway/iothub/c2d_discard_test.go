package iothub

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/hubgate/hubgate/c2d"
)

// refusals is where oneMessage goes that is not wanted.
type refusals struct{ buried int }

func (r *refusals) Report(context.Context, c2d.Feedback) error { return nil }

func (r *refusals) Bury(context.Context, c2d.DeadLetter) error {
	r.buried++
	return nil
}

// What waits when a device connects without a subscription is kept or, with IoT
// Hub's rule, rejected; with a subscription of its session it is delivered.
func TestMailWithoutSubscription(t *testing.T) {
	const filter = "devices/dev1/messages/devicebound/#"
	for name, tt := range map[string]struct {
		discard         bool
		filters         []string
		sent, discarded int
	}{
		"kept":        {false, nil, 1, 0},
		"discarded":   {true, nil, 0, 1},
		"resumed":     {true, []string{filter}, 1, 0},
		"embedded C":  {true, []string{"devices/+/messages/devicebound/#"}, 1, 0},
		"other topic": {true, []string{"$iothub/twin/res/#"}, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q, r := &oneMessage{}, &refusals{}
				f, devices, _ := newFace()
				f.C2D, f.DiscardC2D = &c2d.Queues{Store: q, Outcomes: r}, tt.discard
				h := admitted(t, f, devices, "dev1").Handler.(*handler)
				l := newLink(tt.filters...)
				h.Attach(l)
				synctest.Wait()
				l.subscribed[filter] = 1
				h.Subscribed()
				synctest.Wait()
				if len(l.sent) != tt.sent || r.buried != tt.discarded || q.removed != (tt.discarded > 0) {
					t.Errorf("%d messages were sent and %d discarded", len(l.sent), r.buried)
				}
				h.Detached()
				synctest.Wait()
			})
		})
	}
}
