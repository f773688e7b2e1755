package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/hubgate/hubgate/backend/backup"
)

type backupCmd struct {
	clientFlags `embed:""`

	Out              string   `name:"out" required:"" placeholder:"DIR" help:"Directory that is made for the backup, or is there and empty."`
	Recipient        []string `name:"recipient" sep:"none" placeholder:"AGE1…" help:"Encrypt for this public key of age. Repeatable."`
	RecipientsFile   []string `name:"recipients-file" sep:"none" placeholder:"FILE" help:"Encrypt for the public keys in a file, as age -R does. Repeatable."`
	WithoutTelemetry bool     `name:"without-telemetry" help:"Leave out what devices have sent: the hub's state is kept, and the stream of telemetry begins anew."`
}

// Run makes a backup of a running hub.
func (c *backupCmd) Run(ctx context.Context, a *app) error {
	recipients, err := c.recipients()
	if err != nil {
		return err
	}
	cfg, err := a.load(c.configFlags)
	if err != nil {
		return err
	}
	h, err := a.connect(c.clientFlags)
	if err != nil {
		return err
	}
	defer h.Close()
	host, err := h.hostName(ctx)
	if err != nil {
		host = "" // no node runs; the hub is in NATS
	}
	account := backup.Account{Conn: h.Conn(), Prefix: h.Names().Prefix, Domain: cfg.NATS.Domain}
	m, err := account.Write(ctx, backup.Options{
		Dir: c.Out, Recipients: recipients, Skip: c.skip(h), Version: semver(), HostName: host, Done: a.progress("copied"),
	})
	if err != nil {
		return err
	}
	if !m.Encrypted {
		fmt.Fprintln(a.errOut, "hubgate: the backup is not encrypted, and holds the keys of all devices: keep it as you keep those, or give --recipient")
	}
	if a.format == formatJSON {
		return writeJSON(a.out, m)
	}
	return a.say("The backup in %s has %d streams, in %d MiB. It holds all that was acknowledged before %s.", c.Out, len(m.Assets), sizeOf(m)>>20, m.Begun.Format(time.RFC3339))
}

// skip leaves out the streams of telemetry, in however many parts they are.
func (c *backupCmd) skip(h *remote) func(string) bool {
	if !c.WithoutTelemetry {
		return nil
	}
	telemetry := h.Names().TelemetryStream()
	return func(stream string) bool {
		return stream == telemetry || strings.HasPrefix(stream, telemetry+"_") || strings.HasPrefix(stream, telemetry+"-")
	}
}

// privateKeyPrefix begins what age-keygen prints, and no error may hold.
const privateKeyPrefix = "AGE-SECRET-KEY-"

// recipients are who can read the backup.
func (c *backupCmd) recipients() ([]age.Recipient, error) {
	var all []age.Recipient
	for _, text := range c.Recipient {
		if strings.HasPrefix(strings.ToUpper(strings.TrimSpace(text)), privateKeyPrefix) {
			return nil, usagef("--recipient: this is a private key, which decrypts: give the public one, which begins with age1; age-keygen -y prints it")
		}
		r, err := age.ParseRecipients(strings.NewReader(text))
		if err != nil {
			return nil, usagef("--recipient: %q is no public key of age, which begins with age1: %w", text, err)
		}
		all = append(all, r...)
	}
	for _, path := range c.RecipientsFile {
		r, err := parseFile(path, age.ParseRecipients)
		if err != nil {
			return nil, usagef("--recipients-file: %w", err)
		}
		all = append(all, r...)
	}
	return all, nil
}

// parseFile reads keys of age. No error has any of its text.
func parseFile[T any](path string, parse func(r io.Reader) ([]T, error)) ([]T, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	keys, err := parse(f)
	if err != nil {
		return nil, fmt.Errorf("%s holds no keys of age, one on each line", path)
	}
	return keys, nil
}

func sizeOf(m *backup.Manifest) (bytes int64) {
	for _, asset := range m.Assets {
		bytes += asset.Size
	}
	return bytes
}

// progress tells people of each stream that is done.
func (a *app) progress(done string) func(backup.Asset) {
	if a.format == formatJSON {
		return nil
	}
	return func(asset backup.Asset) {
		fmt.Fprintf(a.errOut, "%s %s: %d messages\n", done, asset.Stream, asset.Messages)
	}
}
