package twin

import "unique"

// The metadata of a desired property that a configuration has written, as IoT
// Hub prints it.
const (
	lastUpdatedBy       = "$lastUpdatedBy"
	lastUpdatedByDigest = "$lastUpdatedByDigest"
)

// Origin is the configuration for which desired properties are written. Each
// value keeps it in its metadata, as $lastUpdatedBy and $lastUpdatedByDigest,
// until somebody else writes the value: that is how automatic device management
// knows what to take back.
type Origin struct {
	// Path is the keys below properties.desired under which it counts; none: all
	// of them. Of several that fit, the last one counts.
	Path []string
	// Configuration is its id.
	Configuration string
	// Digest tells it from an earlier one of the same id.
	Digest string
}

// writer is the stored part of an Origin; its zero value is none. Documents have
// few different ones and each of them many times, so there is one copy of each.
type writer struct{ handle unique.Handle[source] }

type source struct{ configuration, digest string }

// intern is the stored part of o.
func (o Origin) intern() writer {
	if o.Configuration == "" {
		return writer{}
	}
	return writer{unique.Make(source{o.Configuration, o.Digest})}
}

// attribute marks what o is about in v, which was just read and belongs to
// nobody else yet.
func (o Origin) attribute(v *value) {
	for _, key := range o.Path {
		i := finder(v.members, 1)(key)
		if i < 0 {
			return
		}
		v = v.members[i].value
	}
	v.attribute(o.intern())
}

// attribute marks the values in v that are not objects, and objects without
// members: the others are made of them.
func (v *value) attribute(w writer) {
	if len(v.members) == 0 {
		v.mark.writer = w
	}
	for _, m := range v.members {
		m.value.attribute(w)
	}
}

// append appends the members of $metadata, if there are any.
func (w writer) append(dst []byte) []byte {
	if w == (writer{}) {
		return dst
	}
	from := w.handle.Value()
	dst = append(dst, `,"`+lastUpdatedBy+`":`...)
	dst = appendString(dst, from.configuration)
	dst = append(dst, `,"`+lastUpdatedByDigest+`":`...)
	return appendString(dst, from.digest)
}

// length is about how many bytes append appends.
func (w writer) length() int {
	if w == (writer{}) {
		return 0
	}
	from := w.handle.Value()
	return len(`,"":"","":""`) + len(lastUpdatedBy) + len(lastUpdatedByDigest) + len(from.configuration) + len(from.digest)
}
