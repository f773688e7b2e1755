package conformance

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestServiceRequests sends what tools send that are not run here, as they write
// it: the reference says how. Azure IoT Explorer takes no host but Microsoft's, and
// the providers of Terraform come from a registry of their own; az is run by
// TestServiceAz where it is installed.
func TestServiceRequests(t *testing.T) {
	t.Parallel()
	g := startGateway(t)
	client := operator(t, g)
	explorer := "?api-version=2020-09-30"
	az := "?api-version=2024-03-31"
	id := "a%b+c"
	for _, r := range []request{
		// Terraform: create, read back, change under the etag, and go.
		{"terraform creates", "PUT", "/devices/tf1" + az, "", `{"deviceId":"tf1","status":"enabled","authentication":{"type":"sas","symmetricKey":{}}}`, 200, `"deviceId":"tf1"`},
		{"terraform creates again", "PUT", "/devices/tf1" + az, "", `{"deviceId":"tf1"}`, 409, "DeviceAlreadyExists"},
		{"terraform reads", "GET", "/devices/tf1" + az, "", "", 200, `"status":"enabled"`},
		{"terraform changes what was changed", "PUT", "/devices/tf1" + az, `"AAAA"`, `{"deviceId":"tf1","status":"disabled"}`, 412, "PreconditionFailed"},
		{"terraform reads a twin", "GET", "/twins/tf1" + az, "", "", 200, `"version":2`},
		{"terraform writes tags", "PATCH", "/twins/tf1" + az, "*", `{"tags":{"env":"test"}}`, 200, `"tags":{"env":"test"}`},
		{"terraform configures", "PUT", "/configurations/tf" + az, "", `{"id":"tf","content":{"deviceContent":{"properties.desired.tf":1}},"targetCondition":"tags.env='none'","priority":1}`, 200, `"id":"tf"`},
		{"terraform removes the configuration", "DELETE", "/configurations/tf" + az, `"*"`, "", 204, ""},
		{"terraform removes", "DELETE", "/devices/tf1" + az, "*", "", 204, ""},
		{"terraform reads nothing", "GET", "/devices/tf1" + az, "", "", 404, "DeviceNotFound"},
		// Explorer: the whole path is one component; of a message's the id is encoded before, too.
		{"explorer creates", "PUT", "/devices%2Fa%25b%2Bc" + explorer, "", `{"deviceId":"a%b+c","capabilities":{"iotEdge":false},"status":"enabled","authentication":{"type":"sas","symmetricKey":{"primaryKey":null,"secondaryKey":null}}}`, 200, `"deviceId":"` + id + `"`},
		{"explorer lists", "POST", "/devices%2Fquery" + explorer, "", `{"query":" SELECT deviceId as DeviceId,\n status as Status, lastActivityTime as LastActivityTime, statusUpdatedTime as StatusUpdatedTime, authenticationType as AuthenticationType, cloudToDeviceMessageCount as CloudToDeviceMessageCount, connectionState as ConnectionState, capabilities.iotEdge as IotEdge, modelId as ModelId FROM devices WHERE STARTSWITH(devices.deviceId, 'a%')"}`, 200, `"DeviceId":"` + id + `"`},
		{"explorer reads a twin", "GET", "/twins%2Fa%25b%2Bc" + explorer, "", "", 200, `"deviceId":"` + id + `"`},
		{"explorer sends a twin back", "PATCH", "/twins%2Fa%25b%2Bc" + explorer, "", `{"deviceId":"a%b+c","version":2,"properties":{"desired":{"x":1,"$metadata":{"$lastUpdated":"2020-01-01T00:00:00Z"},"$version":1},"reported":{"$version":1}}}`, 200, `"x":1`},
		{"explorer calls", "POST", "/twins%2Fa%25b%2Bc%2Fmethods" + explorer, "", `{"connectTimeoutInSeconds":0,"methodName":"m","payload":{},"responseTimeoutInSeconds":5}`, 404, "404103"},
		{"explorer sends", "POST", "/devices%2Fa%2525b%252Bc%2Fmessages%2FdeviceBound" + explorer, "", `hello`, 204, ""},
		{"explorer reads a digital twin", "GET", "/digitalTwins%2Fa%25b%2Bc" + explorer, "", "", 200, `"$dtId":"` + id + `"`},
		{"explorer removes", "POST", "/devices" + explorer, "", `[{"id":"a%b+c","etag":"*","importMode":"deleteIfMatchEtag"}]`, 200, `"isSuccessful":true`},
		// What az alone asks for.
		{"az makes devices", "POST", "/devices" + az, "", `[{"id":"az1","importMode":"create","authentication":{"type":"sas"}},{"id":"az2","importMode":"create"}]`, 200, `"isSuccessful":true`},
		{"az renews keys", "POST", "/devices/keys/regenerate" + az, "", `{"policyKey":"primaryKey","devices":[{"id":"az1"},{"id":"az2"}]}`, 200, ""},
		{"az purges", "DELETE", "/devices/az1/commands" + az, "", "", 200, `"totalMessagesPurged":0`},
		// And what nobody should send.
		{"no version", "GET", "/devices/az1", "", "", 400, "InvalidProtocolVersion"},
		{"a version that is none", "GET", "/devices/az1?api-version=1999-01-01", "", "", 400, "InvalidProtocolVersion"},
	} {
		t.Run(r.name, func(t *testing.T) { r.run(t, g, client) })
	}
}

// request is one request of a tool, and what it needs of the answer.
type request struct {
	name, verb, path, ifMatch, body string
	status                          int
	contains                        string
}

// operator is a client that knows the gateway's authority.
func operator(t *testing.T, g *gateway) *http.Client {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: trusting(t, g)}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func (r request) run(t *testing.T, g *gateway, client *http.Client) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, r.verb, "https://"+g.Ready.HostName+r.path, strings.NewReader(r.body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", strings.TrimSpace(string(g.in(t).cli("sas", "--policy", "iothubowner", "--ttl", time.Hour.String()))))
	if r.ifMatch != "" {
		req.Header.Set("If-Match", r.ifMatch)
	}
	if r.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != r.status || !strings.Contains(string(text), r.contains) {
		t.Errorf("%s %s: %d %s; want %d and %q", r.verb, r.path, resp.StatusCode, text, r.status, r.contains)
	}
}
