//go:build linux

package main

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// twinDocument is one generated twin: its id, and its parts as the gateway keeps
// them, each the inside of a JSON object.
type twinDocument struct {
	id    string
	parts [3]string
}

// whole is the document as one JSON object.
func (d twinDocument) whole() string { return "{" + strings.Join(d.parts[:], ",") + "}" }

// twinFleet generates twins: 6 tags, 6 desired and 8 reported properties, with
// their metadata. The same fleet comes every time, in no order.
type twinFleet struct {
	r    *rand.Rand
	left []int
}

func newTwinFleet(n int) *twinFleet {
	r := rand.New(rand.NewPCG(1, 2)) // the same fleet every time
	return &twinFleet{r, r.Perm(n)}
}

func twinID(i int) string { return fmt.Sprintf("device-%07d", i) }

// next is the next twin; ok is false behind the last.
func (f *twinFleet) next() (d twinDocument, ok bool) {
	if len(f.left) == 0 {
		return d, false
	}
	i := f.left[0]
	f.left = f.left[1:]
	d.id = twinID(i)
	d.parts[0] = `"deviceId":"` + d.id + `","status":"enabled","statusUpdateTime":"0001-01-01T00:00:00Z","authenticationType":"sas",` +
		`"x509Thumbprint":{"primaryThumbprint":null,"secondaryThumbprint":null},"capabilities":{"iotEdge":` + strconv.FormatBool(i%50 == 0) + `}`
	d.parts[1] = f.twin()
	d.parts[2] = `"connectionState":"` + f.one("Connected", "Disconnected") + `","lastActivityTime":"` + f.stamp() + `","modelId":"dtmi:com:example:Thermostat;1"`
	return d, true
}

func (f *twinFleet) twin() string {
	desired := f.section([]string{"interval", "mode", "threshold", "firmware", "enabled", "server"},
		[]string{f.n(60), `"auto"`, f.n(100) + "." + f.n(10), `"1.` + f.n(10) + `"`, "true", `"mqtt.example.com"`}, `,"$lastUpdatedVersion":3`)
	reported := f.section([]string{"temperature", "humidity", "battery", "firmware", "uptime", "state", "signal", "address"},
		[]string{
			f.n(50) + "." + f.n(100), f.n(100), f.n(100), `"1.` + f.n(10) + `"`, f.n(1e7), `"` + f.one("ok", "warning", "error") + `"`, "-" + f.n(90),
			`"10.` + f.n(256) + "." + f.n(256) + "." + f.n(256) + `"`,
		}, "")
	return `"etag":"AAAAAAAAAAM=","version":` + f.n(100) + `,"tags":{"region":"region-` + f.n(8) + `","site":"site-` + f.n(500) + `","building":"B` + f.n(20) +
		`","floor":` + f.n(30) + `,"customer":"customer-` + f.n(1000) + `","serial":"SN` + f.n(1e8) + `"},"properties":{"desired":` + desired +
		`,"$version":3},"reported":` + reported + `,"$version":7}}`
}

// section is properties with their metadata, but for the last brace.
func (f *twinFleet) section(names, values []string, extra string) string {
	at, meta, all := f.stamp(), "", ""
	for i, name := range names {
		all += `"` + name + `":` + values[i] + ","
		meta += `,"` + name + `":{"$lastUpdated":"` + at + `"` + extra + "}"
	}
	return "{" + all + `"$metadata":{"$lastUpdated":"` + at + `"` + extra + meta + "}"
}

func (f *twinFleet) n(most int) string { return strconv.Itoa(f.r.IntN(most)) }

func (f *twinFleet) one(of ...string) string { return of[f.r.IntN(len(of))] }

func (f *twinFleet) stamp() string {
	return time.Unix(1_790_000_000+f.r.Int64N(10_000_000), f.r.Int64N(1e9)).UTC().Format("2006-01-02T15:04:05.9999999Z")
}
