package c2d

import (
	"maps"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/hubgate/hubgate/hub"
)

func TestTopic(t *testing.T) {
	t.Parallel()
	at := time.Date(3237, 7, 19, 23, 6, 40, 0, time.UTC)
	tests := map[string]struct {
		m    Message
		want string
	}{
		"least": {Message{Device: "dev1"}, "%24.to=%2Fdevices%2Fdev1%2Fmessages%2FdeviceBound&iothub-ack=none"},
		"as captured": {
			Message{Device: "dev1", MessageID: "m-1", Ack: AckFull, Properties: map[string]string{"k ey": "v a+l"}},
			"%24.mid=m-1&%24.to=%2Fdevices%2Fdev1%2Fmessages%2FdeviceBound&iothub-ack=full&k%20ey=v%20a%2Bl",
		},
		"everything": {
			Message{
				Device: "dev1", MessageID: "m", CorrelationID: "c", UserID: "u", ContentType: "application/json",
				ContentEncoding: "utf-8", Expires: at, Created: at.Add(123456789 * time.Nanosecond), Ack: AckPositive,
				Properties: map[string]string{"b": "é~", "a": "1", "empty": ""},
			},
			"%24.mid=m&%24.cid=c&%24.uid=u&%24.to=%2Fdevices%2Fdev1%2Fmessages%2FdeviceBound&%24.exp=3237-07-19T23%3A06%3A40.0000000Z" +
				"&%24.ct=application%2Fjson&%24.ce=utf-8&%24.ctime=3237-07-19T23%3A06%3A40.1234567Z&iothub-ack=positive&a=1&b=%C3%A9~",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := "devices/dev1/messages/devicebound/" + tt.want
			if got := tt.m.Topic(); got != want {
				t.Errorf("Topic = %s\nwant    %s", got, want)
			}
		})
	}
}

// bag reads a topic as a strict SDK does.
func bag(t interface{ Fatalf(string, ...any) }, m *Message) (system, app map[string]string) {
	rest, ok := strings.CutPrefix(m.Topic(), "devices/"+m.Device+"/messages/devicebound/")
	if !ok || strings.HasSuffix(rest, "/") {
		t.Fatalf("topic %q", m.Topic())
	}
	system, app = map[string]string{}, map[string]string{}
	for pair := range strings.SplitSeq(rest, "&") {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" || value == "" {
			t.Fatalf("pair %q of %q has no name or no value", pair, rest)
		}
		if strings.Trim(pair, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~%=") != "" {
			t.Fatalf("pair %q has a byte that must be escaped", pair)
		}
		plain, err := url.PathUnescape(value)
		if err != nil {
			t.Fatalf("value %q: %v", value, err)
		}
		if key, ok := strings.CutPrefix(name, "%24."); ok {
			if len(app) > 0 {
				t.Fatalf("%q: a system property follows the application's", rest)
			}
			system[key] = plain
			continue
		}
		if key, err := url.PathUnescape(name); err != nil {
			t.Fatalf("name %q: %v", name, err)
		} else {
			app[key] = plain
		}
	}
	return system, app
}

func anyText() *rapid.Generator[string] {
	return rapid.OneOf(rapid.String().Filter(utf8.ValidString), rapid.SampledFrom([]string{
		"", " ", " a ", "a&b=c", "%24.mid", "%", "%41", "%null", "null", "+", "/", "é漢😀", "a\r\nb", "\x00", "\uFEFFx", "\u00a0",
	}))
}

func anyMessage(t *rapid.T) Message {
	text := anyText()
	at := func(name string) time.Time {
		if rapid.Bool().Draw(t, "has "+name) {
			return time.Unix(rapid.Int64Range(0, 1<<32).Draw(t, name), 100*rapid.Int64Range(0, 9_999_999).Draw(t, name+" ticks")).UTC()
		}
		return time.Time{}
	}
	return Message{
		Device:    rapid.StringMatching(`[A-Za-z0-9\-:.+%_#*?!(),=@;$']{1,128}`).Draw(t, "device"),
		MessageID: text.Draw(t, "mid"), CorrelationID: text.Draw(t, "cid"), UserID: text.Draw(t, "uid"),
		ContentType: text.Draw(t, "ct"), ContentEncoding: text.Draw(t, "ce"), Created: at("ctime"), Expires: at("exp"),
		Ack: rapid.SampledFrom([]Ack{"", AckNone, AckPositive, AckNegative, AckFull}).Draw(t, "ack"),
		Properties: rapid.MapOfN(text.Filter(func(s string) bool {
			return s != "" && !strings.HasPrefix(s, "$.") && !strings.HasPrefix(strings.ToLower(s), "iothub-")
		}), text, 0, 6).Draw(t, "properties"),
	}
}

func TestTopicDecodes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := anyMessage(t)
		system, app := bag(t, &m)
		wantSystem := map[string]string{
			"mid": m.MessageID, "cid": m.CorrelationID, "uid": m.UserID, "ct": m.ContentType, "ce": m.ContentEncoding,
			"to": "/devices/" + m.Device + "/messages/deviceBound", "exp": timeText(m.Expires), "ctime": timeText(m.Created),
		}
		wantApp := maps.Clone(m.Properties)
		wantApp["iothub-ack"] = m.Ack.word()
		isEmpty := func(_, value string) bool { return value == "" }
		maps.DeleteFunc(wantSystem, isEmpty)
		maps.DeleteFunc(wantApp, isEmpty)
		if diff := cmp.Diff(wantSystem, system); diff != "" {
			t.Fatalf("system properties (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(wantApp, app); diff != "" {
			t.Fatalf("application properties (-want +got):\n%s", diff)
		}
	})
}

// The bound spares writing a topic to know that it is short enough.
func TestTopicBound(t *testing.T) {
	t.Parallel()
	late := time.Date(9999, 12, 31, 23, 59, 59, 999_999_900, time.UTC)
	full := func(c string) Message {
		return Message{
			Device: strings.Repeat("d", 128), MessageID: c, CorrelationID: c, UserID: c, ContentType: c, ContentEncoding: c,
			Created: late, Expires: late, Ack: AckNegative, Body: []byte("body"), Properties: map[string]string{c: c, c + c: c},
		}
	}
	short := full("%")
	tests := []Message{{Device: strings.Repeat("#", 128)}, short, full(strings.Repeat("ü", 5000))}
	for _, m := range tests {
		if n := len(m.Topic()); n > m.topicBound() {
			t.Errorf("the bound of %.40s… is %d, the topic has %d bytes", m.Topic(), m.topicBound(), n)
		}
	}
	if n := short.topicBound(); n > maxTopic/16 {
		t.Errorf("the bound of a short topic is %d", n)
	}
	rapid.Check(t, func(t *rapid.T) {
		if m := anyMessage(t); len(m.Topic()) > m.topicBound() {
			t.Fatalf("the bound is %d, the topic has %d bytes", m.topicBound(), len(m.Topic()))
		}
	})
}

func BenchmarkValidate(b *testing.B) {
	now := time.Now()
	m := Message{Device: "dev-1", MessageID: "m-1", Expires: now.Add(time.Hour), Body: make([]byte, 256), Properties: map[string]string{"room": "kitchen"}}
	b.ReportAllocs()
	for b.Loop() {
		if err := (Limits{}).Validate(&m, now); err != nil {
			b.Fatal(err)
		}
	}
}

func TestHeadersComeBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := anyMessage(t)
		headers := m.Headers()
		for name, values := range headers {
			if strings.ContainsAny(name, ": \r\n\x00") || strings.ContainsAny(values[0], "\r\n\x00") || strings.TrimSpace(values[0]) != values[0] {
				t.Fatalf("header %q: %q", name, values)
			}
		}
		got := ParseHeaders(headers)
		got.Device = m.Device
		if len(m.Properties) == 0 {
			m.Properties = nil
		}
		if diff := cmp.Diff(m, got); diff != "" {
			t.Fatalf("message (-want +got):\n%s", diff)
		}
	})
}

// The text of the contract, which senders in other languages rely on.
func TestHeaders(t *testing.T) {
	t.Parallel()
	m := Message{
		MessageID: " a b ", CorrelationID: "50%\x7f\x1f!", UserID: "\ufeffu\u00a0", ContentType: "é/漢", Ack: AckFull,
		Expires:    time.Date(2026, 11, 21, 9, 0, 0, 0, time.FixedZone("x", 3600)),
		Properties: map[string]string{"p 1%": "", "azAZ09_.-": "~", "`{@[/:^,": "\t\n"},
	}
	want := map[string][]string{
		"message-id": {"%20a b%20"}, "correlation-id": {"50%25%7F%1F!"}, "user-id": {"%EF%BB%BFu%C2%A0"}, "content-type": {"é/漢"},
		"iothub-ack": {"full"}, "absolute-expiry-time": {timeText(m.Expires)}, "iothub-app-p%201%25": {""},
		"iothub-app-azAZ09_.-": {"~"}, "iothub-app-%60%7B%40%5B%2F%3A%5E%2C": {"%09%0A"},
	}
	if diff := cmp.Diff(want, m.Headers()); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
	if text := timeText(m.Expires); !strings.HasPrefix(text, "2026-11-21T08:00:00") || !strings.HasSuffix(text, "Z") {
		t.Errorf("the time is written as %s", text)
	}
}

func TestEscapesOfAStranger(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"%c3%a9%C3%A9": "éé", "%41%4a%4F%5f": "AJO_", "%2541": "%41", "a%": "a%", "a%4": "a%4", "%%41": "%A", "%41": "A",
		"%4g%g4%4G%G4": "%4g%g4%4G%G4", "%4:%:4": "%4:%:4", "%4@%@4": "%4@%@4", "%4`%`4": "%4`%`4", "%4/%/4": "%4/%/4", "%null": "",
	} {
		got := ParseHeaders(map[string][]string{AppPrefix + "a": {value}})
		if got.Properties["a"] != want {
			t.Errorf("%s is read as %q, want %q", value, got.Properties["a"], want)
		}
	}
}

// A time that no message can have is the message's fault.
func TestTimesOfAStranger(t *testing.T) {
	t.Parallel()
	for text, good := range map[string]bool{
		"": true, "2026-11-21T08:00:00Z": true, "2026-11-21T08:00:00.5+01:00": true, "0001-01-01T00:00:00Z": true, "9999-12-31T23:59:59Z": true,
		"0000-12-31T23:59:59Z": false, "9999-12-31T23:59:59-01:00": false, "0001-01-01T00:00:00+01:00": false, "2026-11-21": false, "1700000000": false,
	} {
		got := ParseHeaders(map[string][]string{HeaderExpiry: {text}})
		if (got.Fault == nil) != good || !good && !got.Expires.IsZero() {
			t.Errorf("%q is read as %v, %v", text, got.Expires, got.Fault)
		}
	}
}

func TestParseHeadersOfAStranger(t *testing.T) {
	t.Parallel()
	got := ParseHeaders(map[string][]string{
		"X-Other": {"1"}, "message-id": {"50% of é"}, "iothub-ack": {"full"}, "iothub-app-a": {"%null"}, "iothub-app-b": {"1", "2"}, "iothub-app-c": nil, "to": {"x"},
	})
	want := Message{MessageID: "50% of é", Ack: AckFull, Properties: map[string]string{"a": "", "b": "1"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("message (-want +got):\n%s", diff)
	}
}

// longestTopic is a message with as long a topic as MQTT has, and so many bytes more.
func longestTopic(more int) Message {
	m := Message{Device: "d", Properties: map[string]string{"a": "x"}}
	m.Properties["a"] = strings.Repeat("x", 65536-len(m.Topic())+more)
	return m
}

func TestValidate(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	faulty := ParseHeaders(map[string][]string{HeaderExpiry: {"tomorrow"}})
	faulty.Device = "d"
	tests := map[string]struct {
		m    Message
		code hub.Code
	}{
		"least":            {Message{Device: "d"}, 0},
		"largest":          {Message{Device: "d", Body: make([]byte, MaxSize)}, 0},
		"two days":         {Message{Device: "d", Expires: now.Add(MaxTTL)}, 0},
		"expired":          {Message{Device: "d", Expires: now.Add(-time.Hour)}, 0}, // that is no fault
		"long, in clear":   {Message{Device: "d", Properties: map[string]string{"a": strings.Repeat("x", 60_000)}}, 0},
		"longest topic":    {longestTopic(0), 0},
		"a byte more":      {longestTopic(1), hub.MessageTooLarge},
		"longest id":       {Message{Device: "d", MessageID: strings.Repeat("i", 128)}, 0},
		"a longer id":      {Message{Device: "d", MessageID: strings.Repeat("i", 129)}, hub.ArgumentInvalid},
		"empty value":      {Message{Device: "d", Properties: map[string]string{"a": ""}}, 0},
		"no device":        {Message{}, hub.ArgumentInvalid},
		"ack word":         {Message{Device: "d", Ack: "Full"}, hub.ArgumentInvalid},
		"time":             {faulty, hub.ArgumentInvalid},
		"three days":       {Message{Device: "d", Expires: now.Add(72 * time.Hour)}, hub.InvalidExpiry},
		"too large":        {Message{Device: "d", MessageID: "1", Body: make([]byte, MaxSize)}, hub.MessageTooLarge},
		"topic too long":   {Message{Device: "d", Properties: map[string]string{"a": strings.Repeat(" ", 30_000)}}, hub.MessageTooLarge},
		"no name":          {Message{Device: "d", Properties: map[string]string{"": "1"}}, hub.ArgumentInvalid},
		"system name":      {Message{Device: "d", Properties: map[string]string{"$.mid": "1"}}, hub.ArgumentInvalid},
		"reserved name":    {Message{Device: "d", Properties: map[string]string{"IoTHub-ack": "1"}}, hub.ArgumentInvalid},
		"not UTF-8":        {Message{Device: "d", Properties: map[string]string{"a": "\xff"}}, hub.ArgumentInvalid},
		"system not UTF-8": {Message{Device: "d", MessageID: "\xff"}, hub.ArgumentInvalid},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := (Limits{}).Validate(&tt.m, now); hub.CodeOf(err) != tt.code {
				t.Errorf("Validate = %v, want code %d", err, tt.code)
			}
		})
	}
}

func FuzzTopic(f *testing.F) {
	f.Add("m-1", "full", "k ey", "v a+l", "2026-11-21T08:00:00Z")
	f.Add("%0D", "", "$.mid", "%null", "")
	f.Fuzz(func(t *testing.T, id, ack, name, value, expiry string) {
		m := ParseHeaders(map[string][]string{
			HeaderMessageID: {id}, HeaderAck: {ack}, AppPrefix + name: {value}, HeaderExpiry: {expiry},
		})
		m.Device = "d"
		if (Limits{}).Validate(&m, time.Unix(0, 0)) != nil {
			return
		}
		bag(t, &m)
	})
}
