package digitaltwin

import (
	"iter"

	"github.com/hubgate/hubgate/hub"
)

// The members of what a device reports of a writable property (Microsoft's page
// "IoT Plug and Play conventions").
const (
	ackValue       = "value"
	ackCode        = "ac"
	ackVersion     = "av"
	ackDescription = "ad"
)

// acknowledged yields the members of an acknowledgement but for the value, with
// their names in a digital twin.
func acknowledged() iter.Seq2[string, string] {
	return func(yield func(from, to string) bool) {
		_ = yield(ackVersion, "ackVersion") && yield(ackCode, "ackCode") && yield(ackDescription, "ackDescription")
	}
}

// isAcknowledgement reports whether a reported value is a value with what the
// device says to the desired one, and not an object of the model that happens to
// have a member "value".
func isAcknowledgement(n *node) bool {
	if n == nil || !n.object || n.get(ackValue) == nil || !n.get(ackCode).isInteger() {
		return false
	}
	for _, m := range n.members {
		switch m.key {
		case ackValue, ackCode, ackDescription:
		case ackVersion:
			if !m.value.isInteger() {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// valueOf is the value itself of a reported one.
func valueOf(n *node) *node {
	if isAcknowledgement(n) {
		return n.get(ackValue)
	}
	return n
}

// maxName is how many characters a DTDL name has.
const maxName = 64

// checkName fails unless name is a DTDL name: letters, digits and underscores,
// with a letter first and no underscore last.
func checkName(name string) error {
	if name == "" || len(name) > maxName || !isLetter(name[0]) || name[len(name)-1] == '_' {
		return badName(name)
	}
	for i := range len(name) {
		if c := name[i]; !isLetter(c) && c != '_' && (c < '0' || c > '9') {
			return badName(name)
		}
	}
	return nil
}

func isLetter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }

func badName(name string) error {
	return hub.Errorf(hub.ArgumentInvalid, "%s is not the name of a property, a component or a field: it has 1 to 64 letters, digits and underscores, begins with a letter and does not end with an underscore", quoted(name, 80))
}

// Command is the name of the direct method by which a device takes a command;
// component is empty for a command of the device itself. It fails with
// ArgumentInvalid.
func Command(component, command string) (string, error) {
	if command == "" {
		return "", hub.Errorf(hub.ArgumentInvalid, "the command has no name")
	}
	if component == "" {
		return command, nil
	}
	if err := checkName(component); err != nil {
		return "", err
	}
	return component + "*" + command, nil
}
