package client

import (
	"errors"
	"fmt"
	neturl "net/url"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hubgate/hubgate/backend/subject"
)

// Options say which hub to connect to.
type Options struct {
	// URL of NATS, or several separated by commas. Empty: nats://127.0.0.1:4222.
	URL string
	// CredsFile holds the user's JWT and seed. A hub with an embedded server
	// makes two in its data directory: nats/backend.creds, with the rights of a
	// back-end app, and nats/hub.creds, which may see and make keys too.
	CredsFile string
	// Prefix of the hub's names. Empty: hub.
	Prefix string
	// Domain of JetStream, where leaf nodes have one.
	Domain string
	// NATS is further options of the connection; they win. Who asks for keys
	// should give nats.CustomInboxPrefix with [subject.Names.Inbox]: whoever may
	// subscribe to _INBOX.> sees the answers that come to common inboxes.
	NATS []nats.Option
}

// Client is a back-end app's view of a hub. It is safe for concurrent use.
type Client struct {
	nc    *nats.Conn
	js    jetstream.JetStream
	names subject.Names
	owned bool
	// denied is of a connection that Connect has made.
	denied *denials

	limits limits
}

// Connect connects to the NATS of a hub. The connection comes back by itself
// after an interruption.
func Connect(o Options) (*Client, error) {
	denied := &denials{}
	opts := []nats.Option{nats.Name("hubgate client"), nats.MaxReconnects(-1), nats.ErrorHandler(denied.handle)}
	if o.CredsFile != "" {
		opts = append(opts, nats.UserCredentials(o.CredsFile))
	}
	url := o.URL
	if url == "" {
		url = nats.DefaultURL
	}
	nc, err := nats.Connect(url, append(opts, o.NATS...)...)
	if _, ok := errors.AsType[*neturl.Error](err); ok { // it has the URL, and the password in it
		return nil, errors.New("connect to NATS: what is given is not a URL; give nats://host:port, and percent-encode what is special in user and password")
	}
	if err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	c, err := New(nc, o)
	if err != nil {
		nc.Close()
		return nil, err
	}
	c.owned, c.denied = true, denied
	return c, nil
}

// New uses a connection that is there already; of o it takes Prefix and
// Domain. Close leaves the connection open.
func New(nc *nats.Conn, o Options) (*Client, error) {
	names := subject.Names{Prefix: o.Prefix}
	if err := names.Validate(); err != nil {
		return nil, err
	}
	var js jetstream.JetStream
	var err error
	if o.Domain == "" {
		js, err = jetstream.New(nc)
	} else {
		js, err = jetstream.NewWithDomain(nc, o.Domain)
	}
	if err != nil {
		return nil, fmt.Errorf("open JetStream: %w", err)
	}
	return &Client{nc: nc, js: js, names: names, limits: limits{turn: make(chan struct{}, 1)}}, nil
}

// Conn is the connection to NATS.
func (c *Client) Conn() *nats.Conn { return c.nc }

// Names gives the names of the hub's subjects, streams and buckets.
func (c *Client) Names() subject.Names { return c.names }

// Close closes the connection if Connect has made it.
func (c *Client) Close() {
	if c.owned {
		c.nc.Close()
	}
}
