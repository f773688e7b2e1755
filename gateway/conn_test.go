package gateway

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/session"
)

func TestConnectIsAnsweredAndTold(t *testing.T) {
	w := newWorld(t, nil)
	w.connect(t, "d1")
	e := w.event(t)
	if !e.Connected || e.ID != (hub.Identity{Device: "d1"}) || e.Node != "n1" {
		t.Errorf("event %+v, want the connect of d1 on n1", e)
	}
	if n := w.Connected(); n != 1 {
		t.Errorf("Connected() = %d, want 1", n)
	}
}

func TestRefusalHasTheCodeOfItsReason(t *testing.T) {
	for name, tc := range map[string]struct {
		err  error
		want byte
	}{
		"unauthorized":     {hub.Errorf(hub.Unauthorized, "wrong key"), 5},
		"unknown device":   {hub.Errorf(hub.DeviceNotFound, "no such device"), 5},
		"disabled":         {hub.Errorf(hub.DeviceDisabled, "disabled"), 3},
		"store away":       {hub.Errorf(hub.ServiceUnavailable, "no NATS"), 3},
		"unclassified bug": {errors.New("boom"), 3},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(w *world) { w.face.refuse = func(string) error { return tc.err } })
			c := dial(t, w.addr)
			c.write(&mqtt.Connect{ClientID: []byte("d1")})
			if k := c.connack(); k.Code != tc.want || k.SessionPresent {
				t.Errorf("CONNACK %+v, want code %d", *k, tc.want)
			}
			c.closed()
			if w.Refused() != 1 {
				t.Errorf("Refused() = %d, want 1", w.Refused())
			}
			if !strings.Contains(w.log.String(), "client refused") {
				t.Errorf("the log does not tell:\n%s", w.log)
			}
		})
	}
}

func TestOtherVersionsAreRefusedInTheirOwnWords(t *testing.T) {
	w := newWorld(t, nil)
	for name, tc := range map[string]struct {
		connect []byte
		want    []byte
	}{
		"[MQTT3-3.1.2-2] level 3": {[]byte("\x10\x10\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x02d1"), []byte{0x20, 2, 0, 1}},
		"[MQTT3-3.1.2-2] level 9": {[]byte("\x10\x0e\x00\x04MQTT\x09\x02\x00\x3c\x00\x02d1"), []byte{0x20, 3, 0, 0x84, 0}},
		"[MQTT5-3.1.2-2] level 5": {[]byte("\x10\x0f\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x02d1"), answer5("MQTT protocol level 5 is not supported here")},
		"[MQTT5-3.2.2-19] level 5, that reads 20 bytes": {
			[]byte("\x10\x14\x00\x04MQTT\x05\x02\x00\x3c\x05\x27\x00\x00\x00\x14\x00\x02d1"), []byte{0x20, 3, 0, 0x84, 0},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, w.addr)
			c.raw(tc.connect)
			got := make([]byte, len(tc.want))
			if _, err := c.r.Read(got); err != nil || string(got) != string(tc.want) {
				t.Errorf("answer % x, %v, want % x", got, err, tc.want)
			}
		})
	}
}

// answer5 is the CONNACK that tells an MQTT 5 client in words.
func answer5(reason string) []byte {
	n := byte(len(reason))
	return append([]byte{0x20, n + 6, 0, 0x84, n + 3, 0x1f, 0, n}, reason...)
}

// [MQTT3-4.6.0-2]: PUBACKs leave in the order of the PUBLISHes, whatever the
// order in which the store answers.
func TestPubacksKeepTheOrderReceived(t *testing.T) {
	w := newWorld(t, nil)
	w.handler.hold = true
	c := w.connect(t, "d1")
	const n = 20
	for i := range n {
		c.publish(uint16(i+1), strconv.Itoa(i))
	}
	for range n {
		<-w.handler.came
	}
	w.handler.mu.Lock()
	held := w.handler.held
	w.handler.mu.Unlock()
	for i := range held {
		r := held[(i*7+3)%n] // 7 is prime to 20: a permutation that begins in the middle
		r.done.Stored(r.tag, nil)
	}
	for i := range n {
		if a := next[*mqtt.Puback](c); int(a.ID) != i+1 {
			t.Fatalf("PUBACK %d, want %d", a.ID, i+1)
		}
	}
}

func TestQoS0IsStoredWithoutPuback(t *testing.T) {
	w := newWorld(t, nil)
	c := w.connect(t, "d1")
	c.publish(0, "zero")
	c.publish(7, "one")
	if a := next[*mqtt.Puback](c); a.ID != 7 {
		t.Errorf("PUBACK %d, want 7", a.ID)
	}
	if got := <-w.handler.came; got != "zero" {
		t.Errorf("first message %q, want zero", got)
	}
}

// A full window stops the reader; nothing is dropped.
func TestFullWindowStopsReading(t *testing.T) {
	w := newWorld(t, func(w *world) { w.Limits.Window = 3 })
	w.handler.hold = true
	c := w.connect(t, "d1")
	for i := range 5 {
		c.publish(uint16(i+1), strconv.Itoa(i))
	}
	for range 3 {
		<-w.handler.came
	}
	w.handler.mu.Lock()
	if n := len(w.handler.held); n != 3 {
		t.Errorf("%d messages reached the store, want 3", n)
	}
	first := w.handler.held[0]
	w.handler.hold = false
	w.handler.mu.Unlock()
	first.done.Stored(first.tag, nil)
	if got := <-w.handler.came; got != "3" {
		t.Errorf("next message %q, want 3", got)
	}
	if a := next[*mqtt.Puback](c); a.ID != 1 {
		t.Errorf("PUBACK %d, want 1", a.ID)
	}
	w.handler.mu.Lock()
	for _, r := range w.handler.held[1:] {
		go r.done.Stored(r.tag, nil)
	}
	w.handler.mu.Unlock()
	for id := uint16(2); id <= 5; id++ {
		if a := next[*mqtt.Puback](c); a.ID != id {
			t.Errorf("PUBACK %d, want %d", a.ID, id)
		}
	}
}

// A store that is nearly full leaves each connection a share of what is free, and
// one message in any case.
func TestShareOfTheStore(t *testing.T) {
	var room atomic.Int64
	room.Store(3 * roomShare)
	w := newWorld(t, func(w *world) { w.Room = func(hub.Identity) int { return int(room.Load()) } })
	w.handler.hold = true
	c := w.connect(t, "d1")
	for i := range 5 {
		c.publish(uint16(i+1), strconv.Itoa(i))
	}
	for range 3 {
		<-w.handler.came
	}
	if n := w.held(); n != 3 {
		t.Errorf("%d messages reached the store, want 3", n)
	}
	room.Store(0)
	w.release(2)
	if a := next[*mqtt.Puback](c); a.ID != 1 {
		t.Errorf("PUBACK %d, want 1", a.ID)
	}
	if n := w.held(); n != 1 {
		t.Errorf("%d messages are in a full store, want 1", n)
	}
	for _, want := range []string{"3", "4"} {
		w.release(1)
		if got := <-w.handler.came; got != want {
			t.Errorf("next message %q, want %s", got, want)
		}
	}
	w.release(1)
}

// What could not be stored is never acknowledged, nor is anything after it.
func TestFailedStoreClosesWithoutPuback(t *testing.T) {
	w := newWorld(t, nil)
	w.handler.hold = true
	c := w.connect(t, "d1")
	w.event(t)
	for i := range 3 {
		c.publish(uint16(i+1), strconv.Itoa(i))
		<-w.handler.came
	}
	w.handler.mu.Lock()
	held := w.handler.held
	w.handler.mu.Unlock()
	held[0].done.Stored(held[0].tag, nil)
	if a := next[*mqtt.Puback](c); a.ID != 1 {
		t.Fatalf("PUBACK %d, want 1", a.ID)
	}
	held[1].done.Stored(held[1].tag, hub.Errorf(hub.ServiceUnavailable, "the store is away"))
	held[2].done.Stored(held[2].tag, nil)
	c.closed()
	if e := w.event(t); e.Connected || e.Code != hub.ServiceUnavailable || e.Reason != "the store is away" {
		t.Errorf("event %+v, want the reason of the store", e)
	}
}

func TestNewConnectionReplacesTheOld(t *testing.T) {
	w := newWorld(t, nil)
	first := w.connect(t, "d1")
	w.connect(t, "d1/m1") // a module is another identity
	second := w.connect(t, "d1")
	first.closed()
	second.write(&mqtt.Pingreq{})
	next[*mqtt.Pingresp](second)
	if n := w.Connected(); n != 2 {
		t.Errorf("Connected() = %d, want 2", n)
	}
	codes := map[hub.Code]int{}
	for range 4 {
		if e := w.event(t); !e.Connected {
			codes[e.Code]++
		}
	}
	if codes[hub.ConnectionReplaced] != 1 || len(codes) != 1 {
		t.Errorf("ends %v, want one ConnectionReplaced", codes)
	}
	s, _ := w.sessions.Get(t.Context(), hub.Identity{Device: "d1"})
	if !s.Connected {
		t.Error("the old connection's end has marked the new one's session as disconnected")
	}
}

func TestSessionSurvivesReconnect(t *testing.T) {
	w := newWorld(t, nil)
	c := w.connect(t, "d1")
	c.write(&mqtt.Subscribe{ID: 1, Filters: []mqtt.Filter{
		{Topic: []byte("a/#"), QoS: 1},
		{Topic: []byte("forbidden/#"), QoS: 0},
		{Topic: []byte("b/#"), QoS: 2},
	}})
	if k := next[*mqtt.Suback](c); string(k.Codes) != "\x01\x80\x01" {
		t.Errorf("SUBACK % x, want 01 80 01", k.Codes)
	}
	c.write(&mqtt.Unsubscribe{ID: 2, Filters: [][]byte{[]byte("b/#"), []byte("never/#")}})
	if k := next[*mqtt.Unsuback](c); k.ID != 2 {
		t.Errorf("UNSUBACK %d, want 2", k.ID)
	}
	_ = c.nc.Close()
	again := dial(t, w.addr)
	again.write(&mqtt.Connect{ClientID: []byte("d1")})
	if k := again.connack(); !k.SessionPresent {
		t.Error("session present 0 after a reconnect with clean session 0")
	}
	want := []session.Subscription{{Filter: "a/#", QoS: 1}}
	s, _ := w.sessions.Get(t.Context(), hub.Identity{Device: "d1"})
	if len(s.Subscriptions) != 1 || s.Subscriptions[0] != want[0] {
		t.Errorf("subscriptions %v, want %v", s.Subscriptions, want)
	}
	clean := dial(t, w.addr)
	clean.write(&mqtt.Connect{ClientID: []byte("d1"), CleanStart: true})
	if k := clean.connack(); k.SessionPresent {
		t.Error("session present 1 with clean session 1 [MQTT3-3.2.2-1]")
	}
	clean.write(&mqtt.Disconnect{})
	clean.closed()
	last := dial(t, w.addr)
	last.write(&mqtt.Connect{ClientID: []byte("d1")})
	if k := last.connack(); k.SessionPresent {
		t.Error("a clean session left state behind [MQTT3-3.1.2-6]")
	}
}

// SUBACK promises that the subscription is stored.
func TestSubscriptionThatIsNotStoredIsNotAcknowledged(t *testing.T) {
	w := newWorld(t, nil)
	c := w.connect(t, "d1")
	w.event(t)
	w.sessions.mu.Lock()
	w.sessions.fail = hub.Errorf(hub.ServiceUnavailable, "no NATS")
	w.sessions.mu.Unlock()
	c.write(&mqtt.Subscribe{ID: 1, Filters: []mqtt.Filter{{Topic: []byte("a/#")}}})
	c.closed()
	if e := w.event(t); e.Code != hub.ServiceUnavailable {
		t.Errorf("event %+v, want ServiceUnavailable", e)
	}
}

func TestWill(t *testing.T) {
	will := &mqtt.Will{Topic: []byte("t"), Payload: []byte("bye")}
	for name, tc := range map[string]struct {
		end  func(*client)
		want int
	}{
		"[MQTT3-3.1.2-8] sent when the connection breaks":  {func(c *client) { _ = c.nc.Close() }, 1},
		"[MQTT3-3.1.2-10] dropped by DISCONNECT":           {func(c *client) { c.write(&mqtt.Disconnect{}) }, 0},
		"[MQTT3-3.1.2-8] sent after a protocol violation":  {func(c *client) { c.raw([]byte{0xF0, 0}) }, 1},
		"[MQTT3-3.1.4-2] sent when another one takes over": {nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			c := dial(t, w.addr)
			c.write(&mqtt.Connect{ClientID: []byte("d1"), Will: will})
			c.connack()
			w.event(t)
			if tc.end != nil {
				tc.end(c)
			} else {
				w.connect(t, "d1")
			}
			for e := w.event(t); e.Connected; e = w.event(t) {
				continue
			}
			w.sessions.mu.Lock()
			defer w.sessions.mu.Unlock()
			if n := len(w.sessions.sent); n != tc.want {
				t.Errorf("%d wills, want %d", n, tc.want)
			}
		})
	}
}

// slowRelease is a store that has a release wait.
type slowRelease struct {
	*fakeSessions

	release chan struct{}
}

func (s slowRelease) Release(ctx context.Context, v *session.Session) error {
	<-s.release
	return s.fakeSessions.Release(ctx, v)
}

// TestBackAfterDisconnect: a client that comes again right after its DISCONNECT, as SDKs
// do for a new token, takes over from nobody, and its will is gone.
func TestBackAfterDisconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		w := newBubble(t, func(w *world) { w.Sessions = slowRelease{w.sessions, release} })
		c := pipedRaw(t, w)
		c.write(&mqtt.Connect{ClientID: []byte("d1"), Will: &mqtt.Will{Topic: []byte("t"), Payload: []byte("bye")}})
		c.connack()
		w.event(t)
		c.write(&mqtt.Disconnect{})
		synctest.Wait()
		again := pipedRaw(t, w)
		again.write(&mqtt.Connect{ClientID: []byte("d1")})
		synctest.Wait()
		close(release)
		again.connack()
		if e := w.event(t); e.Connected || e.Code != 0 {
			t.Errorf("event %+v, want the end by DISCONNECT", e)
		}
		if n := len(w.sessions.sent); n != 0 {
			t.Errorf("%d wills were sent after DISCONNECT", n)
		}
		go again.hungUp()
		w.close(t)
	})
}

// Whatever a client does wrong ends its connection with a reason, and only
// that one.
func TestViolationsEndTheConnection(t *testing.T) {
	connect, _ := (&mqtt.Connect{ClientID: []byte("d1")}).Append(nil, mqtt.V311)
	for name, tc := range map[string]struct {
		bytes string
		code  hub.Code
	}{
		"[MQTT3-3.1.0-2] second CONNECT":    {string(connect), hub.GenericBadRequest},
		"server's packet":                   {"\x20\x02\x00\x00", hub.GenericBadRequest},
		"reserved packet type":              {"\xf0\x00", hub.GenericBadRequest},
		"[MQTT3-3.8.1-1] SUBSCRIBE flags":   {"\x80\x06\x00\x01\x00\x01a\x00", hub.GenericBadRequest},
		"too large, announced only":         {"\x30\xff\xff\xff\x7f", hub.MessageTooLarge},
		"QoS 2":                             {"\x34\x05\x00\x01t\x00\x01", hub.ArgumentInvalid},
		"[MQTT3-3.3.1-4] QoS 3":             {"\x36\x05\x00\x01t\x00\x01", hub.GenericBadRequest},
		"[MQTT3-2.3.1-1] packet id 0":       {"\x32\x05\x00\x01t\x00\x00", hub.GenericBadRequest},
		"remaining length of five bytes":    {"\x30\xff\xff\xff\xff\x01", hub.GenericBadRequest},
		"[MQTT3-1.5.3-1] topic is no UTF-8": {"\x30\x03\x00\x01\xff", hub.GenericBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			other := w.connect(t, "d2")
			w.event(t)
			c := w.connect(t, "d1")
			w.event(t)
			c.raw([]byte(tc.bytes))
			c.closed()
			e := w.event(t)
			if e.Connected || e.Code != tc.code || e.Reason == "" {
				t.Errorf("event %+v, want an end with %d and a reason", e, tc.code)
			}
			other.write(&mqtt.Pingreq{})
			next[*mqtt.Pingresp](other)
		})
	}
}

func TestKeepAlive(t *testing.T) {
	w := newWorld(t, nil)
	c := dial(t, w.addr)
	start := time.Now()
	c.write(&mqtt.Connect{ClientID: []byte("d1"), KeepAlive: 1})
	c.connack()
	c.closed()
	if d := time.Since(start); d < 1500*time.Millisecond {
		t.Errorf("closed after %v, want one and a half seconds at least [MQTT3-3.1.2-24]", d)
	}
	w.event(t)
	if e := w.event(t); e.Code != hub.ConnectionLost || !strings.Contains(e.Reason, "keep-alive") {
		t.Errorf("event %+v, want the keep-alive as the reason", e)
	}
}

func TestSilence(t *testing.T) {
	for name, tc := range map[string]struct {
		keepAlive uint16
		want      time.Duration
	}{
		"half as much again": {60, 90 * time.Second},
		"capped":             {1200, 1767 * time.Second},
		"none":               {0, 1767 * time.Second},
		"the largest":        {65535, 1767 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			got := silenceOf(tc.keepAlive)
			if got < tc.want || got > tc.want+maxSlack {
				t.Errorf("silenceOf(%d) = %v, want %v and at most %v more", tc.keepAlive, got, tc.want, maxSlack)
			}
		})
	}
}

// A token that expires ends the connection, however busy it is.
func TestExpiryEndsABusyConnection(t *testing.T) {
	w := newWorld(t, func(w *world) { w.face.expires = time.Now().Add(300 * time.Millisecond) })
	c := w.connect(t, "d1")
	w.event(t)
	go func() {
		p, _ := (&mqtt.Pingreq{}).Append(nil, mqtt.V311)
		for {
			if _, err := c.nc.Write(p); err != nil {
				return
			}
		}
	}()
	for {
		if _, err := c.read(); err != nil {
			break
		}
	}
	if e := w.event(t); e.Code != hub.Unauthorized || !strings.Contains(e.Reason, "expired") {
		t.Errorf("event %+v, want the expiry as the reason", e)
	}
}

func TestCheckCutsADeviceAndItsModules(t *testing.T) {
	w := newWorld(t, nil)
	device, module, other := w.connect(t, "d1"), w.connect(t, "d1/m1"), w.connect(t, "d2")
	w.Check("d1", func(hub.Identity, Handler) error { return hub.Errorf(hub.DeviceDisabled, "disabled") })
	device.closed()
	module.closed()
	other.write(&mqtt.Pingreq{})
	next[*mqtt.Pingresp](other)
}

func TestDisplacedByAnotherNode(t *testing.T) {
	w := newWorld(t, nil)
	c := w.connect(t, "d1")
	epoch := w.event(t).Epoch
	id := hub.Identity{Device: "d1"}
	w.Displaced(session.Claim{ID: id, Epoch: epoch, Connection: "own"}) // our own claim, announced
	c.write(&mqtt.Pingreq{})
	next[*mqtt.Pingresp](c)
	w.Displaced(session.Claim{ID: id, Epoch: epoch + 1, Connection: "other"})
	c.closed()
	if e := w.event(t); e.Code != hub.ConnectionReplaced {
		t.Errorf("event %+v, want ConnectionReplaced", e)
	}
}

// A node that was taken for dead keeps nobody: not whose end is announced, nor
// anybody when it hears of it.
func TestFencedNodeKeepsNobody(t *testing.T) {
	w := newWorld(t, nil)
	first, second := w.connect(t, "d1"), w.connect(t, "d2")
	epoch := w.event(t).Epoch
	w.event(t)
	w.Displaced(session.Claim{ID: hub.Identity{Device: "d1"}, Epoch: epoch + 1, Node: "n"})
	first.closed()
	if e := w.event(t); e.Code != hub.ServiceUnavailable || e.ID.Device != "d1" {
		t.Errorf("event %+v, want ServiceUnavailable", e)
	}
	w.Fenced()
	second.closed()
	if e := w.event(t); e.Code != hub.ServiceUnavailable || e.ID.Device != "d2" {
		t.Errorf("event %+v, want ServiceUnavailable", e)
	}
}

// Another node claims the identity, or takes this one for dead, while ours learns
// that it has it: the announcement comes before there is a connection to be told.
func TestDisplacedBeforeItIsEntered(t *testing.T) {
	for name, tc := range map[string]struct {
		happens func(w *world, s session.Session)
		code    hub.Code
	}{
		"by another node": {func(w *world, s session.Session) {
			w.Displaced(session.Claim{ID: s.ID, Epoch: s.Epoch + 1, Connection: "other"})
		}, hub.ConnectionReplaced},
		"taken for dead": {func(w *world, _ session.Session) { w.Fenced() }, hub.ServiceUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			w.sessions.claimed = func(s session.Session) { tc.happens(w, s) }
			w.connect(t, "d1").closed()
			w.event(t) // that it has begun
			if e := w.event(t); e.ID.Device != "d1" || e.Code != tc.code {
				t.Errorf("event %+v, want code %d", e, tc.code)
			}
			w.sessions.mu.Lock()
			w.sessions.claimed = nil
			w.sessions.mu.Unlock()
			again := w.connect(t, "d1") // what was heard during an earlier claim does not count
			again.write(&mqtt.Pingreq{})
			next[*mqtt.Pingresp](again)
			if n := len(w.claiming.ids); n != 0 {
				t.Errorf("%d identities are still being claimed", n)
			}
		})
	}
}

// Shutdown acknowledges what was received and tells each end.
func TestShutdownAcknowledgesFirst(t *testing.T) {
	w := newWorld(t, nil)
	w.handler.hold = true
	c := w.connect(t, "d1")
	w.event(t)
	c.publish(1, "x")
	<-w.handler.came
	done := make(chan error, 1)
	go func() { done <- w.Shutdown(t.Context()) }()
	// The connection must not be closed before the store has answered.
	w.handler.mu.Lock()
	r := w.handler.held[0]
	w.handler.mu.Unlock()
	go r.done.Stored(r.tag, nil)
	if a := next[*mqtt.Puback](c); a.ID != 1 {
		t.Errorf("PUBACK %d, want 1", a.ID)
	}
	c.closed()
	if err := <-done; err != nil {
		t.Errorf("shutdown: %v", err)
	}
	if e := w.event(t); e.Connected || e.Code != hub.ServiceUnavailable {
		t.Errorf("event %+v, want the end by shutdown", e)
	}
}

// A packet may come in pieces of any size, and many in one.
func TestPacketsMayBeSplitAnywhere(t *testing.T) {
	w := newWorld(t, nil)
	c := dial(t, w.addr)
	large := strings.Repeat("x", 200<<10)
	b, _ := (&mqtt.Connect{ClientID: []byte("d1")}).Append(nil, mqtt.V311)
	b, _ = (&mqtt.Publish{QoS: 1, ID: 1, Topic: []byte("t"), Payload: []byte("small")}).Append(b, mqtt.V311)
	for i := range b {
		c.raw(b[i : i+1])
	}
	c.connack()
	if a := next[*mqtt.Puback](c); a.ID != 1 {
		t.Errorf("PUBACK %d, want 1", a.ID)
	}
	c.publish(2, large)
	if a := next[*mqtt.Puback](c); a.ID != 2 {
		t.Errorf("PUBACK %d, want 2", a.ID)
	}
	<-w.handler.came
	if got := <-w.handler.came; got != large {
		t.Errorf("the large message came with %d bytes, want %d", len(got), len(large))
	}
}

// A fault in a handler costs one connection, not the process.
// TestPanicKeepsOneClientOut: a fault on the way in is that of one client.
func TestPanicKeepsOneClientOut(t *testing.T) {
	w := newWorld(t, func(w *world) {
		w.face.refuse = func(id string) error {
			if id == "panic" {
				panic("as the test asks")
			}
			return nil
		}
	})
	other := w.connect(t, "d2")
	c := dial(t, w.addr)
	c.write(&mqtt.Connect{ClientID: []byte("panic"), KeepAlive: 60})
	if k := c.connack(); k.Code != 3 {
		t.Errorf("CONNACK %d, want 3", k.Code)
	}
	c.closed()
	if !strings.Contains(w.log.String(), "as the test asks") || !strings.Contains(w.log.String(), "stack") {
		t.Errorf("the log does not tell:\n%s", w.log)
	}
	other.write(&mqtt.Pingreq{})
	next[*mqtt.Pingresp](other)
}

func TestPanicEndsOneConnection(t *testing.T) {
	w := newWorld(t, nil)
	other := w.connect(t, "d2")
	w.event(t)
	c := w.connect(t, "d1")
	w.event(t)
	c.publish(1, "panic")
	c.closed()
	if e := w.event(t); e.ID.Device != "d1" || e.Code != hub.ServerError {
		t.Errorf("event %+v, want the end of d1 with ServerError", e)
	}
	if !strings.Contains(w.log.String(), "as the test asks") || !strings.Contains(w.log.String(), "stack") {
		t.Errorf("the log does not tell:\n%s", w.log)
	}
	other.write(&mqtt.Pingreq{})
	next[*mqtt.Pingresp](other)
}
