package conformance

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// asyncAPI is what back-end apps are promised. test/docs holds it against a
// running hub.
var asyncAPI = filepath.Join("..", "..", "docs", "asyncapi.yaml")

// installAsyncAPI installs AsyncAPI's parser and returns what to add to the
// environment.
func installAsyncAPI(t *testing.T) []string {
	t.Helper()
	require(t, "node", "npm")
	files := []string{"asyncapi/package.json", "asyncapi/package-lock.json"}
	dir := cache(t, "asyncapi", files, func(dir string) {
		for _, file := range files {
			copyFile(t, file, filepath.Join(dir, filepath.Base(file)))
		}
		download(t, dir, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	})
	return []string{"NODE_PATH=" + filepath.Join(dir, "node_modules")}
}

// TestAsyncAPI reads docs/asyncapi.yaml with AsyncAPI's own parser, which has
// to find neither errors nor warnings.
func TestAsyncAPI(t *testing.T) {
	t.Parallel()
	out := shell(t, installAsyncAPI(t), "node", filepath.Join("asyncapi", "check.js"), asyncAPI)
	if !strings.Contains(out, "valid: AsyncAPI 3.0.0, ") {
		t.Errorf("the parser printed\n%s", out)
	}
}

// TestAsyncAPIParserSees makes sure that the parser is asked: it refuses a
// document with an operation that neither sends nor receives.
func TestAsyncAPIParserSees(t *testing.T) {
	t.Parallel()
	env := installAsyncAPI(t)
	text, err := os.ReadFile(asyncAPI)
	if err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(t.TempDir(), "broken.yaml")
	spoilt := strings.Replace(string(text), "action: send", "action: shout", 1)
	if err := os.WriteFile(broken, []byte(spoilt), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := command(t, ".", "env", env[0], "node", filepath.Join("asyncapi", "check.js"), broken); err == nil || !strings.Contains(err.Error(), "error asyncapi-document") {
		t.Errorf("the parser has not refused a broken document: %v", err)
	}
}
