package subject

import (
	"strings"

	"github.com/hubgate/hubgate/hub"
)

// Cancel is a verb of the command service, beside List.
const Cancel Verb = "cancel"

// MethodName is the name of the method service as nats micro shows it.
func (n Names) MethodName() string { return n.prefix() + "-method" }

// MethodAll matches every invocation of a direct method: hub.method.>.
func (n Names) MethodAll() string { return n.prefix() + ".method.>" }

// Method is the subject that invokes a direct method,
// hub.method.{device}[.{module}].{method}. The method's name is encoded as ids
// are, because it may hold dots.
func (n Names) Method(id hub.Identity, method string) string {
	b := append(n.appendIdentity(nil, ".method.", id), '.')
	return string(AppendToken(b, method))
}

// ParseMethod is the inverse of [Names.Method]. It fails with
// [hub.ArgumentInvalid].
func (n Names) ParseMethod(subject string) (id hub.Identity, method string, err error) {
	i := strings.LastIndexByte(subject, '.')
	if id, err = n.Parse("method", subject[:max(i, 0)]); err != nil {
		return hub.Identity{}, "", hub.Errorf(hub.ArgumentInvalid, "a method is invoked on %s.method.{device}[.{module}].{method}: %w", n.prefix(), err)
	}
	if method, err = DecodeToken(subject[i+1:]); err != nil {
		return hub.Identity{}, "", hub.Errorf(hub.ArgumentInvalid, "%q is not a method's name as a NATS token: every byte outside A-Z a-z 0-9 _ - is written as =XX, upper-case hex", subject[i+1:])
	}
	return id, method, nil
}

// NodeMethod is where a node takes calls of devices that are connected to it:
// hub.session.method.{node}. It is core NATS between nodes.
func (n Names) NodeMethod(node string) string {
	return n.prefix() + ".session.method." + EncodeToken(node)
}

// Callable is where a node announces that id can be called:
// hub.session.callable.{device}[.{module}]. It is core NATS between nodes.
func (n Names) Callable(id hub.Identity) string {
	return string(n.appendIdentity(nil, ".session.callable.", id))
}

// CommandName is the name of the command service as nats micro shows it.
func (n Names) CommandName() string { return n.prefix() + "-command" }

// CommandVerb is the subject of an operation on the commands of all devices,
// hub.command.{verb}.
func (n Names) CommandVerb(v Verb) string { return n.prefix() + ".command." + string(v) }

// CommandAll matches every identity's subject of one verb, hub.command.{verb}.>.
func (n Names) CommandAll(v Verb) string { return n.CommandVerb(v) + ".>" }

// Command is the subject of an operation on the commands of id,
// hub.command.{verb}.{device}[.{module}].
func (n Names) Command(v Verb, id hub.Identity) string {
	return string(n.appendIdentity(nil, ".command."+string(v)+".", id))
}

// CommandEvent is where the results of commands are published:
// hub.events.command.{device}[.{module}].
func (n Names) CommandEvent(id hub.Identity) string {
	return string(n.appendIdentity(nil, ".events.command.", id))
}

// CommandBucket is the KV bucket of commands that wait, hub_commands.
func (n Names) CommandBucket() string { return n.prefix() + "_commands" }

// CommandKey is the KV key of a command, {device}[.{module}].{command}.
func CommandKey(id hub.Identity, command string) string {
	return Key(id) + "." + EncodeToken(command)
}

// ParseCommandKey is the inverse of [CommandKey]. It fails with
// [hub.ArgumentInvalid].
func ParseCommandKey(key string) (id hub.Identity, command string, err error) {
	i := strings.LastIndexByte(key, '.')
	if id, err = ParseKey(key[:max(i, 0)]); err != nil {
		return hub.Identity{}, "", err
	}
	command, err = DecodeToken(key[i+1:])
	return id, command, err
}

// Owns reports whether a subject is one of this hub's or of its inboxes, or of
// NATS itself: what nobody but the hub may have messages published on.
func (n Names) Owns(subject string) bool {
	return strings.HasPrefix(subject, n.prefix()+".") || subject == n.prefix() || strings.HasPrefix(subject, "$") || strings.HasPrefix(subject, n.Inbox()+".")
}

// ValidSubject reports whether a message can be published on s: 1 to 255
// printable bytes without space, wildcard or empty token.
func ValidSubject(s string) bool {
	if s == "" || len(s) > 255 {
		return false
	}
	for token := range strings.SplitSeq(s, ".") {
		if token == "" || token == "*" || token == ">" {
			return false
		}
	}
	return strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7F || r == 0xFFFD }) < 0
}
