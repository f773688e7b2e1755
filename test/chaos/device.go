//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/sas"
)

// The pace of a device.
const (
	telemetryEvery = 1500 * time.Millisecond
	patchEvery     = 1500 * time.Millisecond
	window         = 4                // messages in flight
	patchPatience  = 15 * time.Second // for the answer to a twin request
	properties     = 2                // that it reports: a late patch soon meets a newer one
)

// device is a device shaped like one with an SDK: SAS, a session that is kept,
// subscriptions once, everything again that was not acknowledged.
type device struct {
	id      string
	key     []byte
	addr    string
	trusted *tls.Config // nil: without TLS
	verdict *verdict
	*ledger

	quiet  chan struct{} // closed: nothing new is made any more
	hoards choice        // it leaves a dead connection open, as a machine does that lost its network

	due     time.Time // of the next message
	asked   string    // request id of the twin request in flight; empty: none
	askedAt time.Time // when it was made
	asking  int       // the number of the patch in flight; 0: it is a GET
	rid     int
	heard   int64 // the last version of desired properties that it was told, on this connection
	read    int64 // and that it has read
}

// run connects, converses and connects again until ctx ends; then it says
// DISCONNECT.
func (d *device) run(ctx context.Context) {
	d.due = time.Now().Add(rand.N(telemetryEvery))
	for failures := 0; ctx.Err() == nil; failures++ {
		w, err := d.connect()
		if err != nil {
			pause := min(250*time.Millisecond<<min(failures, 4), 3*time.Second)
			wait(ctx, pause/2+rand.N(pause))
			continue
		}
		failures = 0
		d.converse(ctx, w)
		d.mu.Lock()
		d.connected = false
		if d.hoards {
			d.old = append(d.old, w)
		}
		d.mu.Unlock()
		if !d.hoards {
			w.leave()
		}
	}
}

func (d *device) connect() (*wire, error) {
	w, err := dialWire(d.addr, d.trusted)
	if err != nil {
		return nil, err
	}
	token := sas.Sign(sas.Resource(hubHost, hub.Identity{Device: d.id}), d.key, time.Now().Add(3*time.Hour), "")
	k, err := w.handshake(&mqtt.Connect{
		Version: mqtt.V311, KeepAlive: keepAlive, HasUsername: true, HasPassword: true, ClientID: []byte(d.id),
		Username: []byte(hubHost + "/" + d.id + "/?api-version=2021-04-12&DeviceClientType=chaos"), Password: []byte(token),
	})
	if err == nil && k.Code != 0 {
		err = fmt.Errorf("CONNACK %d", k.Code)
		d.refusedBy(k.Code)
	}
	if err == nil && !k.SessionPresent {
		err = d.subscribe(w)
	}
	if err != nil {
		w.leave()
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.connects++
	d.connected, d.local = true, w.nc.LocalAddr().String()
	d.asked, d.heard, d.read = "", 0, 0
	return w, nil
}

// refusedBy notes a CONNACK. The device is what it says, so that it may only be
// asked to come later.
func (d *device) refusedBy(code byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refusals[code]++
	if code != mqtt.ConnackUnavailable {
		d.verdict.broken("refused for good", "%s got CONNACK %d", d.id, code)
	}
}

// subscribe asks for all conversations, as an SDK does once in its life.
func (d *device) subscribe(w *wire) error {
	s := &mqtt.Subscribe{ID: 65535}
	for _, f := range []string{"$iothub/twin/res/#", "$iothub/twin/PATCH/properties/desired/#", "$iothub/methods/POST/#", "devices/" + d.id + "/messages/devicebound/#"} {
		s.Filters = append(s.Filters, mqtt.Filter{Topic: []byte(f), QoS: 1})
	}
	if err := w.send(s); err != nil {
		return err
	}
	for {
		p, err := w.receive(connectPatience)
		if err != nil {
			return err
		}
		if ack, ok := p.(*mqtt.Suback); ok {
			if bytes.ContainsRune(ack.Codes, 0x80) {
				return fmt.Errorf("SUBACK with % x", ack.Codes)
			}
			return nil
		}
	}
}

// converse is one connection, until it ends or ctx does.
func (d *device) converse(ctx context.Context, w *wire) {
	go w.read()
	if d.again(w) != nil || d.ask(w, 0) != nil {
		return
	}
	message, patch, ping := time.NewTicker(telemetryEvery/4), time.NewTicker(patchEvery), time.NewTicker(pingEvery)
	defer message.Stop()
	defer patch.Stop()
	defer ping.Stop()
	for {
		var err error
		select {
		case p, open := <-w.packets:
			if !open {
				return
			}
			err = d.hear(w, p)
		case <-message.C:
			err = d.tell(w)
		case <-patch.C:
			err = d.report(w)
		case <-ping.C:
			err = w.send(&mqtt.Pingreq{})
		case <-ctx.Done():
			_ = w.send(&mqtt.Disconnect{})
			return
		}
		if err != nil {
			return
		}
	}
}

func (d *device) isQuiet() bool {
	select {
	case <-d.quiet:
		return true
	default:
		return false
	}
}

// tell makes the messages that are due, unless too many wait. They are due at
// a pace of their own, whether there is a connection or not.
func (d *device) tell(w *wire) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for !d.isQuiet() && len(d.flying) < window && time.Since(d.due) >= 0 {
		n := d.next
		d.next++
		d.alone[n] = len(d.flying) == 0
		d.flying = append(d.flying, event{n, d.due})
		d.due = d.due.Add(telemetryEvery)
		if err := d.publish(w, n, false); err != nil {
			return err
		}
	}
	return nil
}

// again sends what was not acknowledged.
func (d *device) again(w *wire) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.flying {
		d.resent++
		if err := d.publish(w, e.n, true); err != nil {
			return err
		}
	}
	return nil
}

func packetID(n int) uint16 { return uint16(n%65000 + 1) }

func (d *device) publish(w *wire, n int, dup bool) error {
	return w.send(&mqtt.Publish{
		Dup: dup, QoS: 1, ID: packetID(n), Topic: []byte("devices/" + d.id + "/messages/events/"), Payload: []byte(strconv.Itoa(n)),
	})
}

// hear takes a packet.
func (d *device) hear(w *wire, p packet) error {
	switch p.kind {
	case mqtt.TypePuback:
		if err := d.acknowledged(p.id); err != nil {
			return err
		}
		return d.tell(w)
	case mqtt.TypePublish:
		err := d.message(w, p)
		if err == nil && p.qos == 1 {
			err = w.send(&mqtt.Puback{ID: p.id})
		}
		if id, ok := d.boundMessage(p); ok && err == nil {
			d.mu.Lock()
			d.puback[id] = true
			d.mu.Unlock()
		}
		return err
	default:
		return nil
	}
}

var errOrder = errors.New("PUBACK out of order")

func (d *device) acknowledged(id uint16) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.flying) == 0 || id != packetID(d.flying[0].n) {
		d.ordered = false
		d.verdict.broken("order of PUBACKs", "%s got %d with %v in flight", d.id, id, d.flying)
		return errOrder
	}
	e := d.flying[0]
	d.flying = d.flying[1:]
	d.born = e.at
	d.worst = max(d.worst, time.Since(e.at))
	return nil
}

func (d *device) boundMessage(p packet) (string, bool) {
	if !strings.HasPrefix(p.topic, "devices/"+d.id+"/messages/devicebound/") {
		return "", false
	}
	return string(p.payload), true
}

func (d *device) message(w *wire, p packet) error {
	if id, ok := d.boundMessage(p); ok {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.got[id]++
		d.taken = append(d.taken, taking{id, w.began})
		return nil
	}
	if rest, ok := strings.CutPrefix(p.topic, "$iothub/methods/POST/"); ok {
		_, rid, _ := strings.Cut(rest, "/?$rid=")
		d.mu.Lock()
		d.called[string(p.payload)]++
		d.mu.Unlock()
		return w.send(&mqtt.Publish{Topic: []byte("$iothub/methods/res/200/?$rid=" + rid), Payload: p.payload})
	}
	if rest, ok := strings.CutPrefix(p.topic, "$iothub/twin/PATCH/properties/desired/?$version="); ok {
		version, _ := strconv.ParseInt(rest, 10, 64)
		return d.notified(version, p.payload)
	}
	if rest, ok := strings.CutPrefix(p.topic, "$iothub/twin/res/"); ok {
		return d.answered(rest, p.payload)
	}
	return nil
}

// section is what a device looks at of a section of a twin.
type section map[string]json.Number

// parseSection reads the members that are numbers.
func parseSection(raw []byte) section {
	var all map[string]json.RawMessage
	if json.Unmarshal(raw, &all) != nil {
		return nil
	}
	s := section{}
	for name, value := range all {
		var n json.Number
		if json.Unmarshal(value, &n) == nil {
			s[name] = n
		}
	}
	return s
}

func (s section) number(name string) int64 {
	n, _ := s[name].Int64()
	return n
}

// notified takes a notification of desired properties.
func (d *device) notified(version int64, body []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	// What it has read already it is told all the same, if that comes later: an
	// application may wait for the notification.
	if version <= d.heard || version < d.read {
		d.verdict.broken("order of desired notifications", "%s heard of version %d after %d, and had read %d", d.id, version, d.heard, d.read)
	}
	d.heard = version
	d.desiredV = max(d.desiredV, version)
	d.desired = max(d.desired, int(parseSection(body).number("d")))
	return nil
}
