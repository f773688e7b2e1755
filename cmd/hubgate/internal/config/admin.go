package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
)

// Admin is the administrative listener. See docs/admin.md.
type Admin struct {
	Listen        string   `key:"listen" flag:"admin-listen" doc:"Address and port of the administrative listener: /livez, /readyz, /version, /metrics and, with admin.pprof, /debug/pprof/. Port 0 takes any free one. none: there is none. Empty: 127.0.0.1:9610 with hubgate serve, or none if that is taken, and none with hubgate dev. An address that other machines reach needs admin.token_file or admin.client_ca_files."`
	TokenFile     string   `key:"token_file" doc:"File with the token, of 16 characters at least, that requests have to bear: Authorization: Bearer TOKEN. Whether the node lives and is ready is told without it, and why it is not is not."`
	CertFile      string   `key:"cert_file" doc:"PEM file of the certificate, with its chain, that the administrative listener shows. Empty: it speaks HTTP without TLS."`
	KeyFile       string   `key:"key_file" doc:"PEM file of its private key."`
	ClientCAFiles []string `key:"client_ca_files" doc:"PEM files of the authorities whose certificates let clients in, in place of the token or beside it. They need admin.cert_file."`
	Pprof         bool     `key:"pprof" doc:"Serve Go's profiles below /debug/pprof/. It can be switched while the node runs."`
}

// AdminNone is the admin.listen of a node without an administrative listener.
const AdminNone = "none"

// adminDefault is where a node in production listens. It must not keep a second
// node of the same machine from starting.
const adminDefault = "127.0.0.1:9610"

// completeAdmin fills in what is not set.
func (c *Config) completeAdmin(role Role) {
	if c.Admin.Listen != "" {
		return
	}
	c.Admin.Listen = AdminNone
	if role == Serve {
		c.Admin.Listen = adminDefault
	}
}

// AdminAddress returns the IP address and the port of the administrative
// listener; ok is false when there is none. firm says that it was asked for, and
// that the node must not do without.
func (c *Config) AdminAddress() (host string, port int, ok, firm bool) {
	if c.Admin.Listen == "" || c.Admin.Listen == AdminNone {
		return "", 0, false, false
	}
	e, err := c.adminEndpoint()
	if host = e.addr.String(); e.addr == netip.IPv6Unspecified() {
		host = "" // a machine may be without IPv6
	}
	return host, e.port, err == nil, c.origins["admin.listen"] != ""
}

func (c *Config) adminEndpoint() (endpoint, error) {
	e := endpoint{path: "admin.listen"}
	host, port, err := net.SplitHostPort(c.Admin.Listen)
	if err != nil {
		return e, fmt.Errorf("%s is not an address and port such as 127.0.0.1:9610, nor none", shown(c.Admin.Listen))
	}
	if e.port, err = strconv.Atoi(port); err != nil || e.port < 0 {
		return e, fmt.Errorf("%q is not a port", port)
	}
	e.addr, err = parseAddress(host)
	return e, err
}

// checkAdmin refuses a listener that anybody could use.
func (c *Config) checkAdmin() []error {
	a := &c.Admin
	var errs []error
	if (a.CertFile == "") != (a.KeyFile == "") {
		errs = append(errs, c.wrong("admin.cert_file", "a certificate needs both admin.cert_file and admin.key_file"))
	}
	if len(a.ClientCAFiles) > 0 && a.CertFile == "" {
		errs = append(errs, c.wrong("admin.client_ca_files", "clients can show certificates to a listener with TLS only: give admin.cert_file and admin.key_file too"))
	}
	if a.Listen == AdminNone || a.Listen == "" {
		return errs
	}
	e, err := c.adminEndpoint()
	if err != nil {
		return append(errs, c.wrong("admin.listen", "%w", err))
	}
	if !isLoopback(e.addr) && !a.Asks() {
		errs = append(errs, c.wrong("admin.listen", "%w", errors.New(a.Listen+" is reachable from other machines, and whoever reaches it could read all metrics: give admin.token_file or admin.client_ca_files, or use a loopback address")))
	}
	return errs
}

func isLoopback(a netip.Addr) bool { return a.Unmap().IsLoopback() }

// Asks reports whether requests have to show anything.
func (a Admin) Asks() bool { return a.TokenFile != "" || len(a.ClientCAFiles) > 0 }

// AdminIsReachable reports whether other machines reach the administrative listener.
func (c *Config) AdminIsReachable() bool {
	e, err := c.adminEndpoint()
	return err == nil && !isLoopback(e.addr)
}

// AdminIsBare reports whether the token passes the network readable.
func (c *Config) AdminIsBare() bool { return c.AdminIsReachable() && c.Admin.CertFile == "" }
