package configuration

import (
	"maps"
	"math"
	"slices"
	"strings"
	"unicode"

	"github.com/hubgate/hubgate/hub"
)

// The limits of a configuration. That of ids and metrics are IoT Hub's; the
// others keep what a hub has to hold small.
const (
	MaxID      = 128
	MaxMetrics = 5
	MaxLabels  = 100
	MaxText    = 1024          // bytes of a label, its name and the like
	MaxBody    = 256 << 10     // bytes of the JSON of a configuration
	maxQuery   = 8192          // bytes of a query, as in IoT Hub
	maxLevel   = math.MaxInt32 // of priority
	// Bytes of a target condition: it has to fit into the queries of the hub's
	// own metrics.
	maxCondition = maxQuery - 128
)

// checkID refuses what is no id of a configuration: 1 to 128 lower-case letters,
// digits and -+%_*!'.
func checkID(id string) error {
	bad := strings.IndexFunc(id, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && !strings.ContainsRune("-+%_*!'", r)
	})
	if id == "" || len(id) > MaxID || bad >= 0 {
		return hub.Errorf(hub.ArgumentInvalid, "%.140q is not the id of a configuration: use 1 to %d characters of a-z 0-9 - + %% _ * ! '", id, MaxID)
	}
	return nil
}

// check applies the rules that creations and updates share.
func (s *Service) check(c Configuration) error {
	if err := checkID(c.ID); err != nil {
		return err
	}
	if c.Priority < 0 || c.Priority > maxLevel {
		return hub.Errorf(hub.ArgumentInvalid, "the priority %d is not from 0 to %d", c.Priority, maxLevel)
	}
	if len(c.Labels) > MaxLabels {
		return hub.Errorf(hub.ArgumentInvalid, "there are %d labels, and %d are the most", len(c.Labels), MaxLabels)
	}
	texts := []string{c.SchemaVersion, c.ContentType}
	for name, label := range c.Labels {
		texts = append(texts, name, label)
	}
	for name := range c.Custom.Queries {
		texts = append(texts, name)
	}
	for _, text := range texts {
		if len(text) > MaxText {
			return hub.Errorf(hub.ArgumentInvalid, "%.40q… has %d bytes, and a label or a name has at most %d", text, len(text), MaxText)
		}
	}
	return s.checkMetrics(c.Custom.Queries)
}

func (s *Service) checkMetrics(queries map[string]string) error {
	if len(queries) > MaxMetrics {
		return hub.Errorf(hub.InvalidMetrics, "there are %d metrics, and %d are the most", len(queries), MaxMetrics)
	}
	for _, name := range slices.Sorted(maps.Keys(queries)) {
		if err := s.checkQuery(queries[name]); err != nil {
			return hub.Errorf(hub.InvalidMetrics, "the metric %q: %w", name, err)
		}
	}
	return nil
}

func (s *Service) checkQuery(query string) error {
	if len(query) > maxQuery {
		return hub.Errorf(hub.ArgumentInvalid, "the query has %d bytes, and %d are the most", len(query), maxQuery)
	}
	return s.Language.Check(query)
}

// checkCondition reads the target condition, which must be of what the content
// is for. Without one, a configuration selects nothing.
func (s *Service) checkCondition(c Configuration) error {
	if c.TargetCondition == "" {
		return nil
	}
	ofModules, err := s.readCondition(c.TargetCondition)
	_, whole := cutWord(strings.TrimSpace(c.TargetCondition), "select")
	switch {
	case err == nil && whole:
		return hub.Errorf(hub.InvalidCondition, "the target condition is a whole query: write what stands behind WHERE, or begin it with FROM devices.modules")
	case err != nil:
		return hub.Errorf(hub.InvalidCondition, "the target condition: %w", err)
	case ofModules && c.Content.Kind != Modules:
		return hub.Errorf(hub.InvalidCondition, "the target condition selects modules, and %s is for devices: write what stands behind WHERE, without FROM", c.Content.Kind)
	case !ofModules && c.Content.Kind == Modules:
		return hub.Errorf(hub.InvalidCondition, "the target condition selects devices, and moduleContent is for modules: begin it with FROM devices.modules WHERE")
	default:
		return nil
	}
}

// cutWord returns what stands behind a word at the beginning of a text.
func cutWord(text, word string) (rest string, ok bool) {
	if len(text) <= len(word) || !strings.EqualFold(text[:len(word)], word) || !unicode.IsSpace(rune(text[len(word)])) {
		return text, false
	}
	return strings.TrimSpace(text[len(word):]), true
}

func (s *Service) readCondition(text string) (ofModules bool, err error) {
	if len(text) > maxCondition {
		return false, hub.Errorf(hub.ArgumentInvalid, "it has %d bytes, and %d are the most", len(text), maxCondition)
	}
	condition, err := s.Language.Condition(text)
	if err != nil {
		return false, err
	}
	return condition.OfModules(), nil
}

func unquote(etag string) string {
	etag = strings.TrimSpace(etag)
	if strings.HasPrefix(etag, `"`) && strings.HasSuffix(etag, `"`) && len(etag) > 1 {
		etag = etag[1 : len(etag)-1]
	}
	return etag
}
