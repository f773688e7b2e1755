package archtest

import (
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestArrows(t *testing.T) {
	rules := arrows()
	for _, s := range sources(t) {
		if below(s.pkg, freeDirs()) {
			continue
		}
		r, known := rules[s.pkg]
		if !known {
			t.Errorf("%s: package %s is not on the map: put the code where it belongs, or add the package to map_test.go and ARCHITECTURE.md", s.file, s.pkg)
			continue
		}
		may := r.imports
		if s.test {
			may = slices.Concat(may, r.tests, []string{s.pkg, "hub"})
		}
		for _, imported := range s.imports {
			if pkg, own := ours(imported); own && !slices.Contains(may, pkg) {
				t.Errorf("%s: %s may not import %s", s.file, s.pkg, pkg)
			}
		}
	}
}

func TestMapHasNoGhosts(t *testing.T) {
	all := sources(t)
	for pkg := range arrows() {
		if !slices.ContainsFunc(all, func(s source) bool { return s.pkg == pkg }) {
			t.Errorf("package %s is on the map and has no file", pkg)
		}
	}
}

func TestMapIsDrawn(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, pkg := range slices.Sorted(maps.Keys(arrows())) {
		if !strings.Contains(string(text), "| `"+pkg+"` |") {
			t.Errorf("ARCHITECTURE.md has no row for package %s", pkg)
		}
	}
}

// TestDependencies holds every module from outside in its place, so that a
// feature is plain Go, NATS stays behind the backend, and a test's library
// never gets into the product.
func TestDependencies(t *testing.T) {
	places := dependencies()
	for _, s := range sources(t) {
		if s.test || below(s.pkg, []string{"backend/backendtest", "samples", "test"}) {
			continue
		}
		pkg := s.pkg
		if below(pkg, []string{"internal"}) {
			pkg = "cmd"
		}
		for _, imported := range s.imports {
			first, _, _ := strings.Cut(imported, "/")
			if _, own := ours(imported); own || !strings.Contains(first, ".") {
				continue // ours, or of the standard library
			}
			mod, known := owner(imported, places)
			if !known {
				t.Errorf("%s: import of %s, which dependencies() does not list", s.file, imported)
			} else if !below(pkg, places[mod]) {
				t.Errorf("%s: import of %s, which is for %s only", s.file, imported, strings.Join(places[mod], " and "))
			}
		}
	}
}

// owner returns the module of dependencies() that imported is a package of.
func owner(imported string, places map[string][]string) (string, bool) {
	for mod := range places {
		if below(imported, []string{mod}) {
			return mod, true
		}
	}
	return "", false
}

// TestClientIsLight keeps the server out of every app that imports
// backend/client, directly and by way of others.
func TestClientIsLight(t *testing.T) {
	for _, dep := range depsOf(t, "backend/client") {
		if below(dep, []string{"github.com/nats-io/nats-server/v2", module + "/backend/embedded"}) {
			t.Errorf("backend/client pulls in %s", dep)
		}
	}
}

// TestBinaryIsSmall keeps gRPC out of the binary, which nobody calls and which takes
// megabytes of it. What is generated for a service of OTLP pulls it in; the messages
// do not.
func TestBinaryIsSmall(t *testing.T) {
	for _, dep := range depsOf(t, "cmd/hubgate") {
		if below(dep, []string{"google.golang.org/grpc", "github.com/grpc-ecosystem", "go.opentelemetry.io/proto/otlp/collector"}) {
			t.Errorf("cmd/hubgate pulls in %s", dep)
		}
	}
}

// depsOf returns what a package of this module is built of, itself included.
func depsOf(t *testing.T, pkg string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", module+"/"+pkg).Output()
	if err != nil {
		t.Fatalf("go list -deps: %v", err)
	}
	deps := strings.Fields(string(out))
	if !slices.Contains(deps, module+"/"+pkg) {
		t.Fatalf("go list -deps does not name the package itself: %q", out)
	}
	return deps
}

// TestNames refuses names that say nothing, and those of the standard library:
// a reader of `bytes.X` must not have to ask whose bytes.
func TestNames(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "std").Output()
	if err != nil {
		t.Fatalf("go list std: %v", err)
	}
	std := map[string]bool{}
	for name := range strings.FieldsSeq(string(out)) {
		if !below(name, []string{"vendor"}) && !strings.Contains(name, "internal") {
			std[path.Base(name)] = true
		}
	}
	empty := []string{
		"util", "utils", "common", "type", "types", "model", "models",
		"helper", "helpers", "misc", "shared", "base", "core", "lib", "pkg",
	}
	for _, s := range sources(t) {
		for _, name := range slices.Compact([]string{s.name, path.Base(s.pkg)}) {
			switch {
			case slices.Contains(empty, name):
				t.Errorf("%s: the name %s says nothing about what is in it", s.file, name)
			case std[name]:
				t.Errorf("%s: %s is a package of the standard library", s.file, name)
			}
		}
	}
}
