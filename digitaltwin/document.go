package digitaltwin

import "strings"

// Document makes the digital twin of the JSON of a device twin, as the service
// API prints that. A property has its reported value, and its entry in
// $metadata says how it stands beside the desired one. It fails with
// ServerError when twin is not the JSON of a twin.
func Document(twin []byte) ([]byte, error) {
	s, err := open(twin)
	if err != nil {
		return nil, err
	}
	dst := append(make([]byte, 0, len(twin)), `{"$dtId":`...)
	dst = appendString(dst, s.id)
	root := side{s.desired, s.reported, s.desired.get("$metadata"), s.reported.get("$metadata"), s.desired.get("$version")}
	for _, name := range root.names() {
		inner := root.below(name)
		switch {
		case inner.isComponent():
			dst = appendKey(append(dst, ','), name)
			dst = inner.appendComponent(dst)
		case inner.reported != nil:
			dst = appendKey(append(dst, ','), name)
			dst = valueOf(inner.reported).append(dst)
		}
	}
	dst = append(dst, `,"$metadata":{"$model":`...)
	dst = appendString(dst, s.model)
	for _, name := range root.names() {
		if inner := root.below(name); !inner.isComponent() {
			dst = inner.appendState(append(dst, ','), name)
		}
	}
	return append(dst, '}', '}'), nil
}

// side is a part of a twin, desired and reported side by side; what one of them
// has not is nil.
type side struct {
	desired, reported           *node
	desiredMarks, reportedMarks *node // $metadata
	version                     *node // of the desired properties, for those without a mark
}

func (s side) below(name string) side {
	return side{s.desired.get(name), s.reported.get(name), s.desiredMarks.get(name), s.reportedMarks.get(name), s.version}
}

// names are those of the members, the reported ones first.
func (s side) names() []string {
	var names []string
	for _, m := range s.reported.all() {
		names = append(names, m.key)
	}
	for _, m := range s.desired.all() {
		if s.reported.get(m.key) == nil {
			names = append(names, m.key)
		}
	}
	return names
}

// all is the members that are the user's.
func (n *node) all() []member {
	if n == nil {
		return nil
	}
	var all []member
	for _, m := range n.members {
		if m.isUsers() {
			all = append(all, m)
		}
	}
	return all
}

// isUsers reports whether a member is there and not one of the document's own.
func (m member) isUsers() bool {
	return m.value != nil && m.key != componentKey && !strings.HasPrefix(m.key, "$")
}

// isComponent reports whether either side says so and neither is a plain value.
func (s side) isComponent() bool {
	if s.desired != nil && !s.desired.object || s.reported != nil && !s.reported.object {
		return false
	}
	return s.desired.isComponent() || s.reported.isComponent()
}

func (s side) appendComponent(dst []byte) []byte {
	dst = append(dst, '{')
	names := s.names()
	for _, name := range names {
		if inner := s.below(name); inner.reported != nil {
			dst = appendKey(dst, name)
			dst = append(valueOf(inner.reported).append(dst), ',')
		}
	}
	dst = append(dst, `"$metadata":{`...)
	for i, name := range names {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = s.below(name).appendState(dst, name)
	}
	return append(dst, '}', '}')
}

// appendState appends a property's entry in $metadata: what is wanted, what the
// device says to it, and when the device last wrote it.
func (s side) appendState(dst []byte, name string) []byte {
	var entry node
	if s.desired != nil {
		entry.set("desiredValue", s.desired)
		if version := s.desiredMarks.get("$lastUpdatedVersion"); version != nil {
			entry.set("desiredVersion", version)
		} else if s.version != nil {
			entry.set("desiredVersion", s.version)
		}
	}
	if isAcknowledgement(s.reported) {
		for from, to := range acknowledged() {
			if v := s.reported.get(from); v != nil {
				entry.set(to, v)
			}
		}
	}
	if at := s.reportedMarks.get("$lastUpdated"); s.reported != nil && at != nil {
		entry.set("lastUpdateTime", at)
	}
	entry.object = true
	dst = appendKey(dst, name)
	return entry.append(dst)
}
