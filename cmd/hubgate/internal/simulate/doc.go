// Package simulate is a fleet of devices that behave as those of the Azure IoT
// SDKs do, for soak tests and for sizing: `hubgate simulate`.
//
// The devices speak to a hub from outside, by its listeners and its registry,
// and share nothing with the gateway but the codec. One device is one goroutine
// that reads (device.go), and a timer that does what is due (agenda.go); what
// differs from SDK to SDK is in shape.go, how a fleet behaves as a whole in
// profile.go. fleet.go runs it all, stats.go counts, and report.go says what
// came of it. verify.go compares what was acknowledged (ledger.go) with what
// the streams hold.
package simulate
