package main

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"strconv"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/sas"
)

// client is a device as Microsoft's page on plain MQTT has it.
type testDevice struct {
	paho.Client
	id   hub.Identity
	lost chan error
}

// connectDevice connects the device of a connection string to a port of
// 127.0.0.1.
func connectDevice(t *testing.T, p *process, connection string, port int) *testDevice {
	t.Helper()
	d, err := dialDevice(t, p, connection, port)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func dialDevice(t *testing.T, p *process, connection string, port int) (*testDevice, error) {
	t.Helper()
	return dialDeviceAt(t, p, connection, port, nil)
}

// dialDeviceWith connects with options of its own.
func dialDeviceWith(t *testing.T, p *process, connection string, set func(*paho.ClientOptions)) (*testDevice, error) {
	t.Helper()
	return dialDeviceAt(t, p, connection, p.ready.Ports.MQTT, set)
}

func dialDeviceAt(t *testing.T, p *process, connection string, port int, set func(*paho.ClientOptions)) (*testDevice, error) {
	t.Helper()
	c, err := sas.ParseConnectionString(connection)
	if err != nil {
		t.Fatal(err)
	}
	var key []byte
	if !c.X509 {
		if key, err = hub.DecodeKey(c.SharedAccessKey); err != nil {
			t.Fatal(err)
		}
	}
	ca, err := os.ReadFile(p.ready.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	d := &testDevice{id: hub.Identity{Device: c.DeviceID, Module: c.ModuleID}, lost: make(chan error, 1)}
	opts := paho.NewClientOptions().
		AddBroker("ssl://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(port))).
		SetTLSConfig(&tls.Config{RootCAs: roots}).
		SetProtocolVersion(4).SetClientID(d.id.String()).SetCleanSession(false).SetAutoReconnect(false).
		SetUsername(c.HostName + "/" + d.id.String() + "/?api-version=2021-04-12").
		SetPassword(sas.Sign(sas.Resource(c.HostName, d.id), key, time.Now().Add(time.Hour), "")).
		SetConnectionLostHandler(func(_ paho.Client, err error) { d.lost <- err })
	if set != nil {
		set(opts)
	}
	d.Client = paho.NewClient(opts)
	token := d.Connect()
	if !token.WaitTimeout(patience) {
		t.Fatal("CONNECT is not answered")
	}
	t.Cleanup(func() { d.Disconnect(0) })
	return d, token.Error()
}

// send sends a message with a property bag and waits for PUBACK.
func (d *testDevice) send(t *testing.T, bag string, body []byte) {
	t.Helper()
	topic := "devices/" + d.id.Device + "/messages/events/"
	if d.id.IsModule() {
		topic = "devices/" + d.id.Device + "/modules/" + d.id.Module + "/messages/events/"
	}
	token := d.Publish(topic+bag, 1, false, body)
	if !token.WaitTimeout(patience) {
		t.Fatal("PUBLISH is not acknowledged")
	}
	if err := token.Error(); err != nil {
		t.Fatal(err)
	}
}

// wantLost waits until the hub has closed the connection.
func (d *testDevice) wantLost(t *testing.T) {
	t.Helper()
	select {
	case <-d.lost:
	case <-time.After(patience):
		t.Errorf("%s is still connected", d.id)
	}
}

// create makes a device or module and returns its connection string.
func create(t *testing.T, dir, kind, id string) string {
	t.Helper()
	env := []string{"HUBGATE_DATA_DIR=" + dir}
	if r := hubgate(t, env, kind, "create", id); r.code != exitOK {
		t.Fatalf("create %s: %s", id, r.err)
	}
	r := hubgate(t, env, kind, "connection-string", id)
	if r.code != exitOK {
		t.Fatalf("connection string of %s: %s", id, r.err)
	}
	return r.out[:len(r.out)-1]
}
