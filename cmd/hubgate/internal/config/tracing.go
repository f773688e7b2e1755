package config

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Tracing says who gets OpenTelemetry traces. See docs/tracing.md.
type Tracing struct {
	Endpoint string `key:"otlp_endpoint" doc:"Base URL of the OpenTelemetry collector that gets traces by OTLP over HTTP, such as http://localhost:4318; /v1/traces is added. Empty: nothing is traced, and nobody is connected to."`
	Sample   Share  `key:"sample" doc:"Share of the messages and calls that are traced of those whose sender says nothing of a trace, 0 to 1. A sender with a traceparent decides for himself: his is traced if its flag says sampled, and not otherwise."`
	Headers  string `key:"headers" doc:"Where the headers are that the collector wants, such as Authorization: a file's path, env:NAME for an environment variable, or credential:NAME for a systemd credential, a file in $CREDENTIALS_DIRECTORY. Each line is NAME: VALUE. Empty: none."`
	CAFile   string `key:"ca_file" doc:"PEM file of the authority of an https collector, in place of the system's."`
}

// Share is a part of a whole, 0 to 1.
type Share float64

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Share) UnmarshalText(text []byte) error {
	x, err := strconv.ParseFloat(string(text), 64)
	if err != nil || !(x >= 0 && x <= 1) { // NaN is neither
		return fmt.Errorf("%s is not a share from 0 to 1, such as 0.01", shown(string(text)))
	}
	*s = Share(x)
	return nil
}

// String is how a configuration file has it.
func (s Share) String() string { return strconv.FormatFloat(float64(s), 'g', -1, 64) }

// checkTracing refuses an endpoint that is none.
func (c *Config) checkTracing() []error {
	t := &c.Tracing
	if t.Endpoint == "" {
		if t.Headers != "" || t.CAFile != "" {
			return []error{c.wrong("tracing.otlp_endpoint", "there is tracing.headers or tracing.ca_file, and no collector to use it for")}
		}
		return nil
	}
	u, err := collectorURL(t.Endpoint)
	if err != nil {
		return []error{c.wrong("tracing.otlp_endpoint", "%w", err)}
	}
	if t.CAFile != "" && u.Scheme != "https" {
		return []error{c.wrong("tracing.ca_file", "an authority is for a collector at an https URL, and tracing.otlp_endpoint is none")}
	}
	return nil
}

func collectorURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("%s is not a URL such as http://localhost:4318", shown(text))
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("the URL of a collector has no user, no query and no fragment; what lets the hub in there is for tracing.headers")
	case strings.HasSuffix(strings.TrimSuffix(u.Path, "/"), tracesPath):
		return nil, fmt.Errorf("give the base URL of the collector: %s is added to it", tracesPath)
	}
	return u, nil
}

// tracesPath is where a collector takes traces (OTLP specification, OTLP/HTTP
// request).
const tracesPath = "/v1/traces"

// TracesURL is where traces go; empty: nowhere. The configuration has been
// checked.
func (t Tracing) TracesURL() string {
	if t.Endpoint == "" {
		return ""
	}
	return strings.TrimSuffix(t.Endpoint, "/") + tracesPath
}

// TracesAreBare reports whether what lets the hub in at the collector passes the
// network readable.
func (t Tracing) TracesAreBare() bool {
	u, err := url.Parse(t.Endpoint)
	if err != nil || t.Headers == "" || u.Scheme != "http" || u.Hostname() == "localhost" {
		return false
	}
	addr, err := netip.ParseAddr(u.Hostname())
	return err != nil || !isLoopback(addr)
}
