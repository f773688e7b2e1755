package main

import (
	"fmt"

	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
	"github.com/hubgate/hubgate/internal/pki"
)

type configCmd struct {
	Check configCheckCmd `cmd:"" help:"Check the configuration without starting anything."`
	Print configPrintCmd `cmd:"" help:"Print the configuration in effect, and where each value comes from."`
}

type configCheckCmd struct {
	serveFlags `embed:""`

	For config.Role `name:"for" enum:"serve,dev" default:"serve" help:"Command that the configuration is for: serve or dev."`
}

// Run checks the configuration as the command it is for would.
func (c *configCheckCmd) Run(a *app) error {
	cfg, err := a.loadNode(c.configFlags, c.For)
	if err != nil {
		return err
	}
	for _, warning := range config.Misspelled(a.env) {
		_, _ = fmt.Fprintln(a.errOut, "hubgate: "+warning)
	}
	if _, err := cfg.Resolve(a.getenv); err != nil {
		return usageError{err}
	}
	if len(cfg.TLS.CertFiles) > 0 {
		if _, err := pki.Load(cfg.TLS.CertFiles, cfg.TLS.KeyFiles); err != nil {
			return usageError{err}
		}
	}
	if a.format == formatJSON {
		return writeJSON(a.out, map[string]bool{"valid": true})
	}
	_, err = fmt.Fprintf(a.out, "The configuration is valid for hubgate %s.\n", c.For)
	return err
}

type configPrintCmd struct {
	serveFlags `embed:""`

	For    config.Role `name:"for" enum:"serve,dev" default:"serve" help:"Command that the configuration is for: serve or dev."`
	Redact bool        `name:"redact" negatable:"" default:"true" help:"Mask passwords; --no-redact shows them."`
}

// Run prints the configuration, whether or not it is complete.
func (c *configPrintCmd) Run(a *app) error {
	cfg, err := a.load(c.configFlags)
	if err != nil {
		return err
	}
	_ = cfg.Complete(c.For) // fills in what follows from the rest; what is wrong is for config check
	if c.Redact {
		cfg.Redact()
	}
	if a.format == formatJSON {
		return writeJSON(a.out, cfg.Tree())
	}
	text, err := cfg.YAML()
	if err != nil {
		return fmt.Errorf("print the configuration: %w", err)
	}
	_, err = a.out.Write(text)
	return err
}
