package main

import (
	"context"
	"fmt"
	"net"
	"strconv"

	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
)

// listeners are the sockets that devices connect to.
type listeners struct{ mqtt, https, plain, admin []net.Listener }

func (l *listeners) close() {
	l.closeDevices()
	closeAll(l.admin)
}

// closeDevices closes what devices connect to.
func (l *listeners) closeDevices() {
	for _, all := range [][]net.Listener{l.mqtt, l.https, l.plain} {
		closeAll(all)
	}
}

// door is one kind of listener.
type door struct {
	takes    string // for people
	flag     string // that chooses the port
	port     int
	fallback int    // is taken, loudly, when this user may not bind port; 0: none
	loss     string // what does not work on the fallback

	listen func(ctx context.Context, network, address string) (net.Listener, error) // nil: the real one
}

// The ports that hubgate dev takes in place of 8883 and 443.
const (
	fallbackMQTT  = 8884
	fallbackHTTPS = 8443
)

// bindAll binds what is configured. On an error nothing stays bound.
func bindAll(ctx context.Context, cfg *config.Config, role config.Role, log zerolog.Logger) (*listeners, error) {
	l, err := bindDevices(ctx, cfg, role, log)
	if err != nil {
		return nil, err
	}
	if l.admin, err = bindAdmin(ctx, cfg, log); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// bindDevices binds what devices connect to.
func bindDevices(ctx context.Context, cfg *config.Config, role config.Role, log zerolog.Logger) (*listeners, error) {
	mqtt := door{takes: "MQTT", flag: "--mqtt-port", port: cfg.Listen.MQTTPort}
	https := door{takes: "HTTPS", flag: "--https-port", port: cfg.Listen.HTTPSPort}
	if role == config.Dev {
		mqtt.fallback, https.fallback = fallbackMQTT, fallbackHTTPS
		mqtt.loss = "until then the hub is reached by Node's SDK alone, with the port behind the HostName"
		https.loss = "until then MQTT over WebSocket does not work; MQTT on its own port does"
	}
	var l listeners
	var err error
	if l.mqtt, err = mqtt.bindOrFallBack(ctx, cfg.Addresses(), log); err != nil {
		return nil, err
	}
	if l.https, err = https.bindOrFallBack(ctx, cfg.Addresses(), log); err != nil {
		l.close()
		return nil, err
	}
	if cfg.Listen.Plain == "" {
		return &l, nil
	}
	host, port, err := cfg.PlainAddress()
	if err == nil {
		l.plain, err = door{takes: "MQTT without TLS", flag: "--plain-listen", port: port}.bind(ctx, []string{host})
	}
	if err != nil {
		l.close()
		return nil, err
	}
	return &l, nil
}

// bindOrFallBack binds the port, or the fallback when this user may not.
func (d door) bindOrFallBack(ctx context.Context, addresses []string, log zerolog.Logger) ([]net.Listener, error) {
	all, err := d.bind(ctx, addresses)
	if d.fallback == 0 || !mayNotBind(err) {
		return all, err
	}
	log.Warn().Int("wanted", d.port).Int("taken", d.fallback).
		Msgf("this user may not open port %d, which the SDKs have built in: %s, and start again; %s", d.port, mayBind(), d.loss)
	d.port = d.fallback
	return d.bind(ctx, addresses)
}

// bind binds the port on every address, the same one everywhere.
func (d door) bind(ctx context.Context, addresses []string) ([]net.Listener, error) {
	var all []net.Listener
	for i, address := range addresses {
		ln, err := d.bindOne(ctx, address)
		if err != nil && i > 0 && noSuchAddress(err) {
			continue // a machine without IPv6 has no ::1
		}
		if err != nil {
			closeAll(all)
			return nil, err
		}
		all = append(all, ln)
		d.port = portOf(ln)
	}
	return all, nil
}

// bindOne binds one address and says what to do when that fails.
func (d door) bindOne(ctx context.Context, address string) (net.Listener, error) {
	listen := d.listen
	if listen == nil {
		listen = new(net.ListenConfig).Listen
	}
	ln, err := listen(ctx, "tcp", net.JoinHostPort(address, strconv.Itoa(d.port)))
	if err == nil {
		return ln, nil
	}
	where := "port " + strconv.Itoa(d.port)
	if address != "" {
		where = "port " + strconv.Itoa(d.port) + " of " + address
	}
	switch {
	case portTaken(err):
		return nil, fmt.Errorf("%s, for %s, is taken: perhaps another hubgate runs; stop it, or choose another port with %s: %w", where, d.takes, d.flag, err)
	case mayNotBind(err):
		return nil, fmt.Errorf("this user may not open %s, for %s: %s: %w", where, d.takes, mayBind(), err)
	case noSuchAddress(err):
		return nil, fmt.Errorf("%s, for %s, cannot be opened: this machine does not have the address; choose one with --listen: %w", where, d.takes, err)
	}
	return nil, fmt.Errorf("open %s for %s: %w", where, d.takes, err)
}

func portOf(ln net.Listener) int {
	if a, ok := ln.Addr().(*net.TCPAddr); ok {
		return a.Port
	}
	return 0
}

func closeAll(all []net.Listener) {
	for _, ln := range all {
		_ = ln.Close()
	}
}
