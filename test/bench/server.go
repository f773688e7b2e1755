//go:build linux

package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"time"
)

// errAbsent marks a target that this machine does not have.
var errAbsent = errors.New("not installed")

// The targets, as the table names them.
const (
	nameHubgate  = "hubgate"
	nameOffline  = "nats mqtt, offline sub"
	nameNoSub    = "nats mqtt, no sub"
	nameNATS     = "nats mqtt"
	nameNATSSub  = "nats mqtt, 1 sub"
	nameMosq     = "mosquitto, no sub"
	nameMosqSub  = "mosquitto, 1 sub"
	nameTLSD     = "bare Go TLS"
	nameRawInbox = "raw JetStream, own inbox"
	nameRawFull  = "raw JetStream, gateway's headers"
	nameRawJS    = "raw JetStream, js.PublishMsgAsync"
	nameGroup    = "hubgate, group sync"
	nameAlways   = "hubgate, sync always"
	nameDisk     = "fdatasync after each append"
	nameBareNATS = "bare NATS request"
	nameBareKV   = "bare KV, 16 callers"
	nameBareBig  = "bare KV, 16 callers, as long as a twin"
	nameBare64   = "bare KV, 64 callers"
	nameBareGet  = "bare get and delete, 16 callers"
)

// server is one running target with what a client has to know of it.
type server struct {
	name          string
	proc          *process
	plain, secure netip.AddrPort    // invalid: not offered
	config        *tls.Config       // for clients of secure
	who           func(i int) login // the device of connection i
	stored        *counter          // nil: it stores nothing, or nothing countable
	nats          natsSide
	web           webSide
	pprof         string // address of its profiles, empty: none
}

// natsSide is how to reach a server over NATS; creds is the path of a
// credentials file, or empty.
type natsSide struct{ url, creds string }

func (s *server) close() {
	if s.stored != nil {
		s.stored.close()
	}
	s.proc.stop()
}

// host is what every server is started with.
type host struct {
	dir      string // scratch space on a real disk
	core     int
	cert     certificate
	payload  []byte
	hubgate  string // path of the gateway's binary
	profiled bool   // a gateway is to serve profiles
}

// ready is the line that a child of the bench prints when it serves.
type ready struct {
	MQTT string `json:"mqtt"`
	NATS string `json:"nats"`
}

// startChild runs this program as a child and decodes its first line into v.
func (h *host) startChild(ctx context.Context, v any, args ...string) (*process, error) {
	return h.startSlowChild(ctx, startTimeout, v, args...)
}

// startSlowChild is startChild for one that has something to do before it
// prints its line.
func (h *host) startSlowChild(ctx context.Context, limit time.Duration, v any, args ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find own binary: %w", err)
	}
	p, err := startProcess(ctx, h.core, nil, self, append([]string{"child"}, args...)...)
	if err != nil {
		return nil, err
	}
	if err := p.firstLine(limit, v); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

// firstLine decodes the JSON line with which a process says, within limit, that
// it is ready.
func (p *process) firstLine(limit time.Duration, v any) error {
	timer := time.AfterFunc(limit, func() { p.out.Close() })
	defer timer.Stop()
	lines := bufio.NewScanner(p.out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if json.Unmarshal(lines.Bytes(), v) == nil {
			go discard(lines)
			return nil
		}
	}
	return fmt.Errorf("%s said nothing when started: %s", p.cmd.Path, p.tail)
}

// discard keeps the pipe of a running server empty.
func discard(lines *bufio.Scanner) {
	for lines.Scan() {
		continue
	}
}

// topic is what a simulated device publishes to. The gateway gets IoT Hub's
// telemetry topic with a property bag (see bag); the other brokers get the
// topic without, because the bag would cost them and mean nothing to them.
func topic(device string) string { return "devices/" + device + "/messages/events/" }

// deviceName is the id of simulated device i.
func deviceName(i int) string { return fmt.Sprintf("bench-%05d", i) }

// anyone is the device of a broker without accounts.
func (h *host) anyone(i int) login {
	name := deviceName(i)
	return login{
		connect: connect{ClientID: name, Clean: true, KeepAlive: 300}.append(nil),
		message: newPublish(strings.TrimSuffix(topic(name), "/"), h.payload),
	}
}

// startMosquitto runs mosquitto with a plain and a TLS listener, no persistence.
// It throws nothing away that a subscriber has not fetched yet, and a subscriber's
// window is that of the other targets: its default of 20 would be the limit, not it.
func (h *host) startMosquitto(ctx context.Context) (*server, error) {
	path, err := findMosquitto()
	if err != nil {
		return nil, err
	}
	plain, err := freePort()
	if err != nil {
		return nil, err
	}
	secure, err := freePort()
	if err != nil {
		return nil, err
	}
	conf := fmt.Sprintf(`per_listener_settings false
max_inflight_messages %d
max_queued_messages 0
allow_anonymous true
persistence false
log_type error
user root
set_tcp_nodelay true
listener %d 127.0.0.1
listener %d 127.0.0.1
certfile %s
keyfile %s
`, drainWindow, plain.Port(), secure.Port(), h.cert.certFile, h.cert.keyFile)
	file := h.dir + "/mosquitto.conf"
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		return nil, fmt.Errorf("write mosquitto's configuration: %w", err)
	}
	p, err := startProcess(ctx, h.core, nil, path, "-c", file)
	if err != nil {
		return nil, err
	}
	if err := p.listening(ctx, plain); err != nil {
		p.stop()
		return nil, err
	}
	return &server{name: nameMosq, proc: p, plain: plain, secure: secure, config: h.cert.client(), who: h.anyone}, nil
}

// startNATS runs nats-server's MQTT listener in a child; mode is "plain" or "tls".
func (h *host) startNATS(ctx context.Context, name, mode string) (*server, error) {
	dir, err := os.MkdirTemp(h.dir, "nats-")
	if err != nil {
		return nil, fmt.Errorf("make store directory: %w", err)
	}
	var r ready
	p, err := h.startChild(ctx, &r, "nats", dir, mode, h.cert.certFile, h.cert.keyFile)
	if err != nil {
		return nil, err
	}
	s := &server{name: name, proc: p, config: h.cert.client(), who: h.anyone, nats: natsSide{url: r.NATS}}
	addr, err := netip.ParseAddrPort(r.MQTT)
	if err != nil {
		s.close()
		return nil, fmt.Errorf("parse address of child: %w", err)
	}
	s.plain = addr
	if mode == "tls" {
		s.plain, s.secure = netip.AddrPort{}, addr
	}
	s.stored, err = newCounter(r.NATS, "", "$MQTT_msgs")
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// startOffline is startNATS with a durable subscriber that has gone away:
// without one nats-server acknowledges and stores nothing.
func (h *host) startOffline(ctx context.Context) (*server, error) {
	s, err := h.startNATS(ctx, nameOffline, "plain")
	if err != nil {
		return nil, err
	}
	if err := leaveSubscription(s.plain, "devices/#"); err != nil {
		s.close()
		return nil, fmt.Errorf("leave a subscription: %w", err)
	}
	return s, nil
}

// leaveSubscription makes a durable session with one filter and disconnects.
func leaveSubscription(addr netip.AddrPort, filter string) error {
	c, err := dialClient(addr, nil, login{connect: connect{ClientID: "away", KeepAlive: 60}.append(nil)})
	if err != nil {
		return err
	}
	defer c.close()
	answer, err := c.ask(appendSubscribe(nil, 1, filter))
	if err != nil {
		return err
	}
	return checkSuback(answer)
}

// startTLSD runs the bare TLS listener.
func (h *host) startTLSD(ctx context.Context) (*server, error) {
	var r ready
	p, err := h.startChild(ctx, &r, "tlsd", h.cert.certFile, h.cert.keyFile)
	if err != nil {
		return nil, err
	}
	addr, err := netip.ParseAddrPort(r.MQTT)
	if err != nil {
		p.stop()
		return nil, fmt.Errorf("parse address of child: %w", err)
	}
	return &server{name: nameTLSD, proc: p, secure: addr, config: h.cert.client(), who: h.anyone}, nil
}

// findMosquitto looks in PATH and where Debian puts it.
func findMosquitto() (string, error) {
	for _, name := range []string{"mosquitto", "/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errAbsent
}
