package backend

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/hub"
)

const (
	reconnectMin = 100 * time.Millisecond
	reconnectMax = 5 * time.Second
	// A dead peer is found after pingInterval times three: sooner than devices
	// give up, for another server may be there.
	pingInterval = 2 * time.Second
)

// backoff is how long to wait before attempt n, from 1: doubling, with jitter
// of half its length so that the nodes of a cluster do not come at once.
func backoff(n int) time.Duration {
	d := min(reconnectMin<<min(max(n-1, 0), 16), reconnectMax)
	return d/2 + rand.N(d/2+1)
}

// dialer makes connections to NATS as the configuration says.
type dialer struct {
	cfg    Config
	extra  []nats.Option
	faults *faults
}

// options is what every connection is made with; role is added to the name that
// NATS shows.
func (d *dialer) options(role string, opts ...nats.Option) []nats.Option {
	all := []nats.Option{
		nats.Name(strings.TrimSpace(d.cfg.Name + " " + role)),
		nats.Timeout(2 * time.Second), // of one server: there may be others
		nats.PingInterval(pingInterval),
		nats.MaxPingsOutstanding(2),
		nats.ErrorHandler(d.faults.handle),
		nats.CustomInboxPrefix(d.cfg.names().Inbox()),
	}
	all = append(all, d.credentials()...)
	all = append(all, opts...)
	return append(all, d.extra...)
}

// dial connects once.
func (d *dialer) dial(role string, opts ...nats.Option) (*nats.Conn, error) {
	var made atomic.Pointer[nats.Conn]
	if d.cfg.NKeySeedFile != "" {
		opts = append(opts, nats.ReconnectToServer(func([]nats.Server, nats.ServerInfo) (*nats.Server, time.Duration) {
			d.renew(made.Load())
			return nil, 0 // whichever is next
		}))
	}
	nc, err := nats.Connect(d.cfg.URL, d.options(role, opts...)...)
	if err != nil {
		return nil, d.explain(err)
	}
	made.Store(nc)
	return nc, nil
}

// renew has a connection that is lost come back as the user whose seed is in the file
// now. nats.go signs with that seed, but goes on showing the key of the one that was
// there at first. It holds the connection's lock when it chooses a server, which is
// what its options need.
func (d *dialer) renew(nc *nats.Conn) {
	if nc == nil {
		return
	}
	if opt, err := nats.NkeyOptionFromSeed(d.cfg.NKeySeedFile); err == nil { // else it is being written
		_ = opt(&nc.Opts)
	}
}

// parsed is what options say.
func (d *dialer) parsed(role string) (*nats.Options, error) {
	o := nats.GetDefaultOptions()
	for _, opt := range d.options(role) {
		if err := opt(&o); err != nil {
			return nil, d.explain(err)
		}
	}
	return &o, nil
}

// linker makes the connections of an engine: without nats.go if the server is in
// this process. It is nats.go's options that say so.
func (d *dialer) linker(role string) linker {
	return func(replies func(*mail)) (link, error) {
		o, err := d.parsed(role)
		if err != nil {
			return nil, err
		}
		if o.InProcessServer == nil {
			return linkByNATS(func(opts ...nats.Option) (*nats.Conn, error) { return d.dial(role, opts...) }, replies)
		}
		l, err := linkByWire(o, replies)
		if err != nil {
			return nil, d.explain(err)
		}
		return l, nil
	}
}

// forEver makes a connection that never gives up, and that fails a request at
// once while NATS is away instead of keeping it for later.
func forEver(log zerolog.Logger) []nats.Option {
	return []nats.Option{
		nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(),
		nats.CustomReconnectDelay(backoff),
		nats.ReconnectBufSize(-1),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn().Err(err).Msg("connection to NATS is lost; trying again until it is back")
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			log.Info().Str("server", nc.ConnectedServerName()).Msg("connected to NATS again")
		}),
	}
}

func (d *dialer) credentials() []nats.Option {
	c := d.cfg
	var opts []nats.Option
	if c.CredsFile != "" {
		opts = append(opts, nats.UserCredentials(c.CredsFile))
	}
	if c.NKeySeedFile != "" {
		opts = append(opts, func(o *nats.Options) error {
			opt, err := nats.NkeyOptionFromSeed(c.NKeySeedFile)
			if err != nil {
				return err
			}
			return opt(o)
		})
	}
	if c.CAFile != "" {
		opts = append(opts, nats.RootCAs(c.CAFile))
	}
	if c.CertFile != "" {
		opts = append(opts, nats.ClientCert(c.CertFile, c.KeyFile))
	}
	return opts
}

// explain says what an operator can do about a connection that failed.
func (d *dialer) explain(err error) error {
	where := redact(d.cfg.URL)
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, os.ErrPermission):
		return fmt.Errorf("read the credentials for NATS: %w", err)
	case errors.Is(err, nats.ErrNoServers), isAway(err):
		return hub.Errorf(hub.ServiceUnavailable, "no NATS server answers at %s; start it, or correct the URL: %w", where, err)
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired):
		return fmt.Errorf("NATS at %s refuses %s; check that they belong to this server: %w", where, d.who(), err)
	}
	if _, ok := errors.AsType[*url.Error](err); ok { // it has the URL, and what is in it
		return errors.New("connect to NATS: nats.url is not a URL; give nats://host:port, and percent-encode what is special in user and password")
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fmt.Errorf("the certificate of NATS at %s is not trusted; give its CA file: %w", where, err)
	}
	return fmt.Errorf("connect to NATS at %s: %w", where, err)
}

// isAway reports that nobody has answered: the network has no way to the server yet,
// nobody knows its name, or what stands in front of it has nobody to hand over to.
// nats.go has an error of its own for a port that is closed, and no other.
func isAway(err error) bool {
	if errors.Is(err, io.EOF) {
		return true
	}
	e, ok := errors.AsType[*net.OpError](err) // of TLS too, with other words in Op
	return ok && (e.Op == "dial" || e.Op == "read" || e.Op == "write")
}

func (d *dialer) who() string {
	switch {
	case d.cfg.CredsFile != "":
		return "the credentials in " + d.cfg.CredsFile
	case d.cfg.NKeySeedFile != "":
		return "the nkey in " + d.cfg.NKeySeedFile
	default:
		return "a connection without credentials"
	}
}

// redact removes passwords and tokens from a list of URLs.
func redact(urls string) string {
	parts := strings.Split(urls, ",")
	for i, p := range parts {
		u, err := url.Parse(strings.TrimSpace(p))
		if err != nil {
			parts[i] = "(not a URL)"
			continue
		}
		if u.User != nil {
			u.User = url.User("xxxxx")
		}
		parts[i] = u.String()
	}
	return strings.Join(parts, ",")
}

// faults keeps the latest refusal of a right, which NATS reports apart from
// the request that it is about: the request only runs out of time.
type faults struct {
	log zerolog.Logger

	mu     sync.Mutex
	denied string
	alarm  func() // called at a refusal; may be nil
}

func (f *faults) handle(_ *nats.Conn, sub *nats.Subscription, err error) {
	e := f.log.Warn().Err(err)
	if sub != nil {
		e = e.Str("subject", sub.Subject)
	}
	e.Msg("NATS reports an error")
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.denied = err.Error()
	if f.alarm != nil {
		f.alarm()
	}
}

// watch forgets what was refused so far and calls alarm at the next refusal.
func (f *faults) watch(alarm func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.denied, f.alarm = "", alarm
}

// take returns the latest refusal and forgets it.
func (f *faults) take() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.denied
	f.denied = ""
	return s
}
