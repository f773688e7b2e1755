package configuration

import (
	"bytes"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/hubgate/hubgate/hub"
)

// Kind is whom the content of a configuration is for, by the name of the member
// that holds it.
type Kind string

// The kinds of content.
const (
	Devices Kind = "deviceContent"  // desired properties of devices
	Modules Kind = "moduleContent"  // desired properties of modules
	Edge    Kind = "modulesContent" // an edge deployment: the modules of edge devices
)

// Content is what a configuration sets. It never changes.
type Content struct {
	Kind Kind
	text string // JSON, compact
	// parts are what is set in the twin of each module; of [Devices] and
	// [Modules] there is one, without a name.
	parts map[string][]section
}

// section is a value and where it goes: the keys below properties.desired.
type section struct {
	path  []string
	value *value
}

const (
	versionKey  = "$version"
	metadataKey = "$metadata"
	desiredPath = "properties.desired"
	maxPath     = 10 // keys below it; as deep as a twin is
)

// ParseContent reads the member content of a configuration: an object with just
// one of the three kinds. It fails with InvalidContent.
func ParseContent(text []byte) (Content, error) {
	d := jsontext.NewDecoder(bytes.NewReader(text))
	all := map[Kind]jsontext.Value{}
	err := eachObject(d, func(key string) error {
		v, err := d.ReadValue()
		if kind := Kind(key); v.Kind() != 'n' && slices.Contains(kinds(), kind) {
			all[kind] = v.Clone()
		}
		return err
	})
	if err != nil && len(text) > 0 {
		return Content{}, hub.Errorf(hub.InvalidContent, "the content is not JSON: %w", err)
	}
	if len(all) != 1 {
		return Content{}, hub.Errorf(hub.InvalidContent, "the content has %d of deviceContent, moduleContent and modulesContent, and needs one of them", len(all))
	}
	c := Content{parts: map[string][]section{}}
	for kind, raw := range all {
		if err := raw.Compact(); err != nil {
			return Content{}, hub.Errorf(hub.InvalidContent, "the content is not JSON: %w", err)
		}
		c.Kind, c.text = kind, `{"`+string(kind)+`":`+string(raw)+`}`
	}
	v, err := parse([]byte(all[c.Kind]))
	if err != nil {
		return Content{}, err
	}
	return c, c.read(v)
}

func kinds() []Kind { return []Kind{Devices, Modules, Edge} }

func (c Content) read(v *value) (err error) {
	if !v.object {
		return hub.Errorf(hub.InvalidContent, "%s is not a JSON object", c.Kind)
	}
	if c.Kind != Edge {
		c.parts[""], err = sections(string(c.Kind), v)
		return err
	}
	for id, module := range v.members {
		if !hub.ValidID(id) {
			return hub.Errorf(hub.InvalidContent, "modulesContent has a member %.140q, which is not the id of a module", id)
		}
		if c.parts[id], err = sections("modulesContent of "+id, module); err != nil {
			return err
		}
	}
	return nil
}

// sections reads {"properties.desired…":…}; what is deeper comes later.
func sections(where string, v *value) ([]section, error) {
	if !v.object {
		return nil, hub.Errorf(hub.InvalidContent, "%s is not a JSON object", where)
	}
	var all []section
	for _, key := range slices.Sorted(maps.Keys(v.members)) {
		s := section{value: v.members[key]}
		rest, ok := strings.CutPrefix(key, desiredPath)
		if ok && rest != "" {
			s.path = strings.Split(rest[1:], ".")
			ok = rest[0] == '.' && len(s.path) <= maxPath && !slices.Contains(s.path, "")
		}
		if !ok {
			return nil, hub.Errorf(hub.InvalidContent, "%s has a member %.140q: what a configuration sets is properties.desired, or properties.desired.a.b for a value below it", where, key)
		}
		if len(s.path) == 0 && !s.value.object {
			return nil, hub.Errorf(hub.InvalidContent, "properties.desired in %s is not a JSON object", where)
		}
		if s.writes() {
			all = append(all, s)
		}
	}
	slices.SortStableFunc(all, func(a, b section) int { return len(a.path) - len(b.path) })
	return all, nil
}

// writes passes over what twins pass over, $version and $metadata at the top of
// the desired properties, and reports whether there is anything else.
func (s *section) writes() bool {
	if len(s.path) > 0 {
		return s.path[0] != versionKey && s.path[0] != metadataKey
	}
	delete(s.value.members, versionKey)
	delete(s.value.members, metadataKey)
	return true
}

// goal is all sections of a part in one object.
func goal(all []section) *value {
	v := newObject(nil)
	for _, s := range all {
		v = v.with(s.path, s.value)
	}
	return v
}

// isLayer reports whether the content goes on top of another deployment: it does
// not say all of what $edgeAgent has to do.
func (c Content) isLayer() bool {
	agent := c.parts[edgeAgent]
	return len(c.parts) > 0 && (len(agent) == 0 || len(agent[0].path) > 0)
}

const edgeAgent = "$edgeAgent"

// patches are the patches of twins that write each part to an empty twin.
func (c Content) patches() [][]byte {
	var all [][]byte
	for _, id := range slices.Sorted(maps.Keys(c.parts)) {
		all = append(all, patchOf(goal(c.parts[id])))
	}
	return all
}

// patchOf is the body of an update of a twin that merges v into its desired
// properties.
func patchOf(v *value) []byte {
	return v.under([]string{"properties", "desired"}).append(nil)
}

// MarshalJSON implements json.Marshaler.
func (c Content) MarshalJSON() ([]byte, error) {
	if c.text == "" {
		return []byte("{}"), nil
	}
	return []byte(c.text), nil
}

// UnmarshalJSON implements json.Unmarshaler. What [ParseContent] refuses is kept
// without its Kind: of an update it is passed over, and a creation refuses it.
func (c *Content) UnmarshalJSON(text []byte) error {
	read, err := ParseContent(text)
	if err != nil {
		read = Content{text: string(text)}
	}
	*c = read
	return nil
}
