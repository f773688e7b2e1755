package attack

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/test/hubtest"
)

// annotations are the headers that the hub writes and no device can. The other
// names begin with iothub-app-, or are those of system properties.
var annotations = []string{
	"iothub-connection-device-id", "iothub-connection-auth-method", "iothub-connection-auth-generation-id",
	"iothub-enqueuedtime", "iothub-message-source",
}

// ownWords are the headers of system properties, which a device may set.
var ownWords = []string{"message-id", "content-type", "content-encoding", "sender-device-id"}

// lastHeader is the header block of the device's last message, as the server
// stores it.
func (g *target) lastHeader(t *testing.T, d *device) string {
	t.Helper()
	ask := `{"last_by_subj":"hub.telemetry.` + hubtest.Key(d.id.String()) + `"}`
	m, err := g.NATS.Request("$JS.API.STREAM.MSG.GET.HUB_TELEMETRY", []byte(ask), patience)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Message struct {
			Header string `json:"hdrs"`
		} `json:"message"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		t.Fatal(err)
	}
	header, err := base64.StdEncoding.DecodeString(answer.Message.Header)
	if err != nil || len(header) == 0 {
		t.Fatalf("%s: %v", m.Data, err)
	}
	return string(header)
}

// TestHeaderForging puts into properties what would be a NATS header, if it got
// out of its own: each message is stored with the hub's annotations as they are,
// and not one line more than it has properties.
func TestHeaderForging(t *testing.T) {
	g := start(t)
	w := watch(t, g, 1, 2*time.Millisecond)
	d := g.create(t, "dev1")
	if err := d.joinPlain(t).publish(d.events(""), "plain"); err != nil {
		t.Fatal(err)
	}
	honest := lines(g.lastHeader(t, d))
	for name, bag := range map[string]string{
		"a new line in a name":                  "a%0D%0ANats-Msg-Id%3A%20x=1",
		"a new line in a value":                 "a=1%0D%0ANats-Msg-Id%3A%20x",
		"a bare LF in a value":                  "a=1%0ANats-Rollup%3A%20all",
		"a bare CR in a value":                  "a=1%0DNats-Rollup%3A%20all",
		"a raw new line in a value":             "a=1\r\nNats-Rollup: all",
		"a raw new line in a name":              "a\r\nNats-Rollup: all\r\nb=1",
		"the end of the header":                 "a=1%0D%0A%0D%0Abody",
		"a new line encoded twice":              "a=1%250D%250ANats-Rollup%3A%20all",
		"a colon in a name":                     "Nats-Msg-Id:x=1",
		"a colon first":                         ":=1",
		"a space":                               "%20=%20",
		"NATS's header for duplicates":          "Nats-Msg-Id=x",
		"NATS's header for rollup":              "Nats-Rollup=sub",
		"NATS's header for what is expected":    "Nats-Expected-Last-Sequence=1&Nats-Expected-Stream=x",
		"NATS's header for a life":              "Nats-TTL=1s",
		"NATS's header for a status":            "Status=503&Description=No Responders",
		"the hub's device id":                   "iothub-connection-device-id=dev10",
		"the hub's device id, another case":     "IotHub-Connection-Device-Id=dev10",
		"the hub's device id, without a prefix": "%0D%0Aiothub-connection-device-id=dev10",
		"the hub's auth method":                 "iothub-connection-auth-method=%7B%7D",
		"the hub's time":                        "iothub-enqueuedtime=2000-01-01T00:00:00Z",
		"the prefix of properties":              "iothub-app-a=1&a=2",
		"a system property of the hub":          "%24.cdid=dev10&%24.cam=x&%24.cgid=y",
		"a new line in a system property":       "%24.mid=x%0D%0Aiothub-connection-device-id%3A%20dev10",
		"a new line in a content type":          "%24.ct=a%0D%0ANats-Rollup%3A%20all&%24.ce=%0D%0A",
		"NUL":                                   "a%00=%00",
		"U+0085 and U+2028":                     "a%C2%85=%C2%85x%E2%80%A8y",
		"every control character":               "a=%01%02%03%04%05%06%07%08%09%0B%0C%0E%1B%7F",
		"a value of nothing":                    "a",
		"one name twice":                        "a=1&a=2",
		"an unknown system property":            "%24.nats=1",
		"%null":                                 "a=%25null",
	} {
		t.Run(name, func(t *testing.T) {
			if err := d.joinPlain(t).publish(d.events(bag), "forged"); err != nil {
				t.Fatal(err)
			}
			checkHeader(t, honest, lines(g.lastHeader(t, d)), strings.Count(bag, "&")+1)
		})
	}
	for name, bag := range map[string]string{
		"a value of no UTF-8": "a=%FF", "a name of no UTF-8": "%FF=a", "half a character": "a=%C3", "a surrogate": "a=%ED%A0%80",
		"no name": "=1",
	} {
		t.Run(name, func(t *testing.T) {
			p := d.joinPlain(t)
			_ = p.write(publishing(d.events(bag), "forged"))
			_ = p.closed(t)
			g.told(t, p, d.id, hub.ArgumentInvalid, "propert")
		})
	}
	w.finish(t)
}

// lines are the headers of a block by name. A name that is there twice is there
// with both values.
func lines(block string) map[string]string {
	all := map[string]string{}
	for i, line := range strings.Split(strings.TrimSuffix(block, "\r\n\r\n"), "\r\n") {
		name, value, _ := strings.Cut(line, ":")
		if i > 0 {
			all[name] += strings.TrimPrefix(value, " ")
		}
	}
	return all
}

func checkHeader(t *testing.T, honest, got map[string]string, properties int) {
	t.Helper()
	for _, name := range annotations {
		if name != "iothub-enqueuedtime" && got[name] != honest[name] {
			t.Errorf("%s is %q, want %q", name, got[name], honest[name])
		}
	}
	if year := time.Now().UTC().Format("2006-01-02T"); !strings.HasPrefix(got["iothub-enqueuedtime"], year[:5]) || len(got["iothub-enqueuedtime"]) != 24 {
		t.Errorf("the time is %q", got["iothub-enqueuedtime"])
	}
	more := 0
	for _, name := range slices.Sorted(maps.Keys(got)) {
		value := got[name]
		if strings.ContainsAny(name+value, "\r\n\x00\x7F") {
			t.Errorf("%q: %q has control characters", name, value)
		}
		if _, known := honest[name]; known {
			continue
		}
		more++
		if rest, isApp := strings.CutPrefix(name, "iothub-app-"); !isApp || strings.Trim(rest, "%ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.") != "" {
			if !slices.Contains(ownWords, name) {
				t.Errorf("the header %q is a device's", name)
			}
		}
	}
	if more > properties {
		t.Errorf("%d headers of %d properties: %v", more, properties, got)
	}
}

// TestForgingByName does the same by the options of the user name, which go
// into headers and events.
func TestForgingByName(t *testing.T) {
	g := start(t)
	w := watch(t, g, 1, 2*time.Millisecond)
	d := g.create(t, "dev1")
	honest := map[string]string{}
	for _, options := range []string{
		"", "&model-id=dtmi:a%0D%0ANats-Rollup%3A%20all;1", "&model-id=%0D%0A%0D%0A", "&DeviceClientType=%0D%0ANats-Rollup%3A%20all",
		"&DeviceClientType=%22%7D%2C%7B%22errorCode%22%3A0", "&model-id=dtmi:a;1&model-id=dtmi:b;1", "&model-id=%FF%FE", "&model-id=%00",
		"&DeviceClientType=" + strings.Repeat("x", 30_000), "&model-id=" + strings.Repeat("x", 2048),
	} {
		p := dialPlain(t, g, plainPort)
		hello := d.hello()
		hello.Username = append(hello.Username, options...)
		p.welcomed(t, hello)
		if err := p.publish(d.events(""), "forged"); err != nil {
			t.Fatalf("%.60q: %v", options, err)
		}
		got := lines(g.lastHeader(t, d))
		if options == "" {
			honest = got
		}
		model := got["dt-dataschema"]
		delete(got, "dt-dataschema")
		if strings.ContainsAny(model, "\r\n\x00") {
			t.Errorf("%.60q: the model is %q", options, model)
		}
		checkHeader(t, honest, got, 0)
	}
	g.Log.Await(t, "a connection", func(l hubtest.Line) bool { return l.Text("device_id") == "dev1" })
	events := g.AwaitEvents(t, "dev1", "events of ten connections", func(all []hubtest.Event) bool { return len(all) >= 19 })
	for _, e := range events {
		if e.Connection == "" || e.Remote == "" {
			t.Errorf("an event that nobody sent: %+.200v", e)
		}
	}
	w.finish(t)
}
