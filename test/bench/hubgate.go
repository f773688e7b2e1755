//go:build linux

package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	hubclient "github.com/hubgate/hubgate/backend/client"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/sas"
)

const (
	tokenLife   = 12 * time.Hour
	agentOption = "/?api-version=2021-04-12&DeviceClientType=bench%2F1.0"

	// bag is what a device says of its message: a content type, an encoding
	// and three application properties, as the Node SDK writes them.
	bag = "%24.ct=application%2Fjson&%24.ce=utf-8&level=info&site=plant%207&seq=118"
)

// gatewayRun is how a gateway is started.
type gatewayRun struct {
	dir     string // below the work directory; kept between runs of the same name
	devices int    // how many identities it must know
	sync    string // durability.sync; empty: the default
}

// hubReady is the part that matters here of what hubgate dev -o json prints.
type hubReady struct {
	HostName  string `json:"hostName"`
	CAFile    string `json:"caFile"`
	NATSURL   string `json:"natsUrl"`
	NATSCreds string `json:"natsCreds"`
	Service   string `json:"serviceConnectionString"`
	Ports     struct {
		MQTT  uint16 `json:"mqtt"`
		Plain uint16 `json:"plain"`
		HTTPS uint16 `json:"https"`
	} `json:"ports"`
}

// gateway returns a starter of the gateway under test.
func (h *host) gateway(r gatewayRun) func(context.Context) (*server, error) {
	return func(ctx context.Context) (*server, error) { return h.startHubgate(ctx, r) }
}

// startHubgate runs hubgate dev as a user would, with free ports and the plain
// listener, and registers the simulated devices.
func (h *host) startHubgate(ctx context.Context, r gatewayRun) (*server, error) {
	args := []string{
		"dev", "-o", "json", "--data-dir", filepath.Join(h.dir, r.dir), "--host", "127.0.0.1",
		"--mqtt-port", "0", "--https-port", "0", "--nats-port", "0", "--plain-listen", "127.0.0.1:0",
	}
	if r.sync != "" {
		args = append(args, "--sync", r.sync)
	}
	var env []string
	pprof := ""
	if h.profiled {
		addr, err := freePort()
		if err != nil {
			return nil, err
		}
		pprof = addr.String()
		env = append(env, envPprof+"="+pprof)
	}
	p, err := startProcess(ctx, h.core, env, h.hubgate, args...)
	if err != nil {
		return nil, err
	}
	s, err := h.openHubgate(ctx, p, r.devices)
	if err != nil {
		p.stop()
		return nil, fmt.Errorf("%w: %s", err, p.tail)
	}
	s.pprof = pprof
	return s, nil
}

func (h *host) openHubgate(ctx context.Context, p *process, devices int) (*server, error) {
	var r hubReady
	if err := p.firstLine(startTimeout, &r); err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	text, err := os.ReadFile(r.CAFile)
	if err != nil || !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("read the gateway's CA %q: %w", r.CAFile, err)
	}
	logins, err := h.register(ctx, r, devices)
	if err != nil {
		return nil, err
	}
	stored, err := newCounter(r.NATSURL, r.NATSCreds, "HUB_TELEMETRY")
	if err != nil {
		return nil, err
	}
	loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	web, err := r.web(clientTLS(roots, r.HostName))
	if err != nil {
		return nil, err
	}
	return &server{
		name: nameHubgate, proc: p, stored: stored, nats: natsSide{r.NATSURL, r.NATSCreds}, web: web,
		plain: netip.AddrPortFrom(loopback, r.Ports.Plain), secure: netip.AddrPortFrom(loopback, r.Ports.MQTT),
		config: clientTLS(roots, r.HostName),
		who:    func(i int) login { return logins[i%len(logins)] },
	}, nil
}

// web is how to reach the REST API, as its owner.
func (r hubReady) web(config *tls.Config) (webSide, error) {
	c, err := sas.ParseConnectionString(r.Service)
	if err != nil {
		return webSide{}, err
	}
	key, err := sas.DecodeKey(c.SharedAccessKey)
	if err != nil {
		return webSide{}, err
	}
	return webSide{
		addr: fmt.Sprintf("127.0.0.1:%d", r.Ports.HTTPS), host: r.HostName, config: config,
		token: sas.Sign(r.HostName, key, time.Now().Add(tokenLife), c.SharedAccessKeyName),
	}, nil
}

// register creates the devices that are not there yet, with keys that this
// program can make again, and returns their logins.
func (h *host) register(ctx context.Context, r hubReady, devices int) ([]login, error) {
	c, err := hubclient.Connect(hubclient.Options{URL: r.NATSURL, CredsFile: r.NATSCreds})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	registry := c.Registry()
	logins := make([]login, devices)
	errs := make([]error, dialers)
	var wg sync.WaitGroup
	for w := range dialers {
		wg.Go(func() {
			for i := w; i < devices && errs[w] == nil; i += dialers {
				logins[i] = h.device(r.HostName, i)
				errs[w] = ensure(ctx, registry, deviceName(i))
			}
		})
	}
	wg.Wait()
	return logins, errors.Join(errs...)
}

// ensure creates a device unless an earlier run of the same gateway has.
func ensure(ctx context.Context, registry *hubclient.Registry, name string) error {
	key := base64.StdEncoding.EncodeToString(deviceKey(name))
	record := identity.Record{ID: hub.Identity{Device: name}}
	record.Authentication.SymmetricKey = identity.SymmetricKey{PrimaryKey: key, SecondaryKey: key}
	_, err := registry.Create(ctx, record)
	if err != nil && hub.CodeOf(err) != hub.DeviceAlreadyExists {
		return fmt.Errorf("create %s: %w", name, err)
	}
	return nil
}

// deviceKey is the key of a simulated device. It guards nothing: the gateway is
// a throw-away one on the loopback address.
func deviceKey(name string) []byte {
	sum := sha256.Sum256([]byte(name))
	return sum[:]
}

// device is simulated device i as an SDK connects it: a durable session, its
// own token.
func (h *host) device(hostName string, i int) login {
	id := hub.Identity{Device: deviceName(i)}
	token := sas.Sign(sas.Resource(hostName, id), deviceKey(id.Device), time.Now().Add(tokenLife), "")
	c := connect{ClientID: id.Device, Username: hostName + "/" + id.Device + agentOption, Password: token, KeepAlive: 300}
	clean := c
	clean.Clean = true
	return login{connect: c.append(nil), clean: clean.append(nil), message: newPublish(topic(id.Device)+bag, h.payload)}
}
