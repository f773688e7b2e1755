package attack

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/hubgate/hubgate/gateway/mqtt"
	"github.com/hubgate/hubgate/hub"
	"github.com/hubgate/hubgate/identity"
	"github.com/hubgate/hubgate/sas"
)

// device is an identity of a gateway with its keys.
type device struct {
	g                  *target
	id                 hub.Identity
	primary, secondary []byte
}

func (d *device) setKeys(t *testing.T, r identity.Record) {
	t.Helper()
	d.primary = decodeKey(t, r.Authentication.SymmetricKey.PrimaryKey)
	d.secondary = decodeKey(t, r.Authentication.SymmetricKey.SecondaryKey)
}

// sr is the resource of the device, as the SDKs encode it.
func (d *device) sr() string { return url.QueryEscape(sas.Resource(d.g.Ready.HostName, d.id)) }

// token is what the device's own SDK would send.
func (d *device) token() string { return forge(d.sr(), inAnHour(), d.primary, "") }

func inAnHour() string { return strconv.FormatInt(time.Now().Add(time.Hour).Unix(), 10) }

// sign is the sig of a token, encoded.
func sign(sr, se string, key []byte) string {
	mac := hmac.New(sha256.New, key)
	_, _ = mac.Write([]byte(sr + "\n" + se))
	return url.QueryEscape(base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

// forge makes a token with these very bytes in it.
func forge(sr, se string, key []byte, skn string) string {
	token := "SharedAccessSignature sr=" + sr + "&sig=" + sign(sr, se, key) + "&se=" + se
	if skn != "" {
		token += "&skn=" + skn
	}
	return token
}

// hello is the CONNECT of the device.
func (d *device) hello() *mqtt.Connect {
	return &mqtt.Connect{
		Version: mqtt.V311, CleanStart: true, KeepAlive: 240, HasUsername: true, HasPassword: true,
		ClientID: []byte(d.id.String()),
		Username: []byte(d.g.Ready.HostName + "/" + d.id.String() + "/?api-version=2021-04-12&DeviceClientType=attack"),
		Password: []byte(d.token()),
	}
}

// events is where the device publishes.
func (d *device) events(bag string) string {
	if d.id.IsModule() {
		return "devices/" + d.id.Device + "/modules/" + d.id.Module + "/messages/events/" + bag
	}
	return "devices/" + d.id.Device + "/messages/events/" + bag
}

// join connects by TLS and gets in; t closes the connection.
func (d *device) join(t *testing.T) *peer {
	t.Helper()
	p := dialTLS(t, d.g, mqttPort)
	p.welcomed(t, d.hello())
	return p
}

// joinPlain is join without TLS.
func (d *device) joinPlain(t *testing.T) *peer {
	t.Helper()
	p := dialPlain(t, d.g, plainPort)
	p.welcomed(t, d.hello())
	return p
}
