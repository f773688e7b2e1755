package configuration

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/hubgate/hubgate/hub"
)

// Test is what is asked of [Service.Test].
type Test struct {
	TargetCondition string            `json:"targetCondition"`
	Queries         map[string]string `json:"customMetricQueries"`
}

// Findings is what is wrong with queries; empty: nothing is.
type Findings struct {
	Condition string            `json:"targetConditionError"`
	Queries   map[string]string `json:"customMetricQueryErrors"`
}

// Test says what is wrong with a target condition and with the queries of
// metrics.
func (s *Service) Test(t Test) Findings {
	f := Findings{Queries: map[string]string{}}
	if t.TargetCondition != "" {
		_, err := s.readCondition(t.TargetCondition)
		f.Condition = sentence(err)
	}
	for name, query := range t.Queries {
		if text := sentence(s.checkQuery(query)); text != "" {
			f.Queries[name] = text
		}
	}
	return f
}

func sentence(err error) string {
	if e, ok := errors.AsType[*hub.Error](err); ok {
		return e.Message
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// Apply writes the content of an edge deployment to one edge device, once: the
// modules that it names are made, where they are missing, and their desired
// properties replaced. It fails with ArgumentInvalid for another device, and
// with InvalidContent when there is no modulesContent.
//
// When it fails halfway, it can be called again.
func (s *Service) Apply(ctx context.Context, device string, content []byte, by string) error {
	c, err := ParseContent(content)
	if err != nil {
		return err
	}
	if c.Kind != Edge {
		return hub.Errorf(hub.InvalidContent, "the content provided for configuration is invalid: a device takes modulesContent, and not %s", c.Kind)
	}
	for _, body := range c.patches() {
		if err := s.Twins.Check(body); err != nil {
			return hub.Errorf(hub.InvalidContent, "no twin would take the content: %w", err)
		}
	}
	edge, err := s.Devices.IsEdge(ctx, device)
	if err != nil {
		return err
	}
	if !edge {
		return hub.Errorf(hub.ArgumentInvalid, "Not an Azure IoT Edge device: %s", device)
	}
	for _, name := range slices.Sorted(maps.Keys(c.parts)) {
		if err := s.applyTo(ctx, hub.Identity{Device: device, Module: name}, c.parts[name], by); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) applyTo(ctx context.Context, module hub.Identity, sections []section, by string) error {
	err := s.Twins.Create(ctx, module)
	if err != nil && !errors.Is(err, &hub.Error{Code: hub.ModuleAlreadyExists}) {
		return err
	}
	if len(sections) == 0 {
		return nil
	}
	w := Write{Body: patchOf(goal(sections)), By: by}
	if len(sections[0].path) == 0 { // all of them
		return s.Twins.Replace(ctx, module, w)
	}
	return s.Twins.Update(ctx, module, w)
}
