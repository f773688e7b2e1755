package backend

import (
	"slices"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/twin"
)

// ShowConfigurations puts into the document of an identity how the
// configurations stand to it that target it. What is shown is in the memory of
// this node alone: each node finds it out for itself.
func (f *Fleet) ShowConfigurations(id hub.Identity, all []twin.ConfigurationStatus) {
	s := f.catalog.at(id.String())
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.entries[id.String()].record == noGeneration || slices.Equal(all, s.targeted[id.String()]) {
		return
	}
	f.catalog.target(s, id, all)
	f.catalog.changed(id)
}

// Document is the document of an identity as queries see it now.
func (f *Fleet) Document(id hub.Identity) (text []byte, ok bool) {
	return f.catalog.of(id).Get(id.String())
}

// target keeps which configurations target an identity. The lock of the shard
// is held.
func (x *catalog) target(s *shard, id hub.Identity, all []twin.ConfigurationStatus) {
	key := id.String()
	if len(all) == 0 {
		delete(s.targeted, key)
	} else {
		s.targeted[key] = slices.Clone(all)
	}
	x.setVolatile(s, id)
}

// targets returns the configurations that target an identity.
func (x *catalog) targets(id hub.Identity) []twin.ConfigurationStatus {
	s := x.at(id.String())
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.targeted[id.String()])
}
