package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
)

// devReady is what a development hub prints when it accepts devices.
type devReady struct {
	HostName                string `json:"hostName"`
	DeviceID                string `json:"deviceId"`
	DeviceConnectionString  string `json:"deviceConnectionString"`
	NodeConnectionString    string `json:"nodeConnectionString,omitempty"` // with the port, which Node's SDK alone reads, when it is not 8883
	ServiceConnectionString string `json:"serviceConnectionString"`
	CAFile                  string `json:"caFile"`
	NATSURL                 string `json:"natsUrl"`
	NATSCreds               string `json:"natsCreds"`    // the operator's
	BackendCreds            string `json:"backendCreds"` // for back-end apps
	HTTPURL                 string `json:"httpUrl"`
	Ports                   ports  `json:"ports"`
}

// write prints the start text for people.
func (r devReady) write(w io.Writer, dataDir string, took time.Duration) error {
	var b strings.Builder
	fmt.Fprintf(&b, "\nThe hub %s is ready after %.2f s. Its state is in %s. Ctrl-C stops it.\n\n", r.HostName, took.Seconds(), dataDir)
	pairs := []row{
		{"  Device", r.DeviceConnectionString},
		{"  Service", r.ServiceConnectionString},
		{"  CA", r.CAFile + "  (" + r.HTTPURL + "/ca.pem)"},
		{"  MQTT", fmt.Sprintf("%s:%d, and over WebSocket on port %d", r.HostName, r.Ports.MQTT, r.Ports.HTTPS)},
		{"  NATS", r.NATSURL + "  --creds " + r.BackendCreds},
		{"", "for operators, with all keys: --creds " + r.NATSCreds},
	}
	if r.Ports.Plain != 0 {
		pairs = append(pairs, row{"  MQTT, plain", fmt.Sprintf("port %d, without TLS", r.Ports.Plain)})
	}
	if r.Ports.Admin != 0 {
		pairs = append(pairs, row{"  Metrics", fmt.Sprintf("port %d: /metrics, /readyz", r.Ports.Admin)})
	}
	if err := writePairs(&b, pairs); err != nil {
		return err
	}
	fmt.Fprintf(&b, "\nPaste one of these, to send as the device (npm i azure-iot-device azure-iot-device-mqtt; pip install azure-iot-device)\nor to see what arrives (also: hubgate telemetry tail):\n\n")
	for _, line := range r.lines() {
		b.WriteString(line + "\n\n")
	}
	b.WriteString(r.hint())
	_, err := io.WriteString(w, b.String())
	return err
}

// lines are commands for a POSIX shell that work as they are.
func (r devReady) lines() []string {
	node, ca := r.DeviceConnectionString, quote(r.CAFile)
	if r.NodeConnectionString != "" {
		node = r.NodeConnectionString
	}
	return []string{
		"NODE_EXTRA_CA_CERTS=" + ca + " node -e '" + nodeSender + "' " + quote(node),
		"python3 -c '" + pythonSender + "' " + quote(r.DeviceConnectionString) + " " + ca,
		"nats --server " + r.NATSURL + " --creds " + quote(r.BackendCreds) + ` sub "hub.telemetry.>"`,
	}
}

const (
	nodeSender = `const {Client,Message}=require("azure-iot-device"),{Mqtt}=require("azure-iot-device-mqtt"),` +
		`c=Client.fromConnectionString(process.argv[1],Mqtt);` +
		`c.sendEvent(new Message("hello from Node"),e=>{console.log(e?e.message:"sent");c.close()})`
	pythonSender = `import sys;from azure.iot.device import IoTHubDeviceClient as C;` +
		`c=C.create_from_connection_string(sys.argv[1],server_verification_cert=open(sys.argv[2]).read());` +
		`c.connect();c.send_message("hello from Python");c.shutdown();print("sent")`
)

// quote writes s as one word of a POSIX shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// hint tells what does not work with this start.
func (r devReady) hint() string {
	var b strings.Builder
	if r.NodeConnectionString != "" {
		fmt.Fprintf(&b, "The port of MQTT is %d, and the SDKs have 8883 built in: only Node's reads another one, behind the HostName.\n", r.Ports.MQTT)
	}
	if r.Ports.HTTPS != httpsPort {
		fmt.Fprintf(&b, "The port of HTTPS is %d, and the SDKs have 443 built in: MQTT over WebSocket will not find the hub.\n", r.Ports.HTTPS)
	}
	if r.HostName == config.DevHost || strings.EqualFold(r.HostName, "localhost") {
		b.WriteString("For devices in containers and on other machines, start with --host and a name that leads them here.\n")
	}
	return b.String()
}
