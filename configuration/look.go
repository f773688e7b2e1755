package configuration

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/hubgate/hubgate/hub"
)

// look brings one twin to what it must hold, and shows how the configurations
// stand to it.
func (c *Controller) look(ctx context.Context, id hub.Identity) {
	text, ok := c.Fleet.Get(id)
	if !ok {
		return
	}
	doc, err := readDocument(text)
	if err != nil {
		c.report(Trouble{ID: id, Code: hub.ServerError, Message: "its document can't be read, and no configuration applies to it", Err: err})
		return
	}
	s := c.current.Load()
	defer func() {
		if c.current.Load() != s { // a sweep may have been here before this was shown
			c.queue.add(id)
		}
	}()
	var a aim
	if id.IsModule() {
		a = c.moduleAim(s, id)
	} else {
		a = deviceAim(selecting(s.devices, c.Fleet, id))
		if doc.edge {
			c.lookAtModules(ctx, s, id)
		}
	}
	patch := a.rule.patch(doc.desired, a.goal)
	// What is shown comes before what is written, so that a sweep finds by it
	// whatever a configuration that is gone may have written.
	if c.show(id, doc, a.statuses(patch == nil)) && patch != nil && c.writer() {
		c.write(ctx, id, doc, a, patch)
	}
}

func (c *Controller) moduleAim(s *set, id hub.Identity) aim {
	targeted := selecting(s.modules, c.Fleet, id)
	device := hub.Identity{Device: id.Device}
	text, ok := c.Fleet.Get(device)
	if !ok {
		return deviceAim(targeted)
	}
	if doc, err := readDocument(text); err != nil || !doc.edge {
		return deviceAim(targeted)
	}
	return s.moduleAim(id.Module, targeted, newDeployments(selecting(s.edge, c.Fleet, device)))
}

// lookAtModules looks at the modules of an edge device that deployments name,
// and makes those that are missing.
func (c *Controller) lookAtModules(ctx context.Context, s *set, device hub.Identity) {
	if len(s.edge) == 0 {
		return
	}
	counting := newDeployments(selecting(s.edge, c.Fleet, device)).counting
	for _, name := range s.names {
		module := hub.Identity{Device: device.Device, Module: name}
		if _, ok := c.Fleet.Get(module); ok {
			c.queue.add(module)
			continue
		}
		named := slices.IndexFunc(counting, func(p *plan) bool { return len(p.Content.parts[name]) > 0 })
		if named >= 0 && c.writer() {
			c.create(ctx, module, counting[named])
		}
	}
}

// create makes a module. The feed tells of it, and then it is looked at.
func (c *Controller) create(ctx context.Context, module hub.Identity, p *plan) {
	if wait := c.writes.wait(module, p.edition()); wait > 0 {
		c.queue.after(hub.Identity{Device: module.Device}, wait)
		return
	}
	err := c.Twins.Create(ctx, module)
	device := hub.Identity{Device: module.Device}
	switch code := hub.CodeOf(err); {
	case err == nil, code == hub.ModuleAlreadyExists, code == hub.DeviceNotFound, ctx.Err() != nil:
	case code == hub.ServiceUnavailable, code == hub.GatewayTimeout:
		c.unavailable(ctx, err)
		c.queue.add(device)
	default:
		c.writes.block(module, p.edition())
		c.failed(module, p.ID, err)
		c.queue.after(device, c.writes.wait(module, p.edition()))
	}
}

// unavailable has this worker wait: there is no sense in trying the next one.
func (c *Controller) unavailable(ctx context.Context, err error) {
	if c.away.CompareAndSwap(false, true) {
		c.report(Trouble{Code: hub.CodeOf(err), Message: "twins can't be written; trying again until they can", Err: err})
	}
	rest(ctx)
}

// show tells the index, if it does not know yet, and reports whether it does now.
func (c *Controller) show(id hub.Identity, doc document, all []Status) bool {
	if slices.Equal(doc.shown, all) {
		return true
	}
	if wait := c.shows.wait(id, ""); wait > 0 {
		c.queue.after(id, wait)
		return false
	}
	c.shows.did(id)
	c.Board.Show(id, all)
	return true
}

// write writes a twin, provided that it is still the one that was looked at.
func (c *Controller) write(ctx context.Context, id hub.Identity, doc document, a aim, patch *value) {
	if wait := c.writes.wait(id, a.edition()); wait > 0 {
		c.queue.after(id, wait)
		return
	}
	err := c.Twins.Update(ctx, id, Write{Body: patchOf(patch), IfMatch: doc.etag, By: a.by(), Origins: a.origins})
	switch code := hub.CodeOf(err); {
	case ctx.Err() != nil:
	case err == nil:
		c.away.Store(false)
		c.wrote(id, a)
	case code == hub.PreconditionFailed:
		// Somebody else was faster, and the feed will tell of it; unless it was
		// before this node's last look, and has been told already.
		c.queue.after(id, retryAfter)
	case code == hub.DeviceNotFound, code == hub.ModuleNotFound:
	case code == hub.ServiceUnavailable, code == hub.GatewayTimeout:
		c.unavailable(ctx, err)
		c.queue.add(id)
	default:
		// What the twin does not take now, it will hardly take in a moment.
		c.writes.block(id, a.edition())
		c.failed(id, a.name(), err)
		c.queue.after(id, c.writes.wait(id, a.edition()))
	}
}

// wrote counts a write. A twin that does not keep what is written has its
// operator told.
func (c *Controller) wrote(id hub.Identity, a aim) {
	if times, _ := c.writes.did(id); times < freeWrites {
		return
	}
	c.report(Trouble{
		Configuration: a.name(), ID: id, Code: hub.PreconditionFailed,
		Message: a.by() + " had to be written again and again, and is written more and more rarely: somebody writes other desired properties, or a target condition depends on what is written",
	})
}

func (c *Controller) failed(id hub.Identity, configuration string, err error) {
	message := "a configuration can't be applied to it"
	if e, ok := errors.AsType[*hub.Error](err); ok {
		message += ": " + e.Message
	}
	c.report(Trouble{Configuration: configuration, ID: id, Code: hub.CodeOf(err), Message: message, Err: err})
}

// name is the configurations whose content the aim is.
func (a aim) name() string {
	names := make([]string, 0, len(a.winners))
	for _, p := range a.winners {
		names = append(names, p.ID)
	}
	return strings.Join(names, " ")
}

// edition tells the aim from one that follows from configurations which were
// changed, or made again.
func (a aim) edition() string {
	all := []string{a.by()}
	for _, p := range a.winners {
		all = append(all, p.edition())
	}
	return strings.Join(all, " ")
}

func (p *plan) edition() string { return p.ID + "@" + strconv.FormatUint(p.Revision, 10) }

// by is what the history of a twin has as the writer.
func (a aim) by() string {
	if len(a.winners) == 0 {
		return "configurations: none applies"
	}
	return "configuration " + a.name()
}
