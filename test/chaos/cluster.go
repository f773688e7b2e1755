//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// size is how many NATS servers and how many nodes there are.
const size = 3

// cluster is three NATS servers and the relays of all links to them.
type cluster struct {
	program string
	servers [size]*process
	clocks  [size]*clock
	ips     [size]string
	routes  map[[2]int]*relay // from server to server
	doors   map[[2]int]*relay // from node to server
	disk    *disk             // of the last server; nil: it has none of its own
}

// network is the loopback addresses of a run.
type network struct{ prefix string }

// ip is address number n.
func (n network) ip(host int) string { return n.prefix + strconv.Itoa(host) }

func (n network) at(host, port int) string { return net.JoinHostPort(n.ip(host), strconv.Itoa(port)) }

// The numbers of addresses in a network.
const (
	hostBalancer = 1
	hostNATS     = 11
	hostGateway  = 21
	hostRelay    = 31
	hostDead     = 250
)

// Ports of relays: those to server j for node or server i.
func doorPort(i, j int) int { return 4300 + 10*i + j }
func linkPort(i, j int) int { return 6300 + 10*i + j }

func newCluster(n network, dir string, p programs, d *disk) (*cluster, error) {
	c := &cluster{program: p.nats, routes: map[[2]int]*relay{}, doors: map[[2]int]*relay{}, disk: d}
	for j := range size {
		c.ips[j] = n.ip(hostNATS + j)
		for i := range size {
			if err := c.link(n, i, j); err != nil {
				c.close()
				return nil, err
			}
		}
	}
	for i := range size {
		s, err := c.server(n, dir, i)
		if err != nil {
			c.close()
			return nil, err
		}
		c.servers[i] = s
	}
	return c, nil
}

// link makes the relays from node i and from server i to server j.
func (c *cluster) link(n network, i, j int) error {
	var err error
	if c.doors[[2]int{i, j}], err = newRelay(n.at(hostRelay, doorPort(i, j)), n.at(hostNATS+j, natsPort)); err != nil {
		return err
	}
	if i != j {
		c.routes[[2]int{i, j}], err = newRelay(n.at(hostRelay, linkPort(i, j)), n.at(hostNATS+j, routePort))
	}
	return err
}

func (c *cluster) server(n network, dir string, i int) (*process, error) {
	name := fmt.Sprintf("nats-%d", i)
	var err error
	if c.clocks[i], err = newClock(filepath.Join(dir, name+".clock")); err != nil {
		return nil, err
	}
	s := natsSettings{
		Name: name, IP: c.ips[i], Store: filepath.Join(dir, name), Log: filepath.Join(dir, name+".log"), Dead: n.at(hostDead, routePort),
	}
	args := []string{c.program}
	if c.disk != nil && i == size-1 {
		s.Store = filepath.Join(c.disk.dir, "store")
		args = append(c.disk.enter(), c.program)
	}
	for j := range size {
		if j != i {
			s.Routes = append(s.Routes, n.at(hostRelay, linkPort(i, j)))
		}
	}
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	return &process{name: name, args: args, env: []string{natsChild + "=" + string(text), c.clocks[i].env()}, log: filepath.Join(dir, name+".err")}, nil
}

// start runs all servers, and waits until they are one cluster.
func (c *cluster) start(ctx context.Context) error {
	for _, s := range c.servers {
		if s.running() {
			continue
		}
		if err := s.start(ctx); err != nil {
			return err
		}
	}
	return c.healthy(ctx)
}

// healthy waits until every server says that it has all that it should have.
func (c *cluster) healthy(ctx context.Context) error {
	for i := range c.servers {
		var last string
		if !until(ctx, func() bool { last = c.health(ctx, i); return last == "" }) {
			return fmt.Errorf("nats-%d is not healthy after %v: %s", i, patience, last)
		}
	}
	return nil
}

// health is what keeps a server from being healthy; empty: nothing.
func (c *cluster) health(ctx context.Context, i int) string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	at := "http://" + net.JoinHostPort(c.ips[i], strconv.Itoa(monitorPort)) + "/healthz"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, http.NoBody)
	if err != nil {
		return err.Error()
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return err.Error()
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusOK {
		return ""
	}
	var body struct {
		Error string `json:"error"`
	}
	_ = json.NewDecoder(answer.Body).Decode(&body)
	return answer.Status + ": " + body.Error
}

// urls is where node i finds the servers.
func (c *cluster) urls(i int) string {
	var all []string
	for j := range size {
		all = append(all, "nats://"+c.doors[[2]int{i, j}].ln.Addr().String())
	}
	return strings.Join(all, ",")
}

// direct is where the back ends find the servers, past the relays.
func (c *cluster) direct() string {
	var all []string
	for _, ip := range c.ips {
		all = append(all, "nats://"+net.JoinHostPort(ip, strconv.Itoa(natsPort)))
	}
	return strings.Join(all, ",")
}

// heal lets everything through all relays.
func (c *cluster) heal() {
	for _, r := range c.routes {
		r.heal()
	}
	for _, r := range c.doors {
		r.heal()
	}
}

func (c *cluster) close() {
	for _, r := range c.routes {
		r.close()
	}
	for _, r := range c.doors {
		r.close()
	}
}
