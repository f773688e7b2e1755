// Package mqtt is the codec of MQTT 3.1, 3.1.1 and 5.0: bytes to packets and
// back, for clients and servers. It knows no connection, no session and no
// topic's meaning. Nobody else needs to know the version: there is one model
// of each packet, and what a version lacks is zero when decoded and left out
// when encoded.
//
// The way of a packet in: the connection reads into its buffer and asks
// [Decoder.Frame] how long the first packet is; the fixed header alone decides
// whether it may come at all (fixedheader.go). When all of it is there,
// [Decoder.Decode] walks it with a cursor (cursor.go), through the file of its
// type (connect.go, publish.go …), where every field passes through the rules
// for text (utf8.go), topics and filters (topic.go) and properties
// (properties.go, propertywalk.go). The packet that comes out is made of views
// into the connection's buffer and lives in the Decoder, so that the common
// packets cost no allocation; it is valid until the next one.
//
// The way out: a packet's Append checks it by the same rules and appends its
// bytes to the buffer of whoever writes (writer.go).
//
// What is refused is an [*Error]: the statement of the specification that was
// broken, a sentence, and the reason code that MQTT 5 has for it. The names of
// fields and the rules that hold for them are in fields.go, what can be wrong
// with a field in faults.go.
//
// The one invariant: whatever Decode accepts, Append writes, and Decode reads
// as the same packet; and no byte of input makes the package allocate more
// than a small multiple of the bytes that really came. Two choices are wider
// than that: Append takes a topic with '+' or '#' in it, which Decode takes
// with LenientTopics only, and a filter with them, where Decode wants
// LenientFilters.
//
// MQTT 3.1 is read by the rules of 3.1.1, with its own framing: the protocol
// name "MQIsdp", the DUP flag on SUBSCRIBE, UNSUBSCRIBE and PUBREL, user name
// and password that may be missing at the end of CONNECT, and a CONNACK
// without session present.
package mqtt
