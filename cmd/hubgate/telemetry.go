package main

import (
	"context"
	"encoding/json"
	"errors"
	"time"
	"unicode/utf8"

	"github.com/hubgate/hubgate/backend/client"
	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
	"github.com/hubgate/hubgate/hub"
)

type telemetryCmd struct {
	Tail tailCmd `cmd:"" help:"Print messages as they arrive."`
}

type tailCmd struct {
	clientFlags `embed:""`

	Device    string `name:"device" placeholder:"ID" help:"Only this device with its modules, or only DEVICE/MODULE."`
	Count     int    `name:"count" short:"n" placeholder:"N" help:"Stop after so many messages."`
	FromStart bool   `name:"from-start" xor:"begin" help:"Begin with the oldest message that is kept."`
	Since     string `name:"since" xor:"begin" placeholder:"WHEN" help:"Begin with the messages since then: a duration such as 10m, or a time such as 2026-11-21T08:00:00Z."`
	Full      bool   `name:"full" help:"Print long bodies in full."`
}

// Run prints messages until ctx ends, or as many as are asked for.
func (c *tailCmd) Run(ctx context.Context, a *app) error {
	opts := client.TelemetryOptions{FromStart: c.FromStart}
	var err error
	if c.Device != "" {
		if opts.Of, err = hub.ParseIdentity(c.Device); err != nil {
			return err
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
	return untilSignal(ctx, h.Consume(ctx, opts, c.printer(a)))
}

// untilSignal makes the end by a signal a success: that is how a tail ends.
func untilSignal(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

// printer prints one message after another, until there are enough.
func (c *tailCmd) printer(a *app) func(client.Event) error {
	line := eventLine{full: c.Full}
	printed := 0
	return func(e client.Event) error {
		var err error
		if a.format == formatJSON {
			err = writeJSON(a.out, eventOf(e))
		} else {
			err = a.say("%s", line.text(e))
		}
		if err != nil {
			return err
		}
		if printed++; printed == c.Count {
			return client.ErrStop
		}
		return nil
	}
}

// sinceOf reads a time, or how long ago it was.
func sinceOf(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	var ago config.Duration
	if ago.UnmarshalText([]byte(text)) == nil {
		return now.Add(-time.Duration(ago)), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, usagef("--since: %q is neither a duration such as 10m nor a time such as 2026-11-21T08:00:00Z", text)
	}
	return t, nil
}

// event is a message as -o json prints it. Of the bodies one is set: JSON, else
// text, else base64.
type event struct {
	DeviceID         string             `json:"deviceId"`
	ModuleID         string             `json:"moduleId,omitempty"`
	EnqueuedTime     time.Time          `json:"enqueuedTime"`
	Sequence         uint64             `json:"sequence"`
	Properties       map[string]*string `json:"properties"`
	SystemProperties map[string]string  `json:"systemProperties"`
	Body             json.RawMessage    `json:"body,omitempty"`
	BodyText         *string            `json:"bodyText,omitempty"`
	BodyBase64       []byte             `json:"bodyBase64,omitempty"`
}

func eventOf(e client.Event) event {
	out := event{
		DeviceID: e.From.Device, ModuleID: e.From.Module, EnqueuedTime: e.Enqueued, Sequence: e.Sequence,
		Properties: map[string]*string{}, SystemProperties: systemOf(e),
	}
	for name, value := range e.Properties {
		out.Properties[name] = &value
	}
	for _, name := range e.Nulls {
		out.Properties[name] = nil
	}
	switch text := string(e.Body); {
	case !utf8.ValidString(text):
		out.BodyBase64 = e.Body
	case json.Valid(e.Body):
		out.Body = e.Body
	default:
		out.BodyText = &text
	}
	return out
}
