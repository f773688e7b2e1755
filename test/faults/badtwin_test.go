package faults

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/test/hubtest"
)

// nested is n objects inside each other.
func nested(n int) string {
	return strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n)
}

// sectionOf is a section of some size in IoT Hub's count, in strings of 4000.
func sectionOf(size int) string {
	var b strings.Builder
	for i := 0; size > 0; i++ {
		key := fmt.Sprintf("%03d", i)
		n := min(size, 4000) - len(key)
		fmt.Fprintf(&b, `,%q:%q`, key, strings.Repeat("x", max(n, 0)))
		size -= len(key) + max(n, 0)
	}
	return "{" + b.String()[1:] + "}"
}

// badSections are sections of a twin that break a rule, by what they are.
func badSections() map[string]struct{ body, says string } {
	return map[string]struct{ body, says string }{
		"no JSON":              {`{`, "JSON"},
		"nothing":              {``, "JSON"},
		"an array":             {`[1]`, "object"},
		"a number":             {`1`, "object"},
		"two objects":          {`{"a":1}{"b":1}`, "JSON"},
		"a comment":            {`{"a":1/*x*/}`, "JSON"},
		"NaN":                  {`{"a":NaN}`, "JSON"},
		"a byte order mark":    {"\xEF\xBB\xBF{\"a\":1}", "JSON"},
		"a NUL":                {"{\"a\":1}\x00", "JSON"},
		"key with a dot":       {`{"a.b":1}`, "key"},
		"key with a dollar":    {`{"a":{"$b":1}}`, "key"},
		"key with a space":     {`{"a b":1}`, "key"},
		"key with a hash":      {`{"a#":1}`, "key"},
		"key with a control":   {`{"a\u0007b":1}`, "control"},
		"key with a newline":   {`{"a\nb":1}`, "control"},
		"key with a C1":        {`{"a\u0085b":1}`, "control"},
		"key of 1025 bytes":    {`{"` + strings.Repeat("k", 1025) + `":1}`, "1024"},
		"key twice":            {`{"a":1,"a":2}`, "twice"},
		"key twice, escaped":   {`{"a":1,"\u0061":2}`, "twice"},
		"key twice, deep":      {`{"o":{"a":1,"a":2}}`, "twice"},
		"string of 4097 bytes": {`{"a":"` + strings.Repeat("s", 4097) + `"}`, "4096"},
		"string of 200 KB":     {`{"a":"` + strings.Repeat("s", 200<<10) + `"}`, "4096"},
		"key not UTF-8":        {"{\"a\xFF\":1}", "UTF-8"},
		"string not UTF-8":     {"{\"a\":\"\xC3\x28\"}", "UTF-8"},
		"a surrogate":          {"{\"a\":\"\xED\xA0\x80\"}", "UTF-8"},
		"depth 11":             {nested(12), "10"}, // one of them is the section
		"depth 10,000":         {nested(10_000), "10"},
		"10,000 arrays":        {`{"a":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + `}`, "10"},
		"100,000 open":         {`{"a":` + strings.Repeat("[", 100_000), "10"},
		"integer too great":    {`{"a":4503599627370496}`, "integer"},
		"integer too small":    {`{"a":-4503599627370497}`, "integer"},
		"double too great":     {`{"a":1e309}`, "double"},
		"number of 1000":       {`{"a":0.` + strings.Repeat("1", 1000) + `}`, "64"},
		"null in an array":     {`{"a":[1,null]}`, "null"},
	}
}

// TestBadTwinPatches sends by MQTT what no patch may be: each is answered with
// the status of its code and a sentence, the connection stays, and neither the
// twin nor anybody else notices.
func TestBadTwinPatches(t *testing.T) {
	g := start(t, hubtest.Options{})
	innocent := newBystander(t, g, newDevice(t, g, "innocent"))
	conn := newDevice(t, g, "clumsy").mustJoin(t, twinAnswers, desiredWrites)
	good, err := conn.askTwin(twinReported, "good", `{"good":1}`)
	if err != nil || good.status != "204" {
		t.Fatalf("a good patch was answered %+v, %v", good, err)
	}
	n := 0
	refused := func(name, topic, body, status, says string) {
		t.Helper()
		n++
		rid := fmt.Sprint(n)
		topic, query, _ := strings.Cut(topic, "&")
		if query != "" {
			query = "&" + query
		}
		r, err := conn.askTwin(topic, rid+query, body)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if r.status != status || r.rid != rid || r.version != 0 {
			t.Errorf("%s: answered %s %s %.200s, want %s", name, r.status, r.rid, r.body, status)
			return
		}
		b, err := r.refusal()
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !strings.Contains(b.Message, says) || b.TrackingID == "" || len(b.Message) > 2000 {
			t.Errorf("%s: the message is %.300q, want %q in it", name, b.Message, says)
		}
	}
	for name, c := range badSections() {
		refused(name, twinReported, c.body, "400", c.says)
	}
	refused("33 KB", twinReported, sectionOf(33<<10), "403", "32768")
	refused("a request of 256 KiB and a byte", twinReported, strings.Repeat(" ", 256<<10-6)+`{"a":1}`, "413", "262144")
	refused("a stale version", twinReported+"&$version=99", `{"a":1}`, "412", "version")
	refused("a version of words", twinReported+"&$version=latest", `{"a":1}`, "400", "version")
	refused("a version below 0", twinReported+"&$version=-1", `{"a":1}`, "400", "version")
	refused("a version out of range", twinReported+"&$version=99999999999999999999", `{"a":1}`, "400", "version")

	r, err := conn.askTwin(twinGet, "get", "")
	if want := `{"desired":{"$version":1},"reported":{"good":1,"$version":2}}`; err != nil || string(r.body) != want {
		t.Errorf("the twin is %s, %v; want %s", r.body, err, want)
	}
	if r, err = conn.askTwin(twinReported, "large", sectionOf(32<<10-len("good")-8)); err != nil || r.status != "204" {
		t.Errorf("a section of 32 KB: %s %s, %v", r.status, r.body, err)
	}
	if n := events(t, g, "clumsy"); n != 1 {
		t.Errorf("%d connection events, want one: the connection should last", n)
	}
	innocent.finish(t)
}

// TestBadTwinRequests asks the NATS service for what may not be: each is
// refused with a code and a sentence.
func TestBadTwinRequests(t *testing.T) {
	g := start(t, hubtest.Options{})
	newDevice(t, g, "quiet")
	now := newLives(g).now.Load()
	refused := func(name, subject string, header nats.Header, body, code, says string) {
		t.Helper()
		m, err := now.request(subject, header, body)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		if got, text := serviceError(m); got != code || !strings.Contains(text, says) || len(text) < 10 || len(text) > 2000 {
			t.Errorf("%s: answered %q %.300q, want %s and %q", name, got, text, code, says)
		}
	}
	const update = "hub.twin.update.quiet"
	for name, c := range badSections() {
		body := `{"properties":{"desired":` + c.body + `}}`
		if name == "two objects" || name == "nothing" || name == "no JSON" || name == "a NUL" {
			body = c.body
		}
		refused(name, update, nil, body, "400004", "")
	}
	refused("33 KB", update, nil, `{"properties":{"desired":`+sectionOf(33<<10)+`}}`, "400004", "32768")
	refused("9 KB of tags", update, nil, `{"tags":`+sectionOf(9<<10)+`}`, "400004", "8192")
	refused("300 KB", update, nil, `{"tags":{},"x":"`+strings.Repeat("x", 300<<10)+`"}`, "413001", "262144")
	refused("nothing to write", update, nil, `{"tag":{"a":1}}`, "400004", "")
	refused("reported", update, nil, `{"properties":{"reported":{"a":1}}}`, "400004", "")
	refused("an old etag", update, nats.Header{"If-Match": {"AAAAAAAAAAk="}}, `{"tags":{"a":1}}`, "412001", "")
	refused("not an etag", update, nats.Header{"If-Match": {"x y"}}, `{"tags":{"a":1}}`, "412001", "")
	refused("nobody", "hub.twin.get.nobody", nil, "", "404001", "nobody")
	refused("no module", "hub.twin.get.quiet.nothing", nil, "", "404010", "nothing")
	refused("no token", "hub.twin.get.a=2eb", nil, "", "400004", "=XX")
	refused("an escape too many", "hub.twin.get.=61", nil, "", "400004", "=XX")
	refused("four tokens", "hub.twin.get.quiet.a.b", nil, "", "400004", "")
	refused("not an id", "hub.twin.get.a=2Fb", nil, "", "400004", "")
	m, err := now.request("hub.twin.get.quiet", nil, "")
	if err != nil || !strings.Contains(string(m.Data), `"version":2,`) {
		t.Errorf("the twin is %s, %v; want that it was never written", m.Data, err)
	}
}

// TestOddRequestIDs uses request ids as no SDK makes them: what can be answered
// is answered with the same id.
func TestOddRequestIDs(t *testing.T) {
	g := start(t, hubtest.Options{})
	conn := newDevice(t, g, "odd").mustJoin(t, twinAnswers)
	for name, c := range map[string]struct{ sent, want string }{
		"a plus":            {"a+b", "a+b"},
		"a hash":            {"a#b", "a#b"},
		"a question mark":   {"a?b", "a?b"},
		"a slash":           {"a/b/?c", "a/b/?c"},
		"a space":           {"a b ", "a b "},
		"an equals sign":    {"a=b=", "a=b="},
		"a percent sign":    {"a%20b%zz", "a%20b%zz"},
		"a dollar":          {"$rid", "$rid"},
		"UTF-8":             {"ключ-€-𝄞", "ключ-€-𝄞"},
		"another parameter": {"a&b=c", "a"},
		"twice":             {"a&$rid=b", "a"},
		"1 KB":              {strings.Repeat("r", 1024), strings.Repeat("r", 1024)},
	} {
		for _, topic := range []string{twinGet, twinReported} {
			r, err := conn.askTwin(topic, c.sent, `{"a":1}`)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if r.rid != c.want || r.status != "200" && r.status != "204" {
				t.Errorf("%s: %s%s was answered %s with the id %q, want %q", name, topic, c.sent, r.status, r.rid, c.want)
			}
		}
	}
}

// TestBadConversationTopics publishes to topics of conversations that do not
// exist, or that nobody can answer: the connection ends, and log, event and
// session say why. Nobody else notices.
func TestBadConversationTopics(t *testing.T) {
	g := start(t, hubtest.Options{})
	innocent := newBystander(t, g, newDevice(t, g, "innocent"))
	victim := newDevice(t, g, "victim").mustJoin(t, twinAnswers, desiredWrites, methodCalls, "devices/victim/messages/devicebound/#")
	cases := []struct {
		topic  string
		code   hub.Code
		reason string
	}{
		{"$iothub/twin/GET/?$rid=", hub.ArgumentInvalid, "request id"},
		{"$iothub/twin/GET/?", hub.ArgumentInvalid, "request id"},
		{"$iothub/twin/GET/", hub.ArgumentInvalid, "no topic"},
		{"$iothub/twin/GET/?rid=1", hub.ArgumentInvalid, "request id"},
		{"$iothub/twin/GET/?%24rid=1", hub.ArgumentInvalid, "request id"},
		{"$iothub/twin/GET/?$rid=" + strings.Repeat("r", 1025), hub.ArgumentInvalid, "request id"},
		{"$iothub/twin/PATCH/properties/reported/?$rid=", hub.ArgumentInvalid, "request id"},
		{"$iothub/twin/PATCH/properties/reported/?$version=1", hub.ArgumentInvalid, "request id"},
		{"$iothub/twin/PATCH/properties/desired/?$rid=1", hub.ArgumentInvalid, "no topic"},
		{"$iothub/twin/PATCH/tags/?$rid=1", hub.ArgumentInvalid, "no topic"},
		{"$iothub/twin/DELETE/?$rid=1", hub.ArgumentInvalid, "no topic"},
		{"$iothub/twin/res/200/?$rid=1", hub.ArgumentInvalid, "no topic"},
		{"$iothub/victim/twin/GET/?$rid=1", hub.ArgumentInvalid, "no topic"},
		{"$iothub/methods/POST/x/?$rid=1", hub.ArgumentInvalid, "no topic"},
		{"$iothub/methods/res/200", hub.ArgumentInvalid, "answer"},
		{"$iothub/methods/res/abc/?$rid=1", hub.ArgumentInvalid, "answer"},
		{"$iothub/methods/res/99999999999999999999/?$rid=1", hub.ArgumentInvalid, "answer"},
		{"$iothub/", hub.ArgumentInvalid, "no topic"},
		{"$SYS/broker/version", hub.ArgumentInvalid, "no topic"},
		{"$dps/registrations/PUT/iotdps-register/?$rid=1", hub.ArgumentInvalid, "no topic"},
		{"devices/victim/messages/devicebound/", hub.ArgumentInvalid, "another identity"},
		{"devices/victim/twin/GET/?$rid=1", hub.ArgumentInvalid, "another identity"},
		{"$iothub/twin/GET/?$rid=\xFF", hub.GenericBadRequest, "UTF-8"},
		{"$iothub/twin/GET/?$rid=a\x00b", hub.GenericBadRequest, ""},
	}
	for i, c := range cases {
		t.Run(fmt.Sprintf("%.60q", c.topic), func(t *testing.T) {
			id := fmt.Sprintf("topic-%02d", i)
			conn := newDevice(t, g, id).mustJoin(t, twinAnswers)
			topic := append([]byte{0, 0}, c.topic...)
			topic[0], topic[1] = byte(len(c.topic)>>8), byte(len(c.topic))
			_ = conn.write(append(append(remaining(0x30, len(topic)+2), topic...), "{}"...))
			conn.closed(t)
			checkEnd(t, g, id, conn, end{code: c.code, reason: c.reason})
		})
	}
	t.Run("1 MB of patch", func(t *testing.T) {
		conn := newDevice(t, g, "huge").mustJoin(t, twinAnswers)
		_ = conn.write(bytesOf(t, &mqtt.Publish{Topic: []byte(twinReported + "1"), Payload: []byte(`{"a":"` + strings.Repeat("x", 1<<20) + `"}`)}, mqtt.V311))
		conn.closed(t)
		checkEnd(t, g, "huge", conn, end{code: hub.MessageTooLarge})
	})
	if r, err := victim.askTwin(twinGet, "1", ""); err != nil || r.status != "200" {
		t.Errorf("the victim's twin: %+v, %v", r, err)
	}
	if n := events(t, g, "victim"); n != 1 {
		t.Errorf("the victim has %d connection events, want one", n)
	}
	innocent.finish(t)
}
