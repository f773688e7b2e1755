package subject

import (
	"slices"
	"strings"

	"github.com/hubgate/hubgate/hub"
)

// DefaultPrefix is the first token of every subject unless configured.
const DefaultPrefix = "hub"

// Names gives the names of one hub's NATS assets. Several hubs can share an
// account by different prefixes. The zero value is the hub with the prefix
// [DefaultPrefix]; a Names is immutable and safe for concurrent use.
type Names struct {
	// Prefix is the first token of all subjects; its upper-case form begins
	// the stream names. Empty: [DefaultPrefix].
	Prefix string
	// Shards is the number of streams of telemetry, for lists of all streams and
	// of rights. 0: 1.
	Shards int
}

// HostNameKey is the entry in the metadata of the registry service that holds
// the hub's host name.
const HostNameKey = "hostName"

// The entries in the metadata of the hub's streams that say how they are laid out.
const (
	// SchemaKey is the version of the layout.
	SchemaKey = "hubgate.schema"
	// CompatibleKey is the oldest version of the layout whose nodes may use the
	// stream all the same.
	CompatibleKey = "hubgate.compatible"
)

// Verb is one operation of the registry service.
type Verb string

// The verbs of the registry service.
const (
	Get    Verb = "get"
	Keys   Verb = "keys" // get with keys
	Put    Verb = "put"
	Delete Verb = "delete"
	List   Verb = "list"
)

// Validate reports, as [hub.ArgumentInvalid], a prefix that is not one plain
// token: 1 to 64 lower-case letters, digits, '_' and '-'. Upper case is out
// because stream names are upper case: two hubs "a" and "A" would share them.
func (n Names) Validate() error {
	p := n.prefix()
	_, err := checkPlain(p)
	if err != nil || len(p) > 64 || p != strings.ToLower(p) {
		return hub.Errorf(hub.ArgumentInvalid, "the NATS prefix %q is not 1 to 64 characters of a-z 0-9 _ -", p)
	}
	return nil
}

// TelemetryStream is the stream of device-to-cloud messages, HUB_TELEMETRY.
func (n Names) TelemetryStream() string { return n.upper() + "_TELEMETRY" }

// EventsStream is the stream of connection and lifecycle events, HUB_EVENTS.
func (n Names) EventsStream() string { return n.upper() + "_EVENTS" }

// DeviceBucket is the KV bucket of identities, hub_devices.
func (n Names) DeviceBucket() string { return n.prefix() + "_devices" }

// PresenceBucket is the KV bucket of sessions and their owners, hub_presence.
func (n Names) PresenceBucket() string { return n.prefix() + "_presence" }

// WillBucket is the KV bucket of the messages that connections leave behind,
// hub_wills.
func (n Names) WillBucket() string { return n.prefix() + "_wills" }

// NodesBucket is the KV bucket in which nodes say that they live, hub_nodes.
func (n Names) NodesBucket() string { return n.prefix() + "_nodes" }

// PolicyBucket is the KV bucket of shared access policies, hub_policies.
func (n Names) PolicyBucket() string { return n.prefix() + "_policies" }

// AuthorityBucket is the KV bucket of certificate authorities, hub_authorities.
func (n Names) AuthorityBucket() string { return n.prefix() + "_authorities" }

// TelemetryAll matches every device-to-cloud message: hub.telemetry.>.
func (n Names) TelemetryAll() string { return n.prefix() + ".telemetry.>" }

// Telemetry is where the messages of id are published:
// hub.telemetry.{device}[.{module}].
func (n Names) Telemetry(id hub.Identity) string { return string(n.AppendTelemetry(nil, id)) }

// AppendTelemetry appends [Names.Telemetry] to dst.
func (n Names) AppendTelemetry(dst []byte, id hub.Identity) []byte {
	return n.appendIdentity(dst, ".telemetry.", id)
}

// TelemetryOf matches the messages of id and, when id is a device, those of
// its modules.
func (n Names) TelemetryOf(id hub.Identity) []string {
	own := n.Telemetry(id)
	if id.IsModule() {
		return []string{own}
	}
	return []string{own, own + ".*"}
}

// EventsAll matches every event: hub.events.>.
func (n Names) EventsAll() string { return n.prefix() + ".events.>" }

// ConnectionEvent is where the connects and disconnects of id are published:
// hub.events.connection.{device}[.{module}].
func (n Names) ConnectionEvent(id hub.Identity) string {
	return string(n.AppendConnectionEvent(nil, id))
}

// AppendConnectionEvent appends [Names.ConnectionEvent] to dst.
func (n Names) AppendConnectionEvent(dst []byte, id hub.Identity) []byte {
	return n.appendIdentity(dst, ".events.connection.", id)
}

// LifecycleEvent is where the creation and deletion of id are published:
// hub.events.lifecycle.{device}[.{module}].
func (n Names) LifecycleEvent(id hub.Identity) string {
	return string(n.appendIdentity(nil, ".events.lifecycle.", id))
}

// Claimed is where a node announces that it now owns the session of id:
// hub.session.claimed.{device}[.{module}]. It is core NATS between nodes.
func (n Names) Claimed(id hub.Identity) string {
	return string(n.appendIdentity(nil, ".session.claimed.", id))
}

// ClaimedAll matches every announcement of a claim.
func (n Names) ClaimedAll() string { return n.prefix() + ".session.claimed.>" }

// RegistryName is the name of the registry service as nats micro shows it.
func (n Names) RegistryName() string { return n.prefix() + "-registry" }

// Registry is the subject of one registry operation on id:
// hub.registry.{verb}.{device}[.{module}].
func (n Names) Registry(v Verb, id hub.Identity) string {
	return string(n.appendIdentity(nil, ".registry."+string(v)+".", id))
}

// RegistryVerb is the subject of a registry operation without an identity,
// hub.registry.{verb}: listing the devices.
func (n Names) RegistryVerb(v Verb) string { return n.prefix() + ".registry." + string(v) }

// RegistryAll matches every identity's subject of one verb: hub.registry.{verb}.>.
func (n Names) RegistryAll(v Verb) string { return n.RegistryVerb(v) + ".>" }

func (n Names) prefix() string {
	if n.Prefix == "" {
		return DefaultPrefix
	}
	return n.Prefix
}

func (n Names) upper() string { return strings.ToUpper(n.prefix()) }

func (n Names) appendIdentity(dst []byte, middle string, id hub.Identity) []byte {
	const room = 16 // for a dot, and some bytes of ids that are written as three
	dst = slices.Grow(dst, len(n.prefix())+len(middle)+len(id.Device)+len(id.Module)+room)
	dst = append(dst, n.prefix()...)
	dst = append(dst, middle...)
	return AppendKey(dst, id)
}
