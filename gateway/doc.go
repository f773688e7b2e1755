// Package gateway is the front end of a node: listeners, the gate that bounds
// peers who have not said CONNECT yet, and the connections of devices. It
// knows MQTT and who is connected; what a packet means is for a [Face] to say,
// and where sessions are kept is for a session.Store.
//
// The life of a connection is told in this order: listen.go accepts it,
// gate.go bounds it, accept.go shakes hands and claims the identity, read.go
// reads and dispatches, ring.go keeps acknowledgements in order, write.go
// sends them, and conn.go ends it with one reason.
package gateway
