package conformance

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the wire transcripts in testdata")

// program is the program under test, built once for all suites.
var program = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("HUBGATE_BIN"); path != "" {
		return path, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	path := filepath.Join(scratch, "hubgate")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", path, "./cmd/hubgate")
	cmd.Dir = filepath.Join("..", "..")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build hubgate: %w\n%s", err, out)
	}
	return path, nil
})

// scratch holds the built binary; it lives as long as the test run.
var scratch string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	var err error
	if scratch, err = os.MkdirTemp("", "hubgate-conformance-"); err != nil {
		fmt.Fprintln(os.Stderr, "make a directory for the binary:", err)
		return 1
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	return m.Run()
}

// skip says loudly that t cannot run here; with HUBGATE_REQUIRE_SDK=1 it fails.
func skip(t *testing.T, reason string) {
	t.Helper()
	if os.Getenv("HUBGATE_REQUIRE_SDK") == "1" {
		t.Fatalf("HUBGATE_REQUIRE_SDK=1, but %s", reason)
	}
	fmt.Fprintf(os.Stderr, "SKIPPED: %s: %s\n", t.Name(), reason)
	t.Skip(reason)
}

// require skips t unless every program is on the path.
func require(t *testing.T, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			skip(t, program+" is not installed")
		}
	}
}
