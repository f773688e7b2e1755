package configuration

import (
	"context"
	"strings"
	"sync"
	"time"
	"unicode"
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
func systemQueries(c Configuration) map[string]string {
	is := "configurations.[[" + c.ID + "]].status = 'Applied'"
	switch c.Content.Kind {
	case Modules:
		return map[string]string{
			targetedCount: "select deviceId, moduleId from devices.modules" + where(c.TargetCondition),
			appliedCount:  "select deviceId, moduleId from devices.modules where " + is,
		}
	case Edge:
		applied := "select deviceId from devices.modules where moduleId = '" + edgeAgent + "' and " + is
		reported := applied + " and properties.desired.$version = properties.reported.lastDesiredVersion and properties.reported.lastDesiredStatus.code "
		return map[string]string{
			targetedCount:   "select deviceId from devices where capabilities.iotEdge = true" + and(c.TargetCondition),
			appliedCount:    applied,
			successfulCount: reported + "= 200",
			failedCount:     reported + "!= 200",
		}
	case Devices:
		fallthrough
	default:
		return map[string]string{
			targetedCount: "select deviceId from devices" + where(c.TargetCondition),
			appliedCount:  "select deviceId from devices where " + is,
		}
	}
}

// nobody is the condition of a configuration that has none: it selects nothing.
const nobody = "deviceId = ''"

// clause is what stands behind WHERE in a condition; empty: it selects all. A
// condition may begin with FROM and WHERE.
func clause(condition string) string {
	if condition == "" {
		return nobody
	}
	rest := strings.TrimSpace(condition)
	if from, ok := cutWord(rest, "from"); ok {
		rest = strings.TrimLeftFunc(from, func(r rune) bool { return !unicode.IsSpace(r) })
		rest = strings.TrimSpace(rest)
	}
	if behind, ok := cutWord(rest, "where"); ok {
		rest = behind
	}
	if rest == "*" {
		return ""
	}
	return rest
}

// cutWord returns what stands behind a word at the beginning of a text.
func cutWord(text, word string) (rest string, ok bool) {
	if len(text) <= len(word) || !strings.EqualFold(text[:len(word)], word) || !unicode.IsSpace(rune(text[len(word)])) {
		return text, false
	}
	return strings.TrimSpace(text[len(word):]), true
}

func where(condition string) string {
	if c := clause(condition); c != "" {
		return " where " + c
	}
	return ""
}

// and is a condition beside another one. IoT Hub has no parentheses; they are
// needed when the condition has an OR.
func and(condition string) string {
	c := clause(condition)
	switch {
	case c == "":
		return ""
	case strings.Contains(strings.ToLower(c), "or"):
		return " and (" + c + ")"
	default:
		return " and " + c
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
