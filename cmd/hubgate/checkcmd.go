package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/hubgate/hubgate/backend"
	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
)

type checkCmd struct {
	serveFlags `embed:""`

	For config.Role `name:"for" enum:"serve,dev" default:"serve" help:"Command that is to run: serve or dev."`
}

// findingsError makes the exit code 1 without another word: what is wrong has
// been printed.
type findingsError struct{}

// Error implements error.
func (findingsError) Error() string { return "the check has found errors" }

// Run checks all that a node needs and prints what it finds. It changes
// nothing, and works before the first start and beside a running hub.
func (c *checkCmd) Run(ctx context.Context, a *app) error {
	k := &checkup{role: c.For, getenv: a.getenv}
	if cfg := k.configuration(a, c.configFlags); cfg != nil {
		k.cfg = cfg
		k.all(ctx)
	}
	if err := k.print(a); err != nil {
		return err
	}
	if k.worst(backend.Bad) {
		return findingsError{}
	}
	return nil
}

// checkup collects findings about one node.
type checkup struct {
	cfg    *config.Config
	role   config.Role
	getenv func(string) string
	hub    *hubFile // of a hub that runs with the data directory
	found  []backend.Finding
}

func (k *checkup) good(what, format string, args ...any) {
	k.found = append(k.found, backend.Finding{Level: backend.Good, What: what, Text: fmt.Sprintf(format, args...)})
}

func (k *checkup) warn(what, text, remedy string) {
	k.found = append(k.found, backend.Finding{Level: backend.Warn, What: what, Text: text, Remedy: remedy})
}

func (k *checkup) bad(what, text, remedy string) {
	k.found = append(k.found, backend.Finding{Level: backend.Bad, What: what, Text: text, Remedy: remedy})
}

func (k *checkup) worst(l backend.Level) bool {
	for _, f := range k.found {
		if f.Level == l {
			return true
		}
	}
	return false
}

// configuration reads the configuration; nil: it can't be read, and nothing
// else is worth a look.
func (k *checkup) configuration(a *app, flags configFlags) *config.Config {
	cfg, err := a.load(flags)
	if err != nil {
		k.configErrors(err)
		return nil
	}
	k.configErrors(cfg.Complete(k.role))
	for _, text := range config.Misspelled(a.env) {
		k.warn("configuration", text, "correct the name, or unset the variable")
	}
	if _, err := cfg.Resolve(a.getenv); err != nil {
		k.configErrors(err)
	}
	if !k.worst(backend.Bad) {
		k.good("configuration", "valid for hubgate %s", k.role)
	}
	return cfg
}

func (k *checkup) configErrors(err error) {
	if err == nil {
		return
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		k.bad("configuration", line, "see docs/configuration.md for what the key may be")
	}
}

// all checks everything else, from the machine to what runs on it.
func (k *checkup) all(ctx context.Context) {
	k.dataDir()
	k.openFiles()
	k.localClock()
	k.certificates()
	k.permissions()
	k.encryption()
	k.tracing()
	k.ports(ctx)
	k.nats(ctx)
}

func (k *checkup) print(a *app) error {
	if a.format == formatJSON {
		return writeJSON(a.out, map[string]any{"ok": !k.worst(backend.Bad), "findings": k.found})
	}
	rows := make([]row, 0, len(k.found))
	for _, f := range k.found {
		rows = append(rows, row{string(f.Level), f.What, f.Text})
		if f.Remedy != "" {
			rows = append(rows, row{"", "", "-> " + f.Remedy})
		}
	}
	return writeTable(a.out, row{"LEVEL", "WHAT", "FINDING"}, rows)
}
