package iothub

import (
	"strings"

	"github.com/hubgate/hubgate/hub"
)

// The filters that every identity may subscribe to.
const (
	filterTwinResults = "$iothub/twin/res/#"
	filterDesired     = "$iothub/twin/PATCH/properties/desired/#"
	prefixMethods     = "$iothub/methods/POST/"
)

// grant answers a subscription: at most QoS 1 for a filter that IoT Hub or
// edgeHub knows, an error for any other.
func grant(id hub.Identity, filter string, qos byte) (byte, error) {
	if !isKnownFilter(id, filter) {
		return 0, hub.Errorf(hub.ArgumentInvalid, "an IoT Hub %s can't subscribe to this filter", kindOf(id))
	}
	return min(qos, 1), nil
}

func kindOf(id hub.Identity) string {
	if id.IsModule() {
		return "module"
	}
	return "device"
}

func isKnownFilter(id hub.Identity, filter string) bool {
	switch {
	case filter == filterTwinResults, filter == filterDesired, filter == filterCredentials:
		return true
	case strings.HasPrefix(filter, prefixMethods):
		return isMethodFilter(filter[len(prefixMethods):])
	case id.IsModule():
		rest, ok := strings.CutPrefix(filter, "devices/"+id.Device+"/modules/"+id.Module+"/")
		return ok && isModuleFilter(rest)
	default:
		// Embedded C (azure-sdk-for-c) puts a + for its own id.
		return filter == "devices/"+id.Device+"/messages/devicebound/#" || filter == "devices/+/messages/devicebound/#"
	}
}

// isMethodFilter takes # and, as edgeHub does, a single method's name with /#.
func isMethodFilter(rest string) bool {
	if rest == "#" {
		return true
	}
	name, ok := strings.CutSuffix(rest, "/#")
	return ok && name != "" && !strings.ContainsAny(name, "/+#")
}

// isModuleFilter takes what follows the module's prefix: # (C, C#),
// inputs/# (Node, Python, Java), inputs/{name}/#, and messages/devicebound/#,
// without which Java's ModuleClient does not open.
func isModuleFilter(rest string) bool {
	switch rest {
	case "#", "inputs/#", "messages/devicebound/#":
		return true
	}
	name, ok := strings.CutPrefix(rest, "inputs/")
	name, ok2 := strings.CutSuffix(name, "/#")
	return ok && ok2 && name != "" && !strings.ContainsAny(name, "/+#")
}
