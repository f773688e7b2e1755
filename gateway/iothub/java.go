package iothub

import (
	"bytes"
	"strings"
	"time"

	"github.com/hubgate/hubgate/gateway/mqtt"
)

// Java's SDK enters a twin request into the list of those that wait for a PUBACK
// after it has handed it to its sending thread (Mqtt.publish, and deliveryComplete
// under the lock of another object). A PUBACK that is faster is thrown away, and
// the SDK takes the request for lost: after its next reconnect, which may be days
// later, it sends the old patch again, and reported properties go back to what
// they were. IoT Hub is too far away for this; a gateway in the same network is
// not.

// javaAgent begins what Java's SDK calls itself in the user name.
const javaAgent = "com.microsoft.azure.sdk.iot."

// javaPause is how long a patch of Java's SDK waits before its PUBACK: a fast
// answer of IoT Hub. With none, one in twenty is lost on a busy machine.
const javaPause = 20 * time.Millisecond

func isJava(clientAgent string) bool { return strings.HasPrefix(clientAgent, javaAgent) }

// pause lets Java's SDK get ready for the PUBACK of p. It stops the reader, so
// that patches keep their order; other requests do no harm when they come twice.
func (h *handler) pause(p *mqtt.Publish) {
	if h.java && p.QoS > 0 && bytes.HasPrefix(p.Topic, []byte(prefixTwinReported)) {
		<-time.After(javaPause)
	}
}
