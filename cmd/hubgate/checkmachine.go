package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/hubgate/hubgate/backend"
	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
)

const (
	// fewFiles is for how few open files a hub that grows would be throttled.
	fewFiles = 4096
	// littleSpace and noSpace are what a disk should have left.
	littleSpace, noSpace = 2 << 30, 64 << 20
	probeTimeout         = 5 * time.Second
)

// dataDir looks for a hub that runs with the data directory, and for room.
func (k *checkup) dataDir() {
	dir := k.cfg.DataDir
	if !k.cfg.NATS.Embedded || dir == "" {
		return
	}
	if h, err := readHubFile(dir); err == nil && answers(h.NATSURL) {
		k.hub = &h
		k.good("data directory", "%s: a hub runs with it (pid %d)", dir, h.PID)
	}
	parent := existing(dir)
	info, err := os.Stat(parent)
	switch {
	case err != nil || !info.IsDir():
		k.bad("data directory", parent+" is not a directory", "choose another one with --data-dir")
		return
	case !mayWrite(parent):
		k.bad("data directory", "this user may not write to "+parent, "give it to the user that runs the hub, or choose another one with --data-dir")
		return
	case k.hub == nil && parent == dir:
		k.good("data directory", "%s can be written", dir)
	case k.hub == nil:
		k.good("data directory", "%s is made at the first start", dir)
	}
	k.disk(parent)
}

// disk looks for room; how much there is, is not known everywhere.
func (k *checkup) disk(dir string) {
	switch free := freeBytes(dir); {
	case free < 0:
	case free < noSpace:
		k.bad("disk", fmt.Sprintf("%s has %d MiB left: nothing can be stored", dir, free>>20), "make room")
	case free < littleSpace:
		k.warn("disk", fmt.Sprintf("%s has %d MiB left: streams are made small", dir, free>>20), "make room, or choose another disk with --data-dir")
	default:
		k.good("disk", "%d GiB are free", free>>30)
	}
}

// existing is the deepest part of a path that is there.
func existing(path string) string {
	for {
		if _, err := os.Stat(path); err == nil || path == filepath.Dir(path) {
			return path
		}
		path = filepath.Dir(path)
	}
}

// answers reports whether something listens at the host and port of a URL.
func answers(url string) bool {
	host, err := hostPort(url)
	if err != nil {
		return false
	}
	d := net.Dialer{Timeout: probeTimeout}
	c, err := d.DialContext(context.Background(), "tcp", host)
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

// mayWrite reports whether a file can be made in a directory; it is gone again.
func mayWrite(dir string) bool {
	f, err := os.CreateTemp(dir, ".check-*")
	if err != nil {
		return false
	}
	_ = f.Close()
	return os.Remove(f.Name()) == nil
}

func (k *checkup) openFiles() {
	most := openFiles()
	if most <= 0 {
		return
	}
	remedy := "raise it: LimitNOFILE= in the systemd unit, ulimit -n in a shell, --ulimit nofile= of a container"
	_, connections := fitFiles(k.cfg.Limits.HalfOpen, k.cfg.Limits.Connections, most)
	text := fmt.Sprintf("this process may open %d: room for %d connections", most, connections)
	switch want := k.cfg.Limits.Connections; {
	case most < 2*spareFiles:
		k.bad("open files", text, remedy)
	case want > connections:
		k.warn("open files", fmt.Sprintf("%s, and limits.connections asks for %d", text, want), remedy)
	case most < fewFiles:
		k.warn("open files", text, remedy)
	default:
		k.good("open files", "%s", text)
	}
}

// localClock finds a clock that was never set.
func (k *checkup) localClock() {
	if now := time.Now(); now.Year() < 2025 {
		k.bad("clock", fmt.Sprintf("this machine believes that it is %s: no certificate and no token is valid", now.Format(time.DateOnly)), "set the clock, by NTP")
		return
	}
	k.good("clock", "%s", time.Now().UTC().Format(time.RFC3339))
}

// encryption tries the key of the embedded server on what is on disk.
func (k *checkup) encryption() {
	if !k.cfg.NATS.Embedded {
		return
	}
	e, err := encryptionOf(k.cfg.NATS, k.getenv)
	if err == nil {
		err = e.Check(k.cfg.DataDir)
	}
	switch {
	case err != nil:
		k.bad("encryption", err.Error(), "put the key where nats.encryption_key says")
	case e.Key == "":
		k.warn("encryption", "keys of devices are on disk in clear", "set nats.encryption_key, or encrypt the disk")
	default:
		k.good("encryption", "the key in %s fits", e.KeyName)
	}
}

// tracing checks what a collector of traces needs. Nobody asks the collector: it
// may come later.
func (k *checkup) tracing() {
	to, err := tracingOf(k.cfg.Tracing, k.getenv)
	switch {
	case err != nil:
		k.bad("traces", err.Error(), "put the file where the key says")
	case to != nil:
		k.good("traces", "go to %s", to.URL)
	}
}

// nats checks the server that the node is to use. The embedded one can be asked
// only while it runs.
func (k *checkup) nats(ctx context.Context) {
	cfg := backboneConfig(k.cfg, zerolog.Nop())
	var opts []nats.Option
	switch {
	case k.hub != nil:
		cfg.URL, cfg.CredsFile, cfg.NKeySeedFile = k.hub.NATSURL, k.hub.NATSCreds, ""
	case k.cfg.NATS.Embedded:
		if address := net.ParseIP(k.cfg.NATS.Address); address != nil && !address.IsLoopback() {
			k.warn("nats: TLS", "the embedded server listens on "+k.cfg.NATS.Address+" without TLS: credentials are safe there, messages and keys can be read", "leave nats.address alone and use a tunnel, or your own NATS with TLS")
		}
		k.good("nats", "the embedded server does not run; started, it makes what it needs")
		return
	case cfg.URL == "":
		return // said already
	}
	k.found = append(k.found, backend.Check(ctx, cfg, opts...)...)
}

// ports tries to bind what is to be bound. What is taken may be taken by this
// very hub.
func (k *checkup) ports(ctx context.Context) {
	l := k.cfg.Listen
	for _, address := range k.cfg.Addresses() {
		k.port(ctx, door{takes: "MQTT", flag: "--mqtt-port", port: l.MQTTPort}, address, k.isOurs)
		k.port(ctx, door{takes: "HTTPS", flag: "--https-port", port: l.HTTPSPort}, address, k.isOurs)
	}
	if l.Plain != "" {
		if host, port, err := k.cfg.PlainAddress(); err == nil {
			k.port(ctx, door{takes: "MQTT without TLS", flag: "--plain-listen", port: port}, host, func(string) bool { return k.hub != nil })
		}
	}
	k.adminPort(ctx)
	if k.cfg.NATS.Embedded {
		k.port(ctx, door{takes: "NATS", flag: "--nats-port", port: k.cfg.NATS.Port}, k.cfg.NATS.Address, func(where string) bool {
			if k.hub == nil {
				return false
			}
			at, err := hostPort(k.hub.NATSURL)
			return err == nil && at == where
		})
	}
}

// adminPort is ports for the administrative listener, without which a node starts
// too unless it was asked for.
func (k *checkup) adminPort(ctx context.Context) {
	host, port, wanted, firm := k.cfg.AdminAddress()
	if !wanted {
		return
	}
	if _, err := readAccess(k.cfg.Admin); err != nil {
		k.bad("administrative listener", err.Error(), "correct the admin section of the configuration, or the file")
	}
	d := door{takes: "administration", flag: "--admin-listen", port: port}
	ours := func(string) bool { return k.hub != nil && k.hub.Ports.Admin == port }
	if ln, err := d.bindOne(ctx, host); portTaken(err) && !firm && !ours("") {
		k.warn("port "+strconv.Itoa(port), "taken by another program: the node starts without its administrative listener", "choose another address with --admin-listen, or none")
		return
	} else if err == nil {
		_ = ln.Close()
	}
	k.port(ctx, d, host, ours)
}

func (k *checkup) port(ctx context.Context, d door, address string, ours func(where string) bool) {
	where := net.JoinHostPort(address, strconv.Itoa(d.port))
	what := "port " + strconv.Itoa(d.port)
	if d.port == 0 {
		k.good("port for "+d.takes, "any free one is taken")
		return
	}
	ln, err := d.bindOne(ctx, address)
	switch {
	case err == nil:
		_ = ln.Close()
		k.good(what, "free for %s", d.takes)
	case noSuchAddress(err) && address == "::1":
	case portTaken(err) && ours(where):
		k.good(what, "this hub has it already, for %s", d.takes)
	case portTaken(err):
		k.bad(what, fmt.Sprintf("taken by another program, and wanted for %s", d.takes), "stop that program, or choose another port with "+d.flag)
	case mayNotBind(err) && k.role == config.Dev:
		k.warn(what, "this user may not open it: hubgate dev takes another one", mayBind())
	case mayNotBind(err):
		k.bad(what, "this user may not open it, for "+d.takes, mayBind())
	default:
		k.bad(what, err.Error(), "choose another address with --listen, or another port with "+d.flag)
	}
}
