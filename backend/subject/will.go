package subject

import (
	"strings"

	"github.com/hubgate/hubgate/hub"
)

// WillHeader is the header of a will's message in the stream of telemetry: the
// will's name, which no other message has.
const WillHeader = "Hub-Will"

// nobody stands for the name of a node that has none. It is no token of a name.
const nobody = "="

// WillID names a will: {node}.{instance}.{number}, of the node with the
// connection.
func WillID(node, instance, number string) string {
	return nodeToken(node) + "." + instance + "." + number
}

func nodeToken(node string) string {
	if node == "" {
		return nobody
	}
	return EncodeToken(node)
}

// WillKey is the key of a will of id: {will}.{device}[.{module}].
func WillKey(will string, id hub.Identity) string { return will + "." + Key(id) }

// WillKeys matches the keys of all wills of a node.
func WillKeys(node string) string { return nodeToken(node) + ".>" }

// ParseWillKey is the inverse of [WillKey]; instance is that of the node.
func ParseWillKey(key string) (will, instance string, id hub.Identity, err error) {
	parts := strings.SplitN(key, ".", 4)
	if len(parts) < 4 {
		return "", "", id, hub.Errorf(hub.ArgumentInvalid, "%q is not the key of a will", key)
	}
	id, err = ParseKey(parts[3])
	return strings.Join(parts[:3], "."), parts[1], id, err
}
