package docs

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hubgate/hubgate/test/hubtest"
)

const buildTimeout = 9 * time.Minute

// root is the main module.
const root = "../.."

func TestMain(m *testing.M) { os.Exit(run(m)) }

// run builds the programs, unless HUBGATE_BIN is one of them, and removes them
// in the end.
func run(m *testing.M) int {
	defer func() { _ = os.RemoveAll(programs.dir) }()
	if err := programs.build(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// tools are the directory that a reader's PATH would have.
type tools struct {
	dir  string
	once sync.Once
	err  error
}

// programs are those of this test run, built once and removed by TestMain.
var programs tools

// build makes hubgate, from the main module: what this module needs must not
// change what the product is made of.
func (p *tools) build() error {
	dir, err := os.MkdirTemp("", "hubgate-docs-")
	if err != nil {
		return fmt.Errorf("make a directory for programs: %w", err)
	}
	p.dir = dir
	path := filepath.Join(dir, "hubgate")
	if given := os.Getenv("HUBGATE_BIN"); given != "" {
		if given, err = filepath.Abs(given); err == nil {
			err = os.Symlink(given, path)
		}
		return err
	}
	if err := compile(root, path, "./cmd/hubgate"); err != nil {
		return err
	}
	return os.Setenv("HUBGATE_BIN", path)
}

// nats makes sure that there is the nats command, at the version of go.mod.
func (p *tools) nats(t *testing.T) {
	t.Helper()
	p.once.Do(func() { p.err = compile(".", filepath.Join(p.dir, "nats"), "github.com/nats-io/natscli/nats") })
	if p.err != nil {
		hubtest.Skip(t, "the nats command could not be built: "+p.err.Error())
	}
}

func compile(dir, to, pkg string) error {
	ctx, cancel := context.WithTimeout(context.Background(), buildTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "build", "-o", to, pkg)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	return nil
}
