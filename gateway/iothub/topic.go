package iothub

import (
	"bytes"

	"github.com/hubgate/hubgate/hub"
)

// eventsBag returns the property bag of a telemetry topic of id:
//
//	devices/{device}[/modules/{module}]/messages/events[/{bag}]
//
// Everything behind events/ is the bag, slashes included: the C SDK does not
// escape them. The ids are compared byte for byte, for SDKs send them raw.
func eventsBag(topic []byte, id hub.Identity) ([]byte, error) {
	rest, ok := cut(topic, "devices/")
	if !ok {
		return nil, unknownTopic(topic)
	}
	rest, own := cut(rest, id.Device)
	rest, slash := cut(rest, "/")
	if !own || !slash {
		return nil, foreignTopic(id)
	}
	if id.IsModule() {
		rest, own = cutModule(rest, id.Module)
		if !own {
			return nil, foreignTopic(id)
		}
	}
	rest, ok = cut(rest, "messages/events")
	if !ok || (len(rest) > 0 && rest[0] != '/') {
		return nil, unknownTopic(topic)
	}
	return bytes.TrimPrefix(rest, []byte("/")), nil
}

func cutModule(b []byte, module string) ([]byte, bool) {
	b, ok := cut(b, "modules/")
	b, own := cut(b, module)
	b, slash := cut(b, "/")
	return b, ok && own && slash
}

// cut is bytes.CutPrefix for a prefix that is a string.
func cut(b []byte, prefix string) ([]byte, bool) {
	if len(b) < len(prefix) || string(b[:len(prefix)]) != prefix {
		return b, false
	}
	return b[len(prefix):], true
}

func foreignTopic(id hub.Identity) error {
	return hub.Errorf(hub.ArgumentInvalid, "the topic names another identity than %s, which this connection belongs to", id)
}

// unknownTopic names the beginning of a topic that has no meaning.
func unknownTopic(topic []byte) error {
	const shown = 64
	if len(topic) > shown {
		topic = topic[:shown]
	}
	return hub.Errorf(hub.ArgumentInvalid, "IoT Hub has no topic %q to publish to", topic)
}
