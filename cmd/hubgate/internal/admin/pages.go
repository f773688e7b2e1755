package admin

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/pprof"
	runtimepprof "runtime/pprof"
	"strconv"
	"strings"
)

// say answers with a sentence.
func say(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n")
}

// reply answers with JSON.
func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // nobody is there to be told
}

// index lists what there is.
func (s *Server) index(w http.ResponseWriter) {
	paths := []string{"livez?verbose", "readyz?verbose", "version", "metrics"}
	if s.pprof.Load() {
		paths = append(paths, "debug/pprof/")
	}
	page(w, "Hubgate: administration of a node", paths)
}

// page is a list of links.
func page(w http.ResponseWriter, title string, paths []string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'")
	fmt.Fprintf(w, "<!doctype html>\n<html lang=\"en\"><title>%s</title>\n<h1>%s</h1>\n<ul>\n", title, title)
	for _, p := range paths {
		fmt.Fprintf(w, "<li><a href=\"%s\">%s</a></li>\n", p, p)
	}
	fmt.Fprint(w, "</ul>\n")
}

const (
	profiles = "/debug/pprof/"
	// longestProfile bounds the seconds of a profile or a trace.
	longestProfile = 120
)

// profile answers what is below /debug/pprof/, and paths that there are not.
func (s *Server) profile(w http.ResponseWriter, r *http.Request) {
	name, ours := strings.CutPrefix(r.URL.Path, profiles)
	switch {
	case !ours:
		say(w, http.StatusNotFound, "there is nothing at this path: there are /livez, /readyz, /version, /metrics and, with admin.pprof, /debug/pprof/")
		return
	case !s.pprof.Load():
		say(w, http.StatusNotFound, "profiles are switched off: set admin.pprof to true; a running node follows its file")
		return
	case name == "cmdline":
		say(w, http.StatusNotFound, "the command line is not shown: flags can hold passwords")
		return
	case name == "":
		page(w, "Profiles", profileNames())
		return
	}
	if text := r.URL.Query().Get("seconds"); text != "" {
		if n, err := strconv.Atoi(text); err != nil || n < 1 || n > longestProfile {
			say(w, http.StatusBadRequest, fmt.Sprintf("seconds is a whole number from 1 to %d", longestProfile))
			return
		}
	}
	h := handlerOf(name)
	if h == nil {
		say(w, http.StatusNotFound, "there is no such profile: "+profiles+" lists them")
		return
	}
	s.costly(w, r, h)
}

func profileNames() []string {
	names := []string{"profile?seconds=10", "trace?seconds=1"}
	for _, p := range runtimepprof.Profiles() {
		names = append(names, p.Name()+"?debug=1")
	}
	return names
}

func handlerOf(name string) http.Handler {
	switch {
	case name == "profile":
		return http.HandlerFunc(pprof.Profile)
	case name == "trace":
		return http.HandlerFunc(pprof.Trace)
	case runtimepprof.Lookup(name) != nil:
		return pprof.Handler(name)
	default:
		return nil
	}
}
