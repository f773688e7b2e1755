package mqtt_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/hubgate/hubgate/gateway/mqtt"
)

// TestPropertyValues sets every property and reads it, in a packet that may
// hold it, before and after its way over the wire.
func TestPropertyValues(t *testing.T) {
	numbers := map[mqtt.Property][]uint32{
		mqtt.PropertyPayloadFormat:          {0, 1},
		mqtt.PropertyMessageExpiry:          {0, 1<<32 - 1},
		mqtt.PropertySubscriptionID:         {1, 127, 128, 16383, 16384, 2097151, 2097152, 268435455},
		mqtt.PropertySessionExpiry:          {0, 1<<32 - 1},
		mqtt.PropertyServerKeepAlive:        {0, 65535},
		mqtt.PropertyRequestProblemInfo:     {0, 1},
		mqtt.PropertyWillDelay:              {0, 1<<32 - 1},
		mqtt.PropertyRequestResponseInfo:    {0, 1},
		mqtt.PropertyReceiveMaximum:         {1, 65535},
		mqtt.PropertyTopicAliasMaximum:      {0, 65535},
		mqtt.PropertyTopicAlias:             {1, 65535},
		mqtt.PropertyMaximumQoS:             {0, 1},
		mqtt.PropertyRetainAvailable:        {0, 1},
		mqtt.PropertyMaximumPacketSize:      {1, 1<<32 - 1},
		mqtt.PropertyWildcardAvailable:      {0, 1},
		mqtt.PropertySubscriptionIDsAllowed: {0, 1},
		mqtt.PropertySharedAvailable:        {0, 1},
	}
	for _, x := range examples() {
		t.Run(x.id.String(), func(t *testing.T) {
			if x.id == mqtt.PropertyUser {
				return
			}
			for _, want := range numbers[x.id] {
				p := overTheWire(t, x, properties(number(x.id, want)))
				if got, ok := p.Number(x.id); got != want || !ok {
					t.Errorf("got %d, %v, want %d", got, ok, want)
				}
				if got, ok := p.Bytes(x.id); ok {
					t.Errorf("a number is also bytes: %q", got)
				}
			}
			if numbers[x.id] != nil {
				return
			}
			p := overTheWire(t, x, properties(text(x.id, "häuser")))
			if got, ok := p.Bytes(x.id); string(got) != "häuser" || !ok {
				t.Errorf("got %q, %v", got, ok)
			}
			if got, ok := p.Number(x.id); ok {
				t.Errorf("text is also a number: %d", got)
			}
		})
	}
}

// overTheWire writes p in a packet that may hold x and reads it.
func overTheWire(t *testing.T, x example, p mqtt.Properties) mqtt.Properties {
	t.Helper()
	if !p.Has(x.id) || p.Has(x.id+1) || p.Has(0xFF) {
		t.Errorf("Has(%v) is wrong", x.id)
	}
	var packet mqtt.Packet
	switch x.packets[0] {
	case 'P':
		packet = &mqtt.Publish{Topic: []byte("t"), Properties: p}
	case 'W':
		packet = &mqtt.Connect{Will: &mqtt.Will{Topic: []byte("t"), Properties: p}}
	case 'A':
		packet = &mqtt.Connack{Properties: p}
	default:
		if x.id == mqtt.PropertyAuthData {
			p.SetBytes(mqtt.PropertyAuthMethod, []byte("m"))
		}
		packet = &mqtt.Connect{Properties: p}
	}
	b, err := packet.Append(nil, mqtt.V5)
	if err != nil {
		t.Fatal(err)
	}
	got, err := decode(versionFor(b), mqtt.FromAnyone, b)
	if err != nil {
		t.Fatal(err)
	}
	switch got := got.(type) {
	case *mqtt.Publish:
		return got.Properties
	case *mqtt.Connack:
		return got.Properties
	case *mqtt.Connect:
		if got.Will != nil {
			return got.Will.Properties
		}
		return got.Properties
	default:
		t.Fatalf("got %T", got)
		return mqtt.Properties{}
	}
}

func TestPropertiesAbsent(t *testing.T) {
	var p mqtt.Properties
	if _, ok := p.Number(mqtt.PropertyTopicAlias); ok {
		t.Error("an absent number is there")
	}
	if _, ok := p.Bytes(mqtt.PropertyContentType); ok {
		t.Error("absent bytes are there")
	}
	for name := range p.User() {
		t.Errorf("there is user property %q", name)
	}
	p.SetNumber(mqtt.PropertyMessageExpiry, 0)
	if got, ok := p.Number(mqtt.PropertyMessageExpiry); got != 0 || !ok {
		t.Errorf("got %d, %v, want a zero that is there", got, ok)
	}
	p.SetBytes(mqtt.PropertyContentType, nil)
	if got, ok := p.Bytes(mqtt.PropertyContentType); len(got) != 0 || !ok {
		t.Errorf("got %q, %v, want an empty text that is there", got, ok)
	}
}

func TestPropertiesUser(t *testing.T) {
	p := properties(user("a", "1"), number(mqtt.PropertyTopicAlias, 1), user("", ""), user("a", "2"), subscriptionID(3), subscriptionID(300))
	var got []string
	for name, value := range p.User() {
		got = append(got, string(name)+"="+string(value))
	}
	if want := []string{"a=1", "=", "a=2"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for name := range p.User() {
		got = []string{string(name)}
		break
	}
	if want := []string{"a"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want only %q", got, want)
	}
	if got, want := slices.Collect(p.SubscriptionIDs()), []uint32{3, 300}; !slices.Equal(got, want) {
		t.Errorf("got %d, want %d", got, want)
	}
	for id := range p.SubscriptionIDs() {
		if id != 3 {
			t.Errorf("got %d first, want 3", id)
		}
		break
	}
	if got, ok := p.Number(mqtt.PropertySubscriptionID); got != 3 || !ok {
		t.Errorf("got %d, %v, want the first", got, ok)
	}
}

func TestPropertiesChange(t *testing.T) {
	wire := wire(0x30, str("t"), props(0x26, str("a"), str("1"), 0x23, num(7), 0x0B, 1, 0x0B, 2, 0x26, str("b"), str("2")), "p")
	before := bytes.Clone(wire)
	d := mqtt.Decoder{Version: mqtt.V5}
	packet, err := d.Decode(wire)
	if err != nil {
		t.Fatal(err)
	}
	p := &packet.(*mqtt.Publish).Properties
	kept := p.Clone()

	p.Delete(mqtt.PropertyTopicAlias)
	p.Delete(mqtt.PropertyTopicAlias)
	p.SetNumber(mqtt.PropertySubscriptionID, 9)
	p.AddUser([]byte("c"), []byte("3"))
	if want := properties(user("a", "1"), user("b", "2"), subscriptionID(9), user("c", "3")); !p.Equal(want) {
		t.Errorf("got %v, want %v", p, want)
	}
	if p.Has(mqtt.PropertyTopicAlias) {
		t.Error("a deleted property is there")
	}
	if !bytes.Equal(wire, before) {
		t.Error("changing properties wrote to the decoded bytes")
	}
	clear(wire)
	if got, ok := kept.Number(mqtt.PropertyTopicAlias); got != 7 || !ok {
		t.Errorf("the clone has %d, %v, want 7", got, ok)
	}
	if kept.Equal(*p) {
		t.Error("different properties are equal")
	}
}

func TestPropertiesAddToView(t *testing.T) {
	wire := wire(0x30, str("t"), props(0x26, str("a"), str("1")), "payload")
	before := bytes.Clone(wire)
	d := mqtt.Decoder{Version: mqtt.V5}
	packet, err := d.Decode(wire)
	if err != nil {
		t.Fatal(err)
	}
	p := &packet.(*mqtt.Publish).Properties
	p.AddUser([]byte("b"), []byte("2"))
	p.AddUser([]byte("c"), []byte("3"))
	if want := properties(user("a", "1"), user("b", "2"), user("c", "3")); !p.Equal(want) {
		t.Errorf("got %v, want %v", p, want)
	}
	if !bytes.Equal(wire, before) {
		t.Error("adding a property wrote to the decoded bytes")
	}
}

func TestPropertiesReset(t *testing.T) {
	wire := wire(0x30, str("t"), props(0x26, str("a"), str("1")), "payload")
	before := bytes.Clone(wire)
	d := mqtt.Decoder{Version: mqtt.V5}
	packet, err := d.Decode(wire)
	if err != nil {
		t.Fatal(err)
	}
	view := &packet.(*mqtt.Publish).Properties
	bad := properties(number(mqtt.PropertyTopicAlias, 0), user("a", "1"))
	for name, p := range map[string]*mqtt.Properties{"decoded": view, "own": &bad} {
		p.Reset()
		if p.Has(mqtt.PropertyUser) || !p.Equal(mqtt.Properties{}) {
			t.Errorf("%s: got %v after Reset", name, p)
		}
		p.AddUser([]byte("x"), []byte("yz"))
		if _, err := (&mqtt.Publish{Topic: []byte("t"), Properties: *p}).Append(nil, mqtt.V5); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !bytes.Equal(wire, before) {
		t.Error("resetting a view and adding to it wrote to the decoded bytes")
	}
}

// TestPropertiesRefuse sets what can't be, and finds it when the packet is
// written.
func TestPropertiesRefuse(t *testing.T) {
	long := string(bytes.Repeat([]byte("x"), 65536))
	cases := map[string]struct {
		set    func(*mqtt.Properties)
		reason mqtt.Reason
	}{
		"[MQTT5-3.3.2.3.2] payload format 2":          {number(mqtt.PropertyPayloadFormat, 2), protocol},
		"[MQTT5-3.3.2-8] topic alias 0":               {number(mqtt.PropertyTopicAlias, 0), mqtt.ReasonTopicAliasInvalid},
		"[MQTT5-3.3.2.3.4] topic alias 65536":         {number(mqtt.PropertyTopicAlias, 65536), mqtt.ReasonTopicAliasInvalid},
		"[MQTT5-3.3.2.3.8] subscription id 0":         {subscriptionID(0), protocol},
		"[MQTT5-3.3.2.3.8] subscription id 268435456": {subscriptionID(268435456), protocol},
		"[MQTT5-3.3.2.3.9] content type as a number":  {number(mqtt.PropertyContentType, 1), protocol},
		"[MQTT5-3.3.2.3.3] message expiry as text":    {text(mqtt.PropertyMessageExpiry, "1"), protocol},
		"[MQTT5-3.3.2.3.9] content type is not UTF-8": {text(mqtt.PropertyContentType, "\xff"), protocol},
		"[MQTT5-3.3.2.3.9] content type with U+0000":  {text(mqtt.PropertyContentType, "\x00"), protocol},
		"[MQTT5-3.3.2.3.9] content type too long":     {text(mqtt.PropertyContentType, long), protocol},
		"[MQTT5-3.3.2.3.6] correlation data too long": {text(mqtt.PropertyCorrelationData, long), protocol},
		"[MQTT5-3.3.2.3.5] response topic with '#'":   {text(mqtt.PropertyResponseTopic, "#"), protocol},
		"[MQTT5-3.3.2.3.5] response topic is empty":   {text(mqtt.PropertyResponseTopic, ""), protocol},
		"[MQTT5-2.2.2.2] user property: name":         {user("\xff", ""), protocol},
		"[MQTT5-2.2.2.2] user property: value":        {user("", long), protocol},
		"[MQTT5-2.2.2.2] user property as text":       {text(mqtt.PropertyUser, "x"), protocol},
		"[MQTT5-4.13.1-1] property 0 as a number":     {number(0, 0), protocol},
		"[MQTT5-4.13.1-1] property 0 as text":         {text(0, ""), protocol},
		"[MQTT5-4.13.1-1] property 255":               {number(255, 1), protocol},
		"[MQTT5-2.2.2.2] property of another packet":  {number(mqtt.PropertySessionExpiry, 1), malformed},
		"[MQTT5-3.3.2.3.2] first of two bad ones":     {func(p *mqtt.Properties) { number(mqtt.PropertyPayloadFormat, 2)(p); subscriptionID(0)(p) }, protocol},
		"[MQTT5-3.3.2.3.2] bad, then good": {func(p *mqtt.Properties) {
			number(mqtt.PropertyPayloadFormat, 2)(p)
			number(mqtt.PropertyPayloadFormat, 1)(p)
		}, protocol},
		"[MQTT5-3.3.2.3.2] bad, then cloned": {func(p *mqtt.Properties) { number(mqtt.PropertyPayloadFormat, 2)(p); *p = p.Clone() }, protocol},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			p := properties(c.set)
			b, err := (&mqtt.Publish{Topic: []byte("t"), Properties: p}).Append(nil, mqtt.V5)
			if len(b) != 0 {
				t.Errorf("got % x with an error, want nothing", b)
			}
			wantError(t, err, name, c.reason)
			if _, err := (&mqtt.Publish{Topic: []byte("t"), Properties: p}).Append(nil, v3); err != nil {
				t.Errorf("3.1.1, which has no properties: %v", err)
			}
		})
	}
}
