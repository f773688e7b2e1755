package configuration

import (
	"context"
	"strings"
	"sync"
	"time"
)

// The names of the hub's own metrics.
const (
	targetedCount   = "targetedCount"
	appliedCount    = "appliedCount"
	successfulCount = "reportedSuccessfulCount"
	failedCount     = "reportedFailedCount"
)

// systemQueries are the queries of the hub's own metrics, as IoT Hub prints
// them.
func (s *Service) systemQueries(c Configuration) map[string]string {
	clause := nobody
	if c.TargetCondition != "" {
		// One that can't be read any more selects nothing.
		if condition, err := s.Language.Condition(c.TargetCondition); err == nil {
			clause = condition.Clause()
		}
	}
	return systemQueries(c, clause)
}

func systemQueries(c Configuration, clause string) map[string]string {
	is := "configurations.[[" + c.ID + "]].status = 'Applied'"
	switch c.Content.Kind {
	case Modules:
		return map[string]string{
			targetedCount: "select deviceId, moduleId from devices.modules" + where(clause),
			appliedCount:  "select deviceId, moduleId from devices.modules where " + is,
		}
	case Edge:
		applied := "select deviceId from devices.modules where moduleId = '" + edgeAgent + "' and " + is
		reported := applied + " and properties.desired.$version = properties.reported.lastDesiredVersion and properties.reported.lastDesiredStatus.code "
		return map[string]string{
			targetedCount:   "select deviceId from devices where capabilities.iotEdge = true" + and(clause),
			appliedCount:    applied,
			successfulCount: reported + "= 200",
			failedCount:     reported + "!= 200",
		}
	case Devices:
		fallthrough
	default:
		return map[string]string{
			targetedCount: "select deviceId from devices" + where(clause),
			appliedCount:  "select deviceId from devices where " + is,
		}
	}
}

// nobody is the condition of a configuration that has none: it selects nothing.
const nobody = "deviceId = ''"

func where(clause string) string {
	if clause == "" {
		return ""
	}
	return " where " + clause
}

// and is a condition beside another one. IoT Hub has no parentheses; they are
// needed when the condition has an OR.
func and(clause string) string {
	switch {
	case clause == "":
		return ""
	case strings.Contains(strings.ToLower(clause), "or"):
		return " and (" + clause + ")"
	default:
		return " and " + clause
	}
}

// counts keeps the results of metrics for a moment: tools ask for the same ones
// again and again, and each is a query of the whole fleet.
type counts struct {
	mu    sync.Mutex
	byID  map[string]counted
	sweep time.Time
}

type counted struct {
	revision       uint64
	at             time.Time
	system, custom map[string]int
}

const countAge = time.Second

// counted returns c with the results of its metrics.
func (s *Service) counted(ctx context.Context, c Configuration) (Configuration, error) {
	if n, ok := s.counts.get(c); ok && s.now().Sub(n.at) < countAge {
		return n.in(c), nil
	}
	n := counted{revision: c.Revision, at: s.now()}
	var err error
	if n.system, err = s.count(ctx, c.System.Queries); err != nil {
		return c, err
	}
	if n.custom, err = s.count(ctx, c.Custom.Queries); err != nil {
		return c, err
	}
	s.counts.put(c.ID, n)
	return n.in(c), nil
}

func (s *Service) count(ctx context.Context, queries map[string]string) (map[string]int, error) {
	results := make(map[string]int, len(queries))
	for name, query := range queries {
		n, err := s.Counter.Count(ctx, query)
		if err != nil {
			return nil, err
		}
		results[name] = n
	}
	return results, nil
}

func (n counted) in(c Configuration) Configuration {
	c.System.Results, c.Custom.Results = n.system, n.custom
	return c
}

// old returns c with the results that it had before, if it had some.
func (k *counts) old(c Configuration) Configuration {
	n, _ := k.get(c)
	return n.in(c)
}

func (k *counts) get(c Configuration) (counted, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	n, ok := k.byID[c.ID]
	return n, ok && n.revision == c.Revision
}

// put keeps results, and forgets from time to time those of configurations that
// nobody asks for.
func (k *counts) put(id string, n counted) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.byID == nil || n.at.Sub(k.sweep) > time.Hour {
		k.byID, k.sweep = map[string]counted{}, n.at
	}
	k.byID[id] = n
}
