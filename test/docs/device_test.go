package docs

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/sas"
	"github.com/hubgate/hubgate/test/hubtest"
)

// device is a device, or a module, that is connected: it answers every direct
// method with the status 200 and {"done":true}.
type device struct {
	t      *testing.T
	id     hub.Identity
	client paho.Client
	got    chan string // bodies of cloud-to-device messages
}

// connect connects "dev" or "dev/mod" until the end of t.
func connect(t *testing.T, g *hubtest.Gateway, connectionString string) *device {
	t.Helper()
	c, err := sas.ParseConnectionString(connectionString)
	if err != nil {
		t.Fatal(err)
	}
	key, err := hub.DecodeKey(c.SharedAccessKey)
	if err != nil {
		t.Fatal(err)
	}
	d := &device{t: t, id: hub.Identity{Device: c.DeviceID, Module: c.ModuleID}, got: make(chan string, 64)}
	password := sas.Sign(sas.Resource(c.HostName, d.id), key, time.Now().Add(time.Hour), "")
	d.client = paho.NewClient(options(t, g, d.id, password))
	d.wait("connect", d.client.Connect())
	t.Cleanup(func() { d.client.Disconnect(250) })
	d.subscribe()
	return d
}

// options are how a device connects.
func options(t *testing.T, g *hubtest.Gateway, id hub.Identity, password string) *paho.ClientOptions {
	t.Helper()
	pem, err := os.ReadFile(g.Ready.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	will := "devices/" + strings.Replace(id.String(), "/", "/modules/", 1) + "/messages/events/"
	return paho.NewClientOptions().SetWill(will, "gone", 1, false).
		AddBroker(fmt.Sprintf("ssl://%s:%d", g.Ready.HostName, g.Ready.Ports.MQTT)).
		SetTLSConfig(&tls.Config{RootCAs: roots}).SetProtocolVersion(4).SetClientID(id.String()).
		SetCleanSession(false).SetAutoReconnect(false).SetConnectTimeout(hubtest.Patience).
		SetUsername(g.Ready.HostName + "/" + id.String() + "/?api-version=2021-04-12&DeviceClientType=docs").
		SetPassword(password)
}

// refused connects as a device without the right password.
func refused(t *testing.T, g *hubtest.Gateway, id hub.Identity) {
	t.Helper()
	token := paho.NewClient(options(t, g, id, "SharedAccessSignature sr=x&sig=x&se=1")).Connect()
	if !token.WaitTimeout(hubtest.Patience) || token.Error() == nil {
		t.Fatalf("%s was not refused: %v", id, token.Error())
	}
}

func (d *device) subscribe() {
	d.t.Helper()
	d.wait("subscribe", d.client.Subscribe("$iothub/methods/POST/#", 0, func(c paho.Client, m paho.Message) {
		_, rid, _ := strings.Cut(m.Topic(), "$rid=")
		c.Publish("$iothub/methods/res/200/?$rid="+rid, 0, false, `{"done":true}`)
	}))
	if !d.id.IsModule() {
		d.wait("subscribe", d.client.Subscribe("devices/"+d.id.Device+"/messages/devicebound/#", 1, func(_ paho.Client, m paho.Message) {
			select {
			case d.got <- string(m.Payload()):
			default: // nobody looks
			}
		}))
	}
}

// send sends one message with properties.
func (d *device) send(body string) {
	d.t.Helper()
	topic := "devices/" + d.id.Device + "/messages/events/"
	if d.id.IsModule() {
		topic = "devices/" + d.id.Device + "/modules/" + d.id.Module + "/messages/events/"
	}
	d.wait("send", d.client.Publish(topic+"%24.ct=application%2Fjson&%24.ce=utf-8&%24.mid=m1&level=info&plant%207=%25", 1, false, body))
}

// report writes reported properties.
func (d *device) report(patch string) {
	d.t.Helper()
	d.wait("report", d.client.Publish("$iothub/twin/PATCH/properties/reported/?$rid=1", 0, false, patch))
}

// receive waits for a cloud-to-device message.
func (d *device) receive(want string) {
	d.t.Helper()
	limit := time.NewTimer(hubtest.Patience)
	defer limit.Stop()
	for {
		select {
		case got := <-d.got:
			if got == want {
				return
			}
		case <-limit.C:
			d.t.Fatalf("%s has not got the message %s", d.id, want)
		}
	}
}

func (d *device) wait(what string, token paho.Token) {
	d.t.Helper()
	if !token.WaitTimeout(hubtest.Patience) {
		d.t.Fatalf("%s: %s takes longer than %v", d.id, what, hubtest.Patience)
	}
	if err := token.Error(); err != nil {
		d.t.Fatalf("%s: %s: %v", d.id, what, err)
	}
}
