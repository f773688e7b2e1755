package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/hubgate/hubgate/backend/client"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/twin"
)

type twinCmd struct {
	Get     twinGetCmd     `cmd:"" help:"Show a twin."`
	Update  twinUpdateCmd  `cmd:"" help:"Merge into tags and desired properties; null deletes."`
	Replace twinReplaceCmd `cmd:"" help:"Put new tags and desired properties in place of the old ones."`
	Watch   twinWatchCmd   `cmd:"" help:"Print changes of twins as they happen."`
	Diff    twinDiffCmd    `cmd:"" help:"Show what a write has changed, or where reported differs from desired."`
	History twinHistoryCmd `cmd:"" help:"Show who wrote a twin, and when."`
}

// twinFlags name a twin and the hub that has it.
type twinFlags struct {
	clientFlags `embed:""`

	ID string `arg:"" help:"Id of a device, or DEVICE/MODULE."`
}

// with calls f with a connection to the hub.
func (c *twinFlags) with(a *app, f func(*client.Twins, hub.Identity) error) error {
	id, err := hub.ParseIdentity(c.ID)
	if err != nil {
		return usagef("%s", sentence(err))
	}
	h, err := a.connect(c.clientFlags)
	if err != nil {
		return err
	}
	defer h.Close()
	return f(h.Twins(), id)
}

type twinGetCmd struct {
	twinFlags `embed:""`
}

// Run shows a twin.
func (c *twinGetCmd) Run(ctx context.Context, a *app) error {
	return c.with(a, func(t *client.Twins, id hub.Identity) error {
		got, err := t.Get(ctx, id)
		if err != nil {
			return err
		}
		return a.showTwin(got)
	})
}

// showTwin prints a twin on one line for scripts, and on many for people.
func (a *app) showTwin(t twin.Twin) error {
	text := t.AppendJSON(nil)
	if a.format == formatJSON {
		return a.say("%s", text)
	}
	return a.sayIndented(text)
}

// twinWrite is what writes have in common.
type twinWrite struct {
	twinFlags `embed:""`

	Body    string `arg:"" optional:"" help:"JSON such as {\"tags\":{…},\"properties\":{\"desired\":{…}}}; @FILE reads a file and - the standard input."`
	Desired string `name:"desired" placeholder:"JSON" help:"Desired properties, in place of the argument."`
	Tags    string `name:"tags" placeholder:"JSON" help:"Tags, in place of the argument."`
	ETag    string `name:"etag" default:"*" help:"Write only if the twin still has this etag."`
	By      string `name:"by" env:"USER" default:"cli" help:"Who writes, for the history."`
}

type twinUpdateCmd struct {
	twinWrite `embed:""`
}

// Run merges into a twin.
func (c *twinUpdateCmd) Run(ctx context.Context, a *app) error {
	return c.write(ctx, a, (*client.Twins).Update)
}

type twinReplaceCmd struct {
	twinWrite `embed:""`
}

// Run replaces tags and desired properties.
func (c *twinReplaceCmd) Run(ctx context.Context, a *app) error {
	return c.write(ctx, a, (*client.Twins).Replace)
}

// twinWriter is one of the two ways to write.
type twinWriter func(*client.Twins, context.Context, hub.Identity, twin.Write) (twin.Twin, error)

func (c *twinWrite) write(ctx context.Context, a *app, do twinWriter) error {
	body, err := c.body(os.Stdin)
	if err != nil {
		return err
	}
	return c.with(a, func(t *client.Twins, id hub.Identity) error {
		got, err := do(t, ctx, id, twin.Write{Body: body, IfMatch: c.ETag, By: c.By})
		if err != nil {
			return err
		}
		if a.format == formatJSON {
			return a.showTwin(got)
		}
		return a.say("%s has version %d, desired properties version %d, etag %s.", id, got.Version, got.DesiredVersion(), got.ETag)
	})
}

// body is the request: the argument, or made of the flags.
func (c *twinWrite) body(stdin io.Reader) ([]byte, error) {
	parts := c.Desired != "" || c.Tags != ""
	if parts == (c.Body != "") {
		return nil, usagef("say what to write, either as an argument or with --desired and --tags")
	}
	if !parts {
		return input(c.Body, stdin)
	}
	var fields []string
	if c.Tags != "" {
		fields = append(fields, `"tags":`+c.Tags)
	}
	if c.Desired != "" {
		fields = append(fields, `"properties":{"desired":`+c.Desired+`}`)
	}
	return []byte("{" + strings.Join(fields, ",") + "}"), nil
}

// input is an argument, the file that it names after @, or for - the standard
// input.
func input(arg string, stdin io.Reader) ([]byte, error) {
	if arg == "-" {
		body, err := io.ReadAll(stdin)
		if err != nil {
			return nil, fmt.Errorf("read the standard input: %w", err)
		}
		return body, nil
	}
	name, isFile := strings.CutPrefix(arg, "@")
	if !isFile {
		return []byte(arg), nil
	}
	body, err := os.ReadFile(name)
	if err != nil {
		return nil, usagef("read the request: %w", err)
	}
	return body, nil
}

type twinWatchCmd struct {
	clientFlags `embed:""`

	ID        string `arg:"" optional:"" help:"Only this device with its modules, or only DEVICE/MODULE."`
	Count     int    `name:"count" short:"n" placeholder:"N" help:"Stop after so many changes."`
	FromStart bool   `name:"from-start" xor:"begin" help:"Begin with the oldest change that is kept."`
	Since     string `name:"since" xor:"begin" placeholder:"WHEN" help:"Begin with the changes since then: a duration such as 10m, or a time such as 2026-11-21T08:00:00Z."`
}

// Run prints changes until ctx ends, or as many as are asked for.
func (c *twinWatchCmd) Run(ctx context.Context, a *app) error {
	opts := client.TwinOptions{FromStart: c.FromStart}
	var err error
	if c.ID != "" {
		if opts.Of, err = hub.ParseIdentity(c.ID); err != nil {
			return usagef("%s", sentence(err))
		}
	}
	if opts.Since, err = sinceOf(c.Since, time.Now()); err != nil {
		return err
	}
	h, err := a.connect(c.clientFlags)
	if err != nil {
		return err
	}
	defer h.Close()
	printed := 0
	return untilSignal(ctx, h.Twins().Watch(ctx, opts, func(e client.TwinEvent) error {
		if err := a.showTwinEvent(e); err != nil {
			return err
		}
		if printed++; printed == c.Count {
			return client.ErrStop
		}
		return nil
	}))
}

func (a *app) showTwinEvent(e client.TwinEvent) error {
	if a.format == formatJSON {
		return writeJSON(a.out, struct {
			DeviceID string          `json:"deviceId"`
			ModuleID string          `json:"moduleId,omitempty"`
			Time     time.Time       `json:"time"`
			Op       twin.Op         `json:"opType"`
			By       string          `json:"by,omitempty"`
			Body     json.RawMessage `json:"body"`
		}{e.ID.Device, e.ID.Module, e.Time.UTC(), e.Op, e.By, e.Body})
	}
	return a.say("%s  %-*s  %s by %s  %s", e.Time.Local().Format("15:04:05.000"), minFrom, e.ID, e.Op, someone(e.By), visible(string(e.Body)))
}

func someone(by string) string {
	if by == "" {
		return "unknown"
	}
	return visible(by)
}

type twinHistoryCmd struct {
	twinFlags `embed:""`
}

// Run shows the writes that are kept.
func (c *twinHistoryCmd) Run(ctx context.Context, a *app) error {
	return c.with(a, func(t *client.Twins, id hub.Identity) error {
		all, err := history(ctx, t, id)
		if err != nil {
			return err
		}
		entries, rows := []historyEntry{}, []row{}
		for _, r := range all {
			e := entryOf(r)
			entries, rows = append(entries, e), append(rows, e.row())
		}
		if a.format == formatJSON {
			return writeJSON(a.out, entries)
		}
		return writeTable(a.out, row{"REVISION", "TIME", "BY", "OPERATION", "VERSION", "DESIRED", "REPORTED"}, rows)
	})
}

// history returns the writes that are kept; of an identity that does not
// exist, the error that says so.
func history(ctx context.Context, t *client.Twins, id hub.Identity) ([]client.TwinRevision, error) {
	all, err := t.History(ctx, id)
	if err == nil && len(all) == 0 {
		_, err = t.Get(ctx, id)
	}
	return all, err
}

// historyEntry is one write as -o json prints it.
type historyEntry struct {
	Revision uint64          `json:"revision"`
	Time     time.Time       `json:"time"`
	By       string          `json:"by,omitempty"`
	Op       string          `json:"operation"`
	Twin     json.RawMessage `json:"twin,omitempty"`

	versions row
}

func entryOf(r client.TwinRevision) historyEntry {
	e := historyEntry{Revision: r.Revision, Time: r.Time.UTC(), By: r.By, Op: string(r.Op), versions: row{"", "", ""}}
	if r.Deleted {
		e.Op = "deleted"
		return e
	}
	if e.Op == "" {
		e.Op = "by hand"
	}
	e.Twin = r.Twin.AppendJSON(nil)
	e.versions = row{fmt.Sprint(r.Twin.Version), fmt.Sprint(r.Twin.DesiredVersion()), fmt.Sprint(r.Twin.ReportedVersion())}
	return e
}

func (e historyEntry) row() row {
	return append(row{fmt.Sprint(e.Revision), timeText(e.Time), someone(e.By), e.Op}, e.versions...)
}
