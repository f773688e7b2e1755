package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// TestAPIToDevice talks to a device by HTTP: what is written and called there is
// what the device gets by MQTT, and its answers come back.
func TestAPIToDevice(t *testing.T) {
	t.Parallel()
	p := startDev(t, t.TempDir())
	ask := operator(t, p)
	d := connectDevice(t, p, p.ready.DeviceConnectionString, p.ready.Ports.MQTT)
	got := make(chan string, 10)
	hear := func(filter string) {
		token := d.Subscribe(filter, 1, func(_ paho.Client, m paho.Message) {
			if _, rid, isCall := strings.Cut(m.Topic(), "/?$rid="); isCall {
				d.Publish("$iothub/methods/res/201/?$rid="+rid, 0, false, `{"done":true}`)
			}
			got <- m.Topic() + " " + string(m.Payload())
		})
		if !token.WaitTimeout(patience) || token.Error() != nil {
			t.Fatalf("SUBSCRIBE: %v", token.Error())
		}
	}
	wantHeard := func(topic, body string) {
		t.Helper()
		select {
		case m := <-got:
			if !strings.HasPrefix(m, topic) || !strings.HasSuffix(m, " "+body) {
				t.Errorf("the device heard %s, want %s %s", m, topic, body)
			}
		case <-time.After(patience):
			t.Fatalf("the device heard nothing, want %s", topic)
		}
	}
	for _, filter := range []string{"$iothub/twin/PATCH/properties/desired/#", "$iothub/methods/POST/#", "devices/dev1/messages/devicebound/#"} {
		hear(filter)
	}
	if status, body := ask("PATCH", "/twins/dev1", `{"properties":{"desired":{"interval":30}}}`); status != 200 || !strings.Contains(body, `"connectionState":"Connected"`) {
		t.Errorf("PATCH = %d %s", status, body)
	}
	wantHeard("$iothub/twin/PATCH/properties/desired/?$version=2", `{"interval":30,"$version":2}`)
	if status, body := ask("POST", "/twins/dev1/methods", `{"methodName":"reboot","payload":{"delay":5}}`); status != 200 || body != `{"status":201,"payload":{"done":true}}` {
		t.Errorf("methods = %d %s", status, body)
	}
	wantHeard("$iothub/methods/POST/reboot/", `{"delay":5}`)
	if status, body := ask("POST", "/devices/dev1/messages/deviceBound", "hello", "iothub-messageid", "m1", "iothub-ack", "full"); status != 204 {
		t.Errorf("deviceBound = %d %s", status, body)
	}
	wantHeard("devices/dev1/messages/devicebound/", "hello")
	status, body := ask("GET", "/messages/serviceBound/feedback", "")
	for end := time.Now().Add(patience); status == 204 && time.Now().Before(end); { // the outcome is not stored yet
		status, body = ask("GET", "/messages/serviceBound/feedback", "")
	}
	if status != 200 || !strings.Contains(body, `"originalMessageId":"m1"`) || !strings.Contains(body, `"statusCode":"Success"`) {
		t.Errorf("feedback = %d %s", status, body)
	}
	if status, body := ask("POST", "/devices/query", `{"query":"SELECT deviceId, connectionState FROM devices WHERE properties.desired.interval = 30"}`); status != 200 || body != `[{"deviceId":"dev1","connectionState":"Connected"}]` {
		t.Errorf("query = %d %s", status, body)
	}
	p.stopCleanly(t)
}

// operator asks a hub's API as the policy of its connection string.
func operator(t *testing.T, p *process) func(verb, path, body string, headers ...string) (int, string) {
	t.Helper()
	pem, err := os.ReadFile(p.ready.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	web := &http.Client{Timeout: patience, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: p.ready.HostName}}}
	t.Cleanup(web.CloseIdleConnections)
	token := serviceToken(t, p.ready.ServiceConnectionString)
	return func(verb, path, body string, headers ...string) (int, string) {
		t.Helper()
		url := fmt.Sprintf("https://127.0.0.1:%d%s?api-version=2021-04-12", p.ready.Ports.HTTPS, path)
		req, err := http.NewRequestWithContext(t.Context(), verb, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", token)
		for i := 0; i < len(headers); i += 2 {
			req.Header.Set(headers[i], headers[i+1])
		}
		res, err := web.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(text)
	}
}
