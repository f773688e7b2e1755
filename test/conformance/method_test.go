package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/hubgate/hubgate/test/hubtest"
)

const (
	notOnline = "404103"
	noAnswer  = "504101"

	responseTimeout = 5 * time.Second // the shortest there is

	// answerTimeout is for calls that must be answered, however busy the machine is.
	// It ends before the caller's own patience, so that the caller hears of it.
	answerTimeout = patience - responseTimeout
)

// call calls a method that will be answered, however busy the machine is: Java's
// IotHubReceiveTask takes one call and then pauses for 10 ms or more.
func (g *gateway) call(id, method, payload string) (status, answer string, err error) {
	return g.callWithin(answerTimeout, id, method, payload)
}

// callWithin is call with a response timeout.
func (g *gateway) callWithin(limit time.Duration, id, method, payload string) (status, answer string, err error) {
	header := nats.Header{"Hub-Response-Timeout": []string{limit.String()}}
	m, err := g.ask("hub.method."+hubtest.Key(id)+"."+method, header, payload)
	if err != nil {
		return "", "", err
	}
	return m.Header.Get("Hub-Status"), string(m.Data), nil
}

// methodsOfDevice goes through all that a device does with direct methods.
func methodsOfDevice(t *testing.T, g *gateway, s *sdk) {
	methodsServed(t, g, s, deviceName(t))
}

// methodsOfModule does the same as a module, through one transport.
func methodsOfModule(t *testing.T, g *gateway, s *sdk) {
	if s.transport != "mqtt" {
		return // the transport makes no difference to what a module is
	}
	id := deviceName(t)
	g.create(id)
	methodsServed(t, g, s, id+"/mod.1")
}

func methodsServed(t *testing.T, g *gateway, s *sdk, id string) {
	who := g.create(id)
	wantRefused(t, g, id, "echo", notOnline) // it has never connected
	d := s.start(t)
	d.do("open", "a", s.open(g, id, who.ConnectionString, nil))
	d.do("send", "a", args{"message": message{Body: []byte("here"), MessageID: "1"}})
	wantRefused(t, g, id, "echo", notOnline) // it has not subscribed
	d.do("subscribe", "a", args{"filter": "methods"})
	g.presence(id, "subscription to methods", func(p session) bool { return p.Has(filterMethods) })
	answers := payloadsReturn(t, g, id)
	answers += unanswered(t, g, d, s, id)
	answers += manyCalls(t, g, id)
	if s.acknowledged {
		d.awaitCount("answer with its PUBACK", answers, func(l line) bool { return l.Event == "answered" })
	}
	d.do("close", "a", nil)
	g.presence(id, "end of the connection", func(p session) bool { return !p.Connected })
	wantRefused(t, g, id, "echo", notOnline)
}

// wantRefused calls a method that cannot be called.
func wantRefused(t *testing.T, g *gateway, id, method, code string) {
	t.Helper()
	status, _, err := g.callWithin(responseTimeout, id, method, "")
	if r, ok := errors.AsType[refusal](err); !ok || r.code != code {
		t.Errorf("%s: status %q, error %v, want %s", method, status, err, code)
	}
}

// payloadsReturn sends payloads of every kind there and back, and returns how many.
func payloadsReturn(t *testing.T, g *gateway, id string) int {
	t.Helper()
	cases := []struct{ method, payload, status, want string }{
		{"echo", `null`, "207", `null`},
		{"echo", `42`, "207", `42`},
		{"echo", `-1.5e-7`, "207", `-1.5e-7`},
		{"echo", `4503599627370495`, "207", `4503599627370495`},
		{"echo", `true`, "207", `true`},
		{"echo", `"text with ünïcode and \"quotes\""`, "207", `"text with ünïcode and \"quotes\""`},
		{"echo", `""`, "207", `""`},
		{"echo", `{"a":{"b":[1,null,{"c":""}]},"d.e":"$"}`, "207", `{"a":{"b":[1,null,{"c":""}]},"d.e":"$"}`},
		{"echo", `{}`, "207", `{}`},
		{"echo", `[1,"two",[],{}]`, "207", `[1,"two",[],{}]`},
		{"echo", ``, "207", `null`},
		{"empty", `{"x":1}`, "204", `null`},
	}
	for _, c := range cases {
		status, got, err := g.call(id, c.method, c.payload)
		if err != nil {
			t.Errorf("%s(%s): %v", c.method, c.payload, err)
			continue
		}
		if status != c.status || !sameJSON(got, c.want) {
			t.Errorf("%s(%s) = %s %q, want %s %q", c.method, c.payload, status, got, c.status, c.want)
		}
	}
	return len(cases)
}

// unanswered calls at once, for each call lasts until the timeout, a method whose
// handler never answers and one that the device does not know. It returns how many
// the device has answered.
func unanswered(t *testing.T, g *gateway, d *driver, s *sdk, id string) int {
	t.Helper()
	answers := 0
	if !s.dropsUnknown {
		answers = 1
	}
	var calls sync.WaitGroup
	calls.Go(func() {
		if !s.dropsUnknown {
			if status, _, err := g.call(id, "unknown", "1"); status != "404" || err != nil {
				t.Errorf("unknown: status %q, error %v, want the device's 404", status, err)
			}
			return
		}
		wantRefused(t, g, id, "unknown", noAnswer)
	})
	begin := time.Now()
	wantRefused(t, g, id, "silent", noAnswer)
	if took := time.Since(begin); took < responseTimeout {
		t.Errorf("the call of silent ended after %v, want %v", took, responseTimeout)
	}
	calls.Wait()
	d.await("call of silent", func(l line) bool { return l.Event == "called" })
	return answers
}

// manyCalls calls a method two hundred times at once; each gets its own answer. It
// returns how many.
func manyCalls(t *testing.T, g *gateway, id string) int {
	t.Helper()
	const callers = 200
	failed := make([]error, callers)
	var calls sync.WaitGroup
	for i := range callers {
		calls.Go(func() {
			want := fmt.Sprintf(`{"caller":%d}`, i)
			status, got, err := g.call(id, "echo", want)
			if err == nil && (status != "207" || !sameJSON(got, want)) {
				err = fmt.Errorf("status %s, payload %q", status, got)
			}
			if err != nil {
				failed[i] = fmt.Errorf("call %d: %w", i, err)
			}
		})
	}
	calls.Wait()
	if err := errors.Join(failed...); err != nil {
		t.Error(err)
	}
	return callers
}

// sameJSON reports whether two texts are the same JSON value; no text is null.
func sameJSON(a, b string) bool {
	return reflect.DeepEqual(parsed(a), parsed(b))
}

// parsed is a JSON value, or the error in it.
func parsed(text string) any {
	if text == "" {
		return nil
	}
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return err
	}
	return v
}
