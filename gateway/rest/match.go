package rest

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/hubgate/hubgate/hub"
)

// table is the routes, with their patterns taken apart.
type table []entry

type entry struct {
	route
	segments []string
}

func newTable(all []route) table {
	t := make(table, 0, len(all))
	for _, r := range all {
		t = append(t, entry{r, segmentsOf(r.pattern)})
	}
	return t
}

// segmentsOf splits a decoded path. No id has a slash, so that it does not
// matter which slashes were written as %2F: Azure IoT Explorer encodes them all.
// One slash at the end is nothing; some SDKs write /devices/.
func segmentsOf(path string) []string {
	return strings.Split(strings.TrimSuffix(strings.TrimPrefix(path, "/"), "/"), "/")
}

// match returns the entry for a verb and a path. Where several fit, the one with
// the most fixed segments counts: POST /devices/query is no device, GET is one.
// It fails with NotFound, and with MethodNotAllowed and the verbs that there are.
func (t table) match(verb string, path []string) (found *entry, allow string, err error) {
	verbs := map[string]bool{}
	for i := range t {
		e := &t[i]
		if !e.fits(path) {
			continue
		}
		verbs[e.verb] = true
		if e.verb == verb && (found == nil || e.fixed() > found.fixed()) {
			found = e
		}
	}
	switch {
	case found != nil:
		return found, "", nil
	case len(verbs) == 0:
		return nil, "", hub.Errorf(hub.NotFound, "there is nothing at this path; docs/http-api.md lists what there is")
	}
	allow = strings.Join(slices.Sorted(maps.Keys(verbs)), ", ")
	return nil, allow, hub.Errorf(hub.MethodNotAllowed, "this path takes %s", allow)
}

func (e *entry) fits(path []string) bool {
	if len(path) != len(e.segments) {
		return false
	}
	for i, want := range e.segments {
		if isParameter(want) && path[i] == "" || !isParameter(want) && !strings.EqualFold(path[i], want) {
			return false
		}
	}
	return true
}

func (e *entry) fixed() (n int) {
	for _, segment := range e.segments {
		if !isParameter(segment) {
			n++
		}
	}
	return n
}

func isParameter(segment string) bool { return strings.HasPrefix(segment, "{") }

// find looks the route of the request up, and reads the parameters of its path.
func (c *call) find(t table) error {
	verb, err := verbOf(c.r)
	if err != nil {
		return err
	}
	c.verb = verb
	path := segmentsOf(c.r.URL.Path)
	e, allow, err := t.match(verb, path)
	c.allow = allow
	if err != nil {
		return err
	}
	c.route, c.path = &e.route, slices.Clone(e.segments)
	for i, segment := range e.segments {
		if isParameter(segment) {
			c.path[i] = path[i]
			c.set(segment, path[i])
		}
	}
	return nil
}

func (c *call) set(parameter, value string) {
	switch parameter {
	case "{id}":
		c.id.Device = value
	case "{mid}":
		c.id.Module = value
	default:
		if c.params == nil {
			c.params = map[string]string{}
		}
		c.params[strings.Trim(parameter, "{}")] = value
	}
}

// verbOf is the verb of a request. Java's client can't send PATCH: it sends POST
// and says in a header what it means.
func verbOf(r *http.Request) (string, error) {
	override := r.Header.Get("X-HTTP-Method-Override")
	switch {
	case override == "" || r.Method != http.MethodPost:
		return r.Method, nil
	case strings.EqualFold(override, http.MethodPatch):
		return http.MethodPatch, nil
	default:
		return r.Method, hub.Errorf(hub.ArgumentInvalid, "the header X-HTTP-Method-Override may say PATCH, and nothing else")
	}
}
