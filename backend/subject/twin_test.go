package subject_test

import (
	"slices"
	"testing"

	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/hub"
)

func TestTwinNames(t *testing.T) {
	t.Parallel()
	var n subject.Names
	device := hub.Identity{Device: "a.b"}
	module := hub.Identity{Device: "a.b", Module: "$edgeHub"}
	tests := map[string]struct{ got, want string }{
		"bucket":      {n.TwinBucket(), "hub_twins"},
		"event":       {n.TwinEvent(module), "hub.events.twin.a=2Eb.=24edgeHub"},
		"written":     {n.TwinWritten(device), "hub.session.twin.a=2Eb"},
		"all written": {n.TwinWrittenAll(), "hub.session.twin.>"},
		"service":     {n.TwinName(), "hub-twin"},
		"get":         {n.Twin(subject.Get, module), "hub.twin.get.a=2Eb.=24edgeHub"},
		"all updates": {n.TwinAll(subject.Update), "hub.twin.update.>"},
		"other hub":   {subject.Names{Prefix: "plant"}.Twin(subject.Replace, device), "plant.twin.replace.a=2Eb"},
	}
	for name, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("%s: got %q, want %q", name, tt.got, tt.want)
		}
	}
	for id, want := range map[hub.Identity][]string{
		{}:     {"hub.events.twin.>"},
		device: {"hub.events.twin.a=2Eb", "hub.events.twin.a=2Eb.*"},
		module: {"hub.events.twin.a=2Eb.=24edgeHub"},
	} {
		if got := n.TwinEvents(id); !slices.Equal(got, want) {
			t.Errorf("TwinEvents(%v) = %q, want %q", id, got, want)
		}
	}
}
