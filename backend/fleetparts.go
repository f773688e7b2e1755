package backend

import (
	"bytes"
	"maps"
	"time"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/query"
	"github.com/hubgate/hubgate/session"
	"github.com/hubgate/hubgate/twin"
)

// The parts of a document in the fleet's collections: who writes what.
const (
	registryPart = 0 // the bucket of identities
	twinPart     = 1 // the bucket of twins
	presencePart = 2 // the bucket of sessions
	volatilePart = 3 // queues and configurations
)

// partOf says which part a root member belongs to: registryPart unless it is
// listed.
func partOf(member []byte) int {
	switch string(member) {
	case "etag", "version", "tags", "properties":
		return twinPart
	case "connectionState", "lastActivityTime", "modelId":
		return presencePart
	case "cloudToDeviceMessageCount", "configurations":
		return volatilePart
	default:
		return registryPart
	}
}

// collections are the documents of devices and of modules, empty. What an
// identity has that never connected, and whose queue is empty, is no part of
// its document, but the default.
func collections() (devices, modules *query.Collection) {
	defaults := map[string]string{}
	members(blank().AppendJSON(nil), func(name, value []byte) {
		if p := partOf(name); (p == presencePart || p == volatilePart) && len(value) > 0 {
			defaults[string(name)] = string(value)
		}
	})
	cfg := query.Config{
		Source: query.Devices, Order: twin.RootOrder(), Defaults: defaults,
		Aliases: map[string]string{"id": "deviceId"},
	}
	devices = query.NewCollection(cfg)
	cfg.Source = query.Modules
	cfg.Defaults = map[string]string{"capabilities": `{"iotEdge":false}`} // in rows, and not in the twin
	maps.Copy(cfg.Defaults, defaults)
	return devices, query.NewCollection(cfg)
}

// part is the members of a twin's JSON that belong to one part, as an object;
// nil when there are none. The text is what [twin.View] or [twin.Twin] prints.
func part(text []byte, which int) []byte { return appendPart(make([]byte, 0, len(text)), text, which) }

// appendPart is part in the place of dst, which is empty.
func appendPart(dst, text []byte, which int) []byte {
	object := dst
	members(text, func(name, value []byte) {
		if partOf(name) != which {
			return
		}
		if len(object) == 0 {
			object = append(object, '{')
		} else {
			object = append(object, ',')
		}
		object = append(object, '"')
		object = append(object, name...)
		object = append(object, '"', ':')
		object = append(object, value...)
	})
	if len(object) == 0 {
		return nil
	}
	return append(object, '}')
}

// members visits the members of a JSON object that is written without blanks,
// as the hub itself writes. Names are as they stand, escapes and all. Of a text
// of another form it visits what it can make of it: whoever takes that has to
// check it.
func members(text []byte, visit func(name, value []byte)) {
	rest, ok := bytes.CutPrefix(text, []byte("{"))
	for ok && len(rest) > 0 && rest[0] == '"' {
		n := valueEnd(rest)
		if n < 2 || n >= len(rest) || rest[n] != ':' {
			return
		}
		name := rest[1 : n-1]
		rest = rest[n+1:]
		n = valueEnd(rest)
		visit(name, rest[:n])
		rest, ok = bytes.CutPrefix(rest[n:], []byte(","))
	}
}

// valueEnd is where the value that a text begins with ends.
func valueEnd(text []byte) int {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			if i = stringEnd(text, i); depth == 0 {
				return min(i+1, len(text))
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
			if depth < 0 {
				return i
			}
		case ',':
			if depth == 0 {
				return i
			}
		}
	}
	return len(text)
}

// stringEnd is where the quote is that ends the string at i.
func stringEnd(text []byte, i int) int {
	for i++; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return i
}

// viewOf is what the registry knows of an identity, as a view of a twin.
func viewOf(r identity.Record, t twin.Twin) twin.View {
	return twin.View{
		Twin: t, DeviceETag: r.ETag, Status: string(r.Status), StatusReason: r.StatusReason, StatusUpdated: r.StatusUpdatedTime,
		AuthenticationType: string(r.Authentication.Type),
		PrimaryThumbprint:  r.Authentication.X509Thumbprint.PrimaryThumbprint, SecondaryThumbprint: r.Authentication.X509Thumbprint.SecondaryThumbprint,
		Edge: r.Edge, Scope: r.Scope, ParentScopes: r.ParentScopes,
	}
}

// blank is a view of which nothing is known.
func blank() twin.View { return twin.View{Twin: twin.New(hub.Identity{}, "", time.Time{})} }

// newTwin is the twin of an identity that nobody has written.
func newTwin(r identity.Record) twin.Twin { return twin.New(r.ID, r.GenerationID, r.CreatedTime) }

// defaultTwin is the part of a twin that nobody has written.
func defaultTwin(id hub.Identity, generation string) []byte {
	return part(twin.New(id, generation, identity.CreatedTime(generation)).AppendJSON(nil), twinPart)
}

// presenceOf is the part of a session.
func presenceOf(s session.Session) []byte {
	const room = 128
	a := activityOf(s)
	v := twin.View{Connected: a.Connected, LastActivity: a.LastActivity, ModelID: s.ModelID}
	return v.AppendPresence(make([]byte, 0, room))
}

// activityOf is what a session tells of its identity. What a device sends
// leaves no trace in the stores: it was last active when its connection began
// or ended.
func activityOf(s session.Session) identity.Activity {
	changed := s.DisconnectedTime
	if s.Connected || changed.Before(s.ConnectedTime) {
		changed = s.ConnectedTime
	}
	return identity.Activity{Connected: s.Connected, StateUpdated: changed.UTC(), LastActivity: changed.UTC()}
}

// volatileOf is the part of what neither bucket has; nil when all of it is the
// default.
func volatileOf(messages int, configurations []twin.ConfigurationStatus) []byte {
	if messages == 0 && len(configurations) == 0 {
		return nil
	}
	v := blank()
	v.Messages, v.Configurations = messages, configurations
	return part(v.AppendJSON(nil), volatilePart)
}

// stamp is a time in eight bytes; 0: never.
func stamp(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func timeOfStamp(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}
