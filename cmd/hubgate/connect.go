package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/nats-io/nkeys"

	"github.com/hubgate/hubgate/backend/client"
	"github.com/hubgate/hubgate/backend/subject"
	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
	"github.com/hubgate/hubgate/hub"
)

// remote is a running hub that a command talks to.
type remote struct {
	*client.Client
	host string // what devices call the hub; empty: ask
}

const (
	dialTimeout = 5 * time.Second
	pingTimeout = 2 * time.Second
)

// connect finds the hub and connects to its NATS: the one that flags,
// environment or file name, else the one that runs with the data directory.
func (a *app) connect(flags clientFlags) (*remote, error) {
	cfg, err := a.load(flags.configFlags)
	if err != nil {
		return nil, err
	}
	local := cfg.NATS.URL == ""
	host := cfg.Hub.Host
	if local {
		file, err := findHub(cfg)
		if err != nil {
			return nil, err
		}
		cfg.NATS.URL, cfg.NATS.Creds, cfg.NATS.Prefix, cfg.NATS.Domain = file.NATSURL, file.NATSCreds, file.Prefix, ""
	}
	c, err := dialHub(cfg.NATS, a.tellOfNATS()...)
	if err != nil {
		return nil, unreachable(cfg, local, err)
	}
	return &remote{Client: c, host: host}, nil
}

// dialHub connects to NATS. Answers come to an inbox that only operators may
// look into, for there are keys in some; whoever is not one has a common inbox.
func dialHub(c config.NATS, more ...nats.Option) (*client.Client, error) {
	opts := append(natsOptions(c), more...)
	private := nats.CustomInboxPrefix(subject.Names{Prefix: c.Prefix}.Inbox())
	h, err := dialWith(c, append(opts, private))
	if err != nil {
		return nil, err
	}
	nc := h.Conn()
	sub, err := nc.SubscribeSync(nc.NewInbox())
	if err != nil {
		return h, nil //nolint:nilerr // the command finds what is wrong, and says it better
	}
	_ = nc.FlushTimeout(dialTimeout)
	if errors.Is(nc.LastError(), nats.ErrPermissionViolation) {
		h.Close()
		return dialWith(c, opts)
	}
	_ = sub.Unsubscribe()
	return orCommonInbox(c, h, opts), nil
}

// orCommonInbox is h, unless answers to its private inbox do not come and those to a
// common one do: so it is with a hub at the edge that is asked from the other end of
// its link, over which nothing private passes.
func orCommonInbox(c config.NATS, h *client.Client, opts []nats.Option) *client.Client {
	if c.Prefix == "" || c.Prefix == subject.DefaultPrefix || !errors.Is(ping(h), nats.ErrTimeout) {
		return h
	}
	common, err := dialWith(c, opts)
	if err != nil {
		return h
	}
	if ping(common) != nil {
		common.Close()
		return h
	}
	h.Close()
	return common
}

// ping asks the registry service for a sign of life.
func ping(h *client.Client) error {
	to, err := micro.ControlSubject(micro.PingVerb, h.Names().RegistryName(), "")
	if err == nil {
		_, err = h.Conn().Request(to, nil, pingTimeout)
	}
	return err
}

func dialWith(c config.NATS, opts []nats.Option) (*client.Client, error) {
	return client.Connect(client.Options{URL: c.URL, CredsFile: c.Creds, Prefix: c.Prefix, Domain: c.Domain, NATS: opts})
}

// findHub reads hub.json of the data directory.
func findHub(cfg *config.Config) (hubFile, error) {
	dir := cfg.DataDir
	if dir == "" {
		var err error
		if dir, err = config.DefaultDataDir(); err != nil {
			return hubFile{}, usagef("find the hub: %w; or give its NATS server with --nats", err)
		}
	}
	file, err := readHubFile(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return file, hub.Errorf(hub.ServiceUnavailable, "no hub runs with the data directory %s: start one with 'hubgate dev', or say where it is with --data-dir or --nats", dir)
	}
	return file, err
}

// natsOptions are those that the client package leaves to its users.
func natsOptions(c config.NATS) []nats.Option {
	opts := []nats.Option{
		nats.Name("hubgate CLI"), nats.Timeout(dialTimeout),
	}
	if c.CA != "" {
		opts = append(opts, nats.RootCAs(c.CA))
	}
	if c.Cert != "" {
		opts = append(opts, nats.ClientCert(c.Cert, c.Key))
	}
	if c.NKey != "" {
		opts = append(opts, seedOption(c.NKey))
	}
	return opts
}

// tellOfNATS says when NATS goes away and when it comes back: commands that follow
// what happens in a hub wait for it, and nobody would know why nothing comes.
func (a *app) tellOfNATS() []nats.Option {
	return []nats.Option{
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil { // else the command is done
				fmt.Fprintln(a.errOut, "hubgate: NATS does not answer any more; waiting for it to come back")
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { fmt.Fprintln(a.errOut, "hubgate: NATS answers again") }),
	}
}

// seedOption is nats.NkeyOptionFromSeed with its error put off to the connect.
func seedOption(file string) nats.Option {
	opt, err := nats.NkeyOptionFromSeed(file)
	if err != nil {
		err = fmt.Errorf("read the seed of the NATS user in %s: %w", file, err)
		return func(*nats.Options) error { return err }
	}
	return opt
}

// unreachable says why there is no connection to NATS, and what to do.
func unreachable(cfg *config.Config, local bool, err error) error {
	cfg.Redact()
	wrong := wrongFile(cfg.NATS)
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return usagef("connect to NATS at %s: %w", cfg.NATS.URL, err)
	case wrong != nil:
		return usagef("connect to NATS at %s: %w", cfg.NATS.URL, wrong)
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrAuthRevoked):
		return hub.Errorf(hub.Unauthorized, "NATS at %s refuses the user: give its credentials with --creds (%w)", cfg.NATS.URL, err)
	case untrusted:
		return usagef("the certificate of NATS at %s is not trusted: give the file of its authority with nats.ca, or HUBGATE_NATS_CA, and name the server as its certificate does (%w)", cfg.NATS.URL, err)
	case local:
		return hub.Errorf(hub.ServiceUnavailable, "the hub of this data directory is not running: it was not stopped cleanly, and nothing answers at %s any more; start it again with 'hubgate dev' (%w)", cfg.NATS.URL, err)
	}
	return hub.Errorf(hub.ServiceUnavailable, "NATS does not answer at %s: is it running, and is the URL right? (%w)", cfg.NATS.URL, err)
}

// wrongFile says which file that proves who a user of NATS is, or the server, can't
// be read, or is something else. No error has any of its text.
func wrongFile(c config.NATS) error {
	if c.Creds != "" {
		text, err := os.ReadFile(c.Creds)
		if err != nil {
			return err
		}
		if _, err := nkeys.ParseDecoratedNKey(text); err != nil {
			return fmt.Errorf("%s holds no credentials of a NATS user: %w", c.Creds, err)
		}
	}
	o := nats.GetDefaultOptions()
	for _, opt := range natsOptions(c) {
		if err := opt(&o); err != nil {
			return err
		}
	}
	return nil
}

// hostName is what devices call the hub.
func (r *remote) hostName(ctx context.Context) (string, error) {
	if r.host != "" {
		return r.host, nil
	}
	name, err := r.HostName(ctx)
	if err != nil {
		return "", fmt.Errorf("find the host name of the hub (or give it with --host): %w", err)
	}
	return name, nil
}
