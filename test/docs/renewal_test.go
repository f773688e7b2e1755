package docs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"strings"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/hubgate/hubgate/test/hubtest"
)

// renew has the hub issue a certificate to the device.
func (d *device) renew() {
	d.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		d.t.Fatal(err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: d.id.String()}}, key)
	if err != nil {
		d.t.Fatal(err)
	}
	answers := make(chan string, 16)
	d.wait("subscribe", d.client.Subscribe("$iothub/credentials/res/#", 1, func(_ paho.Client, m paho.Message) { answers <- m.Topic() }))
	d.wait("renew", d.client.Publish("$iothub/credentials/POST/issueCertificate/?$rid=docs-1", 1, false,
		`{"id":"`+d.id.String()+`","csr":"`+base64.StdEncoding.EncodeToString(csr)+`"}`))
	for _, status := range []string{"202", "200"} {
		select {
		case topic := <-answers:
			if !strings.Contains(topic, "/res/"+status+"/") {
				d.t.Fatalf("an answer on %s, want %s", topic, status)
			}
		case <-time.After(hubtest.Patience):
			d.t.Fatalf("no answer %s", status)
		}
	}
}
