package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/internal/pki"
)

type certInspectCmd struct {
	What string `arg:"" name:"file|host:port" help:"PEM or DER file, or the address of a server, such as hub.example.com:8883."`
	Name string `name:"name" placeholder:"HOST" help:"Name that devices dial. Default: the host of host:port; of a file, none is looked for."`
	RSA  bool   `name:"rsa" help:"Ask a server for what a client without ECDSA gets."`
}

// inspection is what the command prints.
type inspection struct {
	Source       string            `json:"source"`
	Name         string            `json:"name,omitempty"`
	Version      string            `json:"version,omitempty"` // of TLS
	Certificates []pki.Description `json:"certificates"`
	Findings     []pki.Finding     `json:"findings"`
}

// Run shows certificates; what is wrong with them is no failure of the command.
func (c *certInspectCmd) Run(ctx context.Context, a *app) error {
	now := time.Now()
	found := inspection{Source: c.What, Name: c.Name}
	var chain []*x509.Certificate
	text, err := os.ReadFile(c.What)
	host, port, noAddress := net.SplitHostPort(c.What)
	if noAddress == nil { // the path of a file may have a colon too
		_, noAddress = net.DefaultResolver.LookupPort(ctx, "tcp", port)
	}
	switch {
	case err == nil:
		if chain, err = pki.ParseCertificates(text); err != nil {
			return fmt.Errorf("%s: %w", c.What, err)
		}
	case noAddress != nil:
		return hub.Errorf(hub.NotFound, "%q is neither a file that can be read nor an address such as hub.example.com:8883 (%w)", c.What, err)
	default:
		if c.Name == "" {
			found.Name = host
		}
		if chain, found.Version, err = c.dial(ctx, net.JoinHostPort(host, port), found.Name); err != nil {
			return err
		}
	}
	for _, cert := range chain {
		found.Certificates = append(found.Certificates, pki.Describe(cert, now))
	}
	if found.Name == "" && pki.IsDevice(chain[0]) {
		found.Findings = pki.InspectDevice(chain, now)
	} else {
		found.Findings = pki.InspectServer(chain, found.Name, now)
	}
	if a.format == formatJSON {
		return writeJSON(a.out, found)
	}
	return a.showInspection(found)
}

// dial asks a server for its certificates, and believes none of them.
func (c *certInspectCmd) dial(ctx context.Context, address, name string) ([]*x509.Certificate, string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*dialTimeout)
	defer cancel()
	cfg := &tls.Config{ServerName: name, InsecureSkipVerify: true} // looking is all that it does
	if c.RSA {
		cfg.MaxVersion = tls.VersionTLS12
		cfg.CipherSuites = []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384}
	}
	conn, err := (&tls.Dialer{Config: cfg}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, "", fmt.Errorf("ask %s for its certificates: %w", address, err)
	}
	defer func() { _ = conn.Close() }()
	t, ok := conn.(*tls.Conn)
	if !ok {
		return nil, "", fmt.Errorf("ask %s for its certificates: no TLS", address)
	}
	state := t.ConnectionState()
	return state.PeerCertificates, tls.VersionName(state.Version), nil
}

// showInspection prints certificates for people.
func (a *app) showInspection(found inspection) error {
	if found.Version != "" {
		if err := a.say("%s shows, by %s, to who asks for %s:", found.Source, found.Version, found.Name); err != nil {
			return err
		}
	}
	for n, d := range found.Certificates {
		title := fmt.Sprintf("Certificate %d of %d", n+1, len(found.Certificates))
		if d.Authority {
			title += ", an authority"
		}
		if err := a.say("%s", title); err != nil {
			return err
		}
		err := writePairs(a.out, []row{
			{"  Subject", visible(d.Subject)},
			{"  Names", visible(strings.Join(d.Names, ", "))},
			{"  Issuer", visible(d.Issuer)},
			{"  Valid", fmt.Sprintf("%s to %s (%s)", timeText(d.NotBefore), timeText(d.NotAfter), daysText(d.DaysLeft))},
			{"  Key", d.Key + ", signed with " + d.Signature},
			{"  SHA-1", d.SHA1},
			{"  SHA-256", d.SHA256},
		})
		if err != nil {
			return err
		}
	}
	if len(found.Findings) == 0 {
		return a.say("Nothing is wrong with it.")
	}
	rows := []row{}
	for _, f := range found.Findings {
		rows = append(rows, row{"  " + f.Level, f.Who + ":", visible(f.Text)})
	}
	if err := a.say("Findings"); err != nil {
		return err
	}
	return align(a.out, rows)
}

func daysText(n int) string {
	switch {
	case n < 0:
		return fmt.Sprintf("ended %d days ago", -n)
	case n == 1:
		return "1 day left"
	}
	return fmt.Sprintf("%d days left", n)
}
