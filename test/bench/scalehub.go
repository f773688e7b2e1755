//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	hubclient "github.com/hubgate/hubgate/backend/client"
)

// The hub of the section scale is as in production: nodes without state, and a
// NATS server that is a process of its own.

// scaleHost is what its devices call it.
const scaleHost = "127.0.0.1"

// storeReady is the line of the child that is a NATS server.
type storeReady struct {
	NATS    string `json:"nats"`
	Monitor string `json:"monitor"`
}

// store is a NATS server with JetStream.
type store struct {
	proc *process
	dir  string
	storeReady
}

// scaleNode is a node of the hub.
type scaleNode struct {
	proc   *process
	secure netip.AddrPort
	began  time.Time
	ready  time.Duration // from its start until it takes devices
}

// childStore serves NATS from a directory; port 0 is any free one.
func childStore(ctx context.Context, dir, port string) error {
	opts := natsOptions(dir)
	n, err := strconv.Atoi(port)
	if err != nil {
		return fmt.Errorf("port %q: %w", port, err)
	}
	if n == 0 {
		n = natsserver.RANDOM_PORT
	}
	opts.DontListen, opts.Host, opts.Port = false, "127.0.0.1", n
	opts.HTTPHost, opts.HTTPPort = "127.0.0.1", natsserver.RANDOM_PORT
	s, err := startNATS(opts)
	if err != nil {
		return err
	}
	defer s.WaitForShutdown()
	defer s.Shutdown()
	if err := s.StartMonitoring(); err != nil {
		return fmt.Errorf("start monitoring: %w", err)
	}
	if err := announce(storeReady{NATS: s.ClientURL(), Monitor: "http://" + s.MonitorAddr().String()}); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// startStore runs a NATS server on what a directory holds.
func (b *bench) startStore(ctx context.Context, dir string) (*store, error) {
	s := &store{dir: dir}
	var err error
	s.proc, err = b.startSlowChild(ctx, scalePatience, &s.storeReady, "store", dir, "0")
	return s, err
}

// subscriptions is how many the server has, of all clients.
func (s *store) subscriptions(ctx context.Context) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Monitor+"/varz", nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, fmt.Errorf("ask the monitor: %w", err)
	}
	defer resp.Body.Close()
	var v struct {
		Subscriptions int `json:"subscriptions"`
	}
	return v.Subscriptions, json.NewDecoder(resp.Body).Decode(&v)
}

// onDisk is how much the server's files take.
func (s *store) onDisk() (int64, error) {
	var sum int64
	err := filepath.WalkDir(s.dir, func(_ string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			sum += info.Size()
		}
		return nil //nolint:nilerr // a file that is gone takes nothing
	})
	return sum, err
}

// startNode runs a node beside a NATS server, and waits until it takes devices.
func (b *bench) startNode(ctx context.Context, s *store, name string) (*scaleNode, error) {
	n := &scaleNode{began: time.Now()}
	var err error
	n.proc, err = startProcess(ctx, b.core, nil, b.hubgate, "serve", "-o", "json", "--nats", s.NATS, "--node", name,
		"--data-dir", filepath.Join(b.dir, "scale-"+name), "--host", scaleHost, "--mqtt-port", "0", "--https-port", "0",
		"--tls-cert", b.cert.certFile, "--tls-key", b.cert.keyFile, "--set", "limits.half_open=512", "--log-level", "warn")
	if err != nil {
		return nil, err
	}
	var r hubReady
	if err := n.proc.firstLine(scalePatience, &r); err != nil {
		n.proc.stop()
		return nil, err
	}
	n.ready = time.Since(n.began)
	n.secure = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), r.Ports.MQTT)
	return n, nil
}

// registryOf connects to the hub as its operator.
func (s *store) client() (*hubclient.Client, jetstream.JetStream, error) {
	c, err := hubclient.Connect(hubclient.Options{URL: s.NATS})
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(c.Conn(), jetstream.WithPublishAsyncMaxPending(fillInFlight))
	if err != nil {
		c.Close()
		return nil, nil, fmt.Errorf("open jetstream: %w", err)
	}
	return c, js, nil
}

// within calls f until it says that it is done, and returns how long it took.
func within(ctx context.Context, limit time.Duration, f func() (bool, error)) (time.Duration, error) {
	begin := time.Now()
	tick := time.NewTicker(scalePoll)
	defer tick.Stop()
	for {
		done, err := f()
		if err = errors.Join(err, ctx.Err()); err != nil || done {
			return time.Since(begin), err
		}
		if time.Since(begin) > limit {
			return 0, fmt.Errorf("not within %v", limit)
		}
		<-tick.C
	}
}
