package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
	"github.com/hubgate/hubgate/internal/pki"
)

// devCertificates are those that a development hub makes for itself. Read
// again, they are renewed if they end soon.
type devCertificates struct {
	*certificates

	made *pki.Development
}

// devCertDir is where a development hub keeps its certificates.
func devCertDir(cfg *config.Config) string { return filepath.Join(cfg.DataDir, "certs") }

func openDevCertificates(cfg *config.Config, log zerolog.Logger) (devCertificates, error) {
	dir := devCertDir(cfg)
	machine, _ := os.Hostname()
	names := pki.Names(cfg.Hub.Host, cfg.Hub.Aliases, machine)
	open := func() (*pki.Development, error) { return pki.Open(dir, names, time.Now()) }
	var d devCertificates
	var err error
	if d.made, err = open(); err != nil {
		return d, err
	}
	d.certificates = &certificates{
		read: func(*config.Config) pki.Reading {
			again, err := open()
			if err == nil && string(again.CA) != string(d.made.CA) {
				err = fmt.Errorf("%s is another authority now; start the hub again", again.CAFile)
			}
			if err != nil {
				return pki.Reading{Errors: []error{err}}
			}
			return pki.Reading{Certificates: again.Certificates}
		},
		files: func(*config.Config) []string {
			var files []string
			for _, name := range pki.DevelopmentFiles() {
				files = append(files, filepath.Join(dir, name))
			}
			return files
		},
	}
	return d, d.load(cfg, log)
}
