package iothub

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubgate/hubgate/c2d"
	"github.com/hubgate/hubgate/gateway"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/methods"
	"github.com/hubgate/hubgate/twin"
)

// stopLink remembers why it was stopped.
type stopLink struct {
	*fakeLink
	cause error
}

func (l *stopLink) Stop(cause error) { l.cause = cause }

// Too many twin requests are answered by 429 in IoT Hub's form, and the
// connection stays; only who goes on and on is cut.
func TestTwinFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var rates gateway.Rates
		rates.Device[gateway.TwinReads], rates.Device[gateway.TwinWrites] = 2, 1
		rates.AbuseAfter = 30 * time.Second
		f, devices, _ := newFace()
		f.Limiter = gateway.NewLimiter(rates)
		f.Twins = &twin.Twins{Store: &twinStore{twin: twin.New(hub.Identity{Device: "dev1"}, "g-dev1", f.now())}}
		h := admitted(t, f, devices, "dev1").Handler.(*handler)
		l := &stopLink{fakeLink: newLink(filterTwinResults)}
		h.Attach(l)
		get, patch := "$iothub/twin/GET/?$rid=1", "$iothub/twin/PATCH/properties/reported/?$rid=2"
		for i, tc := range []struct{ topic, body, status string }{
			{get, "", "200"},
			{get, "", "200"},
			{get, "", "429"},
			{patch, "{}", "204"},
			{patch, "{}", "429"},
			{get, "", "429"},
		} {
			ask(t, h, tc.topic, tc.body)
			m := sent(t, l.fakeLink)
			if !strings.HasPrefix(m.Topic, "$iothub/twin/res/"+tc.status+"/?$rid=") {
				t.Errorf("request %d: %s, want %s", i, m.Topic, tc.status)
			}
			if body := string(m.Payload); tc.status == "429" && (!strings.Contains(body, `"errorCode":429001`) || !strings.Contains(body, "ThrottlingException")) {
				t.Errorf("request %d: the body is %s", i, body)
			}
		}
		<-time.After(time.Second)
		ask(t, h, get, "")
		if m := sent(t, l.fakeLink); !strings.Contains(m.Topic, "/200/") {
			t.Errorf("after a second: %s", m.Topic)
		}
		begin := time.Now()
		for l.cause == nil && time.Since(begin) < 2*time.Minute {
			ask(t, h, get, "")
			sent(t, l.fakeLink)
			<-time.After(20 * time.Millisecond) // 25 times as many
		}
		if took := time.Since(begin); hub.CodeOf(l.cause) != hub.Throttled || took < 29*time.Second || took > 32*time.Second {
			t.Errorf("stopped by %v after %v", l.cause, took)
		}
	})
}

// Calls above the limit fail with 429001; the device that is called is not to
// blame.
func TestMethodFlood(t *testing.T) {
	for name, set := range map[string]func(*gateway.Rates){
		"calls": func(r *gateway.Rates) { r.Device[gateway.Methods] = 3 },
		"bytes": func(r *gateway.Rates) { r.Node[gateway.MethodBytes] = 3 * gateway.MethodMeter },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var rates gateway.Rates
				rates.AbuseAfter = 1
				set(&rates)
				f, devices, _ := newFace()
				f.Limiter = gateway.NewLimiter(rates)
				h := admitted(t, f, devices, "dev1").Handler.(*handler)
				l := &stopLink{fakeLink: newLink(prefixMethods + "#")}
				h.Attach(l)
				call := methods.Call{ID: hub.Identity{Device: "dev1"}, Method: "m", Payload: []byte("1")}
				ctx, cancel := context.WithCancel(t.Context())
				codes := make(chan hub.Code, 10)
				for range 5 {
					go func() {
						_, err := h.invoke(ctx, call)
						codes <- hub.CodeOf(err)
					}()
				}
				synctest.Wait()
				if n := len(codes); n != 2 || len(l.sent) != 3 {
					t.Errorf("%d of 5 calls are refused, %d are made", n, len(l.sent))
				}
				for range len(codes) {
					if code := <-codes; code != hub.Throttled {
						t.Errorf("refused by %d", code)
					}
				}
				cancel()
				synctest.Wait()
				if l.cause != nil {
					t.Errorf("the device was cut: %v", l.cause)
				}
			})
		})
	}
}

// Deliveries above the limit wait, and none is lost.
func TestDeliveriesWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var rates gateway.Rates
		rates.Node[gateway.C2D] = 0.1
		f, devices, _ := newFace()
		f.Limiter = gateway.NewLimiter(rates)
		f.C2D = &c2d.Queues{Store: &oneMessage{}, Outcomes: &refusals{}}
		h := admitted(t, f, devices, "dev1").Handler.(*handler)
		h.account.Allow(gateway.C2D, 1, time.Now())
		l := newLink()
		h.Attach(l)
		begin := time.Now()
		l.subscribed["devices/dev1/messages/devicebound/#"] = 1
		h.Subscribed()
		<-l.sent
		if took := time.Since(begin); took < 9*time.Second || took > 11*time.Second {
			t.Errorf("the delivery came after %v, want 10 s", took)
		}
		h.Detached()
		synctest.Wait()
	})
}
