// Package codec measures gateway/mqtt beside other MQTT codecs for Go, in one
// run and on the same bytes: paho.mqtt.golang/packets (3.1.1 only),
// paho.golang/packets (5 only) and mochi-mqtt/server/packets. It is a module of
// its own, so that hubgate does not depend on what it is compared with.
// `make bench-codec` runs it; only the ratios mean something.
package codec
