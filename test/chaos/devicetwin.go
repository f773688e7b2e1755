//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hubgate/hubgate/gateway/mqtt"
)

// report makes a patch of one reported property, unless an answer is waited
// for. An answer that does not come is not waited for for ever, as in SDKs.
func (d *device) report(w *wire) error {
	if d.asked != "" && time.Since(d.askedAt) < patchPatience {
		return nil
	}
	if d.isQuiet() {
		return nil
	}
	d.mu.Lock()
	n := d.patch
	d.patch++
	d.mu.Unlock()
	return d.ask(w, n)
}

// ask sends patch n, or with 0 asks for the twin.
func (d *device) ask(w *wire, n int) error {
	d.rid++
	d.asked, d.askedAt, d.asking = strconv.Itoa(d.rid), time.Now(), n
	m := &mqtt.Publish{Topic: []byte("$iothub/twin/GET/?$rid=" + d.asked)}
	if n > 0 {
		m.Topic = []byte("$iothub/twin/PATCH/properties/reported/?$rid=" + d.asked)
		m.Payload = fmt.Appendf(nil, `{"%s":%d}`, property(n), n)
	}
	return w.send(m)
}

func property(n int) string { return "p" + strconv.Itoa(n%properties) }

// answered takes the answer to a twin request: {status}/?$rid=r[&$version=v].
func (d *device) answered(rest string, body []byte) error {
	status, query, _ := strings.Cut(rest, "/?$rid=")
	rid, version, _ := strings.Cut(query, "&$version=")
	if rid != d.asked { // of a request that was given up
		return nil
	}
	d.asked = ""
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case status == "200" && d.asking == 0:
		d.compare(body)
	case status == "204" && d.asking > 0:
		d.stored(version)
	default:
		d.refused[status]++
	}
	return nil
}

// stored notes a 204. d.mu is held.
func (d *device) stored(text string) {
	version, err := strconv.ParseInt(text, 10, 64)
	if err != nil || version <= d.version {
		d.verdict.broken("versions of reported properties", "%s got version %q for patch %d after version %d", d.id, text, d.asking, d.version)
	}
	d.version = max(d.version, version)
	d.acked[property(d.asking)] = d.asking
	d.patches++
	d.patched = d.askedAt
}

// compare holds the twin that the device has read against what it knows.
// d.mu is held.
func (d *device) compare(body []byte) {
	var twin struct {
		Desired  json.RawMessage `json:"desired"`
		Reported json.RawMessage `json:"reported"`
	}
	if err := json.Unmarshal(body, &twin); err != nil {
		d.verdict.broken("answers", "%s read the twin %.200q: %v", d.id, body, err)
		return
	}
	d.compareReported(parseSection(twin.Reported), "the device read")
	desired := parseSection(twin.Desired)
	if v := desired.number("$version"); v < d.desiredV {
		d.verdict.broken("desired rolled back", "%s read version %d of desired after %d", d.id, v, d.desiredV)
	} else {
		d.desiredV, d.read = v, v
	}
	if n := int(desired.number("d")); n < d.desired {
		d.verdict.broken("desired rolled back", "%s read the desired value %d after %d", d.id, n, d.desired)
	} else {
		d.desired = n
	}
}

// compareReported checks that no 204 was taken back. d.mu is held.
func (d *device) compareReported(s section, who string) {
	if v := s.number("$version"); v < d.version {
		d.verdict.broken("204 rolled back", "%s: %s version %d of reported, and %d was acknowledged", d.id, who, v, d.version)
	}
	for name, n := range d.acked {
		if have := int(s.number(name)); have < n || have >= d.patch {
			d.verdict.broken("204 rolled back", "%s: %s %s = %d, and %d was acknowledged (the last patch was %d)", d.id, who, name, have, n, d.patch-1)
		}
	}
}
