package simulate

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hubgate/hubgate/gateway/mqtt"
)

const noAnswer breach = "no answer to a twin request within a minute"

// maxInFlight is how many messages of a device may wait for their PUBACK.
const maxInFlight = 64

// The topics of IoT Hub.
const (
	eventsTopic   = "devices/%s/messages/events/%s"
	readTopic     = "$iothub/twin/GET/?$rid="
	reportTopic   = "$iothub/twin/PATCH/properties/reported/?$rid="
	answerPrefix  = "$iothub/twin/res/"
	desiredPrefix = "$iothub/twin/PATCH/properties/desired/"
	callPrefix    = "$iothub/methods/POST/"
	resultTopic   = "$iothub/methods/res/200/?$rid="
	ridMark       = "/?$rid="
)

// sent is a PUBLISH that waits for its PUBACK.
type sent struct {
	id      uint16
	number  uint32 // of a message
	message bool   // else a request or an answer
	at      time.Time
}

// request is a twin request that waits for its answer.
type request struct {
	rid   string // empty: none waits
	reads bool
	at    time.Time
}

// appendPacket appends a packet. The packets of a device are always legal.
func (d *device) appendPacket(b []byte, p mqtt.Packet) []byte {
	out, err := p.Append(b, mqtt.V311)
	if err != nil {
		d.fleet.stats.fault(d.id, err)
	}
	return out
}

func (d *device) nextID() uint16 {
	if d.lastID++; d.lastID == 0 {
		d.lastID = 1
	}
	return d.lastID
}

func (d *device) appendSubscribes(b []byte, packets [][]filter) []byte {
	for _, filters := range packets {
		s := mqtt.Subscribe{ID: d.nextID()}
		for _, f := range filters {
			s.Filters = append(s.Filters, mqtt.Filter{Topic: []byte(strings.ReplaceAll(f.topic, "%s", d.id)), QoS: f.qos})
		}
		b = d.appendPacket(b, &s)
	}
	return b
}

// appendTelemetry appends the next message, unless too many wait. d.mu is held.
func (d *device) appendTelemetry(b []byte, now time.Time) []byte {
	if len(d.pending) >= maxInFlight {
		d.fleet.stats.held.Add(1)
		return b
	}
	s := sent{id: d.nextID(), number: d.book.next, message: true, at: now}
	d.book.next++
	d.pending = append(d.pending, s)
	d.fleet.stats.sent.Add(1)
	return d.appendMessage(b, s)
}

// appendAgain appends all messages that were not acknowledged on an earlier
// connection, and forgets its requests. d.mu is held.
func (d *device) appendAgain(b []byte, now time.Time) []byte {
	kept := d.pending[:0]
	for _, s := range d.pending {
		if s.message {
			s.at = now
			kept = append(kept, s)
		}
	}
	d.pending = kept
	for _, s := range kept {
		from := len(b)
		b = d.appendMessage(b, s)
		b[from] |= 0x08 // DUP [MQTT-3.3.1-1]
		d.fleet.stats.resent.Add(1)
	}
	return b
}

func (d *device) appendMessage(b []byte, s sent) []byte {
	topic := fmt.Sprintf(eventsTopic, d.id, d.shape.bag(d.fleet.messageID(d.index, s.number)))
	return d.appendPacket(b, &mqtt.Publish{QoS: 1, ID: s.id, Topic: []byte(topic), Payload: d.fleet.body(s.number)})
}

// appendTalk appends a request or an answer, in the QoS of the SDK. d.mu is
// held.
func (d *device) appendTalk(b []byte, topic, body string) []byte {
	p := mqtt.Publish{QoS: d.shape.talkQoS, Topic: []byte(topic), Payload: []byte(body)}
	if p.QoS > 0 {
		p.ID = d.nextID()
		d.pending = append(d.pending, sent{id: p.ID, at: time.Now()})
	}
	return d.appendPacket(b, &p)
}

// appendRead appends a request for the twin. d.mu is held.
func (d *device) appendRead(b []byte, now time.Time) []byte {
	d.asked = request{rid: d.shape.rid(d.rand), reads: true, at: now}
	return d.appendTalk(b, readTopic+d.asked.rid, d.shape.getBody)
}

// appendReport appends a patch of reported properties. d.mu is held.
func (d *device) appendReport(b []byte, now time.Time) []byte {
	d.asked = request{rid: d.shape.rid(d.rand), at: now}
	body := fmt.Sprintf(`{"simulated":{"messages":%d,"temperature":%.1f}}`, d.book.next, 15+10*d.rand.Float64())
	return d.appendTalk(b, reportTopic+d.asked.rid, body)
}

// take handles what the hub has sent.
func (d *device) take(u *live, p mqtt.Packet) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch p := p.(type) {
	case *mqtt.Puback:
		return d.acknowledged(u, p.ID)
	case *mqtt.Publish:
		return d.delivered(u, p)
	case *mqtt.Pingresp:
		u.pinged = time.Time{}
	case *mqtt.Suback:
		if bytes.IndexByte(p.Codes, mqtt.SubackFailure) >= 0 {
			return refusedTopic
		}
	default:
		return fmt.Errorf("%w: %s", strayPacket, p.Type())
	}
	return nil
}

// acknowledged takes the PUBACK of what was sent first [MQTT-4.6.0-2].
func (d *device) acknowledged(u *live, id uint16) error {
	if len(d.pending) == 0 || d.pending[0].id != id {
		return strayPuback
	}
	s := d.pending[0]
	d.pending = d.pending[1:]
	if !s.message {
		return nil
	}
	d.book.acked.set(s.number)
	d.fleet.stats.acked.Add(1)
	if s.at.After(u.lullEnd) { // else it is ourselves who have not read it before
		d.fleet.stats.puback.add(time.Since(s.at))
	}
	return nil
}

// delivered takes a message of the hub, and answers it.
func (d *device) delivered(u *live, p *mqtt.Publish) error {
	s := &d.fleet.stats
	var b []byte
	if p.QoS > 0 {
		b = mqtt.AppendPuback(b, p.ID)
	}
	switch topic := string(p.Topic); {
	case strings.HasPrefix(topic, answerPrefix):
		if err := d.answered(topic[len(answerPrefix):]); err != nil {
			s.fault(d.id, err)
		}
	case strings.HasPrefix(topic, desiredPrefix):
		s.desired.Add(1)
		d.agenda.twin = time.Now() // an application reports what it has made of them
		d.timer.Reset(0)
	case strings.HasPrefix(topic, callPrefix):
		s.methods.Add(1)
		_, rid, _ := strings.Cut(topic, ridMark)
		b = d.appendTalk(b, resultTopic+rid, `{"simulated":true}`)
	default:
		s.mail.Add(1)
	}
	if len(b) > 0 && !u.ours() {
		u.wrote = time.Now()
		return u.write(b)
	}
	return nil
}

// answered takes the answer to a twin request, whose topic ends in rest.
func (d *device) answered(rest string) error {
	text, rid, _ := strings.Cut(rest, ridMark)
	rid, _, _ = strings.Cut(rid, "&")
	if rid != d.asked.rid {
		return nil // to a request of an earlier connection
	}
	reads := d.asked.reads
	d.asked = request{}
	status, err := strconv.Atoi(text)
	switch {
	case err != nil || status >= 300:
		return fmt.Errorf("%w: status %.20q", twinRefused, text)
	case reads:
		d.fleet.stats.reads.Add(1)
	default:
		d.fleet.stats.reports.Add(1)
	}
	return nil
}
