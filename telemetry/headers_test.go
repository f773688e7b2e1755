package telemetry

import (
	"bufio"
	"bytes"
	"net/textproto"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/hubgate/hubgate/hub"
)

// headerMap writes h as NATS does and reads it back as strictly as HTTP does,
// so that a name or value that breaks a header breaks the test.
func headerMap(t interface{ Fatalf(string, ...any) }, h *Headers) map[string][]string {
	var wire bytes.Buffer
	want := make([][2]string, 0, h.Len())
	for i := range h.Len() {
		name, value := h.At(i)
		wire.Write(name)
		wire.WriteString(": ")
		wire.Write(value)
		wire.WriteString("\r\n")
		want = append(want, [2]string{string(name), string(value)})
	}
	wire.WriteString("\r\n")
	lines := bufio.NewReader(&wire)
	got := map[string][]string{}
	for _, w := range want {
		line, err := textproto.NewReader(lines).ReadLine()
		if err != nil {
			t.Fatalf("read a header: %v", err)
		}
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		if name != w[0] || value != w[1] {
			t.Fatalf("header %q: %q reads back as %q: %q", w[0], w[1], name, value)
		}
		got[name] = append(got[name], value)
	}
	return got
}

func TestHeadersRoundTrip(t *testing.T) {
	hostile := rapid.OneOf(rapid.String().Filter(utf8.ValidString),
		rapid.SampledFrom([]string{"", " ", "  x  ", "\r\nNats-Msg-Id: forged", "\x00", "%", "%null", "\u00a0x\u2028", "\ufeff", "%41", "é", "a:b", strings.Repeat("8", 8<<10)}))
	rapid.Check(t, func(t *rapid.T) {
		m := Message{
			From:       hub.Identity{Device: "a.b", Module: rapid.SampledFrom([]string{"", "m$1"}).Draw(t, "module")},
			AuthMethod: AuthMethodDevice, Generation: "637612875240648717", ModelID: hostile.Draw(t, "model"),
			Source: SourceTelemetry, Enqueued: time.UnixMilli(rapid.Int64Range(0, 1<<41).Draw(t, "time")),
		}
		names := rapid.SliceOfNDistinct(hostile.Filter(func(s string) bool { return s != "" }), 0, 6, rapid.ID[string]).Draw(t, "names")
		for _, n := range names {
			m.AddProperty(n, hostile.Draw(t, "value"))
		}
		for p := range systemProperties {
			if rapid.Bool().Draw(t, "has") {
				m.System[p] = []byte(hostile.Draw(t, "system"))
			}
		}
		var h Headers
		m.Headers(&h)
		e := ParseHeaders(headerMap(t, &h))
		if e.From != m.From || e.AuthMethod != m.AuthMethod || e.Generation != m.Generation ||
			e.ModelID != m.ModelID || e.Source != m.Source || !e.Enqueued.Equal(m.Enqueued) {
			t.Fatalf("annotations came back as %+v", e)
		}
		if len(e.Properties) != len(m.Properties) || len(e.Nulls) != 0 {
			t.Fatalf("%d properties came back as %v %v", len(m.Properties), e.Properties, e.Nulls)
		}
		for _, p := range m.Properties {
			if got := e.Properties[string(p.Name)]; got != string(p.Value) {
				t.Fatalf("property %q = %q came back as %q", p.Name, p.Value, got)
			}
		}
		for p, v := range m.System {
			if got, ok := e.System[SystemProperty(p)]; ok != (v != nil) || got != string(v) {
				t.Fatalf("%s = %q came back as %q", SystemProperty(p).Header(), v, got)
			}
		}
	})
}

// No name that a device can think of makes a header of the hub's own.
func TestNoPropertyCanForgeAHeader(t *testing.T) {
	own := []string{HeaderDeviceID, HeaderModuleID, HeaderAuthMethod, HeaderGeneration, HeaderEnqueued, HeaderSource, HeaderModelID, "Nats-Msg-Id", "Nats-TTL", "Nats-Expected-Stream"}
	for p := range systemProperties {
		own = append(own, p.Header())
	}
	var m Message
	for _, name := range own {
		m.AddProperty(name, "forged")
		m.AddProperty("\r\n"+name, "forged")
		m.AddProperty("x: y\r\n"+name, "forged\r\n"+name+": forged")
	}
	var h Headers
	m.Headers(&h)
	for name, values := range headerMap(t, &h) {
		for _, v := range values {
			if strings.HasPrefix(v, "forged") && !strings.HasPrefix(name, AppPrefix) {
				t.Errorf("a property made the header %s", name)
			}
		}
	}
}

func TestNullIsNotEmptyNorTheWord(t *testing.T) {
	var m Message
	if err := m.ParseBag([]byte("null&empty=&word=%25null")); err != nil {
		t.Fatal(err)
	}
	var h Headers
	m.Headers(&h)
	e := ParseHeaders(headerMap(t, &h))
	if len(e.Nulls) != 1 || e.Nulls[0] != "null" {
		t.Errorf("nulls %q, want null", e.Nulls)
	}
	if v, ok := e.Properties["empty"]; !ok || v != "" {
		t.Errorf("empty = %q, %v", v, ok)
	}
	if v := e.Properties["word"]; v != "%null" {
		t.Errorf("word = %q, want %%null", v)
	}
}

func TestEnqueuedTimeIsUTCInMilliseconds(t *testing.T) {
	m := Message{Enqueued: time.Date(2026, 11, 21, 4, 5, 6, 7_000_000, time.FixedZone("x", 3600))}
	var h Headers
	m.Headers(&h)
	if got := headerMap(t, &h)[HeaderEnqueued][0]; got != "2026-11-21T03:05:06.007Z" {
		t.Errorf("%s = %q", HeaderEnqueued, got)
	}
}

func TestParseHeadersOfAStranger(t *testing.T) {
	e := ParseHeaders(map[string][]string{"X-Other": {"1"}, HeaderEnqueued: {"yesterday"}, HeaderSource: {}})
	if e.From.Device != "" || !e.Enqueued.IsZero() || len(e.Properties) != 0 || e.Source != "" {
		t.Errorf("event %+v, want nothing", e)
	}
}

func BenchmarkHeaders(b *testing.B) {
	bag := []byte("%24.mid=12345&%24.ct=application%2Fjson&%24.ce=utf-8&temperature=21.5&alert=false")
	m := Message{From: hub.Identity{Device: "dev-0001"}, AuthMethod: AuthMethodDevice, Generation: "637612875240648717", Source: SourceTelemetry, Enqueued: time.Now()}
	var h Headers
	b.ReportAllocs()
	for b.Loop() {
		m.Properties = m.Properties[:0]
		if err := m.ParseBag(bag); err != nil {
			b.Fatal(err)
		}
		h.Reset()
		m.Headers(&h)
	}
}
