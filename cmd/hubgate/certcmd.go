package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/internal/pki"
)

type certCmd struct {
	CA      certCACmd      `cmd:"" name:"ca" help:"Make a private certificate authority."`
	Server  certServerCmd  `cmd:"" help:"Make a certificate for a hub, of such an authority."`
	Device  certDeviceCmd  `cmd:"" help:"Make a certificate for a device, or a module DEVICE/MODULE."`
	Inspect certInspectCmd `cmd:"" help:"Show the certificates of a file or of a server, and what the SDKs would say of them."`
	Expiry  certExpiryCmd  `cmd:"" help:"Show when everything ends that a hub shows or trusts."`
}

// outFlags say how a certificate is made and where it goes.
type outFlags struct {
	Key    pki.KeyKind `name:"key" enum:"ecdsa,rsa" default:"ecdsa" help:"Kind of key: ecdsa, or rsa for old TLS stacks."`
	OutDir string      `name:"out-dir" default:"." placeholder:"DIR" help:"Where the files go."`
	Force  bool        `name:"force" help:"Replace files that exist."`
}

// issuerFlags name the authority that signs.
type issuerFlags struct {
	configFlags `embed:""`

	CA string `name:"ca" placeholder:"DIR" help:"Directory of the authority, as 'hubgate cert ca' makes it. Default: that of the development hub with the data directory."`
}

// The names of an authority's files without their ending.
const (
	rootName         = "ca"
	intermediateName = "intermediate"
)

const day = 24 * time.Hour

type certCACmd struct {
	outFlags `embed:""`

	Name         string `name:"name" default:"Hubgate private CA" placeholder:"NAME" help:"Common name of the authority."`
	Days         int    `name:"days" default:"3650" placeholder:"N" help:"How long it is valid."`
	Intermediate bool   `name:"intermediate" help:"Make an authority below it too, which then signs. If the directory has a root already, only that."`
}

// Run makes a root, an intermediate authority, or both.
func (c *certCACmd) Run(a *app) error {
	if strings.TrimSpace(c.Name) == "" {
		return usagef("--name: an authority needs a name, by which its certificates tell who has issued them")
	}
	now := time.Now()
	until, err := c.until(c.Days, now)
	if err != nil {
		return err
	}
	request := pki.Request{Name: c.Name, Kind: c.Key, Until: until}
	root, err := pki.LoadIssuer(c.file(rootName, ".pem"), c.file(rootName, ".key"), now)
	if !c.Intermediate || errors.Is(err, fs.ErrNotExist) && !c.halfARoot() {
		if root, err = pki.NewRoot(request, now); err != nil {
			return err
		}
		if err := c.save(a, rootName, root, ""); err != nil {
			return err
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return usagef("there is one half of a root, and an authority below it needs both: %w", err)
	case err != nil || !c.Intermediate:
		return err
	}
	request.Name += " (intermediate)"
	below, err := root.Intermediate(request, now)
	if err != nil {
		return usageError{err}
	}
	return c.save(a, intermediateName, below, c.file(rootName, ".pem"))
}

// halfARoot reports whether a root is there, of which something is kept
// elsewhere.
func (c *certCACmd) halfARoot() bool {
	_, noCert := os.Lstat(c.file(rootName, ".pem"))
	_, noKey := os.Lstat(c.file(rootName, ".key"))
	return noCert == nil || noKey == nil
}

type certServerCmd struct {
	issuerFlags `embed:""`
	outFlags    `embed:""`

	Names []string `arg:"" name:"name" help:"DNS names and IP addresses that devices dial; a name may begin with '*.'."`
	Days  int      `name:"days" default:"396" placeholder:"N" help:"How long it is valid."`
}

// Run makes the certificate of a server.
func (c *certServerCmd) Run(a *app) error {
	for _, name := range c.Names {
		if !pki.ValidName(name) {
			return usagef("%q is neither a DNS name nor an IP address", name)
		}
	}
	now := time.Now()
	until, err := c.until(c.Days, now)
	if err != nil {
		return err
	}
	issuer, root, err := a.issuer(c.issuerFlags, now)
	if err != nil {
		return err
	}
	made, err := issuer.Server(pki.Request{Name: c.Names[0], Names: c.Names, Kind: c.Key, Until: until}, now)
	if err != nil {
		return err
	}
	return c.save(a, c.Names[0], made, root)
}

type certDeviceCmd struct {
	issuerFlags `embed:""`
	outFlags    `embed:""`

	ID         string `arg:"" help:"Id of the device, or DEVICE/MODULE."`
	Days       int    `name:"days" default:"396" placeholder:"N" help:"How long it is valid."`
	SelfSigned bool   `name:"self-signed" help:"Without an authority, for a device that is registered with the thumbprint."`
}

// Run makes the certificate of a device or module.
func (c *certDeviceCmd) Run(a *app) error {
	id, err := hub.ParseIdentity(c.ID)
	if err != nil {
		return usagef("%s", sentence(err))
	}
	now := time.Now()
	until, err := c.until(c.Days, now)
	if err != nil {
		return err
	}
	var issuer *pki.Issued
	root := ""
	if !c.SelfSigned {
		if issuer, root, err = a.issuer(c.issuerFlags, now); err != nil {
			return err
		}
	}
	made, err := issuer.Device(pki.Request{Name: id.String(), Kind: c.Key, Until: until}, now)
	if err != nil {
		return err
	}
	return c.save(a, id.String(), made, root)
}

// issuer opens an authority: its intermediate one, if there is one. It returns
// where the root is, too.
func (a *app) issuer(flags issuerFlags, now time.Time) (*pki.Issued, string, error) {
	dir, ours := flags.CA, "'hubgate cert ca' makes one"
	if dir == "" {
		cfg, err := a.load(flags.configFlags)
		if err != nil {
			return nil, "", err
		}
		data, err := dataDir(cfg)
		if err != nil {
			return nil, "", err
		}
		dir, ours = filepath.Join(data, "certs"), "'hubgate dev' makes one there, and --ca names another"
	}
	root := filepath.Join(dir, rootName+".pem")
	issuer, err := pki.LoadIssuer(filepath.Join(dir, intermediateName+".pem"), filepath.Join(dir, intermediateName+".key"), now)
	if err == nil {
		return issuer, root, isBelow(issuer, dir, root)
	}
	if errors.Is(err, fs.ErrNotExist) {
		issuer, err = pki.LoadIssuer(root, filepath.Join(dir, rootName+".key"), now)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", usagef("there is no authority in %s: %s (%w)", dir, ours, err)
	}
	return issuer, root, err
}

// isBelow refuses an intermediate authority that is left from another root: nobody
// who trusts this one would trust what it signs. The root may be kept elsewhere.
func isBelow(i *pki.Issued, dir, root string) error {
	text, err := os.ReadFile(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	certs, err := pki.ParseCertificates(text)
	if err != nil {
		return fmt.Errorf("%s: %w", root, err)
	}
	if i.Certificate().CheckSignatureFrom(certs[0]) != nil {
		return usagef("the intermediate authority in %s was not issued by %s: make another one with 'hubgate cert ca --intermediate --force --out-dir %s'", dir, root, dir)
	}
	return nil
}

// dataDir is the data directory of the configuration, or the default one.
func dataDir(cfg *config.Config) (string, error) {
	dir := cfg.DataDir
	if dir == "" {
		var err error
		if dir, err = config.DefaultDataDir(); err != nil {
			return "", usagef("%w; give it with --data-dir", err)
		}
	}
	return dir, nil
}

func (f outFlags) until(days int, now time.Time) (time.Time, error) {
	if days < 1 || days > 36500 {
		return now, usagef("--days: %d is not from 1 to 36500", days)
	}
	return now.Add(time.Duration(days) * day), nil
}

func (f outFlags) file(name, ext string) string { return filepath.Join(f.OutDir, fileName(name)+ext) }

// fileName makes a file's name of a host name or an id: what a shell or a file
// system might take for something else is written as =XX.
func fileName(name string) string {
	var b strings.Builder
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', i > 0 && (c == '-' || c == '.'):
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "=%02X", c)
		}
	}
	return b.String()
}

// made is what a command that makes a certificate prints.
type made struct {
	CertFile string `json:"certFile"`
	KeyFile  string `json:"keyFile"`
	CAFile   string `json:"caFile,omitempty"`

	pki.Description
}

// save writes a certificate and its key, and prints what they are. caFile is
// where the root of its chain is; empty: it has none above it.
func (f outFlags) save(a *app, name string, i *pki.Issued, caFile string) error {
	m := made{f.file(name, ".pem"), f.file(name, ".key"), caFile, pki.Describe(i.Certificate(), time.Now())}
	key, err := i.KeyPEM()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(f.OutDir, 0o700); err != nil {
		return fmt.Errorf("make the directory of the files: %w", err)
	}
	if !f.Force {
		for _, file := range []string{m.CertFile, m.KeyFile} {
			if _, err := os.Lstat(file); err == nil {
				return hub.Errorf(hub.PreconditionFailed, "%s exists: choose another --out-dir, or replace it with --force", file)
			}
		}
	}
	if err := f.write(m.KeyFile, key, 0o600); err != nil {
		return err
	}
	if err := f.write(m.CertFile, i.CertPEM(), 0o644); err != nil {
		return err
	}
	if a.format == formatJSON {
		return writeJSON(a.out, m)
	}
	return writePairs(a.out, []row{
		{"Certificate", m.CertFile},
		{"Key", m.KeyFile},
		{"Root", cmp.Or(m.CAFile, "")},
		{"Subject", m.Subject},
		{"Names", strings.Join(m.Names, ", ")},
		{"Valid until", timeText(m.NotAfter)},
		{"SHA-1", m.SHA1},
		{"SHA-256", m.SHA256},
	})
}

// write writes a file whole or not at all. Without --force it never replaces
// one, even one that comes into being at this moment.
func (f outFlags) write(path string, text []byte, mode fs.FileMode) error {
	temp, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() { _ = os.Remove(temp.Name()) }()
	_, err = temp.ReadFrom(bytes.NewReader(text))
	err = errors.Join(err, temp.Chmod(mode), temp.Sync(), temp.Close())
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if f.Force {
		err = os.Rename(temp.Name(), path)
	} else {
		err = os.Link(temp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
