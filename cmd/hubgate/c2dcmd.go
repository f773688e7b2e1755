package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/hubgate/hubgate/backend/client"
	"github.com/hubgate/hubgate/c2d"
	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
	"github.com/hubgate/hubgate/hub"
)

type c2dCmd struct {
	clientFlags `embed:""`

	Send        c2dSendCmd     `cmd:"" help:"Send a message to a device; it waits in a queue until the device takes it."`
	Peek        c2dPeekCmd     `cmd:"" help:"Show the messages that wait for a device."`
	Purge       c2dPurgeCmd    `cmd:"" help:"Remove the messages that wait for a device."`
	DeadLetters deadLettersCmd `cmd:"" help:"Show the messages that were not delivered."`
	Requeue     requeueCmd     `cmd:"" help:"Send messages again that were not delivered."`
	Feedback    feedbackCmd    `cmd:"" help:"Print what becomes of messages, as it happens."`
}

// AfterApply gives the commands below the way to the hub.
func (c *c2dCmd) AfterApply(a *app) error { //nolint:unparam // kong wants the error
	a.kind, a.client = devices, c.clientFlags
	return nil
}

type c2dSendCmd struct {
	Device          string            `arg:"" help:"Id of the device."`
	Body            string            `arg:"" optional:"" help:"Body of the message; -: standard input. Default: none."`
	MessageID       string            `name:"message-id" placeholder:"ID" help:"Its id; default: a random one."`
	CorrelationID   string            `name:"correlation-id" placeholder:"ID" help:"What it belongs to."`
	UserID          string            `name:"user-id" placeholder:"ID" help:"Who sends it."`
	ContentType     string            `name:"content-type" placeholder:"TYPE" help:"Such as application/json."`
	ContentEncoding string            `name:"content-encoding" placeholder:"NAME" help:"Such as utf-8."`
	Expires         string            `name:"expires" placeholder:"DURATION" help:"How long it waits: 1h unless given, at most 48h."`
	Ack             string            `name:"ack" enum:"none,positive,negative,full" default:"none" help:"Outcomes that are reported: none, positive, negative or full."`
	Property        map[string]string `name:"property" short:"p" mapsep:"none" placeholder:"NAME=VALUE" help:"Property of the application. Repeatable."`
}

// Run sends a message.
func (c *c2dSendCmd) Run(ctx context.Context, a *app) error {
	return a.with(c.Device, func(h *remote, id hub.Identity) error {
		m, err := c.message(id, os.Stdin)
		if err != nil {
			return err
		}
		if _, err := h.Registry().Get(ctx, id); err != nil {
			return err
		}
		if m, err = h.C2D().Send(ctx, m); err != nil {
			return err
		}
		if a.format == formatJSON {
			return writeJSON(a.out, map[string]any{"deviceId": m.Device, "messageId": m.MessageID, "sequence": m.Sequence})
		}
		return a.say("Message %s is in the queue of %s.", visible(m.MessageID), m.Device)
	})
}

func (c *c2dSendCmd) message(id hub.Identity, stdin io.Reader) (c2d.Message, error) {
	m := c2d.Message{
		Device: id.Device, MessageID: c.MessageID, CorrelationID: c.CorrelationID, UserID: c.UserID, Body: []byte(c.Body),
		ContentType: c.ContentType, ContentEncoding: c.ContentEncoding, Ack: c2d.Ack(c.Ack), Properties: c.Property,
	}
	if c.Expires != "" {
		var d config.Duration
		if err := d.UnmarshalText([]byte(c.Expires)); err != nil {
			return m, usagef("--expires: %w", err)
		}
		if d < config.Second {
			return m, usagef("--expires: a message that expires after %v reaches nobody; give at least 1s", d)
		}
		m.Expires = time.Now().Add(time.Duration(d))
	}
	if c.Body == "-" {
		var err error
		if m.Body, err = io.ReadAll(io.LimitReader(stdin, maxBody)); err != nil {
			return m, fmt.Errorf("read the body: %w", err)
		}
	}
	return m, nil
}

// maxBody is how much of a body is read: more than any hub takes.
const maxBody = 1 << 20

type c2dPeekCmd struct {
	Device string `arg:"" help:"Id of the device."`
}

// Run shows a queue.
func (c *c2dPeekCmd) Run(ctx context.Context, a *app) error {
	return a.with(c.Device, func(h *remote, id hub.Identity) error {
		if _, err := h.Registry().Get(ctx, id); err != nil {
			return err
		}
		views, rows, limits := []messageView{}, []row{}, h.C2D().Limits(ctx)
		for m, err := range h.C2D().Queue(ctx, id.Device) {
			if err != nil {
				return err
			}
			v := viewOf(m, limits)
			views = append(views, v)
			rows = append(rows, row{strconv.FormatUint(m.Sequence, 10), timeText(m.Enqueued), timeText(v.ExpiryTime), visible(m.MessageID), v.text()})
		}
		if a.format == formatJSON {
			return writeJSON(a.out, views)
		}
		return writeTable(a.out, row{"NUMBER", "SENT", "EXPIRES", "ID", "BODY"}, rows)
	})
}

type c2dPurgeCmd struct {
	Device string `arg:"" help:"Id of the device."`
}

// Run empties a queue.
func (c *c2dPurgeCmd) Run(ctx context.Context, a *app) error {
	return a.with(c.Device, func(h *remote, id hub.Identity) error {
		n, err := h.C2D().Purge(ctx, id.Device)
		if err != nil {
			return err
		}
		if a.format == formatJSON {
			return writeJSON(a.out, map[string]any{"deviceId": id.Device, "totalMessagesPurged": n})
		}
		return a.say("%d messages to %s are removed.", n, id)
	})
}

type deadLettersCmd struct {
	Device string `arg:"" optional:"" help:"Id of the device; default: all."`
}

// Run shows dead letters. The device may be gone.
func (c *deadLettersCmd) Run(ctx context.Context, a *app) error {
	if err := checkDevice(c.Device); err != nil {
		return err
	}
	h, err := a.connect(a.client)
	if err != nil {
		return err
	}
	defer h.Close()
	views, rows, limits := []deadLetterView{}, []row{}, h.C2D().Limits(ctx)
	for d, err := range h.C2D().DeadLetters(ctx, c.Device) {
		if err != nil {
			return err
		}
		views = append(views, deadLetterView{d.Sequence, d.Time, d.Status, d.Description, viewOf(d.Message, limits)})
		rows = append(rows, row{strconv.FormatUint(d.Sequence, 10), timeText(d.Time), visible(d.Message.Device), visible(d.Message.MessageID), visible(string(d.Status)), visible(d.Description)})
	}
	if a.format == formatJSON {
		return writeJSON(a.out, views)
	}
	return writeTable(a.out, row{"NUMBER", "TIME", "DEVICE", "ID", "STATUS", "REASON"}, rows)
}

// checkDevice refuses what is no id; empty means all devices.
func checkDevice(id string) error {
	if id == "" {
		return nil
	}
	_, err := devices.parse(id)
	return err
}

type requeueCmd struct {
	Number []uint64 `arg:"" help:"Numbers of dead letters; see hubgate c2d dead-letters."`
}

// Run sends dead letters again.
func (c *requeueCmd) Run(ctx context.Context, a *app) error {
	h, err := a.connect(a.client)
	if err != nil {
		return err
	}
	defer h.Close()
	for _, n := range c.Number {
		m, err := h.C2D().Requeue(ctx, n)
		if err != nil {
			return err
		}
		if a.format == formatJSON {
			err = writeJSON(a.out, map[string]any{"deviceId": m.Device, "messageId": m.MessageID, "sequence": m.Sequence})
		} else {
			err = a.say("Message %s is in the queue of %s again.", visible(m.MessageID), visible(m.Device))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

type feedbackCmd struct {
	Device    string `name:"device" placeholder:"ID" help:"Only of this device."`
	Count     int    `name:"count" short:"n" placeholder:"N" help:"Stop after so many."`
	FromStart bool   `name:"from-start" help:"Begin with the oldest that is kept."`
}

// Run prints feedback until ctx ends, or as much as is asked for.
func (c *feedbackCmd) Run(ctx context.Context, a *app) error {
	if err := checkDevice(c.Device); err != nil {
		return err
	}
	h, err := a.connect(a.client)
	if err != nil {
		return err
	}
	defer h.Close()
	printed := 0
	err = h.C2D().Feedback(ctx, client.FeedbackOptions{Device: c.Device, FromStart: c.FromStart}, func(f c2d.Feedback) error {
		if a.format == formatJSON {
			err = writeJSON(a.out, f)
		} else {
			err = a.say("%s  %s  %s  %s  %s", timeText(f.Time), visible(f.Device), visible(f.OriginalMessageID), visible(string(f.Status)), visible(f.Description))
		}
		if err != nil {
			return err
		}
		if printed++; printed == c.Count {
			return client.ErrStop
		}
		return nil
	})
	return untilSignal(ctx, err)
}

// messageView is a message as -o json prints it. Of the bodies one is set: JSON,
// else text, else base64.
type messageView struct {
	DeviceID        string            `json:"deviceId"`
	Sequence        uint64            `json:"sequence"`
	EnqueuedTime    time.Time         `json:"enqueuedTime"`
	ExpiryTime      time.Time         `json:"expiryTime"`
	MessageID       string            `json:"messageId,omitempty"`
	CorrelationID   string            `json:"correlationId,omitempty"`
	UserID          string            `json:"userId,omitempty"`
	ContentType     string            `json:"contentType,omitempty"`
	ContentEncoding string            `json:"contentEncoding,omitempty"`
	Ack             c2d.Ack           `json:"ack,omitempty"`
	Properties      map[string]string `json:"properties,omitempty"`
	Body            json.RawMessage   `json:"body,omitempty"`
	BodyText        *string           `json:"bodyText,omitempty"`
	BodyBase64      string            `json:"bodyBase64,omitempty"`
}

type deadLetterView struct {
	Sequence    uint64      `json:"sequence"`
	Time        time.Time   `json:"time"`
	Status      c2d.Status  `json:"statusCode"`
	Description string      `json:"description"`
	Message     messageView `json:"message"`
}

func viewOf(m c2d.Message, l c2d.Limits) messageView {
	v := messageView{
		DeviceID: m.Device, Sequence: m.Sequence, EnqueuedTime: m.Enqueued, ExpiryTime: l.Deadline(&m), MessageID: m.MessageID,
		CorrelationID: m.CorrelationID, UserID: m.UserID, ContentType: m.ContentType, ContentEncoding: m.ContentEncoding,
		Ack: m.Ack, Properties: m.Properties,
	}
	text := string(m.Body)
	switch {
	case json.Valid(m.Body):
		v.Body = m.Body
	case utf8.Valid(m.Body):
		v.BodyText = &text
	default:
		v.BodyBase64 = base64.StdEncoding.EncodeToString(m.Body)
	}
	return v
}

// text is the body in a table: one line, not too long.
func (v messageView) text() string {
	const most = 60
	text := v.BodyBase64
	switch {
	case v.Body != nil:
		text = string(v.Body)
	case v.BodyText != nil:
		text = *v.BodyText
	}
	text = visible(text)
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return text
}
