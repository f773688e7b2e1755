package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
	"github.com/hubgate/hubgate/internal/pki"
)

type certExpiryCmd struct {
	configFlags `embed:""`

	Files  []string        `arg:"" optional:"" name:"file" help:"More files to look at, of certificates or revocation lists."`
	Within config.Duration `name:"within" placeholder:"DURATION" help:"Fail, with exit code 1, if something ends within this time, such as 30d."`
}

// ending is something that ends.
type ending struct {
	What     string    `json:"what"`
	Name     string    `json:"name"`
	File     string    `json:"file"`
	Ends     time.Time `json:"ends"`
	DaysLeft int       `json:"daysLeft"`
}

// Run shows when what the configuration names ends, soonest first.
func (c *certExpiryCmd) Run(a *app) error {
	now := time.Now()
	all, unread := c.endings(a, now)
	if len(all) > 0 {
		if err := a.showEndings(all); err != nil {
			return err
		}
	}
	if unread != nil || c.Within == 0 {
		return unread
	}
	soon := 0
	for _, e := range all {
		if e.Ends.Before(now.Add(time.Duration(c.Within))) {
			soon++
		}
	}
	if soon > 0 {
		return fmt.Errorf("%d of %d end within %v", soon, len(all), c.Within)
	}
	return nil
}

// endings reads every file. One that can't be read is an error: a forecast with
// a gap would be believed.
func (c *certExpiryCmd) endings(a *app, now time.Time) ([]ending, error) {
	cfg, err := a.load(c.configFlags)
	if err != nil {
		return nil, err
	}
	data, err := dataDir(cfg)
	if err != nil {
		return nil, err
	}
	files := append(watchedCertificates(cfg), developmentCertificates(data)...)
	for _, file := range c.Files {
		files = append(files, certFile{"file", file})
	}
	if len(files) == 0 {
		return nil, usagef("there is nothing to look at: name the configuration with --config, the data directory with --data-dir, or files")
	}
	var all []ending
	var errs []error
	for _, f := range files {
		found, err := f.endings(now)
		all, errs = append(all, found...), append(errs, err)
	}
	slices.SortStableFunc(all, func(a, b ending) int { return a.Ends.Compare(b.Ends) })
	return all, errors.Join(errs...)
}

// certFile is a file with certificates or revocation lists.
type certFile struct{ what, path string }

// issuerKind is what the authority is called that issues certificates to devices.
const issuerKind = "issuer"

// watchedCertificates are the files that a configuration names.
func watchedCertificates(cfg *config.Config) []certFile {
	kinds := map[string]string{
		"tls.cert_files": "server", "tls.client_ca_files": "client authority", "tls.crl_files": "revocation list", "tls.issuer_cert_file": issuerKind,
		"nats.ca": "NATS authority", "nats.cert": "NATS client", "nats.leaf.ca": "leaf's authority",
		"admin.cert_file": "administration", "admin.client_ca_files": "administrators' authority",
		"tracing.ca_file": "collector's authority",
	}
	var files []certFile
	for _, f := range cfg.Fields() {
		what, ok := kinds[f.Path]
		if !ok {
			continue
		}
		for _, path := range f.Values() {
			if path != "" {
				files = append(files, certFile{what, path})
			}
		}
	}
	return files
}

// developmentCertificates are those that hubgate dev has made, if it has.
func developmentCertificates(dataDir string) []certFile {
	var files []certFile
	for _, f := range []certFile{{"development authority", "ca.pem"}, {"server", "server.pem"}, {"server", "server-rsa.pem"}, {issuerKind, "device-ca.pem"}} {
		f.path = filepath.Join(dataDir, "certs", f.path)
		if _, err := os.Stat(f.path); !errors.Is(err, fs.ErrNotExist) {
			files = append(files, f)
		}
	}
	return files
}

func (f certFile) endings(now time.Time) ([]ending, error) {
	text, err := os.ReadFile(f.path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.what, err)
	}
	var all []ending
	lists := pki.ParseLists(text)
	for _, list := range lists {
		if list.NextUpdate.IsZero() { // it does not end
			continue
		}
		all = append(all, ending{"revocation list", list.Issuer.String(), f.path, list.NextUpdate.UTC(), pki.DaysLeft(list.NextUpdate, now)})
	}
	certs, err := pki.ParseCertificates(text)
	if err != nil && len(lists) == 0 {
		return nil, fmt.Errorf("%s: %s: %w", f.what, f.path, err)
	}
	for n, cert := range certs {
		what := f.what
		if n > 0 && cert.IsCA && f.what == "server" {
			what = "server's issuer"
		}
		name := cert.Subject.String()
		if names := pki.NamesOf(cert); len(names) > 0 {
			name = names[0]
			if len(names) > 1 {
				name += " and " + strconv.Itoa(len(names)-1) + " more"
			}
		}
		all = append(all, ending{what, name, f.path, cert.NotAfter.UTC(), pki.DaysLeft(cert.NotAfter, now)})
	}
	return all, nil
}

func (a *app) showEndings(all []ending) error {
	if a.format == formatJSON {
		return writeJSON(a.out, append([]ending{}, all...))
	}
	var rows []row
	for _, e := range all {
		rows = append(rows, row{strconv.Itoa(e.DaysLeft), timeText(e.Ends), e.What, visible(e.Name), e.File})
	}
	return writeTable(a.out, row{"DAYS LEFT", "ENDS", "WHAT", "NAME", "FILE"}, rows)
}
