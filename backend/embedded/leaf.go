package embedded

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
)

// Leaf is a link to another NATS, which gets what is published here as far as
// somebody there wants it, and reaches the services here. The zero value: there is
// none. The server works as well while the link is down, and dials for ever.
type Leaf struct {
	// URL of the other NATS' listener for leaf nodes, or several with commas.
	URL string
	// CredsFile is the user there. Empty: the URL has one, or none is needed.
	CredsFile string
	// CAFile verifies the server there in place of the system's roots, and has the
	// link use TLS whatever the URL says.
	CAFile string
	// DenyImports are subjects on which nobody there reaches anybody here, and
	// DenyExports those on which nothing goes there.
	DenyImports, DenyExports []string
}

func (l Leaf) isSet() bool { return l.URL != "" }

// remote is the link as nats-server has it.
func (l Leaf) remote(account string) (*server.RemoteLeafOpts, error) {
	r := &server.RemoteLeafOpts{
		LocalAccount: account, Credentials: l.CredsFile, DenyImports: slices.Clone(l.DenyImports), DenyExports: slices.Clone(l.DenyExports),
	}
	for text := range strings.SplitSeq(l.URL, ",") {
		u, err := leafURL(text)
		if err != nil {
			return nil, err
		}
		r.TLS = r.TLS || u.Scheme == "tls" || u.Scheme == "wss"
		r.URLs = append(r.URLs, u)
	}
	if _, err := os.Stat(l.CredsFile); l.CredsFile != "" && err != nil {
		return nil, fmt.Errorf("read the credentials of the leaf link (nats.leaf.creds): %w", err)
	}
	if r.TLS = r.TLS || l.CAFile != ""; !r.TLS {
		return r, nil
	}
	var err error
	r.TLSConfig, err = l.trust()
	return r, err
}

func leafURL(text string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSpace(text))
	if err != nil || u.Host == "" { // the error has the URL, and what is in it
		return nil, errors.New("nats.leaf.url is not a URL; give nats://host:7422 or tls://host:7422, where the other NATS takes leaf nodes")
	}
	if !slices.Contains([]string{"nats", "tls", "nats-leaf", "ws", "wss"}, u.Scheme) {
		return nil, fmt.Errorf("nats.leaf.url begins with %q; give nats://, tls://, ws:// or wss://", cmp.Or(u.Scheme, "nothing"))
	}
	return u, nil
}

// trust is how the server there is verified.
func (l Leaf) trust() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if l.CAFile == "" {
		return c, nil
	}
	text, err := os.ReadFile(l.CAFile)
	if err != nil {
		return nil, fmt.Errorf("read the authority of the leaf link (nats.leaf.ca): %w", err)
	}
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s (nats.leaf.ca) has no certificate in PEM", l.CAFile)
	}
	return c, nil
}

// join makes the server a leaf. Of two leaves with one name the other NATS would
// take the second for a new connection of the first.
func (c Config) join(opts *server.Options, account string) error {
	opts.JetStreamDomain = c.Domain
	if !c.Leaf.isSet() {
		return nil
	}
	r, err := c.Leaf.remote(account)
	if err != nil {
		return err
	}
	opts.ServerName = "hubgate-" + c.Domain
	opts.LeafNode.Remotes = []*server.RemoteLeafOpts{r}
	return nil
}

// Linked reports whether the link to the other NATS is up.
func (s *Server) Linked() bool { return s.srv.NumLeafNodes() > 0 }
