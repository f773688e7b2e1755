package config

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Addresses returns the IP addresses that the listeners of devices bind; an
// empty one means all interfaces.
func (c *Config) Addresses() []string {
	if len(c.Listen.Address) > 0 {
		return c.Listen.Address
	}
	if strings.EqualFold(c.Hub.Host, "localhost") {
		return []string{"127.0.0.1", "::1"}
	}
	if addr, err := netip.ParseAddr(c.Hub.Host); err == nil && addr.IsLoopback() {
		return []string{c.Hub.Host}
	}
	return []string{""}
}

// endpoint is a listener that is configured.
type endpoint struct {
	path string // of the value that names its port
	addr netip.Addr
	port int
}

// collides reports whether both cannot be bound at once.
func (e endpoint) collides(other endpoint) bool {
	if e.port == 0 || e.port != other.port {
		return false
	}
	return e.addr == other.addr || e.addr.IsUnspecified() || other.addr.IsUnspecified()
}

func (c *Config) checkListeners() []error {
	endpoints, errs := c.endpoints()
	for i, e := range endpoints {
		for _, other := range endpoints[:i] {
			if e.path != other.path && e.collides(other) {
				errs = append(errs, c.wrong(e.path, "%s is taken by %s; give them different ports", net.JoinHostPort(e.addr.String(), strconv.Itoa(e.port)), other.path))
			}
		}
	}
	return errs
}

func (c *Config) endpoints() ([]endpoint, []error) {
	var all []endpoint
	var errs []error
	for _, text := range c.Addresses() {
		addr, err := parseAddress(text)
		if err != nil {
			errs = append(errs, c.wrong("listen.address", "%w", err))
			continue
		}
		all = append(all, endpoint{"listen.mqtt_port", addr, c.Listen.MQTTPort}, endpoint{"listen.https_port", addr, c.Listen.HTTPSPort})
	}
	if c.NATS.Embedded {
		addr, err := parseAddress(c.NATS.Address)
		if err != nil {
			errs = append(errs, c.wrong("nats.address", "%w", err))
		}
		all = append(all, endpoint{"nats.port", addr, c.NATS.Port})
	}
	if c.Listen.Plain != "" {
		e, err := c.plain()
		if err != nil {
			errs = append(errs, c.wrong("listen.plain", "%w", err))
		}
		all = append(all, e)
	}
	if e, err := c.adminEndpoint(); err == nil { // else checkAdmin tells
		all = append(all, e)
	}
	for _, e := range all {
		if e.port > 65535 {
			errs = append(errs, c.wrong(e.path, "%d is not a port: the largest is 65535", e.port))
		}
	}
	return all, errs
}

// PlainAddress returns the IP address and the port of the listener without
// TLS.
func (c *Config) PlainAddress() (host string, port int, err error) {
	e, err := c.plain()
	return e.addr.String(), e.port, err
}

// plain reads the address of the listener without TLS.
func (c *Config) plain() (endpoint, error) {
	e := endpoint{path: "listen.plain"}
	host, port, err := net.SplitHostPort(c.Listen.Plain)
	if err != nil {
		return e, fmt.Errorf("%s is not an address and port such as 127.0.0.1:1883", shown(c.Listen.Plain))
	}
	if e.port, err = strconv.Atoi(port); err != nil || e.port < 0 {
		return e, fmt.Errorf("%q is not a port", port)
	}
	if e.addr, err = parseAddress(host); err != nil {
		return e, err
	}
	if !e.addr.IsLoopback() && !c.Listen.PlainInsecure {
		return e, fmt.Errorf("%s is reachable from other machines, and without TLS everybody on the way reads tokens and messages; use a loopback address, or add --plain-insecure if that is what you want", c.Listen.Plain)
	}
	return e, nil
}

// parseAddress reads an IP address; "" stands for all interfaces.
func parseAddress(s string) (netip.Addr, error) {
	switch {
	case s == "":
		return netip.IPv6Unspecified(), nil
	case strings.EqualFold(s, "localhost"):
		return netip.AddrFrom4([4]byte{127, 0, 0, 1}), nil
	}
	addr, err := netip.ParseAddr(s)
	if err != nil {
		return addr, fmt.Errorf("%s is not an IP address", shown(s))
	}
	return addr, nil
}
