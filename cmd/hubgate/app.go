package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/alecthomas/kong"
	"github.com/mattn/go-isatty"
	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
)

// commands is the grammar of the command line.
type commands struct {
	Output outputFormat `name:"output" short:"o" enum:"table,json" default:"table" help:"Form of what is printed: table or json."`

	Dev       devCmd       `cmd:"" help:"Run a development hub: NATS server, certificates and a first device included."`
	Serve     serveCmd     `cmd:"" help:"Run a node of a hub in production."`
	Device    deviceCmd    `cmd:"" help:"Manage devices."`
	Module    moduleCmd    `cmd:"" help:"Manage modules, which are named DEVICE/MODULE."`
	Edge      edgeCmd      `cmd:"" help:"Keep copies of what hubs at the edge have, in the NATS that their servers are leaves of."`
	Authority authorityCmd `cmd:"" help:"Manage the certificate authorities that vouch for devices."`
	SAS       sasCmd       `cmd:"" name:"sas" help:"Make a token for a device, a module or a shared access policy."`
	Method    methodCmd    `cmd:"" help:"Call direct methods of devices and modules."`
	Telemetry telemetryCmd `cmd:"" help:"Look at what devices send."`
	Twin      twinCmd      `cmd:"" help:"Read and write the twins of devices and modules."`
	Query     queryCmd     `cmd:"" help:"Find devices, modules and jobs by a query, and watch what it finds."`
	Job       jobCmd       `cmd:"" help:"Schedule twin updates and methods for many devices, and see what becomes of them."`
	C2D       c2dCmd       `cmd:"" name:"c2d" help:"Send messages to devices and see what becomes of them."`
	Why       whyCmd       `cmd:"" help:"Show why a device, or whoever is at an address, was refused, cut or not obeyed."`
	Cert      certCmd      `cmd:"" help:"Make, inspect and watch over certificates."`
	Reload    reloadCmd    `cmd:"" help:"Have the nodes of a hub read their certificates, policies and configuration again."`
	Cluster   clusterCmd   `cmd:"" help:"Show how the nodes of a hub are, and what they keep in NATS."`
	Drain     drainCmd     `cmd:"" help:"Have a node take no more devices, close its connections in waves, and wait until it is done."`
	Backup    backupCmd    `cmd:"" help:"Copy a hub while it runs: devices, keys, twins, messages, all that it keeps."`
	Restore   restoreCmd   `cmd:"" help:"Make a hub from a backup, in an empty NATS account or data directory."`
	Check     checkCmd     `cmd:"" help:"Check everything that a node needs, before its start or beside it: each finding with its remedy."`
	Health    healthCmd    `cmd:"" name:"healthcheck" help:"Ask the node of this machine whether it is ready, or lives: for containers."`
	Config    configCmd    `cmd:"" help:"Check and print the configuration of a node."`
	Simulate  simulateCmd  `cmd:"" help:"Simulate devices, for soak tests and sizing: connect many to a running hub and see what becomes of them."`
	Version   versionCmd   `cmd:"" help:"Print the version."`

	Configuration configurationCmd `cmd:"" help:"Manage automatic device management: configurations and edge deployments."`
}

const description = `A gateway that speaks the device protocol of Azure IoT Hub and keeps everything in NATS.

Exit codes: 0 success, 1 failure, 2 wrong usage or configuration, 3 not found, 4 exists already or was changed, 5 unauthorized, 6 NATS does not answer.`

// app is what every command gets.
type app struct {
	env         []string // as os.Environ returns it
	out, errOut io.Writer
	format      outputFormat
	settings    []config.Setting // that the command line gives
	// goOn is the rest of a command that runs for long. It is called when the grammar
	// of the command line, which takes 2 MiB, is gone.
	goOn func() error

	// Of the commands about devices and modules.
	kind   kind
	client clientFlags
}

// run executes one command line and returns the exit code. ctx ends with the
// first signal.
func (a *app) run(ctx context.Context, args []string) int {
	a.format = formatOf(args)
	err := a.execute(ctx, args)
	if err == nil && a.goOn != nil {
		err = a.goOn()
	}
	if err == nil {
		return exitOK
	}
	if _, said := errors.AsType[findingsError](err); said {
		return exitFailure
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = errors.New("interrupted; what the hub has been asked for may go on")
	}
	report(err, a.out, a.errOut, a.format)
	return exitCode(err)
}

func (a *app) execute(ctx context.Context, args []string) error {
	var grammar commands
	stopped := false // by --help
	parser, err := kong.New(&grammar, kong.Name("hubgate"), kong.Description(description),
		kong.Writers(a.out, a.errOut), kong.Exit(func(int) { stopped = true }),
		kong.Bind(a), kong.BindTo(ctx, (*context.Context)(nil)),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}))
	if err != nil {
		return fmt.Errorf("build the command line: %w", err)
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	// The parser would put U+FFFD in place of each byte, and something else would be done.
	if i := slices.IndexFunc(args, func(arg string) bool { return !utf8.ValidString(arg) }); i >= 0 {
		return usagef("the argument %.200q is not text in UTF-8: such bytes go through a file or the standard input, where a command reads one", args[i])
	}
	parsed, err := parser.Parse(args)
	if stopped {
		return nil
	}
	if err != nil {
		return usagef("%w; see hubgate%s --help", err, commandOf(err))
	}
	a.format = grammar.Output
	if a.settings, err = settingsOf(parsed.Flags()); err != nil {
		return err
	}
	return parsed.Run()
}

// commandOf returns the command that a parse error is about, with a space in
// front.
func commandOf(err error) string {
	pe, ok := errors.AsType[*kong.ParseError](err)
	if !ok || pe.Context == nil {
		return ""
	}
	var words strings.Builder
	for _, p := range pe.Context.Path {
		if p.Command != nil {
			words.WriteString(" " + p.Command.Name)
		}
	}
	return words.String()
}

// formatOf finds -o json in a command line that may be wrong elsewhere, so that
// the complaint has the form asked for.
func formatOf(args []string) outputFormat {
	for i, arg := range args {
		switch arg {
		case "-ojson", "-o=json", "--output=json":
			return formatJSON
		case "-o", "--output":
			if i+1 < len(args) && args[i+1] == "json" {
				return formatJSON
			}
		}
	}
	return formatTable
}

// source is where the configuration comes from.
func (a *app) source(flags configFlags) config.Source {
	return config.Source{File: cmp.Or(flags.Config, a.getenv("HUBGATE_CONFIG")), Env: a.env, Settings: a.settings}
}

// load reads the configuration.
func (a *app) load(flags configFlags) (*config.Config, error) {
	cfg, err := config.Load(a.source(flags))
	if err != nil {
		return nil, usageError{err}
	}
	return cfg, nil
}

func (a *app) getenv(name string) string {
	for _, line := range a.env {
		if value, ok := strings.CutPrefix(line, name+"="); ok {
			return value
		}
	}
	return ""
}

// loadNode reads the configuration of a node and checks it.
func (a *app) loadNode(flags configFlags, role config.Role) (*config.Config, error) {
	cfg, err := a.load(flags)
	if err != nil {
		return nil, err
	}
	if err := cfg.Complete(role); err != nil {
		return nil, usageError{err}
	}
	return cfg, nil
}

// logger returns the log of a node.
func (a *app) logger(cfg config.Log) (zerolog.Logger, error) {
	level, err := zerolog.ParseLevel(cfg.Level)
	if err != nil {
		return zerolog.Nop(), usagef("log.level: %w", err)
	}
	w := a.errOut
	if cfg.Format == "console" || (cfg.Format == "auto" && isTerminal(w)) {
		w = zerolog.ConsoleWriter{Out: w, TimeFormat: "15:04:05.000", NoColor: !isTerminal(w)}
	}
	zerolog.SetGlobalLevel(level) // so that it can be changed; see logLevel
	return zerolog.New(w).With().Timestamp().Logger(), nil
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}
