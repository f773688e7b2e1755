// Package telemetry is device-to-cloud messages: the property bag in which a
// device sends properties (bag.go), IoT Hub's system properties (system.go),
// and the headers under which back-end apps find all of it (headers.go and
// event.go, one the inverse of the other). The header names and their escaping
// (escape.go) are a public contract, written down in docs/nats.md. Its one
// invariant is that no property whose name a device chooses can look like one
// that the hub vouches for.
package telemetry
