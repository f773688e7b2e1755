package faults

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/sas"
	"github.com/hubgate/hubgate/test/hubtest"
)

const patience = hubtest.Patience

// The ports of every gateway here, on an address of its own.
const (
	mqttPort  = 8883
	httpsPort = 8443
	plainPort = 1883
)

// start runs a gateway on an address of its own, with a plain listener too.
func start(t *testing.T, opts hubtest.Options) *hubtest.Gateway {
	t.Helper()
	opts.Flags = append(addressFlags(hubtest.FreeAddress(t, mqttPort, httpsPort, plainPort)), opts.Flags...)
	return hubtest.Start(t, opts)
}

func addressFlags(host string) []string {
	return []string{
		"--host", host, "--mqtt-port", strconv.Itoa(mqttPort), "--https-port", strconv.Itoa(httpsPort),
		"--plain-listen", net.JoinHostPort(host, strconv.Itoa(plainPort)),
	}
}

// address is where a gateway listens.
func address(g *hubtest.Gateway, port int) string {
	return net.JoinHostPort(g.Ready.HostName, strconv.Itoa(port))
}

// device is an identity, and how it connects.
type device struct {
	id     hub.Identity
	host   string // of the hub
	addr   string
	tls    *tls.Config // nil: without TLS
	key    []byte
	change func(*mqtt.Connect) // what is odd about its CONNECT; nil: nothing
}

// newDevice creates an identity by the CLI. It connects by TLS.
func newDevice(t *testing.T, g *hubtest.Gateway, id string) *device {
	t.Helper()
	who, err := hub.ParseIdentity(id)
	if err != nil {
		t.Fatal(err)
	}
	d := &device{id: who, host: g.Ready.HostName, addr: address(g, mqttPort), tls: trusting(t, g)}
	text := g.Create(t, id).ConnectionString
	if strings.Contains(id, ";") { // which no connection string can hold
		d.key, _ = keysOf(t, g, id)
		return d
	}
	cs, err := sas.ParseConnectionString(text)
	if err != nil {
		t.Fatalf("the connection string of %s: %v", id, err)
	}
	if cs.DeviceID != who.Device || cs.ModuleID != who.Module || cs.HostName != d.host {
		t.Fatalf("the connection string of %s at %s names %s, %s at %s", id, d.host, cs.DeviceID, cs.ModuleID, cs.HostName)
	}
	d.key = key(t, cs.SharedAccessKey)
	return d
}

// plain is the same device by the listener without TLS.
func (d *device) plain() *device {
	p := *d
	p.addr, p.tls = net.JoinHostPort(d.host, strconv.Itoa(plainPort)), nil
	return &p
}

// with is the same device with an odd CONNECT.
func (d *device) with(change func(*mqtt.Connect)) *device {
	odd := *d
	odd.change = change
	return &odd
}

// trusting is a client's TLS configuration with the gateway's CA.
func trusting(t *testing.T, g *hubtest.Gateway) *tls.Config {
	t.Helper()
	data, err := os.ReadFile(g.Path(g.Ready.CAFile))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(data) {
		t.Fatalf("%s holds no certificate", g.Ready.CAFile)
	}
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12, ServerName: g.Ready.HostName}
}

// token is a SAS token of the device's own key.
func (d *device) token(expiry time.Time) string {
	return sas.Sign(sas.Resource(d.host, d.id), d.key, expiry, "")
}

// hello is the CONNECT of the device.
func (d *device) hello() *mqtt.Connect {
	c := &mqtt.Connect{
		Version: mqtt.V311, CleanStart: true, KeepAlive: 240, HasUsername: true, HasPassword: true,
		ClientID: []byte(d.id.String()),
		Username: []byte(d.host + "/" + d.id.String() + "/?api-version=2021-04-12&DeviceClientType=faults"),
		Password: []byte(d.token(time.Now().Add(time.Hour))),
	}
	if d.change != nil {
		d.change(c)
	}
	return c
}

// eventsTopic is where the device publishes, with a property bag behind it.
func (d *device) eventsTopic(bag string) string {
	if d.id.IsModule() {
		return "devices/" + d.id.Device + "/modules/" + d.id.Module + "/messages/events/" + bag
	}
	return "devices/" + d.id.Device + "/messages/events/" + bag
}

// dial opens the byte stream below MQTT.
func (d *device) dial() (*client, error) {
	return dial(d.addr, d.tls)
}

func dial(addr string, config *tls.Config) (*client, error) {
	dialer := &net.Dialer{Timeout: patience}
	var nc net.Conn
	var err error
	if config == nil {
		nc, err = dialer.Dial("tcp", addr)
	} else {
		nc, err = tls.DialWithDialer(dialer, "tcp", addr, config)
	}
	if err != nil {
		return nil, err
	}
	return newClient(nc), nil
}

func newClient(nc net.Conn) *client {
	return &client{nc: nc, dec: mqtt.Decoder{Version: mqtt.V311, From: mqtt.FromServer, LenientTopics: true}}
}

// refusedError is a CONNACK that refuses.
type refusedError struct{ code byte }

// isLater reports a CONNECT that was told to come back later, as one is whose claim
// is older than that of a connection which is in already.
func isLater(err error) bool {
	refused, ok := errors.AsType[*refusedError](err)
	return ok && refused.code == 3
}

func (e *refusedError) Error() string { return fmt.Sprintf("CONNACK %d", e.code) }

// connect opens a connection and gets CONNACK 0; present is session-present.
func (d *device) connect() (c *client, present bool, err error) {
	c, err = d.dial()
	if err != nil {
		return nil, false, err
	}
	k, err := c.handshake(d.hello())
	if err == nil && k.Code != 0 {
		err = &refusedError{k.Code}
	}
	if err != nil {
		c.close()
		return nil, false, err
	}
	return c, k.SessionPresent, nil
}

// mustConnect is connect where it has to succeed; t closes the connection.
func (d *device) mustConnect(t *testing.T) *client {
	t.Helper()
	c, _, err := d.connect()
	if err != nil {
		t.Fatalf("connect %s: %v", d.id, err)
	}
	t.Cleanup(c.close)
	return c
}

// client is the client's end of a connection.
type client struct {
	nc  net.Conn
	dec mqtt.Decoder
	in  []byte // received, not decoded yet
}

func (c *client) close() { _ = c.nc.Close() }

// remote is how the gateway's log calls this client.
func (c *client) remote() string { return c.nc.LocalAddr().String() }

func (c *client) write(b []byte) error {
	_ = c.nc.SetWriteDeadline(time.Now().Add(patience))
	_, err := c.nc.Write(b)
	return err
}

func (c *client) send(p mqtt.Packet) error {
	b, err := p.Append(nil, mqtt.V311)
	if err != nil {
		return err
	}
	return c.write(b)
}

// receive returns the next packet, which is valid until the next call.
func (c *client) receive() (mqtt.Packet, error) {
	_ = c.nc.SetReadDeadline(time.Now().Add(patience))
	for {
		size, err := c.dec.Frame(c.in)
		if err != nil {
			return nil, err
		}
		if size > 0 && size <= len(c.in) {
			packet := c.in[:size]
			c.in = c.in[size:]
			return c.dec.Decode(packet)
		}
		buf := make([]byte, 4096)
		n, err := c.nc.Read(buf)
		c.in = append(c.in, buf[:n]...)
		if n == 0 && err != nil {
			return nil, err
		}
	}
}

// handshake sends CONNECT and returns the CONNACK.
func (c *client) handshake(hello *mqtt.Connect) (*mqtt.Connack, error) {
	b, err := hello.Append(nil, hello.Version)
	if err != nil {
		return nil, err
	}
	if err := c.write(b); err != nil {
		return nil, err
	}
	p, err := c.receive()
	if err != nil {
		return nil, err
	}
	k, ok := p.(*mqtt.Connack)
	if !ok {
		return nil, fmt.Errorf("the answer to CONNECT was %s", p.Type())
	}
	return k, nil
}

// publish sends a QoS 1 message and waits for its PUBACK.
func (c *client) publish(topic, body string, id uint16) error {
	if err := c.send(&mqtt.Publish{QoS: 1, ID: id, Topic: []byte(topic), Payload: []byte(body)}); err != nil {
		return err
	}
	p, err := c.receive()
	if err != nil {
		return err
	}
	if ack, ok := p.(*mqtt.Puback); !ok || ack.ID != id {
		return fmt.Errorf("the answer to PUBLISH %d was %s %+v", id, p.Type(), p)
	}
	return nil
}

// subscribe returns the code that each filter gets.
func (c *client) subscribe(filters ...string) ([]byte, error) {
	s := &mqtt.Subscribe{ID: 1}
	for _, f := range filters {
		s.Filters = append(s.Filters, mqtt.Filter{Topic: []byte(f), QoS: 1})
	}
	if err := c.send(s); err != nil {
		return nil, err
	}
	p, err := c.receive()
	if err != nil {
		return nil, err
	}
	ack, ok := p.(*mqtt.Suback)
	if !ok {
		return nil, fmt.Errorf("the answer to SUBSCRIBE was %s", p.Type())
	}
	return ack.Codes, nil
}

// closed waits until the gateway closes the connection, and fails when it
// sends anything before.
func (c *client) closed(t *testing.T) {
	t.Helper()
	p, err := c.receive()
	if err == nil {
		t.Fatalf("the gateway sent %s, want that it closes the connection", p.Type())
	}
	if !isClosed(err) {
		t.Fatalf("the gateway has not closed the connection: %v", err)
	}
}

// isClosed reports whether err is how a connection looks that the other side
// has closed.
func isClosed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
