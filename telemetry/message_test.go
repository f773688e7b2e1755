package telemetry

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hubgate/hubgate/hub"
)

func TestAddProperty(t *testing.T) {
	var m Message
	m.AddProperty("first", "1")
	if err := m.ParseBag([]byte("a=%31&mqtt-retain=forged&b=2")); err != nil {
		t.Fatal(err)
	}
	m.AddProperty("mqtt-retain", "true") // what the hub says counts
	m.AddProperty("iothub-MessageType", "Will")
	m.AddProperty("empty", "")
	m.AddProperty("long", strings.Repeat("x", 1000)) // the message's memory grows
	want := []string{"a=1", "mqtt-retain=true", "b=2", "iothub-MessageType=Will", "empty=", "long=" + strings.Repeat("x", 1000)}
	if diff := cmp.Diff(want, bagOf(&m).App); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for range 2 { // one of many
		if err := m.ParseBag([]byte(manyPairs(100, "y"))); err != nil {
			t.Fatal(err)
		}
		m.AddProperty("x77", "z")
		m.AddProperty("new", "z")
		if n := len(m.Properties); n != 101 || string(m.Properties[77].Value) != "z" || string(m.Properties[100].Name) != "new" {
			t.Errorf("%d properties, x77=%s, last %s", n, m.Properties[77].Value, m.Properties[n-1].Name)
		}
	}
}

func TestSize(t *testing.T) {
	m := Message{
		From: hub.Identity{Device: "not counted"}, Body: make([]byte, 100),
		AuthMethod: AuthMethodDevice, Generation: "1", ModelID: "not counted", Source: SourceTelemetry,
	}
	if err := m.ParseBag([]byte("%24.mid=abc&%24.ct=%C3%A4&key=value&n&e=")); err != nil {
		t.Fatal(err)
	}
	// The name of a system property does not count, that of another does.
	if got, want := m.Size(), 100+3+2+8+1+1; got != want {
		t.Errorf("Size() = %d, want %d", got, want)
	}
	m.AddProperty("key", "v")
	if got, want := m.Size(), 100+3+2+4+1+1; got != want {
		t.Errorf("Size() = %d after a property was replaced, want %d", got, want)
	}
	if MaxSize != 262144 {
		t.Errorf("MaxSize = %d, want 256 KiB", MaxSize)
	}
}

// A message in a pool holds on to nobody's memory, nor to much of its own.
func TestReset(t *testing.T) {
	m := Message{
		From: hub.Identity{Device: "d", Module: "m"}, Body: []byte("body"), AuthMethod: AuthMethodHub,
		Generation: "1", ModelID: "x", Source: SourceTelemetry, Enqueued: time.Now(),
	}
	if err := m.ParseBag([]byte("a=1&b=%32&$.mid=3")); err != nil {
		t.Fatal(err)
	}
	m.Reset()
	if m.From != (hub.Identity{}) || m.Body != nil || len(m.Properties) != 0 || m.System[MessageID] != nil ||
		m.AuthMethod+m.Generation+m.ModelID+m.Source != "" || !m.Enqueued.IsZero() {
		t.Errorf("after Reset: %+v", m)
	}
	for _, p := range m.Properties[:2] {
		if p.Name != nil || p.Value != nil {
			t.Error("a property is still held")
		}
	}
	if cap(m.scratch) == 0 || cap(m.Properties) == 0 {
		t.Error("Reset gave the storage away")
	}
	if err := m.ParseBag([]byte(manyPairs(1000, "1"))); err != nil {
		t.Fatal(err)
	}
	m.Reset()
	if cap(m.Properties) > maxKept || len(m.index.slots) > 0 {
		t.Errorf("Reset kept room for %d properties and %d slots", cap(m.Properties), len(m.index.slots))
	}
	if err := m.ParseBag([]byte(manyPairs(30, "1"))); err != nil || len(m.Properties) != 30 {
		t.Errorf("%d properties after Reset, %v, want 30", len(m.Properties), err)
	}
}

func TestSystemPropertyText(t *testing.T) {
	seen := map[string]bool{}
	for p := range systemProperties {
		b, err := json.Marshal(map[SystemProperty]string{p: "x"})
		if want := `{"` + p.Header() + `":"x"}`; err != nil || string(b) != want {
			t.Errorf("JSON %s, %v, want %s", b, err, want)
		}
		var back map[SystemProperty]string
		if err := json.Unmarshal(b, &back); err != nil || back[p] != "x" || len(back) != 1 {
			t.Errorf("%s reads back as %v, %v", b, back, err)
		}
		if !strings.HasPrefix(p.Wire(), "$.") || p.Header() == "" || p.String() != p.Header() || seen[p.Header()] || seen[p.Wire()] {
			t.Errorf("property %d: %q %q", p, p.Wire(), p.Header())
		}
		seen[p.Header()], seen[p.Wire()] = true, true
	}
	if p := systemProperties; p.Wire() != "" || p.Header() != "" {
		t.Errorf("a property that does not exist: %q %q", p.Wire(), p.Header())
	}
	for _, text := range []string{"", "Message-Id", "$.mid", "x"} {
		p := To
		if err := p.UnmarshalText([]byte(text)); hub.CodeOf(err) != hub.ArgumentInvalid || p != To {
			t.Errorf("%q: %v, %v, want ArgumentInvalid", text, p, err)
		}
	}
}
