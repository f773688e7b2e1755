package deploy

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hubgate/hubgate/test/hubtest"
)

// files is where what this package tests lies.
const files = "../../deploy"

const buildTimeout = 9 * time.Minute

func TestMain(m *testing.M) { os.Exit(run(m)) }

// run builds the binary as the image has it, unless HUBGATE_BIN is one, and
// removes it in the end.
func run(m *testing.M) int {
	if os.Getenv("HUBGATE_BIN") != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "hubgate-deploy-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "hubgate")
	ctx, cancel := context.WithTimeout(context.Background(), buildTimeout)
	defer cancel()
	build := exec.CommandContext(ctx, "go", "build", "-C", "../..", "-trimpath", "-ldflags", "-s -w", "-o", path, "./cmd/hubgate")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build hubgate: %v\n%s", err, out)
		return 1
	}
	if err := os.Setenv("HUBGATE_BIN", path); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// read returns the text of a file.
func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// accepted fails t unless hubgate takes a command line, with a variable of the
// environment for each pair, as far as its configuration goes.
func accepted(t *testing.T, what string, env []string, args ...string) {
	t.Helper()
	r := hubtest.Run(t, env, append([]string{"config", "print", "-o", "json"}, args...)...)
	if r.Code != 0 {
		t.Errorf("%s: hubgate does not take the configuration: %s", what, r.Stderr)
	}
}

// takes fails t unless a command of hubgate exists and has the flags.
func takes(t *testing.T, what string, command []string) {
	t.Helper()
	var words, flags []string
	for _, word := range command {
		if strings.HasPrefix(word, "--") {
			name, _, _ := strings.Cut(word, "=")
			flags = append(flags, name)
		} else if len(flags) == 0 {
			words = append(words, word)
		}
	}
	r := hubtest.Run(t, nil, append(words, "--help")...)
	if r.Code != 0 {
		t.Fatalf("%s: hubgate has no command %q: %s", what, words, r.Stderr)
	}
	for _, flag := range flags {
		if !strings.Contains(r.Stdout, flag) {
			t.Errorf("%s: hubgate %s has no flag %s", what, strings.Join(words, " "), flag)
		}
	}
}

// variables fails t unless each variable of hubgate's is one that it reads.
func variables(t *testing.T, what string, names []string) {
	t.Helper()
	documented := read(t, "../../docs/configuration.md")
	for _, name := range names {
		if strings.HasPrefix(name, "HUBGATE_") && name != "HUBGATE_CONFIG" && !strings.Contains(documented, "`"+name+"`") {
			t.Errorf("%s: hubgate reads no variable %s", what, name)
		}
	}
}
