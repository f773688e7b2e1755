package twin

import (
	"encoding/base64"
	"strconv"

	"github.com/hubgate/hubgate/hub"
)

// AppendJSON appends the twin as IoT Hub prints it: deviceId, moduleId, etag,
// version, tags unless they are empty, and properties with $metadata and
// $version.
func (t Twin) AppendJSON(dst []byte) []byte {
	if n := t.length(); cap(dst)-len(dst) < n {
		dst = append(make([]byte, 0, len(dst)+n), dst...)
	}
	dst = append(dst, '{')
	dst = t.appendNames(dst)
	dst = append(dst, ',')
	dst = t.appendDocument(dst)
	return append(dst, '}')
}

// appendNames appends the members that say whose twin it is, and its etag.
func (t Twin) appendNames(dst []byte) []byte {
	dst = append(dst, `"deviceId":`...)
	dst = appendString(dst, t.ID.Device)
	if t.ID.IsModule() {
		dst = append(dst, `,"moduleId":`...)
		dst = appendString(dst, t.ID.Module)
	}
	dst = append(dst, `,"etag":`...)
	return appendString(dst, t.ETag)
}

// appendDocument appends the members version, tags and properties.
func (t Twin) appendDocument(dst []byte) []byte {
	dst = append(dst, `"version":`...)
	dst = strconv.AppendInt(dst, t.Version, 10)
	if len(t.tags.root.members) > 0 {
		dst = append(dst, `,"tags":`...)
		dst = appendValue(dst, t.tags.root)
	}
	dst = append(dst, `,"properties":{"desired":`...)
	dst = appendSection(dst, t.desired.root, t.desired.version, nil)
	dst = append(dst, `,"reported":`...)
	dst = appendSection(dst, t.reported.root, t.reported.version, nil)
	return append(dst, '}')
}

// length is about how many bytes AppendJSON appends.
func (t Twin) length() int {
	n, _ := t.tags.root.length()
	for _, s := range []section{t.desired, t.reported} {
		members, tree := s.root.length()
		n += members + tree
	}
	return n + len(t.ID.Device) + len(t.ID.Module) + frameLength
}

// metadataLength is what appendMetadata appends for a value without members at
// most.
const metadataLength = len(`{"$lastUpdated":"2006-01-02T15:04:05.9999999Z","$lastUpdatedVersion":9223372036854775807}`)

// Tags are the tags as a JSON object.
func (t Twin) Tags() []byte { return appendValue(nil, t.tags.root) }

// DesiredProperties are the desired properties as a JSON object, without
// $version and $metadata.
func (t Twin) DesiredProperties() []byte { return appendValue(nil, t.desired.root) }

// ReportedProperties are the reported properties as a JSON object, without
// $version and $metadata.
func (t Twin) ReportedProperties() []byte { return appendValue(nil, t.reported.root) }

// MarshalJSON implements json.Marshaler; see [Twin.AppendJSON].
func (t Twin) MarshalJSON() ([]byte, error) { return t.AppendJSON(nil), nil }

// appendSection appends a section with $metadata and $version. all, when given,
// is the mark of everything in it, for a patch that has none of its own.
func appendSection(dst []byte, v *value, version int64, all *mark) []byte {
	dst = append(dst, '{')
	dst = appendMembers(dst, v)
	if len(v.members) > 0 {
		dst = append(dst, ',')
	}
	dst = append(dst, `"$metadata":`...)
	dst = appendMetadata(dst, v, all)
	dst = append(dst, `,"$version":`...)
	dst = strconv.AppendInt(dst, version, 10)
	return append(dst, '}')
}

// appendMetadata appends the tree that mirrors v: the mark of each value.
func appendMetadata(dst []byte, v *value, all *mark) []byte {
	m := v.mark
	if all != nil {
		m = *all
		m.writer = v.mark.writer
	}
	dst = append(dst, `{"$lastUpdated":`...)
	dst = appendTime(dst, m.ticks)
	if m.version > 0 {
		dst = append(dst, `,"$lastUpdatedVersion":`...)
		dst = strconv.AppendInt(dst, m.version, 10)
	}
	dst = m.writer.append(dst)
	for _, member := range v.members {
		if member.value.isNull() { // deleted by a patch
			continue
		}
		dst = append(dst, ',')
		dst = appendKey(dst, member.key)
		dst = appendMetadata(dst, member.value, all)
	}
	return append(dst, '}')
}

// appendVersioned appends a section as a device gets it.
func appendVersioned(dst []byte, v *value, version int64) []byte {
	dst = append(dst, '{')
	dst = appendMembers(dst, v)
	if len(v.members) > 0 {
		dst = append(dst, ',')
	}
	dst = append(dst, `"$version":`...)
	dst = strconv.AppendInt(dst, version, 10)
	return append(dst, '}')
}

// Parse reads the JSON of a twin, as [Twin.AppendJSON] writes it; the rest that
// IoT Hub prints is passed over. It does not apply the rules: what was stored
// stays readable. It fails with ServerError when the text is not the JSON of a
// twin.
func Parse(text []byte) (Twin, error) {
	var t Twin
	r := newReader(text)
	defer r.free()
	r.lax = true
	err := r.twin(&t)
	if err == nil {
		err = r.end()
	}
	if err != nil {
		return Twin{}, hub.Errorf(hub.ServerError, "this is not the JSON of a twin: %w", err)
	}
	if t.ID.Device == "" || t.desired.version < 1 || t.reported.version < 1 || t.Version < 1 || !validETag(t.ETag) {
		return Twin{}, hub.Errorf(hub.ServerError, "this is not the JSON of a twin: its id, its etag or a version is missing")
	}
	return t, nil
}

// UnmarshalJSON implements json.Unmarshaler; see [Parse].
func (t *Twin) UnmarshalJSON(text []byte) error {
	read, err := Parse(text)
	if err == nil {
		*t = read
	}
	return err
}

func validETag(etag string) bool {
	b, err := base64.StdEncoding.DecodeString(etag)
	return err == nil && len(b) == 8
}

// twin reads the members of a stored twin.
func (r *reader) twin(t *Twin) error {
	empty := newObject(nil, mark{})
	t.tags.root, t.desired.root, t.reported.root = empty, empty, empty
	return r.members(func(key string) (err error) {
		switch key {
		case "deviceId":
			t.ID.Device, err = r.text()
		case "moduleId":
			t.ID.Module, err = r.text()
		case "etag":
			t.ETag, err = r.text()
		case "version":
			t.Version, err = r.integer()
		case "tags":
			t.tags.root, err = r.object(0)
		case "properties":
			err = r.properties(t)
		default:
			err = r.skip()
		}
		return err
	})
}

func (r *reader) properties(t *Twin) error {
	return r.members(func(key string) (err error) {
		switch key {
		case "desired":
			t.desired, err = r.stored()
		case "reported":
			t.reported, err = r.stored()
		default:
			err = r.skip()
		}
		return err
	})
}

// stored reads a section with its metadata and version.
func (r *reader) stored() (section, error) {
	var s section
	var members []member
	var tree *metadata
	err := r.members(func(key string) (err error) {
		switch key {
		case "$version":
			s.version, err = r.integer()
		case "$metadata":
			tree, err = r.metadata()
		default:
			var v *value
			v, err = r.member(key, 0)
			members = append(members, member{key, v})
		}
		return err
	})
	if err != nil {
		return section{}, err
	}
	s.root = newObject(members, mark{})
	if tree != nil {
		tree.apply(s.root)
	}
	return s, nil
}

// metadata is a $metadata tree as it is read.
type metadata struct {
	mark mark
	kids map[string]*metadata
}

func (r *reader) metadata() (*metadata, error) {
	m := &metadata{}
	var from Origin
	err := r.members(func(key string) (err error) {
		switch {
		case key == "$lastUpdated":
			var text string
			text, err = r.text()
			m.mark.ticks = parseTime(text)
		case key == "$lastUpdatedVersion":
			m.mark.version, err = r.integer()
		case key == lastUpdatedBy:
			from.Configuration, err = r.text()
		case key == lastUpdatedByDigest:
			from.Digest, err = r.text()
		case r.d.PeekKind() == '{':
			if m.kids == nil {
				m.kids = map[string]*metadata{}
			}
			m.kids[key], err = r.metadata()
		default:
			err = r.skip()
		}
		return err
	})
	m.mark.writer = from.intern()
	return m, err
}

// apply marks v, which was just read and belongs to nobody else yet. What the
// tree does not know has the mark of what it is in.
func (m *metadata) apply(v *value) {
	v.mark = m.mark
	for _, member := range v.members {
		kid := m.kids[member.key]
		if kid == nil {
			kid = &metadata{mark: m.mark}
		}
		kid.apply(member.value)
	}
}

// text reads a string, and anything else as none.
func (r *reader) text() (string, error) {
	token, err := r.d.ReadToken()
	if err != nil {
		return "", r.malformed(err)
	}
	if token.Kind() != '"' {
		return "", r.broken("not a string")
	}
	return token.String(), nil
}

func (r *reader) integer() (int64, error) {
	token, err := r.d.ReadToken()
	if err != nil {
		return 0, r.malformed(err)
	}
	n, err := strconv.ParseInt(token.String(), 10, 64)
	if err != nil || token.Kind() != '0' {
		return 0, r.broken("not an integer")
	}
	return n, nil
}
