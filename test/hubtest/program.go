package hubtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Patience bounds every wait for something that takes no time on an idle
// machine.
const Patience = 30 * time.Second

const buildTimeout = 5 * time.Minute

// Main runs the tests of a package that uses the binary, and removes what was
// built for them. It returns the code for os.Exit.
func Main(m *testing.M) int {
	defer Clean()
	return m.Run()
}

// Clean removes what [Program] has built. It is for programs that have no
// [Main].
func Clean() { _ = os.RemoveAll(built.dir) }

// built is the binary of this test run.
//
//nolint:gochecknoglobals // built once for all tests, removed by Main
var built struct {
	once sync.Once
	dir  string
	path string
	err  error
}

// Program returns the path of the binary under test: HUBGATE_BIN, or one that
// is built at the first call.
func Program() (string, error) {
	if path := os.Getenv("HUBGATE_BIN"); path != "" {
		return filepath.Abs(path)
	}
	built.once.Do(func() { built.path, built.err = build() })
	return built.path, built.err
}

func build() (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), buildTimeout)
	defer cancel()
	var err error
	if built.dir, err = os.MkdirTemp("", "hubgate-test-"); err != nil {
		return "", fmt.Errorf("make a directory for the binary: %w", err)
	}
	path := filepath.Join(built.dir, "hubgate")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", path, "github.com/hubgate/hubgate/cmd/hubgate")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build hubgate: %w\n%s", err, out)
	}
	return path, nil
}

// Skip says loudly that t can't run here, and why; with HUBGATE_REQUIRE_SDK=1
// it fails t.
func Skip(t *testing.T, reason string) {
	t.Helper()
	if os.Getenv("HUBGATE_REQUIRE_SDK") == "1" {
		t.Fatalf("HUBGATE_REQUIRE_SDK=1, but %s", reason)
	}
	fmt.Fprintf(os.Stderr, "SKIPPED: %s: %s\n", t.Name(), reason)
	t.Skip(reason)
}

// Require skips t unless every program is on the path.
func Require(t *testing.T, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			Skip(t, program+" is not installed")
		}
	}
}

// Result is what a command did.
type Result struct {
	Code   int // exit code, -1 when a signal ended it
	Stdout string
	Stderr string
}

// Run runs hubgate to its end. env is added to the environment.
func Run(t *testing.T, env []string, args ...string) Result {
	t.Helper()
	path, err := Program()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	var stdout, stderr strings.Builder
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	dieWithParent(cmd)
	err = cmd.Run()
	r := Result{Code: cmd.ProcessState.ExitCode(), Stdout: stdout.String(), Stderr: stderr.String()}
	_, ended := errors.AsType[*exec.ExitError](err)
	switch {
	case ctx.Err() != nil:
		t.Fatalf("hubgate %s has not ended within %v\n%s", strings.Join(args, " "), Patience, Tail(r.Stderr))
	case err != nil && !ended:
		t.Fatalf("hubgate %s: %v", strings.Join(args, " "), err)
	}
	return r
}

// Tail is the end of a text that is too long to print.
func Tail(s string) string {
	const shown = 8000
	if len(s) <= shown {
		return s
	}
	return "…" + s[len(s)-shown:]
}
