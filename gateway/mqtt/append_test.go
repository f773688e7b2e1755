package mqtt_test

import (
	"bytes"
	"testing"

	"github.com/hubgate/hubgate/gateway/mqtt"
)

// TestAppendRefuses is what no peer would accept, or what would be lost.
func TestAppendRefuses(t *testing.T) {
	long := bytes.Repeat([]byte("x"), 65536)
	topic := []byte("t")
	filters := []mqtt.Filter{{Topic: topic}}
	cases := map[string]struct {
		v      mqtt.Version
		p      mqtt.Packet
		reason mqtt.Reason
	}{
		"[MQTT3-2.3.1-5] identifier with QoS 0":       {v3, &mqtt.Publish{Topic: topic, ID: 1}, protocol},
		"[MQTT5-2.2.1-2] identifier with QoS 0":       {mqtt.V5, &mqtt.Publish{Topic: topic, ID: 1}, protocol},
		"[MQTT3-2.3.1-1] QoS 1 without identifier":    {v3, &mqtt.Publish{Topic: topic, QoS: 1}, protocol},
		"[MQTT3-3.3.1-4] QoS 3":                       {v3, &mqtt.Publish{Topic: topic, QoS: 3, ID: 1}, malformed},
		"[MQTT5-3.3.1-4] QoS 129, which ends in 1":    {mqtt.V5, &mqtt.Publish{Topic: topic, QoS: 129, ID: 1}, malformed},
		"[MQTT3-3.3.1-2] DUP with QoS 0":              {v3, &mqtt.Publish{Topic: topic, Dup: true}, malformed},
		"[MQTT3-4.7.3-1] PUBLISH without topic":       {v3, &mqtt.Publish{}, protocol},
		"[MQTT5-4.7.3-1] PUBLISH without topic":       {mqtt.V5, &mqtt.Publish{}, protocol},
		"[MQTT3-4.7.3-1] topic alias in 3.1.1":        {v3, &mqtt.Publish{Properties: properties(number(mqtt.PropertyTopicAlias, 1))}, protocol},
		"[MQTT3-4.7.3-2] topic with U+0000":           {v3, &mqtt.Publish{Topic: []byte("\x00")}, malformed},
		"[MQTT3-1.5.3-1] topic is not UTF-8":          {v3, &mqtt.Publish{Topic: []byte("\xff")}, malformed},
		"[MQTT3-4.7.3-3] topic is too long":           {v3, &mqtt.Publish{Topic: long}, malformed},
		"[MQTT5-4.7.3-3] filter is too long":          {mqtt.V5, &mqtt.Subscribe{ID: 1, Filters: []mqtt.Filter{{Topic: long}}}, malformed},
		"[MQTT3-4.7.3-3] will topic is too long":      {v3, &mqtt.Connect{Will: &mqtt.Will{Topic: long}}, malformed},
		"[MQTT3-1.5.3] client id is too long":         {v3, &mqtt.Connect{ClientID: long}, malformed},
		"[MQTT5-1.5.4] user name is too long":         {mqtt.V5, &mqtt.Connect{HasUsername: true, Username: long}, malformed},
		"[MQTT3-1.5.3] password is too long":          {v3, &mqtt.Connect{HasUsername: true, HasPassword: true, Password: long}, malformed},
		"[MQTT3-1.5.3] will payload is too long":      {v3, &mqtt.Connect{Will: &mqtt.Will{Topic: topic, Payload: long}}, malformed},
		"[MQTT3-3.1.3-4] client id is not UTF-8":      {v3, &mqtt.Connect{ClientID: []byte("\xff")}, malformed},
		"[MQTT3-3.1.3-10] will topic is not UTF-8":    {v3, &mqtt.Connect{Will: &mqtt.Will{Topic: []byte("\xff")}}, malformed},
		"[MQTT5-4.7.3-1] will topic is empty":         {mqtt.V5, &mqtt.Connect{Will: &mqtt.Will{}}, badTopic},
		"[MQTT3-3.1.2-14] will QoS 3":                 {v3, &mqtt.Connect{Will: &mqtt.Will{Topic: topic, QoS: 3}}, malformed},
		"[MQTT5-3.1.2-12] will QoS 4":                 {mqtt.V5, &mqtt.Connect{Will: &mqtt.Will{Topic: topic, QoS: 4}}, malformed},
		"[MQTT3-3.1.2-18] user name without flag":     {v3, &mqtt.Connect{Username: topic}, malformed},
		"[MQTT5-3.1.2-18] password without flag":      {mqtt.V5, &mqtt.Connect{Password: topic}, malformed},
		"[MQTT3-3.1.2-22] password without user name": {v3, &mqtt.Connect{HasPassword: true}, malformed},
		"[MQTT5-3.1.2.11.10] data without method":     {mqtt.V5, &mqtt.Connect{Properties: properties(text(mqtt.PropertyAuthData, "x"))}, protocol},
		"[MQTT3-3.1.2-2] CONNECT of another version":  {v3, &mqtt.Connect{Version: mqtt.V5}, mqtt.ReasonUnsupportedVersion},
		"[MQTT5-2.2.2.2] will property in CONNECT":    {mqtt.V5, &mqtt.Connect{Properties: properties(number(mqtt.PropertyWillDelay, 1))}, malformed},
		"[MQTT5-2.2.2.2] CONNECT property in will":    {mqtt.V5, &mqtt.Connect{Will: &mqtt.Will{Topic: topic, Properties: properties(number(mqtt.PropertySessionExpiry, 1))}}, malformed},
		"[MQTT3-3.2.2-4] refusal, session present":    {v3, &mqtt.Connack{SessionPresent: true, Code: 5}, protocol},
		"[MQTT3-3.2.2.3] CONNACK with a reason":       {v3, &mqtt.Connack{Code: 0x87}, protocol},
		"[MQTT5-3.2.2-8] CONNACK with a return code":  {mqtt.V5, &mqtt.Connack{Code: 5}, protocol},
		"[MQTT3-2.3.1-6] PUBACK of 0":                 {v3, &mqtt.Puback{}, protocol},
		"[MQTT5-2.2.1-5] PUBREL of 0":                 {mqtt.V5, &mqtt.Pubrel{}, protocol},
		"[MQTT3-4.8.0-1] PUBACK of failure":           {v3, &mqtt.Puback{ID: 1, Reason: mqtt.ReasonNotAuthorized}, protocol},
		"[MQTT3-4.8.0-1] PUBREC of failure":           {mqtt.V31, &mqtt.Pubrec{ID: 1, Reason: mqtt.ReasonUnspecified}, protocol},
		"[MQTT5-3.4.2-1] PUBACK with a bad reason":    {mqtt.V5, &mqtt.Puback{ID: 1, Reason: mqtt.ReasonBanned}, protocol},
		"[MQTT5-3.7.2-1] PUBCOMP with a bad reason":   {mqtt.V5, &mqtt.Pubcomp{ID: 1, Reason: mqtt.ReasonBanned}, protocol},
		"[MQTT3-3.8.3-3] SUBSCRIBE without filter":    {v3, &mqtt.Subscribe{ID: 1}, protocol},
		"[MQTT3-2.3.1-1] SUBSCRIBE without id":        {v3, &mqtt.Subscribe{Filters: filters}, protocol},
		"[MQTT3-3-8.3-4] SUBSCRIBE with QoS 3":        {v3, &mqtt.Subscribe{ID: 1, Filters: []mqtt.Filter{{Topic: topic, QoS: 3}}}, protocol},
		"[MQTT5-3.8.3.1] retain handling 3":           {mqtt.V5, &mqtt.Subscribe{ID: 1, Filters: []mqtt.Filter{{Topic: topic, RetainHandling: 3}}}, protocol},
		"[MQTT5-3.8.3-4] no local, shared":            {mqtt.V5, &mqtt.Subscribe{ID: 1, Filters: []mqtt.Filter{{Topic: []byte("$share/g/a"), NoLocal: true}}}, protocol},
		"[MQTT5-4.8.2-2] share name with '+'":         {mqtt.V5, &mqtt.Subscribe{ID: 1, Filters: []mqtt.Filter{{Topic: []byte("$share/+/a")}}}, badFilter},
		"[MQTT3-4.7.3-1] empty filter":                {v3, &mqtt.Subscribe{ID: 1, Filters: []mqtt.Filter{{}}}, badFilter},
		"[MQTT5-3.8.2.1.2] two subscription ids":      {mqtt.V5, &mqtt.Subscribe{ID: 1, Filters: filters, Properties: properties(subscriptionID(1), subscriptionID(2))}, protocol},
		"[MQTT3-3.10.3-2] UNSUBSCRIBE without filter": {v3, &mqtt.Unsubscribe{ID: 1}, protocol},
		"[MQTT5-3.10.3-1] UNSUBSCRIBE, not UTF-8":     {mqtt.V5, &mqtt.Unsubscribe{ID: 1, Filters: [][]byte{[]byte("\xff")}}, malformed},
		"[MQTT3-3.9.3-2] SUBACK with a reason":        {v3, &mqtt.Suback{ID: 1, Codes: []byte{0x87}}, protocol},
		"[MQTT5-3.9.3-2] SUBACK with QoS 3":           {mqtt.V5, &mqtt.Suback{ID: 1, Codes: []byte{3}}, protocol},
		"[MQTT3-3.8.4-5] SUBACK without codes":        {v3, &mqtt.Suback{ID: 1}, protocol},
		"[MQTT3-2.3.1-7] SUBACK of 0":                 {v3, &mqtt.Suback{Codes: []byte{0}}, protocol},
		"[MQTT3-2.3.1-7] UNSUBACK of 0":               {v3, &mqtt.Unsuback{}, protocol},
		"[MQTT5-3.11.3-1] UNSUBACK without codes":     {mqtt.V5, &mqtt.Unsuback{ID: 1}, protocol},
		"[MQTT5-3.11.3-2] UNSUBACK with QoS 1":        {mqtt.V5, &mqtt.Unsuback{ID: 1, Codes: []byte{1}}, protocol},
		"[MQTT3-3.14] DISCONNECT with a reason":       {v3, &mqtt.Disconnect{Reason: mqtt.ReasonDisconnectWithWill}, protocol},
		"[MQTT5-3.14.2-1] DISCONNECT, bad reason":     {mqtt.V5, &mqtt.Disconnect{Reason: mqtt.ReasonGrantedQoS1}, protocol},
		"[MQTT5-2.2.2.2] DISCONNECT, bad property":    {mqtt.V5, &mqtt.Disconnect{Properties: properties(number(mqtt.PropertyTopicAlias, 1))}, malformed},
		"[MQTT3-2.2.1] AUTH in 3.1.1":                 {v3, &mqtt.Auth{}, protocol},
		"[MQTT5-3.15.2.2.2] AUTH without method":      {mqtt.V5, &mqtt.Auth{Reason: mqtt.ReasonContinueAuthentication}, protocol},
		"[MQTT5-4.13.1-1] PINGREQ in no version":      {0, &mqtt.Pingreq{}, mqtt.ReasonUnsupportedVersion},
		"[MQTT5-4.13.1-1] PUBLISH in version 6":       {6, &mqtt.Publish{Topic: topic}, mqtt.ReasonUnsupportedVersion},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := c.p.Append([]byte("before"), c.v)
			if string(got) != "before" {
				t.Errorf("got % x with an error, want what was there before", got)
			}
			wantError(t, err, name, c.reason)
		})
	}
}

// TestAppendLeavesOut is what a version has no place for.
func TestAppendLeavesOut(t *testing.T) {
	p := properties(user("k", "v"))
	cases := map[string]struct {
		v    mqtt.Version
		p    mqtt.Packet
		want []byte
	}{
		"properties of PUBLISH":     {v3, &mqtt.Publish{Topic: []byte("t"), Properties: p}, wire(0x30, str("t"))},
		"properties of CONNECT":     {v3, &mqtt.Connect{KeepAlive: 60, Will: &mqtt.Will{Topic: []byte("w"), Properties: p}, Properties: p}, connect3(4, str(""), str("w"), str(""))},
		"subscription options":      {v3, &mqtt.Subscribe{ID: 1, Filters: []mqtt.Filter{{Topic: []byte("a"), QoS: 1, NoLocal: true, RetainAsPublished: true, RetainHandling: 2}}}, wire(0x82, num(1), str("a"), 1)},
		"codes of UNSUBACK":         {v3, &mqtt.Unsuback{ID: 1, Codes: []byte{0x11}}, wire(0xB0, num(1))},
		"reason of success":         {v3, &mqtt.Puback{ID: 1, Reason: mqtt.ReasonNoMatchingSubscribers, Properties: p}, wire(0x40, num(1))},
		"properties of DISCONNECT":  {v3, &mqtt.Disconnect{Properties: p}, wire(0xE0)},
		"session present in 3.1":    {mqtt.V31, &mqtt.Connack{SessionPresent: true}, wire(0x20, 0, 0)},
		"properties of SUBACK, 3.1": {mqtt.V31, &mqtt.Suback{ID: 1, Codes: []byte{1}, Properties: p}, wire(0x90, num(1), 1)},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := c.p.Append(nil, c.v)
			if err != nil || !bytes.Equal(got, c.want) {
				t.Errorf("got % x, %v, want % x", got, err, c.want)
			}
		})
	}
}

// TestAppendSizes writes packets around each size at which the remaining length
// gets a byte longer [MQTT3-2.2.3] [MQTT5-1.5.5-1], with and without room.
func TestAppendSizes(t *testing.T) {
	for _, remaining := range []int{127, 128, 16383, 16384, 2097151, 2097152} {
		codes := bytes.Repeat([]byte{1}, remaining-2)
		want := wire(0x90, num(7), codes)
		suback := &mqtt.Suback{ID: 7, Codes: codes}
		for name, b := range map[string][]byte{"with room": make([]byte, 0, len(want)+8), "without": nil} {
			got, err := suback.Append(b, v3)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("SUBACK of %d, %s: got % x, %v, want % x", remaining, name, got[:8], err, want[:8])
			}
		}

		payload := bytes.Repeat([]byte{'p'}, remaining-3)
		want = wire(0x31, str("t"), payload)
		got, err := (&mqtt.Publish{Retain: true, Topic: []byte("t"), Payload: payload}).Append(nil, v3)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("PUBLISH of %d: got % x, %v, want % x", remaining, got[:8], err, want[:8])
		}

		d := mqtt.Decoder{Version: v3}
		p, err := d.Decode(want)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(p.(*mqtt.Publish).Payload); got != len(payload) {
			t.Errorf("got %d bytes of payload, want %d", got, len(payload))
		}
	}
}
