package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/hubgate/hubgate/backend/client"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/timeline"
)

type whyCmd struct {
	clientFlags `embed:""`

	ID      string `arg:"" optional:"" help:"Id of a device, its modules included, or DEVICE/MODULE."`
	Address string `name:"address" placeholder:"IP" help:"In place of a device: who was refused at this address."`
	Watch   bool   `name:"watch" short:"w" help:"Print what goes wrong from now on; without a device or an address, in the whole hub."`
	Count   int    `name:"count" short:"n" placeholder:"N" help:"With --watch: stop after so many entries."`
}

// Run shows the timeline of a device or of an address.
func (c *whyCmd) Run(ctx context.Context, a *app) error {
	id, err := c.about()
	if err != nil {
		return err
	}
	h, err := a.connect(c.clientFlags)
	if err != nil {
		return err
	}
	defer h.Close()
	switch {
	case c.Watch:
		return untilSignal(ctx, c.watch(ctx, a, h, id))
	case c.Address != "":
		return a.showAddress(h.WhyAddress(ctx, c.Address))
	default:
		return a.showReport(h.Why(ctx, id))
	}
}

// about is the device or module that is asked about, if it is one.
func (c *whyCmd) about() (id hub.Identity, err error) {
	if c.ID != "" && c.Address != "" || c.ID == "" && c.Address == "" && !c.Watch {
		return id, usagef("say either which device or, with --address, which IP address")
	}
	if c.Count != 0 && !c.Watch {
		return id, usagef("--count is for --watch: without it all there is comes at once")
	}
	if c.ID == "" {
		return id, nil
	}
	if id, err = hub.ParseIdentity(c.ID); err != nil {
		return id, usagef("%s", sentence(err))
	}
	return id, nil
}

func (c *whyCmd) watch(ctx context.Context, a *app, h *remote, id hub.Identity) error {
	printed := 0
	show := func(e timeline.Entry) error {
		if id.IsModule() && e.ID != id {
			return nil
		}
		var err error
		if a.format == formatJSON {
			err = writeJSON(a.out, e)
		} else {
			err = a.say("%s", entryText(e))
		}
		if printed++; err == nil && printed == c.Count {
			err = client.ErrStop
		}
		return err
	}
	if c.Address != "" {
		return h.WatchAddress(ctx, c.Address, show)
	}
	return h.WatchTimeline(ctx, id.Device, show)
}

func (a *app) showAddress(r timeline.AddressReport, err error) error {
	if err != nil {
		return err
	}
	if a.format == formatJSON {
		return writeJSON(a.out, r)
	}
	if len(r.Entries) == 0 {
		return a.say("Nobody at %s was refused lately.", r.Address)
	}
	return a.showEntries(r.Entries)
}

func (a *app) showReport(r timeline.Report, err error) error {
	if err != nil {
		return err
	}
	if a.format == formatJSON {
		return writeJSON(a.out, r)
	}
	if err := a.say("%s", stateText(r)); err != nil {
		return err
	}
	if len(r.Entries) == 0 {
		return a.say("Nothing has gone wrong lately.")
	}
	return a.showEntries(r.Entries)
}

func (a *app) showEntries(entries []timeline.Entry) error {
	for _, e := range entries {
		if err := a.say("%s", entryText(e)); err != nil {
			return err
		}
	}
	return nil
}

// stateText says in a line or two how things stand with a device now.
func stateText(r timeline.Report) string {
	id := hub.Identity{Device: r.DeviceID, Module: r.ModuleID}
	if !r.Registered {
		return fmt.Sprintf("%s does not exist, but somebody has called himself so.", id)
	}
	text := id.String()
	if r.Status != "" {
		text += " is " + r.Status
	}
	if r.StatusReason != "" {
		text += " (" + visible(r.StatusReason) + ")"
	}
	switch c := r.Connection; {
	case c == nil:
		return text + "; it has never connected."
	case c.Connected:
		return text + fmt.Sprintf("; connected since %s from %s, to node %s.", timeText(c.Since), c.Remote, visible(c.Node))
	default:
		return text + fmt.Sprintf("; not connected. Its last connection, from %s, ended at %s: %s.", c.Remote, timeText(c.Ended), visible(c.Reason))
	}
}

// entryText is one entry for people: what has happened, and below it what to
// do.
func entryText(e timeline.Entry) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %-16s  %d %s: %s", timeText(e.Time), e.What, e.Code, e.Code.Name(), visible(e.Message))
	if e.Count > 1 {
		fmt.Fprintf(&b, " (%d times, until %s)", e.Count, timeText(e.Until))
	}
	var about []string
	if e.ID.IsModule() {
		about = append(about, "module "+e.ID.String())
	} else if e.ID.Device != "" {
		about = append(about, "device "+e.ID.Device)
	}
	if e.Claimed != "" {
		about = append(about, "called itself "+visible(e.Claimed))
	}
	if e.Remote != "" {
		about = append(about, "from "+e.Remote)
	}
	if e.Node != "" {
		about = append(about, "node "+visible(e.Node))
	}
	fmt.Fprintf(&b, "\n%*s%s; %s.", 22, "", strings.Join(about, ", "), e.Code.Hint())
	return b.String()
}
