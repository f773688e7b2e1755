package telemetry

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/span"
)

// headerMap writes h as lines and reads them back as carelessly as any reader
// may, so that a name or a value that breaks a header breaks the test.
func headerMap(t failer, h *Headers) map[string][]string {
	var block strings.Builder
	for i := range h.Len() {
		name, value := h.At(i)
		fmt.Fprintf(&block, "%s: %s\r\n", name, value)
	}
	if block.String() != string(h.Wire()) {
		t.Fatalf("Wire is %q, want %q", h.Wire(), &block)
	}
	lines := strings.FieldsFunc(block.String(), func(r rune) bool { return r == '\r' || r == '\n' })
	if len(lines) != h.Len() {
		t.Fatalf("%d headers are %d lines", h.Len(), len(lines))
	}
	got := map[string][]string{}
	for i, line := range lines {
		name, value, _ := strings.Cut(line, ":")
		value = strings.Trim(strings.TrimSpace(value), "\ufeff")
		wantName, wantValue := h.At(i)
		if name != string(wantName) || value != string(wantValue) {
			t.Fatalf("header %q: %q reads back as %q: %q", wantName, wantValue, name, value)
		}
		got[name] = append(got[name], value)
	}
	return got
}

// comesBack fails unless e says all that m says.
func comesBack(t failer, m *Message, e Event) {
	want := Event{
		From: m.From, AuthMethod: m.AuthMethod, Generation: m.Generation, ModelID: m.ModelID, Source: m.Source,
		Enqueued: m.Enqueued.UTC().Truncate(time.Millisecond), Properties: map[string]string{}, System: map[SystemProperty]string{},
	}
	for _, p := range m.Properties {
		if p.Null {
			want.Nulls = append(want.Nulls, string(p.Name))
		} else {
			want.Properties[string(p.Name)] = string(p.Value)
		}
	}
	slices.Sort(want.Nulls)
	for p, v := range &m.System {
		if v != nil {
			want.System[SystemProperty(p)] = string(v)
		}
	}
	if diff := cmp.Diff(want, e); diff != "" {
		t.Fatalf("event (-want +got):\n%s", diff)
	}
}

// hostile are texts that a careless writer of headers gets wrong.
func hostile() *rapid.Generator[string] {
	return rapid.OneOf(rapid.String().Filter(utf8.ValidString), rapid.SampledFrom([]string{
		"", " ", "  x  ", "\t", "\r\nNats-Msg-Id: forged", "a\r\n\r\nbody", "\x00", "\x7f", "%", "%null", "%41", "null", "a:b", ": ",
		"\u00a0x\u2028", "\u00a0", "\ufeffx\ufeff", "\u0085", "é", "漢字😀", HeaderDeviceID, AppPrefix + "a", strings.Repeat("8 KB of é%\n", 800),
	}))
}

func TestHeadersRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := hostile()
		m := Message{
			From:       hub.Identity{Device: "50%.a", Module: rapid.SampledFrom([]string{"", "m$1"}).Draw(t, "module")},
			AuthMethod: AuthMethodDevice, Generation: "637612875240648717", ModelID: text.Draw(t, "model"),
			Source: SourceTelemetry, Enqueued: time.UnixMilli(rapid.Int64Range(0, 1<<41).Draw(t, "time")),
		}
		names := rapid.SliceOfNDistinct(text.Filter(func(s string) bool { return s != "" }), 0, 6, rapid.ID[string]).Draw(t, "names")
		for _, n := range names {
			p := Property{Name: []byte(n), Null: rapid.Bool().Draw(t, "null")}
			if !p.Null {
				p.Value = []byte(text.Draw(t, "value"))
			}
			m.set(p)
		}
		for p := range systemProperties {
			if rapid.Bool().Draw(t, "has") {
				m.System[p] = []byte(text.Draw(t, "system"))
			}
		}
		var h Headers
		m.Headers(&h)
		comesBack(t, &m, ParseHeaders(headerMap(t, &h)))
	})
}

// The text of the contract, which readers in other languages rely on.
func TestHeaders(t *testing.T) {
	m := Message{
		From: hub.Identity{Device: "a.b", Module: "50%"}, AuthMethod: AuthMethodModule, Generation: "637612875240648717",
		ModelID: "dtmi:com:example:Thermostat;1", Source: SourceTelemetry,
		Enqueued: time.Date(2026, 11, 21, 4, 5, 6, 7_999_999, time.FixedZone("x", 3600)),
	}
	if err := m.ParseBag([]byte("%24.mid=%20a%20b%20&%24.ct=&p%201%25=%20%0d%0a%25%7f%C3%A9&n&x.y-z_0~=v&%C2%A0=%C2%A0%C2%A0")); err != nil {
		t.Fatal(err)
	}
	want := [][2]string{
		{"iothub-connection-device-id", "a.b"},
		{"iothub-connection-module-id", "50%25"},
		{"iothub-connection-auth-method", `{"scope":"module","type":"sas","issuer":"iothub","acceptingIpFilterRule":null}`},
		{"iothub-connection-auth-generation-id", "637612875240648717"},
		{"iothub-message-source", "Telemetry"},
		{"dt-dataschema", "dtmi:com:example:Thermostat;1"},
		{"iothub-enqueuedtime", "2026-11-21T03:05:06.007Z"},
		{"message-id", "%20a b%20"},
		{"content-type", ""},
		{"iothub-app-p%201%25", "%20%0D%0A%25%7Fé"},
		{"iothub-app-n", "%null"},
		{"iothub-app-x.y-z_0%7E", "v"},
		{"iothub-app-%C2%A0", "%C2%A0%C2%A0"},
	}
	var h Headers
	h.Add("stale", "x")
	h.Reset()
	m.Headers(&h)
	var got [][2]string
	for i := range h.Len() {
		name, value := h.At(i)
		got = append(got, [2]string{string(name), string(value)})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
	bare := Message{From: hub.Identity{Device: "d"}}
	h.Reset()
	bare.Headers(&h)
	if diff := cmp.Diff(map[string][]string{HeaderDeviceID: {"d"}, HeaderEnqueued: {"0001-01-01T00:00:00.000Z"}}, headerMap(t, &h)); diff != "" {
		t.Errorf("headers of the least (-want +got):\n%s", diff)
	}
}

// A caller may change what At returned without harm to the next header.
func TestHeadersAtIsBounded(t *testing.T) {
	var h Headers
	h.Add("a", "1")
	h.Add("b", " ")
	name, value := h.At(0)
	_, _ = append(name, "XX"...), append(value, "XX"...)
	name, value = h.At(1)
	if string(name) != "b" || string(value) != "%20" {
		t.Errorf("header 1 is %s: %s", name, value)
	}
}

// A device's trace can't make a header of its own.
func TestTraceThatBreaksTheLine(t *testing.T) {
	tests := map[string]struct {
		trace span.Context
		want  map[string][]string
	}{
		"well-formed":   {span.Context{Parent: "00-1", State: "a=1, b=%25"}, map[string][]string{"traceparent": {"00-1"}, "tracestate": {"a=1, b=%25"}}},
		"nowhere":       {span.Context{State: "a=1"}, map[string][]string{}},
		"broken parent": {span.Context{Parent: "00\r\nNats-Rollup: all", State: "a=1"}, map[string][]string{}},
		"broken state":  {span.Context{Parent: "00-1", State: "a=1\nNats-Rollup: all"}, map[string][]string{"traceparent": {"00-1"}}},
		"no state":      {span.Context{Parent: "00-1"}, map[string][]string{"traceparent": {"00-1"}}},
		"delete":        {span.Context{Parent: "00-1", State: "a=\x7f"}, map[string][]string{"traceparent": {"00-1"}}},
		"last control":  {span.Context{Parent: "00\x1f1", State: "a=1"}, map[string][]string{}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var h Headers
			h.AddTrace(tt.trace)
			if diff := cmp.Diff(tt.want, headerMap(t, &h)); diff != "" {
				t.Errorf("headers (-want +got):\n%s", diff)
			}
		})
	}
}

// JetStream refuses a message with too many headers, and with it what the device
// has sent: a trace is what goes then.
func TestTraceHasNoPlaceBesideManyHeaders(t *testing.T) {
	t.Parallel()
	for size, want := range map[int]int{maxTraced: 2, maxTraced + 1: 1} {
		var h Headers
		h.Add("a", strings.Repeat("x", size-len("a: \r\n")))
		if h.AddTrace(span.Context{Parent: "00-1"}); h.Len() != want {
			t.Errorf("%d headers, want %d: the first one has %d bytes", h.Len(), want, size)
		}
	}
}

// The first and the last of letters and digits stand for themselves, and what is
// beside them in ASCII does not.
func TestNamesOfHeaders(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"azAZ09_.-": "azAZ09_.-",
		"`{@[/:^,+": "%60%7B%40%5B%2F%3A%5E%2C%2B",
	} {
		if got := string(appendName([]byte("x"), []byte(name))); got != "x"+want {
			t.Errorf("%s is written as %s, want x%s", name, got, want)
		}
	}
}

// No name that a device can think of makes a header of the hub's own.
func TestNoPropertyCanForgeAHeader(t *testing.T) {
	own := []string{
		HeaderDeviceID, HeaderModuleID, HeaderAuthMethod, HeaderGeneration, HeaderEnqueued, HeaderSource, HeaderModelID,
		"Nats-Msg-Id", "Nats-TTL", "Nats-Expected-Stream", "Nats-Rollup", "traceparent",
	}
	for p := range systemProperties {
		own = append(own, p.Header())
	}
	for _, name := range own {
		if strings.HasPrefix(name, AppPrefix) {
			t.Errorf("%s looks like an application property", name)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		var m Message
		for range rapid.IntRange(1, 5).Draw(t, "properties") {
			name := rapid.SampledFrom(own).Draw(t, "name")
			name = rapid.SampledFrom([]string{"", "\r\n", "x: y\r\n", " ", "\x00"}).Draw(t, "before") + name
			m.AddProperty(name, rapid.SampledFrom([]string{"x", "x\r\n" + name + ": x"}).Draw(t, "value"))
		}
		m.AddProperty(hostile().Filter(func(s string) bool { return s != "" }).Draw(t, "any name"), hostile().Draw(t, "any value"))
		var h Headers
		m.Headers(&h)
		headerMap(t, &h) // each header is one line
		for i := range h.Len() {
			name, _ := h.At(i)
			isApp := strings.HasPrefix(string(name), AppPrefix)
			if want := i >= 2; isApp != want { // the first two are the device id and the time
				t.Fatalf("header %d is %s", i, name)
			}
			if rest := strings.TrimPrefix(string(name), AppPrefix); isApp && strings.Trim(rest, "%ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.") != "" {
				t.Fatalf("header name %s", name)
			}
		}
	})
}

func TestNullIsNeitherEmptyNorTheWord(t *testing.T) {
	var m Message
	if err := m.ParseBag([]byte("z&null&empty=&word=%25null&plain=null")); err != nil {
		t.Fatal(err)
	}
	var h Headers
	m.Headers(&h)
	e := ParseHeaders(headerMap(t, &h))
	if diff := cmp.Diff([]string{"null", "z"}, e.Nulls); diff != "" {
		t.Errorf("nulls (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"empty": "", "word": "%null", "plain": "null"}, e.Properties); diff != "" {
		t.Errorf("properties (-want +got):\n%s", diff)
	}
}

func TestParseHeadersOfAStranger(t *testing.T) {
	got := ParseHeaders(map[string][]string{
		"X-Other": {"1"}, HeaderEnqueued: {"yesterday"}, HeaderSource: {}, "message-id": nil, "iothub-app-a": {}, "IOTHUB-APP-B": {"1"},
		"Traceparent":            {"00-1"},
		"iothub-app-lower%c3%a9": {"%c3%a9", "second"}, "iothub-app-bad%": {"100%"}, "to": {"x", "y"}, "iothub-app-": {"no name"},
	})
	want := Event{
		Properties: map[string]string{"loweré": "é", "bad%": "100%", "": "no name"},
		System:     map[SystemProperty]string{To: "x"},
		Trace:      span.Context{Parent: "00-1"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
}

func TestAppendTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := time.Unix(rapid.Int64Range(-70_000_000_000, 260_000_000_000).Draw(t, "s"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns"))
		if got, want := string(appendTime([]byte("x"), at)), "x"+at.UTC().Format(timeLayout); got != want {
			t.Fatalf("appendTime = %s, want %s", got, want)
		}
	})
}

// What is encoded once for all messages of a sender is what each would have, and
// nobody else's when the message is used again.
func TestSender(t *testing.T) {
	t.Parallel()
	id := hub.Identity{Device: "d 1", Module: "m%"}
	m := Message{From: id, AuthMethod: AuthMethodModule, Generation: "7", ModelID: "dtmi:a;1", Source: SourceTelemetry}
	headers := func() string {
		var h Headers
		h.Add("before", "1")
		m.Headers(&h)
		var text strings.Builder
		for i := range h.Len() {
			name, value := h.At(i)
			fmt.Fprintf(&text, "%s: %s\r\n", name, value)
		}
		if lines := strings.Count(text.String(), "\r\n"); text.String() != string(h.Wire()) || lines != h.Len() {
			t.Errorf("%d headers\n%s and lines\n%s", h.Len(), text.String(), h.Wire())
		}
		return text.String()
	}
	want := headers()
	m.Reset()
	m.SentBy(NewSender(id, AuthMethodModule, "7", "dtmi:a;1"))
	if got := headers(); got != want {
		t.Errorf("headers\n%s\nwant\n%s", got, want)
	}
	m.Reset()
	m.From = hub.Identity{Device: "d2"}
	if got := headers(); strings.Contains(got, "dtmi") || !strings.Contains(got, ": d2\r\n") {
		t.Errorf("headers after a reset\n%s", got)
	}
}

func BenchmarkHeaders(b *testing.B) {
	bag := []byte("%24.mid=12345&%24.ct=application%2Fjson&%24.ce=utf-8&temperature=21.5&alert=false")
	sender := NewSender(hub.Identity{Device: "dev-0001"}, AuthMethodDevice, "637612875240648717", "")
	var m Message
	var h Headers
	b.ReportAllocs()
	for b.Loop() {
		m.Reset()
		if err := m.ParseBag(bag); err != nil {
			b.Fatal(err)
		}
		m.SentBy(sender)
		m.Enqueued = time.UnixMilli(1_764_000_000_000)
		h.Reset()
		m.Headers(&h)
	}
}

func BenchmarkParseBagOfTheLongestTopic(b *testing.B) {
	bag := []byte(manyPairs(8000, ""))
	var m Message
	b.ReportAllocs()
	for b.Loop() {
		m.Reset()
		if err := m.ParseBag(bag); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseHeaders(b *testing.B) {
	m := Message{From: hub.Identity{Device: "dev-0001"}, AuthMethod: AuthMethodDevice, Generation: "637612875240648717", Source: SourceTelemetry, Enqueued: time.UnixMilli(1)}
	if err := m.ParseBag([]byte("%24.mid=12345&%24.ct=application%2Fjson&%24.ce=utf-8&temperature=21.5&alert=false")); err != nil {
		b.Fatal(err)
	}
	headers := map[string][]string{}
	var h Headers
	m.Headers(&h)
	for i := range h.Len() {
		name, value := h.At(i)
		headers[string(name)] = []string{string(value)}
	}
	b.ReportAllocs()
	for b.Loop() {
		_ = ParseHeaders(headers)
	}
}
