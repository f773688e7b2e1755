package main

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/hubgate/hubgate/cmd/hubgate/internal/config"
)

// A flag with the tag conf gives the configuration value of that path.

// configFlags are for every command that reads the configuration.
type configFlags struct {
	Config  string   `name:"config" placeholder:"FILE" help:"YAML configuration file ($$HUBGATE_CONFIG)."`
	DataDir string   `name:"data-dir" conf:"data_dir" placeholder:"DIR" help:"Directory of the hub's state."`
	Set     []string `name:"set" sep:"none" placeholder:"KEY=VALUE" help:"Set any configuration key, such as telemetry.max_age=14d. Repeatable."`
}

// nodeFlags are for the commands that run a node or check its configuration.
type nodeFlags struct {
	configFlags `embed:""`

	Host          string   `name:"host" conf:"hub.host" placeholder:"NAME" help:"Host name of the hub, as devices dial it."`
	Alias         []string `name:"alias" conf:"hub.aliases" placeholder:"NAME" help:"Another name of the hub that devices may use. Repeatable."`
	Listen        []string `name:"listen" conf:"listen.address" placeholder:"IP" help:"Address to listen on, in place of the one that --host implies. Repeatable."`
	MQTTPort      string   `name:"mqtt-port" conf:"listen.mqtt_port" placeholder:"PORT" help:"Port of MQTT over TLS (8883); 0: any free one."`
	HTTPSPort     string   `name:"https-port" conf:"listen.https_port" placeholder:"PORT" help:"Port of HTTPS and WebSocket (443); 0: any free one."`
	PlainListen   string   `name:"plain-listen" conf:"listen.plain" placeholder:"IP:PORT" help:"Listen for MQTT without TLS too."`
	PlainInsecure bool     `name:"plain-insecure" conf:"listen.plain_insecure" help:"Allow --plain-listen on an address that other machines reach."`
	TLSClientCA   []string `name:"tls-client-ca" conf:"tls.client_ca_files" placeholder:"FILE" help:"Certificate authority that vouches for devices. Repeatable."`
	TLSIssuerCert string   `name:"tls-issuer-cert" conf:"tls.issuer_cert_file" placeholder:"FILE" help:"Certificate authority that issues certificates to devices which renew theirs."`
	TLSIssuerKey  string   `name:"tls-issuer-key" conf:"tls.issuer_key_file" placeholder:"FILE" help:"Its private key."`
	TLSCRL        []string `name:"tls-crl" conf:"tls.crl_files" placeholder:"FILE" help:"Revocation list of device certificates. Repeatable."`
	AdminListen   string   `name:"admin-listen" conf:"admin.listen" placeholder:"IP:PORT" help:"Administrative listener: health, metrics (127.0.0.1:9610 with serve); none: without."`
	Sync          string   `name:"sync" conf:"durability.sync" placeholder:"WHEN" help:"When the embedded NATS server syncs to disk: interval, group or always."`
	NATSPort      string   `name:"nats-port" conf:"nats.port" placeholder:"PORT" help:"Port of the embedded NATS server (4222); 0: any free one."`
	Profile       string   `name:"profile" conf:"profile" placeholder:"NAME" help:"Numbers and rules that nothing else sets: relaxed, or strict-azure for IoT Hub's, with -s1, -s2 or -s3 the rates of a tier."`
	Node          string   `name:"node" conf:"node" placeholder:"NAME" help:"Name of this node."`
	LogLevel      string   `name:"log-level" conf:"log.level" placeholder:"LEVEL" help:"trace, debug, info, warn or error."`
	LogFormat     string   `name:"log-format" conf:"log.format" placeholder:"FORM" help:"auto, console or json."`
}

// serveFlags are those of a node in production.
type serveFlags struct {
	nodeFlags `embed:""`

	TLSCert  []string `name:"tls-cert" conf:"tls.cert_files" placeholder:"FILE" help:"Certificate of the server, with its chain. Repeatable."`
	TLSKey   []string `name:"tls-key" conf:"tls.key_files" placeholder:"FILE" help:"Its private key. Repeatable."`
	NATS     string   `name:"nats" conf:"nats.url" placeholder:"URL" help:"NATS server to use."`
	Embedded bool     `name:"embedded" conf:"nats.embedded" help:"Run a NATS server in this process instead."`
	Creds    string   `name:"creds" conf:"nats.creds" placeholder:"FILE" help:"Credentials of the NATS user."`
	NKey     string   `name:"nkey" conf:"nats.nkey" placeholder:"FILE" help:"Seed of the NATS user, in place of credentials."`
}

// clientFlags say which hub a command talks to.
type clientFlags struct {
	configFlags `embed:""`

	NATS  string `name:"nats" conf:"nats.url" placeholder:"URL" help:"NATS server of the hub. Default: that of the hub that runs with the data directory."`
	Creds string `name:"creds" conf:"nats.creds" placeholder:"FILE" help:"Credentials of the NATS user."`
	Host  string `name:"host" conf:"hub.host" placeholder:"NAME" help:"Host name in connection strings and tokens, in place of the hub's own."`
}

// settingsOf returns the configuration values that the flags of the command
// line give.
func settingsOf(flags []*kong.Flag) ([]config.Setting, error) {
	var settings []config.Setting
	for _, f := range flags {
		if !f.Set {
			continue
		}
		if path := f.Tag.Get("conf"); path != "" {
			settings = append(settings, config.Setting{Path: path, Origin: "--" + f.Name, Values: valuesOf(f.Target)})
		}
		if f.Name == "set" {
			more, err := parseSets(valuesOf(f.Target))
			if err != nil {
				return nil, err
			}
			settings = append(settings, more...)
		}
	}
	return settings, nil
}

// valuesOf returns the value of a flag as text.
func valuesOf(v reflect.Value) []string {
	if list, ok := reflect.TypeAssert[[]string](v); ok {
		return list
	}
	return []string{fmt.Sprint(v.Interface())}
}

// parseSets reads KEY=VALUE of --set; commas part the values of a list.
func parseSets(texts []string) ([]config.Setting, error) {
	lists := map[string]bool{}
	for _, f := range config.Default().Fields() {
		lists[f.Path] = f.IsList()
	}
	var settings []config.Setting
	for _, text := range texts {
		path, value, ok := strings.Cut(text, "=")
		if !ok {
			return nil, usagef("--set takes KEY=VALUE, and %q has no =", text)
		}
		values := []string{value}
		if lists[path] {
			values = strings.Split(value, ",")
		}
		settings = append(settings, config.Setting{Path: path, Origin: "--set", Values: values})
	}
	return settings, nil
}
