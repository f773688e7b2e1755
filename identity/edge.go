package identity

import (
	"context"
	"errors"
	"strings"

	"github.com/hubgate/hubgate/hub"
)

// edgeModules are the modules that an edge device has by itself: those of its
// runtime, whose twins say what runs on it.
func edgeModules() []string { return []string{"$edgeAgent", "$edgeHub"} }

// isHubs reports whether id is a module that is the hub's own.
func isHubs(id hub.Identity) bool { return strings.HasPrefix(id.Module, "$") }

// addEdgeModules makes the modules of an edge device. They prove who they are by
// nothing yet.
func (s *Registry) addEdgeModules(ctx context.Context, device Record) error {
	for _, name := range edgeModules() {
		r := Record{
			ID: hub.Identity{Device: device.ID.Device, Module: name}, ManagedBy: "iotEdge",
			Authentication: Authentication{Type: AuthNone},
		}
		s.stamp(&r)
		err := s.add(ctx, &r, device)
		if err != nil && !errors.Is(err, &hub.Error{Code: hub.ModuleAlreadyExists}) {
			return err
		}
	}
	return nil
}

// deleteEdgeModules removes them from a device that is none of edge any more.
func (s *Registry) deleteEdgeModules(ctx context.Context, device hub.Identity) error {
	for _, name := range edgeModules() {
		err := s.remove(ctx, hub.Identity{Device: device.Device, Module: name}, "*")
		if err != nil && !isGone(err) {
			return err
		}
	}
	return nil
}
