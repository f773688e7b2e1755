package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
	"github.com/hubgate/hubgate/hub"
)

type healthCmd struct {
	configFlags `embed:""`

	Address string          `name:"address" placeholder:"IP:PORT" help:"Where to ask, in place of the configured admin.listen."`
	Live    bool            `name:"live" help:"Ask whether the node lives, in place of whether it is ready for devices."`
	Timeout config.Duration `name:"timeout" default:"4s" placeholder:"TIME" help:"How long to wait for the answer."`
}

// Run asks the node of this machine how it is. It is for containers that hold
// this program and nothing else.
func (c *healthCmd) Run(ctx context.Context, a *app) error {
	cfg, err := a.load(c.configFlags)
	if err != nil {
		return err
	}
	address, err := adminAddress(cmp.Or(c.Address, cfg.Admin.Listen, adminDefault))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(c.Timeout))
	defer cancel()
	path := "/readyz"
	if c.Live {
		path = "/livez"
	}
	// A listener with TLS shows a certificate for another name than this one: it
	// is asked from the same machine, and is told nothing.
	status, text, err := askHealth(ctx, "http://"+address+path)
	if err == nil && status == http.StatusBadRequest {
		status, text, err = askHealth(ctx, "https://"+address+path)
	}
	if err != nil {
		return hub.Errorf(hub.ServiceUnavailable, "the administrative listener does not answer at %s: does the node run, and is that its admin.listen? (%w)", address, err)
	}
	if status != http.StatusOK {
		return hub.Errorf(hub.ServiceUnavailable, "%s says %d: %s", path, status, strings.TrimSpace(text))
	}
	if a.format == formatJSON {
		return writeJSON(a.out, map[string]bool{"ok": true})
	}
	return a.say("ok")
}

// adminDefault is where a node listens for administrators if nothing is said.
const adminDefault = "127.0.0.1:9610"

// adminAddress is where a listener of this machine is reached from it.
func adminAddress(listen string) (string, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", usagef("the node has no administrative listener that could be asked: admin.listen is %q", listen)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if ip != nil && ip.To4() == nil {
			host = "::1"
		}
	}
	return net.JoinHostPort(host, port), nil
}

const healthAnswer = 16 << 10

func askHealth(ctx context.Context, url string) (status int, text string, err error) {
	client := &http.Client{
		Transport: &http.Transport{
			DisableKeepAlives: true, Proxy: nil,
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}, //nolint:gosec // see Run
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return errors.New("it leads elsewhere") },
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", fmt.Errorf("ask %s: %w", url, err)
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, healthAnswer))
	return response.StatusCode, string(body), err
}
