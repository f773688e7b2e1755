package archtest

import (
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/hubgate/hubgate"

// source is one Go file: where it is and what it imports.
type source struct {
	file    string   // slash-separated path below the module's root
	pkg     string   // its directory
	name    string   // of its package clause
	imports []string // import paths
	test    bool
}

// sources reads the imports of every Go file of this module, of all platforms
// and build tags: a list made by the go command would only hold one platform's.
func sources(t *testing.T) []source {
	t.Helper()
	root := os.DirFS(filepath.Join("..", ".."))
	var all []source
	err := fs.WalkDir(root, ".", func(file string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && foreign(root, file):
			return fs.SkipDir
		case entry.IsDir() || path.Ext(file) != ".go":
			return nil
		}
		s, err := read(root, file)
		all = append(all, s)
		return err
	})
	if err != nil {
		t.Fatalf("read the module: %v", err)
	}
	if len(all) < 20 {
		t.Fatalf("got %d Go files: the walk does not see the module", len(all))
	}
	return all
}

// foreign reports whether the go command leaves out dir: it does so for a
// nested module, test data and names that begin with a dot or an underscore.
// node_modules is what a JavaScript suite installs for itself.
func foreign(root fs.FS, dir string) bool {
	if dir == "." {
		return false
	}
	base := path.Base(dir)
	if base == "testdata" || base == "node_modules" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return true
	}
	_, err := fs.Stat(root, path.Join(dir, "go.mod"))
	return !errors.Is(err, fs.ErrNotExist)
}

func read(root fs.FS, file string) (source, error) {
	s := source{file: file, pkg: path.Dir(file), test: strings.HasSuffix(file, "_test.go")}
	text, err := fs.ReadFile(root, file)
	if err != nil {
		return s, fmt.Errorf("read %s: %w", file, err)
	}
	tree, err := parser.ParseFile(token.NewFileSet(), file, text, parser.ImportsOnly)
	if err != nil {
		return s, fmt.Errorf("parse %s: %w", file, err)
	}
	s.name = strings.TrimSuffix(tree.Name.Name, "_test")
	for _, spec := range tree.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return s, fmt.Errorf("parse %s: %w", file, err)
		}
		s.imports = append(s.imports, name)
	}
	return s, nil
}

// ours returns the directory of a package of this module.
func ours(imported string) (string, bool) {
	if imported == module {
		return ".", true
	}
	return strings.CutPrefix(imported, module+"/")
}

// below reports whether pkg is one of the places or below one.
func below(pkg string, places []string) bool {
	return slices.ContainsFunc(places, func(place string) bool {
		return pkg == place || strings.HasPrefix(pkg, place+"/")
	})
}
