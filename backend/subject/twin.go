package subject

import "github.com/hubgate/hubgate/hub"

// The verbs of the twin service; it has [Get] too.
const (
	Update  Verb = "update"
	Replace Verb = "replace"
)

// The headers of the messages behind the bucket of twins, and of the events
// about twins. docs/twins.md has them.
const (
	// GenerationHeader is the generation id of the identity that a twin
	// belongs to.
	GenerationHeader = "Hub-Generation-Id"
	// ByHeader is who wrote, as the writer calls himself. It is a header of
	// requests too.
	ByHeader = "Hub-By"
	// OpHeader is what was done: updateTwin or replaceTwin.
	OpHeader = "Hub-Operation"
	// EpochHeader is the epoch of the newest connection of the device that has
	// written the twin, or fenced it: an older one can't write it any more.
	EpochHeader = "Hub-Epoch"
)

// TwinBucket is the KV bucket of twins, hub_twins.
func (n Names) TwinBucket() string { return n.prefix() + "_twins" }

// TwinEvent is where the changes of the twin of id are published:
// hub.events.twin.{device}[.{module}].
func (n Names) TwinEvent(id hub.Identity) string {
	return string(n.appendIdentity(nil, ".events.twin.", id))
}

// TwinEvents matches the changes of the twins of id and, when id is a device,
// those of its modules; of the zero identity, all.
func (n Names) TwinEvents(id hub.Identity) []string {
	if id == (hub.Identity{}) {
		return []string{n.prefix() + ".events.twin.>"}
	}
	own := n.TwinEvent(id)
	if id.IsModule() {
		return []string{own}
	}
	return []string{own, own + ".*"}
}

// TwinWritten is where a node announces that a back end has written the twin
// of id: hub.session.twin.{device}[.{module}]. It is core NATS between nodes.
func (n Names) TwinWritten(id hub.Identity) string {
	return string(n.appendIdentity(nil, ".session.twin.", id))
}

// TwinWrittenAll matches every announcement of a written twin.
func (n Names) TwinWrittenAll() string { return n.prefix() + ".session.twin.>" }

// TwinName is the name of the twin service as nats micro shows it.
func (n Names) TwinName() string { return n.prefix() + "-twin" }

// Twin is the subject of one operation on the twin of id:
// hub.twin.{verb}.{device}[.{module}].
func (n Names) Twin(v Verb, id hub.Identity) string {
	return string(n.appendIdentity(nil, ".twin."+string(v)+".", id))
}

// TwinAll matches every identity's subject of one verb: hub.twin.{verb}.>.
func (n Names) TwinAll(v Verb) string { return n.prefix() + ".twin." + string(v) + ".>" }
