package admin

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// probes are the paths that say yes or no, as Kubernetes has them.
const (
	livez  = "livez"
	readyz = "readyz"
)

// probeOf takes /readyz or /readyz/nats apart; kind is empty for other paths.
func probeOf(path string) (kind, name string) {
	kind, name, _ = strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if kind != livez && kind != readyz || strings.HasSuffix(path, "/") {
		return "", ""
	}
	return kind, name
}

// ask is a request for a probe.
type ask struct {
	kind, name string
	bare       bool // he is told yes or no, and nothing else

	verbose, json bool
	excluded      map[string]bool
}

// read takes the parameters of a request. A parameter that there is not is an
// error, and not a probe that says yes to something else than was meant.
func (a *ask) read(r *http.Request) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return fmt.Errorf("the query of the request can't be read: %w", err)
	}
	a.json = strings.Contains(r.Header.Get("Accept"), "application/json")
	a.excluded = map[string]bool{}
	for name, values := range query {
		switch name {
		case "verbose":
			a.verbose = true
			a.json = a.json || slices.Contains(values, "json")
		case "exclude":
			for _, v := range values {
				for check := range strings.SplitSeq(v, ",") {
					a.excluded[check] = true
				}
			}
		default:
			return fmt.Errorf("there is no parameter %.32q here: there are verbose, verbose=json and exclude=CHECK", name)
		}
	}
	return nil
}

// probe answers /livez and /readyz: 200, or 503 when a check fails.
func (s *Server) probe(w http.ResponseWriter, r *http.Request, a ask) {
	if err := a.read(r); err != nil {
		say(w, http.StatusBadRequest, err.Error())
		return
	}
	checks := s.current().Ready
	if a.kind == livez {
		checks = s.current().Live
	}
	if a.name != "" && !a.bare {
		i := slices.IndexFunc(checks, func(c Check) bool { return c.Name == a.name })
		if i < 0 {
			say(w, http.StatusNotFound, fmt.Sprintf("/%s has no check %.32q: there are %s", a.kind, a.name, namesOf(checks)))
			return
		}
		checks = checks[i : i+1]
	}
	a.answer(w, r, checks)
}

// answer makes the checks and tells of them as much as was asked for.
func (a *ask) answer(w http.ResponseWriter, r *http.Request, checks []Check) {
	results, ok := look(r.Context(), checks, a.excluded)
	status := http.StatusOK
	if !ok {
		status = http.StatusServiceUnavailable
	}
	switch {
	case a.bare && ok:
		say(w, status, "ok")
	case a.bare:
		say(w, status, a.kind+" check failed")
	case a.json:
		reply(w, status, report{Status: word(ok), Checks: results})
	case ok && !a.verbose && len(a.excluded) == 0:
		say(w, status, "ok")
	default:
		say(w, status, a.text(results, checks, word(ok)))
	}
}

// report is the answer as JSON.
type report struct {
	Status string   `json:"status"`
	Checks []Result `json:"checks"`
}

func word(ok bool) string { //nolint:revive // it writes a bool
	if ok {
		return "passed"
	}
	return "failed"
}

// text is the answer as Kubernetes' own components write it, with a sentence to
// each check.
func (a *ask) text(results []Result, checks []Check, status string) string {
	var b strings.Builder
	for _, r := range results {
		switch {
		case r.Excluded:
			fmt.Fprintf(&b, "[+]%s excluded: ok\n", r.Name)
		case r.OK:
			fmt.Fprintf(&b, "[+]%s ok: %s\n", r.Name, r.Text)
		default:
			fmt.Fprintf(&b, "[-]%s failed: %s\n", r.Name, r.Text)
		}
	}
	for name := range a.excluded {
		if !slices.ContainsFunc(checks, func(c Check) bool { return c.Name == name }) {
			fmt.Fprintf(&b, "warn: there is no check %.32q to exclude: there are %s\n", name, namesOf(checks))
		}
	}
	fmt.Fprintf(&b, "%s check %s", a.kind, status)
	return b.String()
}

func namesOf(checks []Check) string {
	var names []string
	for _, c := range checks {
		names = append(names, c.Name)
	}
	return strings.Join(names, ", ")
}
