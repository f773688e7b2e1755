package main

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/hubgate/hubgate/backend/client"
	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/methods"
)

type methodCmd struct {
	clientFlags `embed:""`

	Invoke  invokeCmd  `cmd:"" help:"Call a direct method and print the device's answer."`
	Pending pendingCmd `cmd:"" help:"List the calls that wait for their device."`
	Cancel  cancelCmd  `cmd:"" help:"Take back a call that waits."`
}

// AfterApply gives the commands below what they have in common.
func (c *methodCmd) AfterApply(a *app) error { //nolint:unparam // kong wants the error
	a.client = c.clientFlags
	return nil
}

type invokeCmd struct {
	ID              string          `arg:"" help:"DEVICE, or DEVICE/MODULE."`
	Name            string          `arg:"" help:"Name of the method."`
	Payload         string          `name:"payload" short:"p" placeholder:"JSON" help:"Payload as JSON, or @FILE, or @- for standard input. Default: null."`
	ConnectTimeout  config.Duration `name:"connect-timeout" placeholder:"TIME" help:"How long a device that is away is waited for, up to 5m. Default: not at all."`
	ResponseTimeout config.Duration `name:"response-timeout" placeholder:"TIME" help:"How long its answer is waited for, 5s to 5m. Default: 30s."`
	Wait            config.Duration `name:"wait" placeholder:"TIME" help:"Keep the call until the device comes, for up to 30d, and return at once."`
	ReplyTo         string          `name:"reply-to" placeholder:"SUBJECT" help:"With --wait: NATS subject for the result, which is in the stream of events anyway."`
}

// Run calls a method, or has the hub keep the call.
func (c *invokeCmd) Run(ctx context.Context, a *app) error {
	id, err := hub.ParseIdentity(c.ID)
	if err != nil {
		return err
	}
	o := methods.Order{ReplyTo: c.ReplyTo, Wait: time.Duration(c.Wait)}
	o.Call = methods.Call{
		ID: id, Method: c.Name,
		ConnectTimeout: time.Duration(c.ConnectTimeout), ResponseTimeout: time.Duration(c.ResponseTimeout),
	}
	if c.ReplyTo != "" && c.Wait == 0 {
		return usagef("--reply-to goes with --wait")
	}
	if o.Payload, err = payloadOf(c.Payload, os.Stdin); err != nil {
		return err
	}
	h, err := a.connect(a.client)
	if err != nil {
		return err
	}
	defer h.Close()
	if c.Wait != 0 {
		return a.order(ctx, h, o)
	}
	answer, err := h.Methods().Invoke(ctx, o.Call)
	if err != nil {
		return err
	}
	return a.showAnswer(answer)
}

func (a *app) order(ctx context.Context, h *remote, o methods.Order) error {
	r, err := h.Methods().InvokeWhenOnline(ctx, o)
	if err != nil {
		return err
	}
	if a.format == formatJSON {
		return writeJSON(a.out, r)
	}
	return writePairs(a.out, []row{{"Command", r.ID}, {"State", string(r.State)}, {"Expires", timeText(r.Expires)}})
}

// payloadOf reads what --payload says.
func payloadOf(text string, stdin io.Reader) ([]byte, error) {
	file, isFile := strings.CutPrefix(text, "@")
	if !isFile {
		return []byte(text), nil
	}
	var b []byte
	var err error
	if file == "-" {
		b, err = io.ReadAll(io.LimitReader(stdin, methods.MaxPayload+1))
	} else {
		b, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, usagef("--payload: %w", err)
	}
	if len(b) == 0 {
		return nil, usagef("--payload: %s is empty", text)
	}
	return b, nil
}

// answer is what -o json prints. Of the payloads one is set: JSON, else text,
// else base64.
type answer struct {
	Status        int             `json:"status"`
	Payload       json.RawMessage `json:"payload"`
	PayloadText   *string         `json:"payloadText,omitempty"`
	PayloadBase64 []byte          `json:"payloadBase64,omitempty"`
}

func (a *app) showAnswer(got methods.Answer) error {
	if a.format != formatJSON {
		line := eventLine{full: true}
		return writePairs(a.out, []row{{"Status", strconv.Itoa(got.Status)}, {"Payload", line.body(got.Payload)}})
	}
	out := answer{Status: got.Status}
	switch text := string(got.Payload); {
	case text == "":
	case !utf8.ValidString(text):
		out.PayloadBase64 = got.Payload
	case json.Valid(got.Payload):
		out.Payload = got.Payload
	default:
		out.PayloadText = &text
	}
	return writeJSON(a.out, out)
}

type pendingCmd struct {
	ID string `arg:"" optional:"" help:"Only those of DEVICE, or of DEVICE/MODULE."`
}

// Run lists the calls that wait.
func (c *pendingCmd) Run(ctx context.Context, a *app) error {
	var id hub.Identity
	if c.ID != "" {
		var err error
		if id, err = hub.ParseIdentity(c.ID); err != nil {
			return err
		}
	}
	h, err := a.connect(a.client)
	if err != nil {
		return err
	}
	defer h.Close()
	receipts := []client.Receipt{}
	rows := []row{}
	for r, err := range h.Methods().ListCommands(ctx, id) {
		if err != nil {
			return err
		}
		target := hub.Identity{Device: r.DeviceID, Module: r.ModuleID}
		receipts = append(receipts, r)
		rows = append(rows, row{target.String(), visible(r.Method), string(r.State), timeText(r.Accepted), timeText(r.Expires), r.ID})
	}
	if a.format == formatJSON {
		return writeJSON(a.out, receipts)
	}
	return writeTable(a.out, row{"DEVICE", "METHOD", "STATE", "ACCEPTED", "EXPIRES", "COMMAND"}, rows)
}

type cancelCmd struct {
	ID      string `arg:"" help:"DEVICE, or DEVICE/MODULE."`
	Command string `arg:"" help:"Id of the command, as 'method pending' shows it."`
}

// Run takes back a call that waits.
func (c *cancelCmd) Run(ctx context.Context, a *app) error {
	id, err := hub.ParseIdentity(c.ID)
	if err != nil {
		return err
	}
	h, err := a.connect(a.client)
	if err != nil {
		return err
	}
	defer h.Close()
	if err := h.Methods().CancelCommand(ctx, id, c.Command); err != nil {
		return err
	}
	if a.format == formatJSON {
		return writeJSON(a.out, map[string]string{"cancelled": c.Command})
	}
	return a.say("%s is cancelled.", c.Command)
}
