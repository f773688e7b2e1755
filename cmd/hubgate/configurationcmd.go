package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"

	"github.com/hubgate/hubgate/backend/client"
	"github.com/hubgate/hubgate/configuration"
)

type configurationCmd struct {
	clientFlags `embed:""`

	List   listConfigurationsCmd  `cmd:"" help:"List the configurations and edge deployments."`
	Show   showConfigurationCmd   `cmd:"" help:"Show a configuration as IoT Hub prints it."`
	Create createConfigurationCmd `cmd:"" help:"Make a configuration, or update one."`
	Delete deleteConfigurationCmd `cmd:"" help:"Delete a configuration; what it wrote is taken back."`
	Status configurationStatusCmd `cmd:"" help:"Show how far a configuration has come: its metrics, and the twins that it is not applied to."`
}

// AfterApply gives the commands below the flags of the group.
func (c *configurationCmd) AfterApply(a *app) error { //nolint:unparam // kong wants the error
	a.client = c.clientFlags
	return nil
}

// withConfigurations connects and calls f.
func (a *app) withConfigurations(f func(*client.Client) error) error {
	h, err := a.connect(a.client)
	if err != nil {
		return err
	}
	defer h.Close()
	return f(h.Client)
}

type listConfigurationsCmd struct{}

// Run lists the configurations.
func (c *listConfigurationsCmd) Run(ctx context.Context, a *app) error {
	return a.withConfigurations(func(h *client.Client) error {
		all, err := h.Configurations().List(ctx)
		if err != nil {
			return err
		}
		if a.format == formatJSON {
			return writeJSON(a.out, append([]configuration.Configuration{}, all...))
		}
		rows := []row{}
		for _, c := range all {
			rows = append(rows, row{c.ID, kindText(c), strconv.Itoa(c.Priority), resultOf(c, "targetedCount"), resultOf(c, "appliedCount"), visible(c.TargetCondition)})
		}
		return writeTable(a.out, row{"ID", "KIND", "PRIORITY", "TARGETED", "APPLIED", "CONDITION"}, rows)
	})
}

// kindText is what a configuration is for.
func kindText(c configuration.Configuration) string {
	switch c.Content.Kind {
	case configuration.Devices:
		return "devices"
	case configuration.Modules:
		return "modules"
	case configuration.Edge:
		return "edge"
	default:
		return string(c.Content.Kind)
	}
}

// resultOf is one of the hub's own metrics.
func resultOf(c configuration.Configuration, name string) string {
	n, ok := c.System.Results[name]
	if !ok {
		return "-"
	}
	return strconv.Itoa(n)
}

type showConfigurationCmd struct {
	ID string `arg:"" help:"Its id."`
}

// Run shows a configuration.
func (c *showConfigurationCmd) Run(ctx context.Context, a *app) error {
	return a.withConfigurations(func(h *client.Client) error {
		got, err := h.Configurations().Get(ctx, c.ID)
		if err != nil {
			return err
		}
		return a.showConfiguration(got)
	})
}

// showConfiguration prints a configuration on one line for scripts, and on many
// for people.
func (a *app) showConfiguration(c configuration.Configuration) error {
	if a.format == formatJSON {
		return writeJSON(a.out, c)
	}
	line, err := c.AppendJSON(nil)
	if err != nil {
		return err
	}
	return a.sayIndented(line)
}

type createConfigurationCmd struct {
	ID        string            `arg:"" help:"1 to 128 characters of a-z 0-9 - + % _ * ! '"`
	Body      string            `arg:"" help:"A configuration as IoT Hub has it, or its content alone, such as {\"deviceContent\":{\"properties.desired.interval\":30}}; @FILE reads a file and - the standard input."`
	Condition *string           `name:"condition" placeholder:"TEXT" help:"Which twins: what stands behind WHERE in a query, * for all devices, or FROM devices.modules WHERE …; without one it selects none."`
	Priority  *int              `name:"priority" help:"Of several that select a twin the highest counts."`
	Labels    map[string]string `name:"label" mapsep:"none" placeholder:"NAME=VALUE" help:"A label; may be given again."`
	Metrics   map[string]string `name:"metric" mapsep:"none" placeholder:"NAME=QUERY" help:"A metric of your own; may be given again."`
	Update    bool              `name:"update" help:"Update a configuration that is there: what is given, {} being nothing. Its content stays as it is."`
	ETag      string            `name:"etag" default:"*" help:"Update only if it still has this etag."`
}

// Run makes or updates a configuration.
func (c *createConfigurationCmd) Run(ctx context.Context, a *app) error {
	members, err := c.members()
	if err != nil {
		return err
	}
	return a.withConfigurations(func(h *client.Client) error {
		put := c.create
		if c.Update {
			put = c.update
		}
		got, err := put(ctx, h.Configurations(), members)
		if err != nil {
			return err
		}
		if a.format == formatJSON {
			return a.showConfiguration(got)
		}
		return a.say("%s is for %s, with priority %d and etag %s.", got.ID, kindText(got), got.Priority, got.ETag())
	})
}

// fields are the members of a configuration's JSON.
type fields map[string]json.RawMessage

func (c *createConfigurationCmd) create(ctx context.Context, all *client.Configurations, members fields) (got configuration.Configuration, err error) {
	body, err := json.Marshal(members)
	if err != nil {
		return got, fmt.Errorf("write the configuration: %w", err)
	}
	return all.Create(ctx, c.ID, body)
}

// update changes what is given, and leaves the rest as it is.
func (c *createConfigurationCmd) update(ctx context.Context, all *client.Configurations, members fields) (got configuration.Configuration, err error) {
	old, err := all.Get(ctx, c.ID)
	if err != nil {
		return got, err
	}
	text, err := old.AppendJSON(nil)
	if err != nil {
		return got, err
	}
	next := fields{}
	if err := json.Unmarshal(text, &next); err != nil {
		return got, fmt.Errorf("read the configuration: %w", err)
	}
	maps.Copy(next, members)
	body, err := json.Marshal(next)
	if err != nil {
		return got, fmt.Errorf("write the configuration: %w", err)
	}
	etag := c.ETag
	if etag == client.Any { // what was read is what is meant
		etag = old.ETag()
	}
	return all.Update(ctx, c.ID, body, etag)
}

// members is the configuration that the argument is, or has the content of, with
// what the flags say.
func (c *createConfigurationCmd) members() (fields, error) {
	text, err := input(c.Body, os.Stdin)
	if err != nil {
		return nil, err
	}
	var members fields
	if err := json.Unmarshal(text, &members); err != nil || members == nil {
		return nil, usagef("the configuration is not a JSON object")
	}
	for _, kind := range []configuration.Kind{configuration.Devices, configuration.Modules, configuration.Edge} {
		if _, alone := members[string(kind)]; alone {
			members = fields{"content": text}
			break
		}
	}
	given := map[string]any{}
	if c.Condition != nil {
		given["targetCondition"] = *c.Condition
	}
	if c.Priority != nil {
		given["priority"] = *c.Priority
	}
	if len(c.Labels) > 0 {
		given["labels"] = c.Labels
	}
	if len(c.Metrics) > 0 {
		given["metrics"] = map[string]any{"queries": c.Metrics}
	}
	for name, v := range given {
		if members[name], err = json.Marshal(v); err != nil {
			return nil, fmt.Errorf("write the configuration: %w", err)
		}
	}
	return members, nil
}

type deleteConfigurationCmd struct {
	ID   string `arg:"" help:"Its id."`
	ETag string `name:"etag" default:"*" help:"Delete only if it still has this etag."`
}

// Run deletes a configuration.
func (c *deleteConfigurationCmd) Run(ctx context.Context, a *app) error {
	return a.withConfigurations(func(h *client.Client) error {
		if err := h.Configurations().Delete(ctx, c.ID, c.ETag); err != nil {
			return err
		}
		if a.format == formatJSON {
			return writeJSON(a.out, map[string]string{"deleted": c.ID})
		}
		return a.say("%s is deleted.", c.ID)
	})
}

type configurationStatusCmd struct {
	ID  string `arg:"" help:"Its id."`
	Top int    `name:"top" default:"20" help:"How many twins to list at most."`
}

// configurationStatus is how far a configuration has come.
type configurationStatus struct {
	ID      string         `json:"id"`
	System  map[string]int `json:"systemMetrics"`
	Custom  map[string]int `json:"metrics"`
	Pending []string       `json:"pending"` // device or device/module
}

// Run shows how far a configuration has come.
func (c *configurationStatusCmd) Run(ctx context.Context, a *app) error {
	return a.withConfigurations(func(h *client.Client) error {
		got, err := h.Configurations().Get(ctx, c.ID)
		if err != nil {
			return err
		}
		s := configurationStatus{ID: got.ID, System: got.System.Results, Custom: got.Custom.Results}
		if s.Pending, err = c.pending(ctx, h); err != nil {
			return err
		}
		if a.format == formatJSON {
			return writeJSON(a.out, s)
		}
		return a.showStatus(s)
	})
}

// pending are the twins that the configuration selects and is not applied to: it
// does not win, or has not been written yet.
func (c *configurationStatusCmd) pending(ctx context.Context, h *client.Client) ([]string, error) {
	all := []string{}
	for _, source := range []string{"devices", "devices.modules"} {
		text := "SELECT * FROM " + source + " WHERE configurations.[[" + c.ID + "]].status = 'Targeted'"
		for item, err := range h.Query(ctx, text) {
			if err != nil {
				return nil, err
			}
			if len(all) >= c.Top {
				return all, nil
			}
			var id struct {
				Device string `json:"deviceId"`
				Module string `json:"moduleId"`
			}
			if err := json.Unmarshal(item, &id); err != nil {
				return nil, fmt.Errorf("read the answer of a query: %w", err)
			}
			if id.Module != "" {
				id.Device += "/" + id.Module
			}
			all = append(all, id.Device)
		}
	}
	return all, nil
}

func (a *app) showStatus(s configurationStatus) error {
	pairs := []row{{"Configuration", s.ID}}
	for _, results := range []map[string]int{s.System, s.Custom} {
		for _, name := range slices.Sorted(maps.Keys(results)) {
			pairs = append(pairs, row{visible(name), strconv.Itoa(results[name])})
		}
	}
	for i, id := range s.Pending {
		label := ""
		if i == 0 {
			label = "Not applied to"
		}
		pairs = append(pairs, row{label, id})
	}
	return writePairs(a.out, pairs)
}
