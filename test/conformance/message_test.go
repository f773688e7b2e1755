package conformance

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// message is one device-to-cloud message as a test asks an SDK to send it.
type message struct {
	Body            []byte      `json:"body"`
	MessageID       string      `json:"messageId,omitempty"`
	CorrelationID   string      `json:"correlationId,omitempty"`
	UserID          string      `json:"userId,omitempty"`
	To              string      `json:"to,omitempty"`
	ContentType     string      `json:"contentType,omitempty"`
	ContentEncoding string      `json:"contentEncoding,omitempty"`
	Expiry          string      `json:"expiry,omitempty"`
	CreationTime    string      `json:"creationTime,omitempty"`
	Component       string      `json:"component,omitempty"`
	Output          string      `json:"output,omitempty"`
	Ack             string      `json:"ack,omitempty"` // of one that comes from the cloud
	Security        bool        `json:"security,omitempty"`
	Properties      [][2]string `json:"properties,omitempty"`

	// SenderDevice and SenderModule are what an SDK adds by itself.
	SenderDevice string `json:"-"`
	SenderModule string `json:"-"`
}

// securityInterface is the interface id that the SDKs give to security messages.
const securityInterface = "urn:azureiot:Security:SecurityAgent:1"

// annotations are the headers that the hub itself adds to telemetry.
var annotations = []string{
	"iothub-connection-device-id", "iothub-connection-module-id", "iothub-connection-auth-method",
	"iothub-connection-auth-generation-id", "iothub-enqueuedtime", "iothub-message-source",
}

// headers is what the message must have beside the annotations.
func (m message) headers() map[string]string {
	want := map[string]string{}
	for name, value := range map[string]string{
		"message-id": m.MessageID, "correlation-id": m.CorrelationID, "user-id": m.UserID, "to": m.To,
		"content-type": m.ContentType, "content-encoding": m.ContentEncoding, "absolute-expiry-time": m.Expiry,
		"iothub-creation-time-utc": m.CreationTime, "dt-subject": m.Component, "output-name": m.Output,
		"sender-device-id": m.SenderDevice, "sender-module-id": m.SenderModule,
	} {
		if value != "" {
			want[name] = headerValue(value)
		}
	}
	if m.Security {
		want["iothub-interface-id"] = securityInterface
	}
	for _, p := range m.Properties {
		want["iothub-app-"+headerName(p[0])] = headerValue(p[1])
	}
	return want
}

// headerName escapes an application property's name as docs/nats.md has it.
func headerName(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("_.-", c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// headerValue escapes a value as docs/nats.md has it.
func headerValue(s string) string {
	var b strings.Builder
	for i, c := range []byte(s) {
		edge := i == 0 || i == len(s)-1
		if c < 0x20 || c == 0x7F || c == '%' || c == ' ' && edge {
			fmt.Fprintf(&b, "%%%02X", c)
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

// hostile are application properties that a careless parser, escaper or header
// writer gets wrong.
var hostile = [][2]string{
	{"plain", "value"},
	{"&=%+/$ ;,", "&=%+/$ ;,"},
	{"a&b=c", "x=1&y=2"},
	{"100%", "%41%2B%"},
	{"plus+plus", "1+1 = 2"},
	{" leading and trailing ", "  both  "},
	{"naïve ключ 漢字 😀", "größe цена 値段 😀"},
	{"empty", ""},
	{"slash/", "a/b//c/"},
	{"question?", "?a=b#c"},
	{"quotes\"'`", "\"'`\\"},
	{"crlf", "x\r\nNats-Msg-Id: forged\r\n\r\n"},
	{"nul", "a\x00b"},
	{"tab\tand\nnewline", "\t\n\x7f\x01"},
	{"wild#card+", "#/+/$share"},
	{"iothub-enqueuedtime-", "not the hub's"},
	{"Content-Type", "an application property, not the system one"},
	{"message-id", "an application property, not the system one"},
	{"brackets(){}[]<>", "!*'();:@&=+$,/?#[]"},
	{"x.y-z_0~", "unreserved ~.-_"},
	{"null", "null"},
}

// telemetry makes the 200 messages of the main scenario: together they hold every
// system property, every hostile application property, an 8 KB one, and bodies of
// all bytes and of many sizes.
func telemetry(trim func(message) message) []message {
	random := rand.NewChaCha8([32]byte{1})
	long := strings.Repeat("8 KB of &=%+/ and 漢字; ", 400)
	long = strings.ToValidUTF8(long[:8192], "")
	long += strings.Repeat("x", 8192-len(long))
	var all []message
	for i := range 200 {
		m := message{Body: body(random, i), MessageID: fmt.Sprintf("m-%03d", i)}
		switch i % 10 {
		case 1:
			m.CorrelationID, m.UserID = "c:"+m.MessageID, "user@example.com/é +&=%"
		case 2:
			m.ContentType, m.ContentEncoding = "application/json", "utf-8"
		case 3:
			m.To, m.Expiry = "/devices/x/messages/events?a=b", "2030-01-02T03:04:05.000Z"
		case 4:
			m.CreationTime = "2029-12-31T23:59:59.0000000Z"
			m.Component = "thermostat1"
		case 5:
			m.Security, m.ContentEncoding = true, "utf-8"
		case 6:
			m.MessageID = fmt.Sprintf("-:.+%%_#*?!(),=@;$'%03d", i)
		case 7:
			m.Properties = slices.Clone(hostile)
			m.CorrelationID, m.ContentType = "all of them", "text/plain; charset=utf-8"
		case 8:
			p := hostile[i/10%len(hostile)]
			m.Properties = [][2]string{p, {"n", fmt.Sprint(i)}}
		case 9:
			m.Properties = [][2]string{{"long", long}, {"after", "it"}}
		}
		all = append(all, trim(m))
	}
	return all
}

// body makes the i-th body: each begins with its number, and among them are all
// byte values, JSON, and one near IoT Hub's limit of 256 KiB.
func body(random *rand.ChaCha8, i int) []byte {
	head := fmt.Appendf(nil, "%03d ", i)
	switch {
	case i == 150:
		return append(head, bytes.Repeat([]byte{0xA5}, 250<<10)...)
	case i%4 == 0:
		for c := range 256 {
			head = append(head, byte(c))
		}
		return head
	case i%4 == 1:
		return append(head, `{"temperature":21.5,"unit":"°C"}`...)
	default:
		noise := make([]byte, 1+i*i%5000)
		_, _ = random.Read(noise)
		return append(head, noise...)
	}
}

// compare checks that got is exactly want, in order, and stamped as coming from id.
func compare(t *testing.T, id string, who identity, want []message, got []jetstream.Msg) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("the stream has %d messages of %s, want %d", len(got), id, len(want))
	}
	for i := range min(len(got), len(want)) {
		compareOne(t, fmt.Sprintf("message %d of %s", i, id), want[i], got[i])
		compareAnnotations(t, fmt.Sprintf("message %d of %s", i, id), id, who, got[i])
		if t.Failed() {
			return // one wrong message is enough to read
		}
	}
}

func compareOne(t *testing.T, what string, want message, got jetstream.Msg) {
	t.Helper()
	if !bytes.Equal(got.Data(), want.Body) {
		t.Errorf("%s: body is %s, want %s", what, excerpt(got.Data()), excerpt(want.Body))
	}
	have, must := map[string]string{}, want.headers()
	for name, values := range got.Headers() {
		if !slices.Contains(annotations, name) {
			have[name] = strings.Join(values, " | ")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(must)) {
		value, ok := have[name]
		if !ok {
			t.Errorf("%s: header %s is missing, want %q", what, name, excerpt([]byte(must[name])))
			continue
		}
		if value != must[name] {
			t.Errorf("%s: header %s = %s, want %s", what, name, excerpt([]byte(value)), excerpt([]byte(must[name])))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(have)) {
		if _, ok := must[name]; !ok {
			t.Errorf("%s: header %s = %s, want none", what, name, excerpt([]byte(have[name])))
		}
	}
}

func compareAnnotations(t *testing.T, what, id string, who identity, got jetstream.Msg) {
	t.Helper()
	device, module, isModule := strings.Cut(id, "/")
	scope := "device"
	if isModule {
		scope = "module"
	}
	how := `"type":"sas","issuer":"iothub"`
	if strings.HasSuffix(who.ConnectionString, ";x509=true") {
		how = `"type":"x509","issuer":"external"`
	}
	want := map[string]string{
		"iothub-connection-device-id":          device,
		"iothub-connection-module-id":          module,
		"iothub-connection-auth-generation-id": who.GenerationID,
		"iothub-message-source":                "Telemetry",
		"iothub-connection-auth-method":        `{"scope":"` + scope + `",` + how + `,"acceptingIpFilterRule":null}`,
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if value := got.Headers().Get(name); value != want[name] {
			t.Errorf("%s: header %s = %q, want %q", what, name, value, want[name])
		}
	}
	enqueued, err := time.Parse("2006-01-02T15:04:05.000Z", got.Headers().Get("iothub-enqueuedtime"))
	if age := time.Since(enqueued); err != nil || age < -time.Second || age > 10*time.Minute {
		t.Errorf("%s: iothub-enqueuedtime = %q, want about now", what, got.Headers().Get("iothub-enqueuedtime"))
	}
}

// excerpt shortens bytes for a message.
func excerpt(b []byte) string {
	if len(b) <= 120 {
		return fmt.Sprintf("%q", b)
	}
	return fmt.Sprintf("%q… (%d bytes)", b[:120], len(b))
}
