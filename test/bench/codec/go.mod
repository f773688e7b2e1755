module github.com/hubgate/hubgate/test/bench/codec

go 1.26.8

replace github.com/hubgate/hubgate => ../../..

require (
	github.com/eclipse/paho.golang v0.23.0
	github.com/eclipse/paho.mqtt.golang v1.5.1
	github.com/hubgate/hubgate v0.0.0-00010101000000-000000000000
	github.com/mochi-mqtt/server/v2 v2.7.9
)
