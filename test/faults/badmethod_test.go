package faults

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/test/hubtest"
)

// TestBadMethods calls by NATS what can't be called: each is refused with a
// code and a sentence, and the device hears of none.
func TestBadMethods(t *testing.T) {
	g := start(t, hubtest.Options{})
	innocent := newBystander(t, g, newDevice(t, g, "innocent"))
	conn := newDevice(t, g, "callee").mustJoin(t, methodCalls)
	newDevice(t, g, "deaf").mustConnect(t)
	newDevice(t, g, "absent")
	now := newLives(g).now.Load()
	header := func(pairs ...string) nats.Header {
		h := nats.Header{}
		for i := 0; i < len(pairs); i += 2 {
			h[pairs[i]] = append(h[pairs[i]], pairs[i+1])
		}
		return h
	}
	for name, c := range map[string]struct {
		subject string
		header  nats.Header
		body    string
		code    string
		says    string
	}{
		"no method":                  {"hub.method.callee", nil, "1", "400004", "hub.method.{device}"},
		"four tokens":                {"hub.method.callee.a.b.c", nil, "1", "400004", "hub.method.{device}"},
		"a dot that is not escaped":  {"hub.method.callee.fan.set", nil, "1", "404010", "fan"},
		"lower-case hex":             {"hub.method.callee.a=2eb", nil, "1", "400004", "=XX"},
		"an escape too many":         {"hub.method.callee.=61", nil, "1", "400004", "=XX"},
		"half an escape":             {"hub.method.callee.a=2", nil, "1", "400004", "=XX"},
		"raw UTF-8":                  {"hub.method.callee.größe", nil, "1", "400004", "=XX"},
		"a wildcard that is not one": {"hub.method.callee.a*b", nil, "1", "400004", "=XX"},
		"a space":                    {"hub.method.callee.a=20b", nil, "1", "400004", "printable"},
		"a slash":                    {"hub.method.callee.a=2Fb", nil, "1", "400004", "printable"},
		"a plus":                     {"hub.method.callee.=2B", nil, "1", "400004", "printable"},
		"a hash":                     {"hub.method.callee.=23", nil, "1", "400004", "printable"},
		"a question mark":            {"hub.method.callee.=3F", nil, "1", "400004", "printable"},
		"a newline":                  {"hub.method.callee.a=0D=0Ab", nil, "1", "400004", "printable"},
		"a NUL":                      {"hub.method.callee.=00", nil, "1", "400004", "printable"},
		"UTF-8":                      {"hub.method.callee.=C3=BC", nil, "1", "400004", "printable"},
		"129 bytes":                  {"hub.method.callee." + strings.Repeat("n", 129), nil, "1", "400004", "128"},
		"half of JSON":               {"hub.method.callee.x", nil, `{"a":`, "400004", "JSON"},
		"words":                      {"hub.method.callee.x", nil, `reboot`, "400004", "JSON"},
		"JSON that is not UTF-8":     {"hub.method.callee.x", nil, "{\"a\":\"\xFF\"}", "400004", "UTF-8"},
		"a nesting bomb":             {"hub.method.callee.x", nil, strings.Repeat("[", 100_000), "400004", "JSON"},
		"128 KiB and a byte":         {"hub.method.callee.x", nil, `"` + strings.Repeat("x", 128<<10-1) + `"`, "413001", "131072"},
		"1 MB less headers":          {"hub.method.callee.x", nil, `"` + strings.Repeat("x", 1<<20-100) + `"`, "413001", "131072"},
		"a header with a mistake":    {"hub.method.callee.x", header("Hub-Wiat", "5s"), "1", "400004", "Hub-Wiat"},
		"a timeout too short":        {"hub.method.callee.x", header("Hub-Response-Timeout", "1s"), "1", "400004", "5s"},
		"a timeout too long":         {"hub.method.callee.x", header("Hub-Response-Timeout", "301"), "1", "400004", "5m"},
		"a timeout of words":         {"hub.method.callee.x", header("Hub-Connect-Timeout", "soon"), "1", "400004", "soon"},
		"a negative timeout":         {"hub.method.callee.x", header("Hub-Connect-Timeout", "-5s"), "1", "400004", "-5s"},
		"two timeouts":               {"hub.method.callee.x", header("Hub-Connect-Timeout", "5s", "Hub-Connect-Timeout", "6s"), "1", "400004", "2 times"},
		"a wait of nothing":          {"hub.method.callee.x", header("Hub-Wait", "0"), "1", "400004", "wait"},
		"a wait of a year":           {"hub.method.callee.x", header("Hub-Wait", "8760h"), "1", "400004", "wait"},
		"a reply to the hub":         {"hub.method.callee.x", header("Hub-Wait", "5s", "Hub-Reply-To", "hub.c2d.innocent"), "1", "400004", "Hub-Reply-To"},
		"a reply to JetStream":       {"hub.method.callee.x", header("Hub-Wait", "5s", "Hub-Reply-To", "$JS.API.STREAM.DELETE.HUB_C2D"), "1", "400004", "Hub-Reply-To"},
		"a reply to everybody":       {"hub.method.callee.x", header("Hub-Wait", "5s", "Hub-Reply-To", "x.>"), "1", "400004", "Hub-Reply-To"},
		"a reply without a wait":     {"hub.method.callee.x", header("Hub-Reply-To", "x"), "1", "400004", "Hub-Wait"},
		"nobody":                     {"hub.method.nobody.x", nil, "1", "404001", "nobody"},
		"no module":                  {"hub.method.callee.nothing.x", nil, "1", "404010", "nothing"},
		"not connected":              {"hub.method.absent.x", nil, "1", "404103", "not connected"},
		"not subscribed":             {"hub.method.deaf.x", nil, "1", "404103", "not subscribed"},
		"a command for nobody":       {"hub.method.nobody.x", header("Hub-Wait", "5s"), "1", "404001", "nobody"},
		"cancel nothing":             {"hub.command.cancel.callee", nil, `{"id":"0"}`, "404002", ""},
		"cancel something odd":       {"hub.command.cancel.callee", nil, `{"id":"../*"}`, "400004", ""},
		"cancel a typing mistake":    {"hub.command.cancel.callee", nil, `{"Id":"0","x":1}`, "400004", ""},
	} {
		m, err := now.request(c.subject, c.header, c.body)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if code, text := serviceError(m); code != c.code || !strings.Contains(text, c.says) || len(text) < 10 || len(text) > 1000 || len(m.Data) > 0 {
			t.Errorf("%s: answered %q %.300q %.100q, want %s and %q", name, code, text, m.Data, c.code, c.says)
		}
	}
	checkFirstCall(t, now, conn)
	innocent.finish(t)
}

// checkFirstCall calls a device as it can just be called, and checks that it
// is the first that the device hears.
func checkFirstCall(t *testing.T, now *life, conn *client) {
	t.Helper()
	body := `"` + strings.Repeat("x", 128<<10-2) + `"`
	const name = "~!*'()=:;,@$.-_" // beside letters and digits
	answer := make(chan *nats.Msg, 1)
	go func() {
		m, _ := now.request("hub.method.callee."+hubtest.Key(name), nil, body)
		answer <- m
	}()
	m, err := conn.hear()
	if err != nil {
		t.Fatal(err)
	}
	// The upper half of a request id is the connection's.
	topic, want := string(m.Topic), "$iothub/methods/POST/"+name+"/?$rid="
	if !strings.HasPrefix(topic, want) || !strings.HasSuffix(topic, "00000001") || string(m.Payload) != body {
		t.Errorf("the device was called by %s with %d bytes, want %s…00000001 with %d as the first call", topic, len(m.Payload), want, len(body))
	}
	if err := conn.answer(string(m.Topic), "no JSON at all"); err != nil {
		t.Fatal(err)
	}
	if a := <-answer; a == nil || a.Header.Get("Hub-Status") != "200" || string(a.Data) != "no JSON at all" {
		t.Errorf("the answer is %+v", a)
	}
}

// TestBadMethodAnswers has a device answer as it may not, or too much: the
// caller hears the truth, and the connection stays.
func TestBadMethodAnswers(t *testing.T) {
	g := start(t, hubtest.Options{})
	conn := newDevice(t, g, "babbler").mustJoin(t, methodCalls)
	now := newLives(g).now.Load()
	for name, c := range map[string]struct {
		status, body string
		code         string // empty: the answer comes as it is
	}{
		"empty":                {"200", "", ""},
		"not UTF-8":            {"200", "\xFF\xFE", ""},
		"a status below 0":     {"-1", "1", ""},
		"a status of 0":        {"0", "1", ""},
		"a status of an error": {"404", `{"x":1}`, ""},
		"a large status":       {"2147483647", "1", ""},
		"128 KiB":              {"200", strings.Repeat("x", 128<<10), ""},
		"128 KiB and a byte":   {"200", strings.Repeat("x", 128<<10+1), "413001"},
		"256 KiB":              {"200", strings.Repeat("x", 256<<10), "413001"},
	} {
		answer := make(chan *nats.Msg, 1)
		go func() {
			m, _ := now.request("hub.method.babbler.x", nil, "1")
			answer <- m
		}()
		m, err := conn.hear()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_, rid, _ := strings.Cut(string(m.Topic), "/?$rid=")
		for _, say := range [][2]string{ // nobody has asked for the first three
			{"$iothub/methods/res/200/?$rid=ffffffffffffffff", "stale"},
			{"$iothub/methods/res/200/?$rid=not-hex", "odd"},
			{"$iothub/methods/res/200/?", "none"},
			{"$iothub/methods/res/" + c.status + "/?$rid=" + rid, c.body},
			{"$iothub/methods/res/500/?$rid=" + rid, "twice"},
		} {
			if err := conn.say(say[0], say[1]); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		a := <-answer
		if a == nil {
			t.Fatalf("%s: no answer", name)
		}
		code, text := serviceError(a)
		switch {
		case code != c.code:
			t.Errorf("%s: refused by %q %.200q, want %q", name, code, text, c.code)
		case code == "" && (a.Header.Get("Hub-Status") != c.status || string(a.Data) != c.body):
			t.Errorf("%s: the answer is %v with %d bytes, want %s with %d", name, a.Header, len(a.Data), c.status, len(c.body))
		}
	}
	if n := events(t, g, "babbler"); n != 1 {
		t.Errorf("%d connection events, want one: the connection should last", n)
	}
}

// TestBadCloudToDevice sends messages that can't be delivered: each becomes a
// dead letter with a sentence, and those behind it are delivered.
func TestBadCloudToDevice(t *testing.T) {
	g := start(t, hubtest.Options{})
	conn := newDevice(t, g, "reader").mustJoin(t, "devices/reader/messages/devicebound/#")
	bad := map[string]struct {
		device string
		header nats.Header
		body   string
		says   string
	}{
		"nobody":           {"nobody", nil, "x", "nobody"},
		"64 KiB":           {"reader", nil, strings.Repeat("x", 64<<10), "65536"},
		"ack":              {"reader", nats.Header{"iothub-ack": {"yes"}}, "x", "iothub-ack"},
		"expiry":           {"reader", nats.Header{"absolute-expiry-time": {"tomorrow"}}, "x", "absolute-expiry-time"},
		"expiry of a year": {"reader", nats.Header{"absolute-expiry-time": {time.Now().Add(365 * 24 * time.Hour).UTC().Format(time.RFC3339)}}, "x", "48h"},
		"not UTF-8":        {"reader", nats.Header{"iothub-app-x": {"%FF"}}, "x", "UTF-8"},
		"the hub's own":    {"reader", nats.Header{"iothub-app-iothub-ack": {"full"}}, "x", "belongs to IoT Hub"},
		"no name":          {"reader", nats.Header{"iothub-app-": {"x"}}, "x", "no name"},
		"a topic too long": {"reader", nats.Header{"iothub-app-x": {strings.Repeat("ü", 15_000)}}, "x", "topic"},
	}
	for id, c := range bad {
		m := &nats.Msg{Subject: "hub.c2d." + c.device, Header: nats.Header{"message-id": {id}}, Data: []byte(c.body)}
		maps.Copy(m.Header, c.header)
		if _, err := g.JS.PublishMsg(t.Context(), m); err != nil {
			t.Fatalf("%s: %v", id, err)
		}
	}
	for _, subject := range []string{"hub.c2d", "hub.c2d.a.b"} {
		if _, err := g.JS.Publish(t.Context(), subject, []byte("x"), jetstream.WithRetryAttempts(0)); err == nil {
			t.Errorf("JetStream has taken a message on %s, where no queue is", subject)
		}
	}
	if _, err := g.JS.Publish(t.Context(), "hub.c2d.reader", []byte("good")); err != nil {
		t.Fatal(err)
	}
	m, err := conn.hear()
	if err != nil || string(m.Payload) != "good" {
		t.Fatalf("the device got %+v, %v; want the good message", m, err)
	}
	if err := conn.puback(m); err != nil {
		t.Fatal(err)
	}
	letters := map[string]nats.Header{}
	eventually(func() bool {
		g.Each(t, "HUB_DEADLETTERS", "hub.deadletter.>", func(m jetstream.Msg) { letters[m.Headers().Get("message-id")] = m.Headers() })
		return len(letters) == len(bad)
	})
	for id, c := range bad {
		h := letters[id]
		if text := h.Get("Hub-Dead-Letter-Description"); h.Get("Hub-Dead-Letter-Status") != "Rejected" || !strings.Contains(text, c.says) {
			t.Errorf("%s: the dead letter says %q %q, want Rejected and %q", id, h.Get("Hub-Dead-Letter-Status"), text, c.says)
		}
	}
	if !eventually(func() bool { return len(readQueues(t, g)) == 0 }) {
		t.Error("messages are left in the queue")
	}
}

// TestConversationsOfOddIDs has devices whose ids hold what subjects, filters,
// topics and keys have for themselves, all connected at once, converse: each
// gets what is meant for it, and nothing else.
func TestConversationsOfOddIDs(t *testing.T) {
	g := start(t, hubtest.Options{})
	now := newLives(g).now.Load()
	ids := []string{everyIDCharacter, "a.b", "a", "A", "a=2Eb", "a=2eb", "x*", "*", "50%", "a+b", "+", "#", "a#", "$x", "$SYS", "..", "'", strings.Repeat("%", 128)}
	conns := map[string]*client{}
	for _, id := range ids {
		conns[id] = newDevice(t, g, id).mustJoin(t, twinAnswers, desiredWrites, methodCalls, "devices/"+id+"/messages/devicebound/#")
	}
	heard := func(id, prefix, body string) string {
		t.Helper()
		m, err := conns[id].hear()
		if err != nil {
			t.Fatalf("%s: %v", id, err)
		}
		if !strings.HasPrefix(string(m.Topic), prefix) || string(m.Payload) != body {
			t.Fatalf("%s got %s %s, want %s… %s", id, m.Topic, m.Payload, prefix, body)
		}
		topic := string(m.Topic)
		if err := conns[id].puback(m); err != nil {
			t.Fatal(err)
		}
		return topic
	}
	for i, id := range ids {
		conn, key := conns[id], hubtest.Key(id)
		r, err := conn.askTwin(twinReported, "1", fmt.Sprintf(`{"me":%d}`, i))
		if err != nil || r.status != "204" {
			t.Fatalf("%s: patch: %+v, %v", id, r, err)
		}
		m, err := now.request("hub.twin.update."+key, nil, fmt.Sprintf(`{"properties":{"desired":{"you":%d}}}`, i))
		if code, text := serviceError(m); err != nil || code != "" {
			t.Fatalf("%s: update: %v, %s %s", id, err, code, text)
		}
		heard(id, "$iothub/twin/PATCH/properties/desired/?$version=2", fmt.Sprintf(`{"you":%d,"$version":2}`, i))
		if stored, err := readTwin(g.JS, id); err != nil || number(stored.Properties.Reported["me"]) != float64(i) {
			t.Errorf("%s: the twin is %+v, %v", id, stored, err)
		}

		answer, body := make(chan *nats.Msg, 1), fmt.Sprintf(`{"call":%d}`, i)
		go func() {
			m, _ := now.request("hub.method."+key+".do=2Eit", nil, body)
			answer <- m
		}()
		if err := conn.answer(heard(id, "$iothub/methods/POST/do.it/?$rid=", body), body); err != nil {
			t.Fatal(err)
		}
		if a := <-answer; a == nil || string(a.Data) != body || a.Header.Get("Hub-Status") != "200" {
			t.Errorf("%s: the answer is %+v", id, a)
		}

		s := &sender{name: "m" + fmt.Sprint(i), to: []string{id}, accepted: map[string]uint64{}}
		if !s.send(g.JS, nil) {
			t.Fatalf("%s: the message was not taken: %v", id, s.faults)
		}
		heard(id, "devices/"+id+"/messages/devicebound/%24.", s.name+"-0")
		awaitOutcomes(t, g, []*sender{s}, "Success")
	}
	for _, id := range ids { // nobody has got anything else
		if r, err := conns[id].askTwin(twinGet, "last", ""); err != nil || r.rid != "last" {
			t.Errorf("%s: GET: %+v, %v", id, r, err)
		}
		if n := events(t, g, id); n != 1 {
			t.Errorf("%s has %d connection events, want one", id, n)
		}
	}
}
